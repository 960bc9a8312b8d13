import t from 'tap'
import { computePriorityLoads, type PriorityCounts } from '../../../src/upstream/priority-load.ts'
import { PreviousPriorities } from '../../../src/upstream/retry-priorities/previous-priorities.ts'
import { HostHealth } from '../../../src/upstream/upstream.ts'
import { endpoint, staticCluster } from './fakes.ts'
import { anyRequest, TestWorld } from './world.ts'

/** The cases of Envoy's own test/extensions/retry/priority/previous_priorities/config_test.cc. */
function loads(...healthy: readonly (readonly [healthy: number, degraded: number])[]) {
  const counts = healthy.map(
    ([h, d]): PriorityCounts => ({
      total: 100,
      healthy: h,
      degraded: d,
      excluded: 0,
      totalWeight: 100,
      healthyWeight: h,
      degradedWeight: d,
      excludedWeight: 0,
    }),
  )
  return computePriorityLoads(counts, 100, false, 0)
}

t.test('a tried priority loses its load; when all were tried it begins anew', t => {
  const own = loads([100, 0], [100, 0])
  const previous = new PreviousPriorities(1)
  t.same(previous.loads(own).healthy, [100, 0], 'nothing was tried')
  previous.attempted(0)
  t.same(previous.loads(own).healthy, [0, 100])
  previous.attempted(1)
  t.same(previous.loads(own).healthy, [100, 0], 'all were tried')
  previous.attempted(0)
  t.same(previous.loads(own).healthy, [0, 100])
  t.end()
})

t.test('update_frequency: the loads stay until that many attempts were made', t => {
  const own = loads([100, 0], [100, 0])
  const previous = new PreviousPriorities(2)
  previous.attempted(0)
  t.same(previous.loads(own).healthy, [100, 0])
  previous.attempted(0)
  t.same(previous.loads(own).healthy, [0, 100])
  previous.attempted(1)
  t.same(previous.loads(own).healthy, [0, 100])
  previous.attempted(1)
  t.same(previous.loads(own).healthy, [100, 0])
  t.end()
})

t.test('what is left goes by availability, and rounding never loses load', t => {
  const own = loads([30, 0], [30, 0], [30, 0], [30, 0])
  const previous = new PreviousPriorities(1)
  previous.attempted(0)
  t.same(previous.loads(own).healthy, [0, 34, 33, 33])
  t.end()
})

t.test('degraded hosts of priorities that were not tried count', t => {
  const own = loads([100, 0], [0, 50], [25, 0])
  const previous = new PreviousPriorities(1)
  previous.attempted(0)
  const after = previous.loads(own)
  t.same(after.healthy, [0, 0, 34])
  t.same(after.degraded, [0, 66, 0])
  t.end()
})

t.test('nothing is available anywhere: the balancer goes by its own loads', t => {
  const own = loads([0, 0], [0, 0])
  const previous = new PreviousPriorities(1)
  previous.attempted(0)
  t.equal(previous.loads(own), own)
  t.end()
})

t.test('a balancer asks it for retries', async t => {
  const world = new TestWorld(staticCluster([endpoint('10.0.0.1', 80)]))
  const p = (n: number, ip: string) => ({ priority: n, lb_endpoints: [endpoint(ip, 80)] })
  world.publishLocalities([p(0, '10.0.1.1'), p(1, '10.0.1.2')])
  const retryPriority = new PreviousPriorities(1)
  retryPriority.attempted(0)
  const pick = () => world.cluster.pick({ ...anyRequest, retryPriority })?.address.text
  t.equal(pick(), '10.0.1.2:80')
  world.setHealth('10.0.1.2:80', HostHealth.FailedActive)
  t.equal(pick(), '10.0.1.1:80', 'nobody else is left')
})
