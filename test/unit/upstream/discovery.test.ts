import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { CaresResolver } from '../../../src/upstream/clusters/dns-resolver.ts'
import type { DnsAnswer, DnsResolver } from '../../../src/upstream/clusters/dns-target.ts'
import { EdsDiscovery } from '../../../src/upstream/clusters/eds.ts'
import { LogicalDnsDiscovery } from '../../../src/upstream/clusters/logical-dns.ts'
import { StaticDiscovery } from '../../../src/upstream/clusters/static.ts'
import { StrictDnsDiscovery } from '../../../src/upstream/clusters/strict-dns.ts'
import { HostCell, HostHealth } from '../../../src/upstream/upstream.ts'
import { endpoint, parse, staticCluster } from './fakes.ts'
import { MainWorld } from './main-world.ts'

class FakeDns implements DnsResolver {
  readonly asked: { name: string; done: (a: DnsAnswer | null) => void }[] = []
  resolve(name: string, _family: string, done: (a: DnsAnswer | null) => void): void {
    this.asked.push({ name, done })
  }
  answer(...ips: string[]): void {
    this.asked.at(-1)!.done({ ips, ttl: 30000 })
  }
}

function dns(type: 'STRICT_DNS' | 'LOGICAL_DNS', extra: Partial<envoy.config.cluster.v3.Cluster> = {}) {
  const world = new MainWorld(staticCluster([endpoint('db.test', 5432)], { type, ...extra }))
  const resolver = new FakeDns()
  let ready = 0
  const Kind = type === 'STRICT_DNS' ? StrictDnsDiscovery : LogicalDnsDiscovery
  const listener = { onReady: () => void ready++ }
  const discovery = new Kind(world.hosts, listener, resolver, world.timers, world.random, world.stats)
  discovery.start()
  return { world, resolver, discovery, ready: () => ready }
}

t.test('STATIC publishes once', async t => {
  const world = new MainWorld(staticCluster([endpoint('10.0.0.1', 80)]))
  let ready = 0
  new StaticDiscovery(world.hosts, { onReady: () => void ready++ }).start()
  t.same(world.addresses, ['10.0.0.1:80'])
  t.equal(ready, 1)
  t.equal(world.get('membership_change'), 1)
  t.equal(world.get('default.total_match_count'), 1)
})

t.test('STRICT_DNS: every address is a host, looked up again at dns_refresh_rate', async t => {
  const { world, resolver, ready } = dns('STRICT_DNS')
  t.equal(ready(), 0)
  resolver.answer('10.0.0.1', '10.0.0.2')
  t.same(world.addresses, ['10.0.0.1:5432', '10.0.0.2:5432'])
  t.equal(world.published[0]!.localities[0]!.hosts[0]!.hostname, 'db.test')
  t.equal(ready(), 1)
  world.timers.advance(5000)
  const kept = world.published[0]!.localities[0]!.hosts[1]!.block
  resolver.answer('10.0.0.2', '10.0.0.3')
  t.same(world.addresses, ['10.0.0.2:5432', '10.0.0.3:5432'])
  t.same(world.published[1]!.localities[0]!.hosts[0]!.block, kept, 'identity is kept')
  world.timers.advance(5000)
  resolver.answer('10.0.0.2', '10.0.0.3')
  t.equal(world.published.length, 2)
  t.equal(world.get('update_no_rebuild'), 1)
  t.equal(world.get('update_attempt'), 3)
  t.equal(world.get('update_success'), 3)
})

t.test('a failed look-up keeps the hosts; an empty answer removes them', async t => {
  const { world, resolver } = dns('STRICT_DNS')
  resolver.answer('10.0.0.1')
  world.timers.advance(5000)
  resolver.asked.at(-1)!.done(null)
  t.same(world.addresses, ['10.0.0.1:5432'])
  t.equal(world.get('update_failure'), 1)
  world.timers.advance(5000)
  resolver.answer()
  t.same(world.addresses, [])
  t.equal(world.get('update_empty'), 1)
})

