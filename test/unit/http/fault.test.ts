import t from 'tap'
import { FieldPath } from '../../../src/config/field-path.ts'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { DataVerdict, HeadersVerdict } from '../../../src/http/filter.ts'
import { faultFactory } from '../../../src/http/filters/fault.ts'
import { ResponseFlag } from '../../../src/telemetry/stream-info.ts'
import { FakeServices, FakeStream, request } from './fakes.ts'

type Proto = envoy.extensions.filters.http.fault.v3.HTTPFault

const always = { numerator: 100 }
const parse = (proto: Proto) => faultFactory.parse(proto, FieldPath.root(), [])

function setup(proto: Proto, services = new FakeServices()) {
  const filter = faultFactory.create(parse(proto), services.asServices)
  const count = (name: string): number => services.stats.get(`http.main.fault.${name}`)
  return { services, filter, count, stream: () => new FakeStream(filter, services) }
}

t.test('an abort answers with its status and flag FI', async t => {
  const { count, stream } = setup({ abort: { http_status: 418, percentage: always } })
  const s = stream()
  t.equal(s.decode(request()), HeadersVerdict.StopIteration)
  t.match(s.replies, [{ status: 418, body: 'fault filter abort', details: 'fault_filter_abort', grpcStatus: -1 }])
  t.ok(s.info.hasFlag(ResponseFlag.FaultInjected))
  t.equal(count('aborts_injected'), 1)
})

t.test('a gRPC abort carries its grpc-status', async t => {
  const { stream } = setup({ abort: { grpc_status: 14, percentage: always } })
  const s = stream()
  s.decode(request())
  t.match(s.replies, [{ status: 200, grpcStatus: 14 }])
})

t.test('a delay holds the request and then lets it go on', async t => {
  const { services, filter, count, stream } = setup({ delay: { fixed_delay: 100, percentage: always } })
  const s = stream()
  t.equal(s.decode(request(), false), HeadersVerdict.StopAllAndWatermark)
  t.equal(filter.decodeData!(s.asContext, Buffer.from('x'), true), DataVerdict.StopAndWatermark)
  t.equal(count('delays_injected'), 1)
  t.equal(count('active_faults'), 1)
  services.timers.advance(99)
  t.equal(s.continued, 0)
  services.timers.advance(1)
  t.equal(s.continued, 1)
  t.equal(count('active_faults'), 0)
})

t.test('a delay before an abort', async t => {
  const { services, stream } = setup({
    delay: { fixed_delay: 100, percentage: always },
    abort: { http_status: 503, percentage: always },
  })
  const s = stream()
  s.decode(request())
  t.same(s.replies, [])
  services.timers.advance(100)
  t.match(s.replies, [{ status: 503 }])
  t.equal(s.continued, 0)
})

t.test('a stream that ends while it is delayed leaves no timer and no active fault', async t => {
  const { services, filter, count, stream } = setup({ delay: { fixed_delay: 100, percentage: always } })
  const s = stream()
  s.decode(request())
  filter.onDestroy!(s.asContext)
  t.equal(count('active_faults'), 0)
  services.timers.advance(1000)
  t.equal(s.continued, 0)
})

t.test('max_active_faults', async t => {
  const { count, stream } = setup({
    delay: { fixed_delay: 100, percentage: always },
    max_active_faults: 1,
  })
  t.equal(stream().decode(request()), HeadersVerdict.StopAllAndWatermark)
  t.equal(stream().decode(request()), HeadersVerdict.Continue)
  t.equal(count('faults_overflow'), 1)
  const none = setup({ abort: { http_status: 418, percentage: always }, max_active_faults: 0 })
  t.equal(none.stream().decode(request()), HeadersVerdict.Continue)
})

