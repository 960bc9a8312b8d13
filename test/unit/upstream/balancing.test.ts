import t from 'tap'
import { XorShift } from '../../../src/base/random.ts'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { computePriorityLoads, type PriorityCounts } from '../../../src/upstream/priority-load.ts'
import { HostHealth } from '../../../src/upstream/upstream.ts'
import { endpoint, FakeRandom, staticCluster } from './fakes.ts'
import { anyRequest, TestWorld } from './world.ts'

function counts(total: number, healthy: number, degraded = 0, excluded = 0): PriorityCounts {
  return {
    total,
    healthy,
    degraded,
    excluded,
    totalWeight: total,
    healthyWeight: healthy,
    degradedWeight: degraded,
    excludedWeight: excluded,
  }
}

/** Tables of Envoy's documentation, "Priority levels" and "Panic threshold". */
t.test('priority load is what Envoy documents', async t => {
  const load = (healthy: [number, number][]) =>
    computePriorityLoads(
      healthy.map(([h, d]) => counts(100, h, d)),
      140,
      false,
      0,
    )
  t.same(
    load([
      [100, 0],
      [100, 0],
    ]).healthy,
    [100, 0],
  )
  t.same(
    load([
      [72, 0],
      [72, 0],
    ]).healthy,
    [100, 0],
  )
  t.same(
    load([
      [71, 0],
      [71, 0],
    ]).healthy,
    [99, 1],
  )
  t.same(
    load([
      [50, 0],
      [50, 0],
    ]).healthy,
    [70, 30],
  )
  t.same(
    load([
      [25, 0],
      [100, 0],
    ]).healthy,
    [35, 65],
  )
  t.same(
    load([
      [25, 0],
      [25, 0],
    ]).healthy,
    [50, 50],
  )
  t.same(
    load([
      [25, 0],
      [25, 0],
      [20, 0],
    ]).healthy,
    [37, 35, 28],
  )
  const mixed = load([
    [5, 0],
    [0, 65],
  ])
  t.same(
    [mixed.healthy, mixed.degraded],
    [
      [8, 0],
      [0, 92],
    ],
  )
})

t.test('loads always add up to 100', async t => {
  const random = new XorShift(7)
  for (let i = 0; i < 20000; i++) {
    const sets: PriorityCounts[] = []
    for (let p = 1 + (random.next32() % 4); p > 0; p--) {
      const total = random.next32() % 12
      const healthy = random.next32() % (total + 1)
      const degraded = random.next32() % (total - healthy + 1)
      const excluded = random.next32() % (total - healthy - degraded + 1)
      sets.push(counts(total, healthy, degraded, excluded))
    }
    const l = computePriorityLoads(
      sets,
      100 + (random.next32() % 100),
      random.next32() % 2 === 0,
      random.next32() % 101,
    )
    let sum = 0
    for (const x of l.healthy) sum += x
    for (const x of l.degraded) sum += x
    if (sum !== 100) t.equal(sum, 100, JSON.stringify(sets))
  }
})

t.test('panic: only where too few hosts are usable and the priorities together do not suffice', async t => {
  t.same(computePriorityLoads([counts(10, 2), counts(10, 2)], 140, false, 50).panic, [true, true])
  t.same(computePriorityLoads([counts(10, 2), counts(10, 10)], 140, false, 50).panic, [false, false])
  t.same(computePriorityLoads([counts(10, 1), counts(10, 5)], 140, false, 50).panic, [true, false])
  t.same(computePriorityLoads([counts(6, 0), counts(4, 0)], 140, false, 50).healthy, [60, 40])
  t.same(computePriorityLoads([counts(6, 0), counts(4, 0)], 140, false, 0).healthy, [100, 0])
})

function spread(world: TestWorld, picks: number): Map<string, number> {
  const seen = new Map<string, number>()
  for (let i = 0; i < picks; i++) {
    const name = world.cluster.pick(anyRequest)?.address.ip ?? 'none'
    seen.set(name, (seen.get(name) ?? 0) + 1)
  }
  return seen
}

const three = [endpoint('10.0.0.1', 80), endpoint('10.0.0.2', 80), endpoint('10.0.0.3', 80)]

t.test('round robin takes equal hosts in turn', async t => {
  const world = new TestWorld(staticCluster(three))
  t.same([...spread(world, 6).values()], [2, 2, 2])
})

t.test('round robin and least request follow weights', async t => {
  const weighted = [
    endpoint('10.0.0.1', 80, { load_balancing_weight: 1 }),
    endpoint('10.0.0.2', 80, { load_balancing_weight: 2 }),
    endpoint('10.0.0.3', 80, { load_balancing_weight: 5 }),
  ]
  for (const policy of ['ROUND_ROBIN', 'LEAST_REQUEST'] as const) {
    const world = new TestWorld(staticCluster(weighted, { lb_policy: policy }))
    const seen = spread(world, 800)
    t.equal(seen.get('10.0.0.1'), 100)
    t.equal(seen.get('10.0.0.2'), 200)
    t.equal(seen.get('10.0.0.3'), 500)
  }
})

t.test('least request takes the less busy of two random hosts', async t => {
  const world = new TestWorld(
    staticCluster(three, { lb_policy: 'LEAST_REQUEST' }),
    new XorShift(9) as unknown as FakeRandom,
  )
  const busy = world.cluster.prioritySet().sets[0]!.hosts[0]!
  busy.cells.take(1, 5)
  // Only when both draws name it: one in nine.
  const seen = spread(world, 9000).get('10.0.0.1')!
  t.ok(seen > 850 && seen < 1150, String(seen))
})

