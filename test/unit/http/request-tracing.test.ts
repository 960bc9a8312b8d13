import t from 'tap'
import { FieldPath } from '../../../src/config/field-path.ts'
import { parseTracing, readDefaultTracing } from '../../../src/config/tracing.ts'
import { registerExtensions } from '../../../src/extensions.ts'
import { RequestTracing } from '../../../src/http/request-tracing.ts'
import type { StreamContext } from '../../../src/http/stream-context.ts'
import { TraceReason } from '../../../src/telemetry/access-log-filter.ts'
import { shortNumber } from '../../../src/telemetry/custom-tags.ts'
import { StreamInfo } from '../../../src/telemetry/stream-info.ts'
import { tableOf, withRoutes } from '../routing/configs.ts'
import { zipkinOf } from '../telemetry/tracer-configs.ts'
import { FakeServices, request } from './fakes.ts'

const EGRESS = { egress: true, packTraceReason: true, sampleByRequestId: true }
const INGRESS = { ...EGRESS, egress: false }
const NODE = { id: 'n', zone: 'z' }

function tracing(proto: object, place = INGRESS, runtime: Record<string, string> = {}) {
  const services = Object.assign(new FakeServices(runtime), { node: NODE })
  return new RequestTracing(parseTracing(proto, FieldPath.root(), []), null, place, services, services.stats)
}

function stream(id: string, random = 0): StreamContext {
  const info = new StreamInfo()
  info.requestId = id
  return { info, random, span: null, decorates: false, operation: '' } as unknown as StreamContext
}

/** `00000064-…`: 100 of 10,000. */
const id = (share: number, digit = '4') => `${share.toString(16).padStart(8, '0')}-ae85-${digit}0d3-bd51-f93474b086ac`

t.test('random sampling takes the first digits of the request id, so that all hops agree', async t => {
  const one = tracing({ random_sampling: { value: 1 } })
  const reasonOf = (requestId: string) => {
    const context = stream(requestId)
    one.decide(context, request(), null)
    return context.info.traceReason
  }
  t.equal(reasonOf(id(99)), TraceReason.Sampled)
  t.equal(reasonOf(id(100)), TraceReason.None)
  t.equal(reasonOf(id(10_099)), TraceReason.Sampled, 'modulo 10,000')
  t.equal(reasonOf('0000'), TraceReason.None, 'too short')
  t.equal(reasonOf('zz000000-ae85'), TraceReason.None, 'no hex')
})

t.test('runtime keys replace the configured shares', async t => {
  const decided = (runtime: Record<string, string>, headers: Record<string, string> = {}) => {
    const context = stream(id(9000))
    tracing({ random_sampling: { value: 0 } }, INGRESS, runtime).decide(context, request(headers), null)
    return context.info.traceReason
  }
  t.equal(decided({}), TraceReason.None)
  t.equal(decided({ 'tracing.random_sampling': '100' }), TraceReason.Sampled)
  t.equal(decided({}, { 'x-client-trace-id': 'a' }), TraceReason.ClientForced)
  t.equal(decided({ 'tracing.client_enabled': '0' }, { 'x-client-trace-id': 'a' }), TraceReason.None)
  t.equal(decided({ 'tracing.global_enabled': '0' }, { 'x-envoy-force-trace': 'true' }), TraceReason.None)
})

t.test('a decorator of the route is told to the next hop of outbound traffic, and not that it has no name', async t => {
  const table = tableOf(
    withRoutes([{ match: { prefix: '/' }, route: { cluster: 'c' }, decorator: { operation: 'op' } }]),
  )
  const h = request()
  const route = table.route(h, new StreamInfo(), 0)
  tracing({}, EGRESS).start(stream(id(0)), h, route)
  t.equal(h.get('x-envoy-decorator-operation'), 'op')
  const named = request()
  tracing({ operation: 'own' }, EGRESS).start(stream(id(0)), named, route)
  t.equal(named.get('x-envoy-decorator-operation'), undefined, 'operation replaces decorators')
})

t.test('the tracer of the bootstrap serves connection managers that name none', async t => {
  registerExtensions()
  const typed = { type_url: 'type.googleapis.com/envoy.config.trace.v3.ZipkinConfig', message: zipkinOf({}) }
  const told: string[] = []
  t.teardown(() => readDefaultTracing(undefined, FieldPath.root(), () => {}))
  const at = FieldPath.root().field('tracing')
  readDefaultTracing({ http: { name: 'z', typed_config: typed } }, at, text => told.push(text))
  t.match(told, [/deprecated/])
  const provider = (proto: object) => parseTracing(proto, FieldPath.root(), []).provider?.typeUrl
  t.equal(provider({}), 'envoy.config.trace.v3.ZipkinConfig')
  const own = (type: string) => ({ provider: { name: 'x', typed_config: { type_url: `t/${type}`, message: {} } } })
  t.equal(provider(own('envoy.config.trace.v3.SkyWalkingConfig')), undefined, 'not there yet: no spans')
  const gone = 'envoy.config.trace.v3.LightstepConfig'
  t.throws(() => provider(own(gone)), {
    message: new RegExp(`Didn't find a registered implementation for 'x' with type URL: '${gone}'`),
  })
  readDefaultTracing(undefined, at, () => {})
  t.equal(provider({}), undefined)
})

t.test('formats of names and tags are checked when the configuration is read', async t => {
  for (const proto of [
    { operation: '%NOPE%' },
    { upstream_operation: '%NOPE%' },
    { custom_tags: [{ tag: 'a', value: '%NOPE%' }] },
  ])
    t.throws(() => parseTracing(proto, FieldPath.root(), []), { message: /Not supported field in StreamInfo: NOPE/ })
})

t.test('numbers of metadata are printed with six digits, as C does', async t => {
  for (const [value, text] of [
    [12, '12'],
    [1.25, '1.25'],
    [123456, '123456'],
    [12345678, '1.23457e+07'],
    [0.00001234, '1.234e-05'],
    [1e21, '1e+21'],
    [0, '0'],
  ] as const)
    t.equal(shortNumber(value), text)
})