t.test('respect_dns_ttl and dns_failure_refresh_rate set the pace', async t => {
  const one = dns('STRICT_DNS', { respect_dns_ttl: true })
  one.resolver.answer('10.0.0.1')
  t.equal(one.world.timers.next, 30000)
  const two = dns('STRICT_DNS', { dns_failure_refresh_rate: { base_interval: 1000, max_interval: 8000 } })
  two.resolver.asked[0]!.done(null)
  t.ok(two.world.timers.next <= 1000)
  t.equal(two.ready(), 1, 'a failure ends the wait')
})

t.test('LOGICAL_DNS: the first address is the one host, an empty answer changes nothing', async t => {
  const { world, resolver } = dns('LOGICAL_DNS')
  resolver.answer('10.0.0.1', '10.0.0.2')
  t.same(world.addresses, ['10.0.0.1:5432'])
  world.timers.advance(5000)
  resolver.answer()
  t.same(world.addresses, ['10.0.0.1:5432'])
  world.timers.advance(5000)
  resolver.answer('10.0.0.9')
  t.same(world.addresses, ['10.0.0.9:5432'])
})

t.test('a stopped discovery ignores late answers and leaves no timer', async t => {
  const { world, resolver, discovery } = dns('STRICT_DNS')
  discovery.stop()
  resolver.answer('10.0.0.1')
  t.equal(world.published.length, 0)
  t.equal(world.timers.count, 0)
})

t.test('EDS: health_status is taken over, stale endpoints go', async t => {
  const world = new MainWorld({ name: 'c', type: 'EDS', eds_cluster_config: { eds_config: { ads: {} } } })
  let ready = 0
  const eds = new EdsDiscovery(world.hosts, { onReady: () => void ready++ }, world.timers, world.stats)
  const assignment = (status: envoy.config.core.v3.HealthStatus) =>
    parse({
      name: 'x',
      type: 'STATIC',
      load_assignment: {
        endpoints: [{ lb_endpoints: [endpoint('10.0.0.1', 1, { health_status: status })] }],
        policy: { endpoint_stale_after: 9000 },
      },
    }).assignment!
  eds.onAssignment(assignment('HEALTHY'))
  t.equal(ready, 1)
  t.equal(world.get('membership_healthy'), 1)
  eds.onAssignment(assignment('UNHEALTHY'))
  t.equal(world.hosts.hosts()[0]!.flags(), HostHealth.FailedEds)
  t.equal(world.get('membership_healthy'), 0)
  eds.onAssignment(assignment('DRAINING'))
  t.equal(world.hosts.hosts()[0]!.flags(), HostHealth.EdsDraining)
  eds.onAssignment(assignment('DRAINING'))
  t.equal(world.get('update_no_rebuild'), 1)
  world.timers.advance(9000)
  t.equal(world.get('membership_total'), 0)
  t.equal(world.get('assignment_stale'), 1)
})

/** What the real Envoy did with these assignments, one list of ports per priority. */
function edsWorld(extra: Partial<envoy.config.cluster.v3.Cluster> = {}) {
  const world = new MainWorld({ name: 'e', type: 'EDS', eds_cluster_config: { eds_config: { ads: {} } }, ...extra })
  const eds = new EdsDiscovery(world.hosts, { onReady: () => {} }, world.timers, world.stats)
  const assign = (...priorities: number[][]): void => {
    const endpoints = priorities.map((ports, priority) => ({
      priority,
      lb_endpoints: ports.map(port => endpoint('10.0.0.1', port)),
    }))
    eds.onAssignment(parse({ name: 'x', type: 'STATIC', load_assignment: { endpoints } }).assignment!)
  }
  const hostAt = (port: number) => world.hosts.hosts().find(h => h.config.address.port === port)!
  return { world, assign, hostAt }
}

t.test('membership_change counts once per priority that gets or loses hosts', async t => {
  const { world, assign } = edsWorld()
  const counts: number[] = []
  const step = (...priorities: number[][]): void => {
    assign(...priorities)
    counts.push(world.get('membership_change'))
  }
  step([1, 2])
  step([1, 2, 3])
  step([1], [2, 3])
  step([1], [2, 3], [4])
  step([1, 5], [2], [4, 3])
  step([1], [2])
  step()
  t.same(counts, [1, 2, 4, 5, 8, 10, 12])
  t.equal(world.get('max_host_weight'), 1, 'of no hosts')
})

