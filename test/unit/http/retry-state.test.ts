import t from 'tap'
import { ResetReason } from '../../../src/codec/codec.ts'
import { RetryState, RetryVerdict } from '../../../src/http/router/retry-state.ts'
import { RouteStats } from '../../../src/http/router/route-stats.ts'
import type { RetryPolicy } from '../../../src/routing/route.ts'
import { StreamInfo } from '../../../src/telemetry/stream-info.ts'
import { Resource } from '../../../src/upstream/upstream.ts'
import { tableOf, withRoutes } from '../routing/configs.ts'
import { endpoint, FakeStats, staticCluster } from '../upstream/fakes.ts'
import { TestWorld } from '../upstream/world.ts'
import { FakeServices, request, response } from './fakes.ts'

function policyOf(proto: object): RetryPolicy {
  const table = tableOf(withRoutes([{ match: { prefix: '/' }, route: { cluster: 'c', retry_policy: proto } }]))
  return table.route(request(), new StreamInfo(), 0)!.action!.retry!
}

function begin(policy: object | null, fields: Record<string, string> = {}, cluster: object = {}) {
  const world = new TestWorld(staticCluster([endpoint('10.0.0.1', 80)], cluster))
  const services = new FakeServices()
  const stats = new FakeStats()
  const routeStats = new RouteStats(stats.scope('r.'))
  const h = request(fields)
  const retry = new RetryState()
  retry.begin(policy === null ? null : policyOf(policy), h, world.cluster, 0, routeStats, null)
  const on = (status: number, headers: Record<string, string> = {}) =>
    retry.onHeaders(response(status, headers), services.asServices)
  return { world, services, stats, h, retry, on, count: world.clusterStats }
}

t.test('without a policy and without headers there are no retries', async t => {
  const { retry, h } = begin(null, { 'x-other': '1' })
  t.equal(retry.enabled, false)
  t.same(h.list, ['x-other', '1'])
})

t.test('headers alone make a policy of one retry, and are taken out', async t => {
  const { retry, h, on } = begin(null, {
    'x-envoy-retry-on': '5xx',
    'x-envoy-hedge-on-per-try-timeout': 'true',
    'x-envoy-other': 'stays',
  })
  t.equal(retry.enabled, true)
  t.same(h.list, ['x-envoy-other', 'stays'])
  t.equal(on(503), RetryVerdict.Yes)
  t.equal(on(503), RetryVerdict.NoLimitExceeded)
})

t.test('retries are counted, and a retry that needs no other one is a success', async t => {
  const { on, count, stats, world } = begin({ retry_on: '5xx', num_retries: { value: 3 } })
  t.equal(on(200), RetryVerdict.No)
  t.equal(count('upstream_rq_retry_success'), 0, 'the first attempt is no retry')
  t.equal(on(503), RetryVerdict.Yes)
  t.equal(world.taken(Resource.Retries), 1)
  t.equal(on(503), RetryVerdict.Yes)
  t.equal(world.taken(Resource.Retries), 1, 'one slot at a time')
  t.equal(on(200), RetryVerdict.No)
  t.equal(count('upstream_rq_retry'), 2)
  t.equal(count('upstream_rq_retry_success'), 1)
  t.equal(world.taken(Resource.Retries), 0)
  t.same(stats.nonZero(), { 'r.upstream_rq_retry': 2, 'r.upstream_rq_retry_success': 1 })
})

t.test('the circuit breaker of retries', async t => {
  const breaker = { circuit_breakers: { thresholds: [{ max_retries: { value: 0 } }] } }
  const { on, count } = begin({ retry_on: '5xx' }, {}, breaker)
  t.equal(on(503), RetryVerdict.NoOverflow)
  t.equal(count('upstream_rq_retry_overflow'), 1)
})

t.test('a slot goes back when the request ends, however often it ends', async t => {
  const { retry, on, world } = begin({ retry_on: '5xx' })
  on(503)
  retry.end()
  retry.end()
  t.equal(world.taken(Resource.Retries), 0)
  t.equal(retry.enabled, false)
})

t.test('resets: what was never sent may be sent again', async t => {
  const { retry, services } = begin({ retry_on: 'reset-before-request', num_retries: { value: 2 } })
  t.equal(retry.onReset(ResetReason.ConnectionTermination, true, services.asServices), RetryVerdict.No)
  t.equal(retry.onReset(ResetReason.ConnectionTermination, false, services.asServices), RetryVerdict.Yes)
  t.equal(retry.onReset(ResetReason.Overflow, false, services.asServices), RetryVerdict.No)
})

t.test('a hedge needs retries left, whatever retry_on says', async t => {
  const { retry, services } = begin({ retry_on: 'connect-failure' })
  t.equal(retry.onHedge(services.asServices), RetryVerdict.Yes)
  t.equal(retry.onHedge(services.asServices), RetryVerdict.NoLimitExceeded)
})

t.test('wouldRetry counts nothing', async t => {
  const { retry, count } = begin({ retry_on: '5xx' })
  t.equal(retry.wouldRetry(response(503)), true)
  t.equal(retry.wouldRetry(response(404)), false)
  t.equal(count('upstream_rq_retry'), 0)
})

t.test('back-off by reset header, else exponential', async t => {
  const limited = begin({
    retry_on: '5xx',
    rate_limited_retry_back_off: { reset_headers: [{ name: 'retry-after', format: 'SECONDS' }], max_interval: 10_000 },
  })
  limited.on(503, { 'retry-after': '2' })
  t.equal(limited.retry.nextDelay(limited.services.asServices, limited.world.cluster), 2000)
  t.equal(limited.count('upstream_rq_retry_backoff_ratelimited'), 1)
  const plain = begin({ retry_on: '5xx', retry_back_off: { base_interval: 100 } })
  plain.on(503)
  t.equal(plain.retry.nextDelay(plain.services.asServices, plain.world.cluster), 0, 'random 0: full jitter begins at 0')
  t.equal(plain.count('upstream_rq_retry_backoff_exponential'), 1)
})
