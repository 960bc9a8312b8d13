import t from 'tap'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { HealthChecker } from '../../../src/upstream/health-checkers/checker.ts'
import { ClusterCell } from '../../../src/upstream/shared-state.ts'
import { HostHealth } from '../../../src/upstream/upstream.ts'
import { endpoint, staticCluster } from './fakes.ts'
import { MainWorld } from './main-world.ts'

function start(extra: Partial<envoy.config.core.v3.HealthCheck>, common: object = {}) {
  const world = new MainWorld(
    staticCluster([endpoint('10.0.0.1', 80)], {
      health_checks: [
        {
          timeout: 1000,
          interval: 5000,
          unhealthy_threshold: 2,
          healthy_threshold: 3,
          event_log_path: '/dev/null',
          http_health_check: { path: '/hz' },
          ...extra,
        },
      ],
      ...common,
    }),
  )
  world.hosts.update(world.hosts.config.assignment!)
  world.hosts.cells.store(ClusterCell.Traffic, 1)
  const checker = new HealthChecker(world.hosts, world.hosts.config.healthChecks[0]!, world)
  world.hosts.watch(checker)
  const host = world.hosts.hosts()[0]!
  const failed = () => (host.flags() & HostHealth.FailedActive) !== 0
  return { world, checker, host, failed, made: world.connector.made }
}

const reply = (status: number, headers = '') => `HTTP/1.1 ${status} X\r\ncontent-length: 0\r\n${headers}\r\n`

t.test('the first answer decides at once, later ones by threshold', async t => {
  const { world, checker, failed, made } = start({})
  let ready = 0
  checker.onAllChecked = () => void ready++
  t.equal(failed(), true)
  checker.start()
  made[0]!.connect()
  t.equal(made[0]!.written, 'GET /hz HTTP/1.1\r\nhost: c\r\nuser-agent: Envoy/HC\r\n\r\n')
  made[0]!.receive(reply(200))
  t.equal(failed(), false)
  t.equal(ready, 1)
  t.equal(world.get('health_check.healthy'), 1)
  t.equal(world.get('membership_healthy'), 1)
  t.match(JSON.parse(world.events[0]!), { add_healthy_event: { first_check: true }, cluster_name: 'c' })
  // An answer that says no needs no threshold.
  world.timers.advance(5000)
  made[0]!.receive(reply(503))
  t.equal(failed(), true)
  t.equal(world.get('health_check.failure'), 1)
  t.equal(world.get('health_check.healthy'), 0)
  // Back after three.
  for (const expected of [true, true, false]) {
    world.timers.advance(5000)
    made[0]!.receive(reply(200))
    t.equal(failed(), expected)
  }
  t.equal(made.length, 1)
  t.equal(world.get('health_check.attempt'), 5)
})

t.test('network failures count up to unhealthy_threshold', async t => {
  const { world, checker, failed, made } = start({})
  checker.start()
  made[0]!.connect()
  made[0]!.receive(reply(200))
  made[0]!.gone(0)
  world.timers.advance(5000)
  made[1]!.refuse()
  t.equal(failed(), false)
  world.timers.advance(5000)
  made[2]!.refuse()
  t.equal(failed(), true)
  t.equal(world.get('health_check.network_failure'), 2)
})

t.test('a timeout is a network failure of its own kind', async t => {
  const { world, checker, host, made } = start({ unhealthy_threshold: 1 })
  checker.start()
  made[0]!.connect()
  world.timers.advance(1000)
  t.equal(made[0]!.closed, true)
  t.ok(host.flags() & HostHealth.ActiveTimeout)
  t.match(JSON.parse(world.events.at(-1)!), { health_check_failure_event: { failure_type: 'NETWORK_TIMEOUT' } })
  world.timers.advance(5000)
  made[1]!.refuse()
  t.notOk(host.flags() & HostHealth.ActiveTimeout)
})

t.test('intervals: traffic, edges, failed hosts', async t => {
  const { world, checker, made } = start({
    unhealthy_interval: 700,
    unhealthy_edge_interval: 300,
    healthy_edge_interval: 200,
    no_traffic_interval: 60000,
    no_traffic_healthy_interval: 90000,
  })
  checker.start()
  made[0]!.connect()
  made[0]!.receive(reply(200))
  t.equal(world.timers.next, 5000)
  world.timers.advance(5000)
  made[0]!.gone(0)
  t.equal(world.timers.next, 300, 'one failure of two')
  world.timers.advance(300)
  made[1]!.refuse()
  t.equal(world.timers.next, 700, 'failed')
  world.timers.advance(700)
  made[2]!.connect()
  made[2]!.receive(reply(200))
  t.equal(world.timers.next, 200, 'one success of three')
  world.hosts.cells.store(ClusterCell.Traffic, 0)
  world.timers.advance(200)
  made[2]!.receive(reply(200))
  t.equal(world.timers.next, 60000)
  world.timers.advance(60000)
  made[2]!.receive(reply(200))
  t.equal(world.timers.next, 90000)
})