t.test('random is even and ignores weights', async t => {
  const world = new TestWorld(
    staticCluster([endpoint('10.0.0.1', 80, { load_balancing_weight: 9 }), endpoint('10.0.0.2', 80)], {
      lb_policy: 'RANDOM',
    }),
    new XorShift(3) as unknown as FakeRandom,
  )
  const seen = spread(world, 10000)
  for (const n of seen.values()) t.ok(n > 4700 && n < 5300)
})

t.test('a failed host is left out at once; panic brings all back', async t => {
  const world = new TestWorld(staticCluster(three))
  world.setHealth('10.0.0.1:80', HostHealth.FailedActive)
  t.notOk(spread(world, 30).has('10.0.0.1'))
  world.setHealth('10.0.0.2:80', HostHealth.FailedOutlier)
  t.equal(spread(world, 30).size, 3)
  t.equal(world.clusterStats('lb_healthy_panic'), 30)
})

t.test('with panic off and no healthy host there is none', async t => {
  const world = new TestWorld(staticCluster(three, { common_lb_config: { healthy_panic_threshold: { value: 0 } } }))
  for (const h of ['1', '2', '3']) world.setHealth(`10.0.0.${h}:80`, HostHealth.FailedEds)
  t.equal(world.cluster.pick(anyRequest), null)
  t.equal(world.clusterStats('upstream_cx_none_healthy'), 1)
})

t.test('degraded hosts take what healthy ones cannot', async t => {
  const world = new TestWorld(staticCluster(three), new FakeRandom(99))
  world.setHealth('10.0.0.1:80', HostHealth.FailedActive)
  world.setHealth('10.0.0.2:80', HostHealth.DegradedActive)
  t.same([...spread(world, 5).keys()], ['10.0.0.2'])
})

t.test('the next priority takes over', async t => {
  const world = new TestWorld(staticCluster(three))
  const p = (n: number, ip: string) => ({ priority: n, lb_endpoints: [endpoint(ip, 80)] })
  world.publishLocalities([p(0, '10.0.1.1'), p(1, '10.0.1.2')])
  t.same([...spread(world, 5).keys()], ['10.0.1.1'])
  world.setHealth('10.0.1.1:80', HostHealth.FailedActive)
  t.same([...spread(world, 5).keys()], ['10.0.1.2'])
})

t.test('locality weights decide before hosts do, scaled by health', async t => {
  const world = new TestWorld(
    staticCluster(three, { common_lb_config: { locality_weighted_lb_config: {} } }),
    new XorShift(5) as unknown as FakeRandom,
  )
  const locality = (zone: string, weight: number, ips: string[]): envoy.config.endpoint.v3.LocalityLbEndpoints => ({
    locality: { zone },
    load_balancing_weight: weight,
    lb_endpoints: ips.map(ip => endpoint(ip, 80)),
  })
  world.publishLocalities([locality('a', 1, ['10.1.0.1']), locality('b', 3, ['10.2.0.1', '10.2.0.2'])])
  let seen = spread(world, 400)
  t.equal(seen.get('10.1.0.1'), 100)
  t.equal(seen.get('10.2.0.1')! + seen.get('10.2.0.2')!, 300)
  world.setHealth('10.2.0.1:80', HostHealth.FailedActive)
  seen = spread(world, 310)
  // Weight 3 × min(1, 1.4 × 1/2) = 2.1 against 1.
  t.ok(Math.abs(seen.get('10.1.0.1')! - 100) <= 1)
})

t.test('slow start: a new host gets little at first', async t => {
  const world = new TestWorld(
    staticCluster([endpoint('10.0.0.1', 80)], {
      round_robin_lb_config: { slow_start_config: { slow_start_window: 10000 } },
    }),
  )
  spread(world, 1)
  world.timers.advance(20000)
  world.publish([endpoint('10.0.0.1', 80), endpoint('10.0.0.2', 80)])
  world.timers.advance(1000)
  const early = spread(world, 1100)
  t.ok(early.get('10.0.0.2')! < 150, String(early.get('10.0.0.2')))
  world.timers.advance(20000)
  world.publish([endpoint('10.0.0.1', 80), endpoint('10.0.0.2', 80)])
  t.same([...spread(world, 100).values()], [50, 50])
})

t.test('an override names its host if the status allows it', async t => {
  const world = new TestWorld(staticCluster(three))
  const ask = (overrideHost: string) => world.cluster.pick({ ...anyRequest, overrideHost })!.address.text
  for (let i = 0; i < 4; i++) t.equal(ask('10.0.0.2:80'), '10.0.0.2:80')
  world.setHealth('10.0.0.2:80', HostHealth.FailedActive)
  for (let i = 0; i < 4; i++) t.not(ask('10.0.0.2:80'), '10.0.0.2:80')
})

t.test('hosts keep their identity and counts through updates', async t => {
  const world = new TestWorld(staticCluster(three))
  const before = world.cluster.prioritySet().sets[0]!.hosts
  world.publish([endpoint('10.0.0.2', 80, { load_balancing_weight: 7 }), endpoint('10.0.0.9', 80)])
  const after = world.cluster.prioritySet().sets[0]!.hosts
  t.equal(after[0], before[1])
  t.equal(after[0]!.weight, 7)
})