t.test('a host that stays keeps what health checks and outlier detection found, also in another priority', async t => {
  const { world, assign, hostAt } = edsWorld()
  assign([1, 2])
  hostAt(1).cells.setBits(HostCell.Health, HostHealth.FailedOutlier)
  hostAt(2).cells.setBits(HostCell.Health, HostHealth.FailedActive)
  const { block } = hostAt(2)
  assign([1, 3], [2])
  t.equal(hostAt(1).flags(), HostHealth.FailedOutlier)
  t.equal(hostAt(2).flags(), HostHealth.FailedActive)
  t.same(hostAt(2).block, block)
  t.equal(world.get('membership_healthy'), 1)
})

t.test('a host with another name is another host; only what health checks found is handed on', async t => {
  const check = { timeout: 1000, interval: 1000, unhealthy_threshold: 1, healthy_threshold: 1 }
  const { world } = edsWorld({ health_checks: [{ ...check, http_health_check: { path: '/' } }] })
  const eds = new EdsDiscovery(world.hosts, { onReady: () => {} }, world.timers, world.stats)
  const named = (hostname: string, zone: string): void => {
    const address = { socket_address: { address: '10.0.0.1', port_value: 1 } }
    const endpoints = [{ locality: { zone }, lb_endpoints: [{ endpoint: { address, hostname } }] }]
    eds.onAssignment(parse({ name: 'x', type: 'STATIC', load_assignment: { endpoints } }).assignment!)
  }
  named('a', 'z')
  const [first] = world.hosts.hosts()
  first!.cells.store(HostCell.Health, HostHealth.FailedOutlier)
  named('b', 'z')
  const [second] = world.hosts.hosts()
  t.notSame(second!.block, first!.block)
  t.equal(second!.flags(), 0, 'it passed its checks; the ejection was of the other')
  second!.cells.store(HostCell.Health, HostHealth.FailedActive)
  named('b', 'other')
  t.equal(world.hosts.hosts()[0]!.flags(), HostHealth.FailedActive)
  t.same([world.get('membership_change'), world.get('membership_total')], [3, 1])
})

t.test('hosts that pass health checks stay when discovery drops them, and that is no rebuild', async t => {
  const http = { timeout: 1000, interval: 1000, unhealthy_threshold: 1, healthy_threshold: 1 }
  const check = { ...http, http_health_check: { path: '/' } }
  const { world, assign, hostAt } = edsWorld({ health_checks: [check] })
  assign([1, 2], [3])
  for (const port of [1, 3]) hostAt(port).cells.clearBits(HostCell.Health, HostHealth.FailedActive)
  assign([1, 2])
  t.equal(hostAt(3).flags(), HostHealth.PendingRemoval)
  t.same([world.get('membership_change'), world.get('membership_total'), world.get('update_no_rebuild')], [2, 3, 1])
  assign([1], [3])
  t.equal(hostAt(3).flags(), 0, 'it is back')
  t.equal(world.get('membership_total'), 2, 'the one that failed is gone')
  t.equal(world.get('membership_change'), 3)
})

t.test('EDS: a missing resource ends the wait without hosts', async t => {
  const world = new MainWorld({ name: 'c', type: 'EDS', eds_cluster_config: { eds_config: { ads: {} } } })
  let ready = 0
  const eds = new EdsDiscovery(world.hosts, { onReady: () => void ready++ }, world.timers, world.stats)
  eds.onFailure()
  t.equal(ready, 1)
})

t.test('/etc/hosts answers before DNS, by family', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'hosts-'))
  const file = join(directory, 'hosts')
  writeFileSync(file, '# local\n10.9.8.7 Db.Test other # x\n::5 db.test\n')
  const ask = (dns_lookup_family: 'AUTO' | 'V4_ONLY' | 'ALL') =>
    new Promise<DnsAnswer | null>(done => {
      const config = parse(staticCluster([endpoint('db.test', 1)], { type: 'STRICT_DNS', dns_lookup_family })).dns!
      new CaresResolver(config, file, join(directory, 'none')).resolve('db.test', config.lookupFamily, done)
    })
  t.same((await ask('AUTO'))!.ips, ['::5'])
  t.same((await ask('V4_ONLY'))!.ips, ['10.9.8.7'])
  t.same((await ask('ALL'))!.ips, ['::5', '10.9.8.7'])
})