t.test('degraded and immediate-fail headers', async t => {
  const { world, checker, host, made } = start({})
  checker.start()
  made[0]!.connect()
  made[0]!.receive(reply(200, 'x-envoy-degraded: 1\r\n'))
  t.equal(host.flags(), HostHealth.DegradedActive)
  t.equal(world.get('membership_degraded'), 1)
  t.equal(world.get('health_check.degraded'), 1)
  world.timers.advance(5000)
  made[0]!.receive(reply(503, 'x-envoy-immediate-health-check-fail: true\r\n'))
  t.ok(host.flags() & HostHealth.ExcludedImmediate)
  t.equal(world.get('membership_excluded'), 1)
})

t.test('expected and retriable statuses', async t => {
  const { world, checker, failed, made } = start({
    http_health_check: {
      path: '/',
      expected_statuses: [{ start: 200, end: 300 }],
      retriable_statuses: [{ start: 429, end: 430 }],
    },
  })
  checker.start()
  made[0]!.connect()
  made[0]!.receive(reply(204))
  t.equal(failed(), false)
  world.timers.advance(5000)
  made[0]!.receive(reply(429))
  t.equal(failed(), false, 'retriable ones respect the threshold')
  world.timers.advance(5000)
  made[0]!.receive(reply(429))
  t.equal(failed(), true)
})

t.test('connection: close and reuse_connection false give each check its own connection', async t => {
  const one = start({})
  one.checker.start()
  one.made[0]!.connect()
  one.made[0]!.receive(reply(200, 'connection: close\r\n'))
  t.equal(one.made[0]!.closed, true)
  const two = start({ reuse_connection: false })
  two.checker.start()
  two.made[0]!.connect()
  two.made[0]!.receive(reply(200))
  t.equal(two.made[0]!.closed, true)
  two.world.timers.advance(5000)
  t.equal(two.made.length, 2)
})

t.test('ignore_new_hosts_until_first_hc keeps a new host out of the count', async t => {
  const { world, checker, made } = start({}, { common_lb_config: { ignore_new_hosts_until_first_hc: true } })
  t.equal(world.get('membership_excluded'), 1)
  checker.start()
  made[0]!.refuse()
  t.equal(world.get('membership_excluded'), 0)
})

t.test('TCP: patterns in order, or the mere connection', async t => {
  const one = start({
    http_health_check: undefined,
    tcp_health_check: { send: { text: '70' }, receive: [{ text: '6162' }, { text: '6364' }] },
  })
  one.checker.start()
  one.made[0]!.connect()
  t.equal(one.made[0]!.written, 'p')
  one.made[0]!.receive('xab')
  t.equal(one.failed(), true)
  one.made[0]!.receive('..cd')
  t.equal(one.failed(), false)
  const two = start({ http_health_check: undefined, tcp_health_check: {} })
  two.checker.start()
  two.made[0]!.connect()
  t.equal(two.failed(), false)
  t.equal(two.made[0]!.closed, true)
})

t.test('a removed host passes until it fails, then it goes; a checked address may differ', async t => {
  const { world, checker, made } = start({})
  checker.start()
  made[0]!.connect()
  made[0]!.receive(reply(200))
  world.hosts.update({ ...world.hosts.config.assignment!, localities: [] })
  t.same(world.addresses, ['10.0.0.1:80'])
  world.timers.advance(5000)
  made[0]!.receive(reply(500))
  t.same(world.addresses, [])
  t.equal(world.get('membership_total'), 0)
  t.equal(world.timers.count, 0)
  const other = start({})
  other.world.hosts.update({
    ...other.world.hosts.config.assignment!,
    localities: other.world.hosts.config.assignment!.localities.map(l => ({
      ...l,
      hosts: l.hosts.map(h => ({ ...h, healthCheck: { address: null, port: 9, hostname: 'n', disabled: false } })),
    })),
  })
  other.checker.start()
  other.made[0]!.connect()
  t.equal(other.made[0]!.directRemote.text, '10.0.0.1:9')
  t.match(other.made[0]!.written, /host: n\r\n/)
})
