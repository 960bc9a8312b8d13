import t from 'tap'
import { maxStreamDuration } from '../../../src/http/max-stream-duration.ts'
import { RequestTimeouts } from '../../../src/http/router/timeouts.ts'
import type { RouteAction } from '../../../src/routing/route.ts'
import { StreamInfo } from '../../../src/telemetry/stream-info.ts'
import { tableOf, withRoutes } from '../routing/configs.ts'
import { request } from './fakes.ts'

function actionOf(proto: object): RouteAction {
  const table = tableOf(withRoutes([{ match: { prefix: '/' }, route: { cluster: 'c', ...proto } }]))
  return table.route(request(), new StreamInfo(), 0)!.action!
}

function resolve(proto: object, fields: Record<string, string> = {}, how: { grpc?: boolean; respect?: boolean } = {}) {
  const h = request(fields)
  const timeouts = new RequestTimeouts()
  timeouts.resolve(h, actionOf(proto), how.grpc ?? false, how.respect ?? false)
  return { h, timeouts }
}

t.test('the route timeout, 15 s by default, 0 for none', async t => {
  t.equal(resolve({}).timeouts.global, 15_000)
  t.equal(resolve({ timeout: 0 }).timeouts.global, 0)
  t.equal(resolve({ timeout: 200 }).timeouts.global, 200)
})

t.test('x-envoy-upstream-rq-timeout-ms wins and is taken out; what is no number is only taken out', async t => {
  const { h, timeouts } = resolve({ timeout: 200 }, { 'x-envoy-upstream-rq-timeout-ms': '100' })
  t.equal(timeouts.global, 100)
  t.same(h.list, [])
  for (const bad of ['abc', '-1', '1.5', '']) {
    const odd = resolve({ timeout: 200 }, { 'x-envoy-upstream-rq-timeout-ms': bad })
    t.equal(odd.timeouts.global, 200, `"${bad}"`)
    t.same(odd.h.list, [])
  }
})

t.test('respect_expected_rq_timeout', async t => {
  const fields = { 'x-envoy-expected-rq-timeout-ms': '70', 'x-envoy-upstream-rq-timeout-ms': '100' }
  t.equal(resolve({}, fields, { respect: true }).timeouts.global, 70)
  t.equal(resolve({}, fields).timeouts.global, 100)
})

t.test('a per-try timeout only counts below the route timeout', async t => {
  const policy = { retry_policy: { retry_on: '5xx', per_try_timeout: 100 } }
  t.equal(resolve({ timeout: 200, ...policy }).timeouts.perTry, 100)
  t.equal(resolve({ timeout: 100, ...policy }).timeouts.perTry, 0)
  t.equal(resolve({ timeout: 0, ...policy }).timeouts.perTry, 100)
  t.equal(resolve({ timeout: 200 }, { 'x-envoy-upstream-rq-per-try-timeout-ms': '50' }).timeouts.perTry, 50)
})

t.test('the expected timeout is what is left of the time', async t => {
  const expected = (proto: object, elapsed: number, hedging = false): string | undefined => {
    const { h, timeouts } = resolve(proto)
    timeouts.setHeaders(h, elapsed, hedging, true)
    return h.get('x-envoy-expected-rq-timeout-ms')
  }
  const tries = { retry_policy: { retry_on: '5xx', per_try_timeout: 100 } }
  t.equal(expected({ timeout: 0 }, 0), undefined, 'no limit, no header')
  t.equal(expected({ timeout: 250, ...tries }, 0), '100')
  t.equal(expected({ timeout: 250, ...tries }, 200), '50')
  t.equal(expected({ timeout: 250, ...tries }, 300), '1', 'out of time: 0 would mean no limit')
  t.equal(expected({ timeout: 250, ...tries }, 0, true), '250', 'hedging lets a slow attempt go on')
})

t.test('max_grpc_timeout: the smaller one counts, and the upstream is told', async t => {
  const grpc = (asked: string, proto: object) => {
    const made = resolve(proto, asked === '' ? {} : { 'grpc-timeout': asked }, { grpc: true })
    made.timeouts.setHeaders(made.h, 0, false, false)
    return [made.timeouts.global, made.h.get('grpc-timeout')]
  }
  t.same(grpc('9S', { max_grpc_timeout: 400 }), [400, '400m'])
  t.same(grpc('100m', { max_grpc_timeout: 400 }), [100, '100m'])
  t.same(grpc('', { max_grpc_timeout: 400 }), [400, '400m'])
  t.same(grpc('100m', { max_grpc_timeout: 0 }), [100, '100m'])
  t.same(grpc('', { max_grpc_timeout: 0 }), [0, undefined])
  t.same(grpc('100m', { max_grpc_timeout: 400, grpc_timeout_offset: 30 }), [70, '70m'])
  t.same(grpc('20m', { max_grpc_timeout: 400, grpc_timeout_offset: 30 }), [20, '20m'], 'never down to none')
})

t.test('max_stream_duration of the route switches the route timeout off', async t => {
  t.equal(resolve({ max_stream_duration: { max_stream_duration: 100 } }).timeouts.global, 0)
})

t.test('an alternative response, and a stream duration of the caller', async t => {
  const { h, timeouts } = resolve(
    {},
    { 'x-envoy-upstream-rq-timeout-alt-response': '1', 'x-envoy-upstream-stream-duration-ms': '80' },
  )
  t.equal(timeouts.status, 204)
  t.equal(timeouts.maxDuration, 80)
  t.same(h.list, [])
  t.equal(resolve({}).timeouts.status, 504)
  t.equal(resolve({}).timeouts.maxDuration, -1)
})

t.test('how long a stream may last', async t => {
  const limit = (proto: object, asked = '', otherwise = 0) => {
    const h = request(asked === '' ? {} : { 'grpc-timeout': asked })
    return [maxStreamDuration(h, actionOf(proto), true, otherwise), h.get('grpc-timeout')]
  }
  const header = (extra: object) => ({ max_stream_duration: { grpc_timeout_header_max: 400, ...extra } })
  t.same(limit({}, '', 500), [500, undefined], 'the connection manager')
  t.same(limit({ max_stream_duration: { max_stream_duration: 0 } }, '', 500), [0, undefined], 'the route says none')
  t.same(limit({ max_stream_duration: { max_stream_duration: 100 } }), [100, '100m'])
  t.same(limit(header({}), '100m'), [100, '100m'])
  t.same(limit(header({}), '9S'), [400, '400m'])
  t.same(limit(header({ grpc_timeout_header_offset: 30 }), '100m'), [70, '70m'])
  t.equal(maxStreamDuration(request(), null, false, 500), 500, 'no route')
})