t.test('header controlled faults', async t => {
  const { services, stream } = setup({
    abort: { header_abort: {}, percentage: always },
    delay: { header_delay: {}, percentage: always },
  })
  const without = stream()
  t.equal(without.decode(request()), HeadersVerdict.Continue)
  const abort = stream()
  abort.decode(request({ 'x-envoy-fault-abort-request': '503' }))
  t.match(abort.replies, [{ status: 503 }])
  const grpc = stream()
  grpc.decode(request({ 'x-envoy-fault-abort-grpc-request': '5' }))
  t.match(grpc.replies, [{ grpcStatus: 5 }])
  for (const bad of ['abc', '99', '600', '']) {
    t.equal(stream().decode(request({ 'x-envoy-fault-abort-request': bad })), HeadersVerdict.Continue, `status ${bad}`)
  }
  const delayed = stream()
  t.equal(delayed.decode(request({ 'x-envoy-fault-delay-request': '100' })), HeadersVerdict.StopAllAndWatermark)
  services.timers.advance(100)
  t.equal(delayed.continued, 1)
})

t.test('a percentage header lowers the configured percentage and cannot raise it', async t => {
  const faults = { header_abort: {}, percentage: always }
  const zero = setup({ abort: faults }).stream()
  const headers = { 'x-envoy-fault-abort-request': '503', 'x-envoy-fault-abort-request-percentage': '0' }
  t.equal(zero.decode(request(headers)), HeadersVerdict.Continue)
  const low = setup({ abort: { header_abort: {}, percentage: { numerator: 0 } } }).stream()
  const raise = { 'x-envoy-fault-abort-request': '503', 'x-envoy-fault-abort-request-percentage': '100' }
  t.equal(low.decode(request(raise)), HeadersVerdict.Continue)
})

t.test('runtime keys change fractions and values', async t => {
  const off = setup(
    { abort: { http_status: 418, percentage: always } },
    new FakeServices({ 'fault.http.abort.abort_percent': '0' }),
  )
  t.equal(off.stream().decode(request()), HeadersVerdict.Continue)
  const status = setup(
    { abort: { http_status: 418, percentage: always } },
    new FakeServices({ 'fault.http.abort.http_status': '503' }),
  )
  const s = status.stream()
  s.decode(request())
  t.match(s.replies, [{ status: 503 }])
})

t.test('faults for one cluster, one caller, some headers', async t => {
  const abort = { http_status: 418, percentage: always }
  const cases: [Proto, Record<string, string>, boolean][] = [
    [{ abort, upstream_cluster: 'a' }, {}, true],
    [{ abort, upstream_cluster: 'b' }, {}, false],
    [{ abort, downstream_nodes: ['n1'] }, {}, false],
    [{ abort, downstream_nodes: ['n1'] }, { 'x-envoy-downstream-service-node': 'n1' }, true],
    [{ abort, headers: [{ name: 'x-fault', present_match: true }] }, {}, false],
    [{ abort, headers: [{ name: 'x-fault', present_match: true }] }, { 'x-fault': '1' }, true],
  ]
  for (const [proto, headers, hit] of cases) {
    const s = setup(proto).stream()
    s.decode(request(headers))
    t.equal(s.replies.length === 1, hit, JSON.stringify({ ...proto, headers }))
  }
})

t.test('a route replaces the configuration of the listener', async t => {
  const services = new FakeServices()
  const filter = faultFactory.create(parse({ abort: { http_status: 418, percentage: always } }), services.asServices)
  const s = new FakeStream(filter, services, [parse({ abort: { http_status: 500, percentage: always } })])
  s.decode(request())
  t.match(s.replies, [{ status: 500 }])
})

t.test('a response is slowed to its rate', async t => {
  const { services, filter, count, stream } = setup({
    response_rate_limit: { fixed_limit: { limit_kbps: 1 }, percentage: always },
  })
  const s = stream()
  t.equal(s.decode(request()), HeadersVerdict.Continue)
  t.equal(count('response_rl_injected'), 1)
  t.equal(filter.encodeData!(s.asContext, Buffer.alloc(200, 'x'), true), DataVerdict.StopNoBuffer)
  services.timers.advance(0)
  const sent = () => s.injected.reduce((sum, piece) => sum + piece.text.length, 0)
  t.equal(sent(), 64, 'a sixteenth of a second at once')
  services.timers.advance(63)
  t.equal(sent(), 128)
  services.timers.advance(1000)
  t.equal(sent(), 200)
  t.equal(s.injected[s.injected.length - 1]!.end, true)
})

t.test('what cannot be meant is refused', async t => {
  t.throws(() => parse({ delay: { percentage: always } }), /fault_delay_secifier: is required/)
})
