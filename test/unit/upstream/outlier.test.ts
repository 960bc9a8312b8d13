import t from 'tap'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { OutlierDetector } from '../../../src/upstream/outlier.ts'
import { HostCell, HostHealth, OutlierEvent } from '../../../src/upstream/upstream.ts'
import { endpoint, staticCluster } from './fakes.ts'
import { MainWorld } from './main-world.ts'
import { anyRequest, TestWorld } from './world.ts'

function hostList(n: number) {
  return Array.from({ length: n }, (_, i) => endpoint(`10.0.0.${i + 1}`, 80))
}

function start(n: number, outlier_detection: envoy.config.cluster.v3.OutlierDetection) {
  const world = new MainWorld(staticCluster(hostList(n), { outlier_detection }))
  const lines: string[] = []
  world.hosts.update(world.hosts.config.assignment!)
  const detector = new OutlierDetector(world.hosts, world.hosts.config.outlierDetection!, {
    timers: world.timers,
    clock: world.clock,
    random: world.random,
    runtime: world.runtime,
    stats: world.stats,
    logEvent: line => void lines.push(line),
  })
  world.hosts.watch(detector)
  detector.start()
  const hosts = world.hosts.hosts()
  const ask = (i: number, kind: 'consecutive_5xx' | 'consecutive_gateway_failure' = 'consecutive_5xx') =>
    detector.onRequest({ cluster: 'c', block: hosts[i]!.block, kind })
  const ejected = (i: number) => (hosts[i]!.flags() & HostHealth.FailedOutlier) !== 0
  return { world, detector, hosts, ask, ejected, lines, get: (name: string) => world.get(`outlier_detection.${name}`) }
}

t.test('an ejected host comes back after base_ejection_time, later with every time', async t => {
  const { world, ask, ejected, get, lines } = start(10, { interval: 1000, base_ejection_time: 3000 })
  ask(0)
  t.equal(ejected(0), true)
  t.equal(get('ejections_active'), 1)
  t.equal(get('ejections_enforced_total'), 1)
  t.equal(get('ejections_enforced_consecutive_5xx'), 1)
  t.equal(get('ejections_detected_consecutive_5xx'), 1)
  t.equal(world.get('membership_healthy'), 9)
  t.match(JSON.parse(lines[0]!), { type: 'CONSECUTIVE_5XX', action: 'EJECT', num_ejections: 1, enforced: true })
  world.timers.advance(2999)
  t.equal(ejected(0), true)
  world.timers.advance(1)
  t.equal(ejected(0), false)
  t.match(JSON.parse(lines[1]!), { action: 'UNEJECT', secs_since_last_action: '3' })
  ask(0)
  world.timers.advance(3000)
  t.equal(ejected(0), true)
  world.timers.advance(3000)
  t.equal(ejected(0), false)
})

t.test('max_ejection_percent is a ceiling, with always_eject_one_host as the exception', async t => {
  const one = start(10, {})
  one.ask(0)
  one.ask(1)
  t.same([one.ejected(0), one.ejected(1)], [true, false])
  t.equal(one.get('ejections_overflow'), 1)
  const two = start(2, {})
  two.ask(0)
  t.equal(two.ejected(0), false)
  const three = start(2, { always_eject_one_host: true })
  three.ask(0)
  three.ask(1)
  t.same([three.ejected(0), three.ejected(1)], [true, false])
})

t.test('a kind that is not enforced is only counted', async t => {
  const { ask, ejected, get } = start(10, {})
  ask(0, 'consecutive_gateway_failure')
  t.equal(ejected(0), false)
  t.equal(get('ejections_detected_consecutive_gateway_failure'), 1)
  t.equal(get('ejections_enforced_total'), 0)
})

t.test('success rate: a host below mean less 1.9 standard deviations is ejected', async t => {
  const { world, hosts, ejected, get } = start(6, { max_ejection_percent: 100, interval: 1000 })
  for (let i = 0; i < 6; i++) {
    hosts[i]!.cells.store(HostCell.SuccessRateTotal, 100)
    hosts[i]!.cells.store(HostCell.SuccessRateSuccess, i === 0 ? 50 : 100)
  }
  world.timers.advance(1000)
  t.equal(ejected(0), true)
  t.equal(ejected(1), false)
  t.equal(get('ejections_enforced_success_rate'), 1)
  world.timers.advance(1000)
  t.equal(get('ejections_detected_success_rate'), 1, 'each interval counts anew')
})

t.test('failure percentage', async t => {
  const { world, hosts, ejected } = start(5, {
    max_ejection_percent: 100,
    interval: 1000,
    enforcing_failure_percentage: 100,
    enforcing_success_rate: 0,
  })
  for (let i = 0; i < 5; i++) {
    hosts[i]!.cells.store(HostCell.SuccessRateTotal, 50)
    hosts[i]!.cells.store(HostCell.SuccessRateSuccess, i < 2 ? 7 : 50)
  }
  world.timers.advance(1000)
  t.same([0, 1, 2].map(ejected), [true, true, false])
})

t.test('a passed active check brings a host back', async t => {
  const { detector, hosts, ask, ejected } = start(10, {})
  ask(0)
  detector.onHealthCheck(hosts[0]!, false)
  t.equal(ejected(0), true)
  detector.onHealthCheck(hosts[0]!, true)
  t.equal(ejected(0), false)
})

t.test('a removed host no longer counts as ejected', async t => {
  const { world, ask, get } = start(10, {})
  ask(0)
  world.hosts.update({ ...world.hosts.config.assignment!, localities: [] })
  t.equal(get('ejections_active'), 0)
})

t.test('a worker asks once, when the threshold is reached, and any good answer starts over', async t => {
  const world = new TestWorld(staticCluster(hostList(1), { outlier_detection: { consecutive_5xx: 3 } }))
  const host = world.cluster.pick(anyRequest)!
  const answer = (status: number) => world.cluster.reportOutcome(host, status, OutlierEvent.Response)
  answer(500)
  answer(500)
  answer(200)
  answer(500)
  answer(500)
  t.equal(world.ejections.length, 0)
  answer(500)
  answer(500)
  t.same(
    world.ejections.map(e => e.kind),
    ['consecutive_5xx'],
  )
})

t.test('local failures are 503 and 504, or of their own kind when split', async t => {
  const joined = new TestWorld(staticCluster(hostList(1), { outlier_detection: { consecutive_gateway_failure: 2 } }))
  const a = joined.cluster.pick(anyRequest)!
  joined.cluster.reportOutcome(a, 0, OutlierEvent.ConnectFailed)
  joined.cluster.reportOutcome(a, 0, OutlierEvent.ConnectTimeout)
  t.same(
    joined.ejections.map(e => e.kind),
    ['consecutive_gateway_failure'],
  )
  const split = new TestWorld(
    staticCluster(hostList(1), {
      outlier_detection: { split_external_local_origin_errors: true, consecutive_local_origin_failure: 2 },
    }),
  )
  const b = split.cluster.pick(anyRequest)!
  split.cluster.reportOutcome(b, 0, OutlierEvent.ConnectFailed)
  split.cluster.reportOutcome(b, 0, OutlierEvent.ConnectSuccess)
  split.cluster.reportOutcome(b, 0, OutlierEvent.ConnectFailed)
  t.equal(split.ejections.length, 0)
  split.cluster.reportOutcome(b, 0, OutlierEvent.ConnectFailed)
  t.same(
    split.ejections.map(e => e.kind),
    ['consecutive_local_origin_failure'],
  )
})
