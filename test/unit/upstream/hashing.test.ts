import { readFileSync } from 'node:fs'
import t from 'tap'
import { murmurHash2 } from '../../../src/base/murmur.ts'
import { xxHash64, xxHash64Modulo } from '../../../src/base/xxhash64.ts'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { endpoint, staticCluster } from './fakes.ts'
import { MainWorld } from './main-world.ts'
import { anyRequest, TestWorld, withHash } from './world.ts'

interface Choices {
  readonly hosts: readonly { port: number; weight: number; hostname: string }[]
  readonly keys: readonly string[]
  readonly chosen: Readonly<Record<string, readonly number[]>>
}

const recorded = JSON.parse(
  readFileSync(new URL('../../fixtures/upstream/hash-choices.json', import.meta.url), 'utf8'),
) as Choices

type ClusterProto = envoy.config.cluster.v3.Cluster
const byName = { consistent_hashing_lb_config: { use_hostname_for_hashing: true } }
const clusters: Record<string, Partial<ClusterProto>> = {
  ring: { lb_policy: 'RING_HASH' },
  ringsmall: { lb_policy: 'RING_HASH', ring_hash_lb_config: { minimum_ring_size: 7, maximum_ring_size: 13 } },
  ringmur: { lb_policy: 'RING_HASH', ring_hash_lb_config: { hash_function: 'MURMUR_HASH_2' } },
  ringhost: { type: 'STRICT_DNS', lb_policy: 'RING_HASH', common_lb_config: byName },
  maglev: { lb_policy: 'MAGLEV' },
  maglevsmall: {
    type: 'STRICT_DNS',
    lb_policy: 'MAGLEV',
    maglev_lb_config: { table_size: 251 },
    common_lb_config: byName,
  },
}

const hosts = recorded.hosts.map(h => ({
  endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: h.port } }, hostname: h.hostname },
  load_balancing_weight: h.weight,
}))

for (const [name, extra] of Object.entries(clusters)) {
  t.test(`${name}: every key goes where the real Envoy sent it`, async t => {
    const world = new TestWorld(staticCluster(hosts, extra))
    const chosen = recorded.keys.map(key => world.cluster.pick(withHash(xxHash64(key)))!.address.port)
    t.same(chosen, recorded.chosen[name])
  })
}

t.test('xxHash64 gives the published values for every tail length', async t => {
  t.equal(xxHash64('').toString(16), 'ef46db3751d8e999')
  t.equal(xxHash64('a').toString(16), 'd24ec4f1a98c6e5b')
  t.equal(xxHash64('abc').toString(16), '44bc2cf5ad770999')
  t.equal(xxHash64('foo'), 3728699739546630719n)
  t.equal(xxHash64('Nobody inspects the spammish repetition').toString(16), 'fbcea83c8a378bf1')
  t.equal(xxHash64Modulo('abc', 0, 65537), Number(xxHash64('abc') % 65537n))
})

t.test('murmurHash2 is the one of std::hash', async t => {
  // Values of Envoy's murmurhash_test.cc.
  t.equal(murmurHash2('foo'), 9631199822919835226n)
  t.equal(murmurHash2('a'), 4993892634952068459n)
})

t.test('a retry that rejects hosts moves on from the hashed one', async t => {
  for (const policy of ['RING_HASH', 'MAGLEV'] as const) {
    const world = new TestWorld(
      staticCluster([endpoint('10.0.0.1', 1), endpoint('10.0.0.2', 1), endpoint('10.0.0.3', 1)], { lb_policy: policy }),
    )
    const first = world.cluster.pick(withHash(77n))
    const other = world.cluster.pick({ ...withHash(77n), rejectHost: h => h === first, maxHostSelections: 20 })
    t.not(other, first)
    t.equal(world.cluster.pick(withHash(77n)), first)
  }
})

t.test('bounded loads pass over a host above its share, in an order the hash fixes', async t => {
  const world = new TestWorld(
    staticCluster(hosts, {
      type: 'STRICT_DNS',
      lb_policy: 'RING_HASH',
      common_lb_config: { consistent_hashing_lb_config: { hash_balance_factor: 120 } },
    }),
  )
  const hash = xxHash64('user-1')
  const first = world.cluster.pick(withHash(hash))!
  const cells = (first as unknown as { cells: { take(i: number, n: number): void } }).cells
  cells.take(1, 100)
  const second = world.cluster.pick(withHash(hash))!
  t.not(second, first)
  t.equal(world.cluster.pick(withHash(hash)), second)
  cells.take(1, -100)
  t.equal(world.cluster.pick(withHash(hash)), first)
})

t.test('without a hash any host may be chosen', async t => {
  const world = new TestWorld(staticCluster(hosts, { lb_policy: 'MAGLEV' }))
  t.ok(world.cluster.pick(anyRequest))
})

t.test('a failed host leaves the table; in panic all are in it again', async t => {
  const two = [endpoint('10.0.0.1', 1), endpoint('10.0.0.2', 1), endpoint('10.0.0.3', 1)]
  const world = new TestWorld(staticCluster(two, { lb_policy: 'RING_HASH' }))
  world.setHealth('10.0.0.1:1', 1)
  const seen = new Set<string>()
  for (let i = 0n; i < 200n; i++) seen.add(world.cluster.pick(withHash(xxHash64(String(i))))!.address.ip)
  t.same([...seen].sort(), ['10.0.0.2', '10.0.0.3'])
  world.setHealth('10.0.0.2:1', 1)
  seen.clear()
  for (let i = 0n; i < 200n; i++) seen.add(world.cluster.pick(withHash(xxHash64(String(i))))!.address.ip)
  t.equal(seen.size, 3)
  t.ok(world.clusterStats('lb_healthy_panic') > 0)
})

t.test('table gauges are those of the real Envoy for the recorded hosts', async t => {
  const expected: [Partial<ClusterProto>, Record<string, number>][] = [
    [
      clusters['ring']!,
      { 'ring_hash_lb.size': 1030, 'ring_hash_lb.min_hashes_per_host': 103, 'ring_hash_lb.max_hashes_per_host': 515 },
    ],
    [
      clusters['ringsmall']!,
      { 'ring_hash_lb.size': 10, 'ring_hash_lb.min_hashes_per_host': 1, 'ring_hash_lb.max_hashes_per_host': 5 },
    ],
    [clusters['maglev']!, { 'maglev_lb.min_entries_per_host': 6554, 'maglev_lb.max_entries_per_host': 32767 }],
    [clusters['maglevsmall']!, { 'maglev_lb.min_entries_per_host': 25, 'maglev_lb.max_entries_per_host': 124 }],
  ]
  for (const [extra, gauges] of expected) {
    const world = new MainWorld(staticCluster(hosts, extra))
    world.hosts.update(world.hosts.config.assignment!)
    for (const [name, value] of Object.entries(gauges)) t.equal(world.get(name), value, name)
  }
})
