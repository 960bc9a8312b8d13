import t from 'tap'
import type { HeaderBlock } from '../../../src/codec/header-block.ts'
import { decodeMessage } from '../../../src/config/binary.ts'
import { FieldPath } from '../../../src/config/field-path.ts'
import { samples } from '../../../src/telemetry/tracers/opentelemetry/sampler.ts'
import { openTelemetryFactory } from '../../../src/telemetry/tracers/opentelemetry.ts'
import { parseTraceParent } from '../../../src/telemetry/tracers/traceparent.ts'
import { b3Sampled, readB3 } from '../../../src/telemetry/tracers/zipkin/b3.ts'
import { zipkinFactory } from '../../../src/telemetry/tracers/zipkin.ts'
import type { Span, TracerServices } from '../../../src/telemetry/tracing.ts'
import { CalloutWorld } from '../http/callout-world.ts'
import { request } from '../http/fakes.ts'
import { opentelemetryOf, zipkinOf } from './tracer-configs.ts'

const TRACE = '463ac35c9f6413ad48485a3953bb6124'
const SPAN = 'a2fb4a1d1a96d312'
const PARENT = '05e3ac9a4f6e3b90'
const W3C = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
const INGRESS = { egress: false, spawnsUpstream: false }
const EGRESS = { egress: true, spawnsUpstream: false }

t.test('a W3C trace context is two ids and flags; zero ids and other lengths are none', async t => {
  const parent = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', parentId: '00f067aa0ba902b7' }
  t.same(parseTraceParent(W3C), { ...parent, sampled: true })
  t.same(parseTraceParent(W3C.replace(/01$/, 'fe')), { ...parent, sampled: false }, 'only the lowest flag counts')
  t.same(parseTraceParent(`cc${W3C.slice(2)}`.toUpperCase()), { ...parent, sampled: true }, 'any version, any case')
  for (const bad of ['', '00-4bf9', `${W3C}-x`, W3C.replace('4bf92f', '4bf92z'), W3C.replace(/-/g, '_')])
    t.equal(parseTraceParent(bad), null, bad)
  t.equal(parseTraceParent(`00-${'0'.repeat(32)}-00f067aa0ba902b7-01`), null)
  t.equal(parseTraceParent(`00-4bf92f3577b34da6a3ce929d0e0e4736-${'0'.repeat(16)}-01`), null)
})

function b3(headers: Record<string, string>): unknown {
  const h = request(headers)
  return readB3(h, h.get('b3'))
}

t.test('B3 in several headers: short ids are padded, what is no number cannot be read', async t => {
  const pair = { 'x-b3-traceid': TRACE, 'x-b3-spanid': SPAN }
  t.same(b3(pair), { traceId: TRACE, spanId: SPAN, parentId: '' })
  t.same(b3({ ...pair, 'x-b3-parentspanid': PARENT }), { traceId: TRACE, spanId: SPAN, parentId: PARENT })
  t.same(b3({ 'x-b3-traceid': '12', 'x-b3-spanid': '34' }), {
    traceId: '0000000000000012',
    spanId: '0000000000000034',
    parentId: '',
  })
  t.same(
    (b3({ ...pair, 'x-b3-traceid': `${'0'.repeat(16)}48485a3953bb6124` }) as { traceId: string }).traceId,
    TRACE.slice(16),
  )
  t.equal(b3({ 'x-b3-traceid': TRACE }), undefined, 'no span id: no context')
  t.equal(b3({}), undefined)
  for (const bad of ['zzz', '', TRACE.slice(1), `${TRACE}0`]) t.equal(b3({ ...pair, 'x-b3-traceid': bad }), null, bad)
  t.equal(b3({ ...pair, 'x-b3-spanid': '0x12' }), null)
  t.equal(b3({ ...pair, 'x-b3-parentspanid': 'no' }), null)
})

t.test('B3 in one header: ids, flag and parent, or the flag alone', async t => {
  t.same(b3({ b3: `${TRACE}-${SPAN}-1-${PARENT}` }), { traceId: TRACE, spanId: SPAN, parentId: PARENT })
  t.same(b3({ b3: `${TRACE.slice(16)}-${SPAN}` }), { traceId: TRACE.slice(16), spanId: SPAN, parentId: '' })
  for (const flag of ['0', '1', 'd']) t.equal(b3({ b3: flag }), undefined, flag)
  for (const bad of [
    '',
    'x',
    `${TRACE}-${SPAN}-x`,
    `${TRACE}-${SPAN}-`,
    `${TRACE}-${SPAN.slice(1)}`,
    `${TRACE}-${SPAN}-1-${PARENT}0`,
  ])
    t.equal(b3({ b3: bad }), null, bad)
})

t.test('what B3 says of sampling goes before what was decided', async t => {
  const says = (headers: Record<string, string>, decided: boolean) => {
    const h = request(headers)
    return b3Sampled(h, h.get('b3'), decided)
  }
  t.equal(says({ 'x-b3-sampled': '1' }, false), true)
  t.equal(says({ 'x-b3-sampled': 'true' }, false), true)
  t.equal(says({ 'x-b3-sampled': '0' }, true), false)
  t.equal(says({}, true), true)
  t.equal(says({ b3: '0' }, true), false)
  t.equal(says({ b3: 'd' }, false), true)
  t.equal(says({ b3: `${TRACE}-${SPAN}-0` }, true), false)
  t.equal(says({ b3: `${TRACE}-${SPAN}-1-${PARENT}` }, false), true)
  t.equal(says({ b3: `${TRACE}-${SPAN}` }, true), true)
})

t.test(
  'the ratio sampler takes the first eight bytes of the trace id, least significant first, modulo the denominator',
  async t => {
    const half = { kind: 'ratio', numerator: 50, denominator: 100 } as const
    // As the real Envoy decided for these ids.
    for (const [id, taken] of Object.entries({
      '00000000000000ff0000000000000001': false,
      ff000000000000000000000000000001: false,
      '7f000000000000800000000000000001': true,
      '80000000000000000000000000000001': true,
      '0000000000000080ffffffffffffffff': true,
      '000000000000007fffffffffffffffff': false,
      ffffffffffffff7fffffffffffffffff: true,
    }))
      t.equal(samples(half, id, false), taken, id)
    t.equal(samples({ kind: 'parent', root: { kind: 'always' } }, TRACE, false), false, 'the parent decides')
    t.equal(samples({ kind: 'parent', root: { kind: 'always' } }, TRACE, null), true, 'without one the wrapped sampler')
  },
)

/** A worker with a tracer; `send` answers the last report. */
function world(config: object, otlp = false, runtime: Record<string, number> = {}, hosts = 1) {
  const callouts = new CalloutWorld(hosts)
  const services = {
    ...callouts.services,
    callOuts: callouts.services.callOuts,
    localAddress: '10.9.9.9',
    runtime: { ...callouts.services.runtime, integer: (key: string, value: number) => runtime[key] ?? value },
  } as TracerServices
  let last = 0
  ;(services as { random: object }).random = { next32: () => ++last, next: () => ++last }
  const at = FieldPath.root()
  const tracer = otlp
    ? openTelemetryFactory.create(
        structuredClone(openTelemetryFactory.parse(opentelemetryOf(config), at, [])),
        services,
      )
    : zipkinFactory.create(structuredClone(zipkinFactory.parse(zipkinOf(config), at, [])), services)
  return { callouts, tracer, stats: () => tracingStats(callouts) }
}

function tracingStats(callouts: CalloutWorld): Record<string, number> {
  const all = Object.entries(callouts.world.stats.nonZero()).filter(([name]) => name.startsWith('tracing.'))
  return Object.fromEntries(all.map(([name, value]) => [name.replace(/^tracing\.\w+\./, ''), value]))
}

function injected(span: Span | null, h: HeaderBlock): Record<string, string> {
  span!.inject(h)
  const found: Record<string, string> = {}
  for (let i = 0; i < h.list.length; i += 2) found[h.list[i]!] = h.list[i + 1]!
  return found
}

t.test('zipkin: a server span shares the id of the client span, a client span is its child', async t => {
  const { tracer } = world({})
  const headers = { 'x-b3-traceid': TRACE, 'x-b3-spanid': SPAN, 'x-b3-sampled': '1' }
  const shared = request(headers)
  t.same(injected(tracer.startSpan(shared, 0, INGRESS, false), shared), headers)
  const child = request(headers)
  const out = injected(tracer.startSpan(child, 0, EGRESS, false), child)
  t.equal(out['x-b3-parentspanid'], SPAN)
  t.not(out['x-b3-spanid'], SPAN)
  const alone = request(headers)
  t.equal(
    injected(world({ shared_span_context: false }).tracer.startSpan(alone, 0, INGRESS, false), alone)[
      'x-b3-parentspanid'
    ],
    SPAN,
  )
  const root = request()
  const made = injected(tracer.startSpan(root, 0, INGRESS, true), root)
  t.equal(made['x-b3-traceid'], made['x-b3-spanid'], 'a root has one id')
  t.equal(made['x-b3-sampled'], '1')
})

t.test('zipkin: the context goes on in the form in which it came, and as W3C where that is asked for', async t => {
  const single = request({ b3: `${TRACE}-${SPAN}-1` })
  t.same(injected(world({}).tracer.startSpan(single, 0, INGRESS, false), single), { b3: `${TRACE}-${SPAN}-1` })
  const both = request({ 'x-b3-traceid': TRACE.slice(16), 'x-b3-spanid': SPAN, 'x-b3-sampled': '0' })
  const w3c = world({ trace_context_option: 'USE_B3_WITH_W3C_PROPAGATION' }).tracer
  t.equal(
    injected(w3c.startSpan(both, 0, INGRESS, true), both)['traceparent'],
    `00-${'0'.repeat(16)}${TRACE.slice(16)}-${SPAN}-00`,
  )
  const only = request({ traceparent: W3C })
  t.equal(injected(w3c.startSpan(only, 0, INGRESS, false), only)['x-b3-traceid'], '4bf92f3577b34da6a3ce929d0e0e4736')
  t.equal(
    world({}).tracer.startSpan(request({ b3: 'junk' }), 0, INGRESS, true),
    null,
    'what cannot be read is left alone',
  )
})

t.test('zipkin: trace ids of 128 bits, which may begin with the second of their making', async t => {
  const plain = request()
  t.equal(
    injected(world({ trace_id_128bit: true }).tracer.startSpan(plain, 0, INGRESS, true), plain)['x-b3-traceid']!.length,
    32,
  )
  const timed = request()
  const tracer = world({ trace_id_128bit: true, timestamp_trace_ids: true }).tracer
  t.match(injected(tracer.startSpan(timed, 0, INGRESS, true), timed)['x-b3-traceid'], /^5f5e1001/, '1600000001 s')
})

t.test('zipkin: spans go out five at a time, or when the timer says so', async t => {
  const { callouts, tracer, stats } = world({})
  for (let i = 0; i < 4; i++) tracer.startSpan(request(), 0, INGRESS, true)!.finish()
  t.same(stats(), {})
  tracer.startSpan(request(), 0, INGRESS, false)!.finish()
  t.same(stats(), {}, 'a span that is not sampled is nowhere')
  tracer.startSpan(request(), 0, INGRESS, true)!.finish()
  t.same(stats(), { spans_sent: 5 })
  callouts.connect()
  t.equal(JSON.parse(callouts.last.body.toString()).length, 5)
  callouts.last.answer(202, {}, true)
  t.same(stats(), { spans_sent: 5, reports_sent: 1 })
  tracer.startSpan(request(), 0, INGRESS, true)!.finish()
  callouts.world.timers.advance(5000)
  t.same(stats(), { spans_sent: 6, reports_sent: 1, timer_flushed: 1 })
  callouts.last.answer(500, {}, true)
  t.same(stats(), { spans_sent: 6, reports_sent: 1, reports_dropped: 1, timer_flushed: 1 })
})

t.test('zipkin: no cluster, no host, a broken answer, a collector that never answers', async t => {
  const gone = world({ collector_cluster: 'nobody' }, false, { 'tracing.zipkin.min_flush_spans': 1 })
  gone.tracer.startSpan(request(), 0, INGRESS, true)!.finish()
  t.same(gone.stats(), { spans_sent: 1, reports_skipped_no_cluster: 1 })
  const empty = world({}, false, { 'tracing.zipkin.min_flush_spans': 1 }, 0)
  empty.tracer.startSpan(request(), 0, INGRESS, true)!.finish()
  t.same(empty.stats(), { spans_sent: 1, reports_dropped: 1 })
  const cut = world({}, false, { 'tracing.zipkin.min_flush_spans': 1 })
  cut.tracer.startSpan(request(), 0, INGRESS, true)!.finish()
  cut.callouts.connect()
  cut.callouts.last.answer(200)
  cut.callouts.last.break(1)
  t.same(cut.stats(), { spans_sent: 1, reports_failed: 1 })
  const mute = world({}, false, { 'tracing.zipkin.min_flush_spans': 1, 'tracing.zipkin.flush_interval_ms': 1e9 })
  for (let i = 0; i < 70; i++) mute.tracer.startSpan(request(), 0, INGRESS, true)!.finish()
  t.same(mute.stats(), { spans_sent: 70, reports_dropped: 6 }, 'reports that wait are bounded')
  mute.callouts.world.timers.advance(5001)
  t.equal(mute.stats()['reports_dropped'], 70, 'request_timeout ends the others')
})

t.test('zipkin: a span in protobuf says what one in JSON says', async t => {
  const body = (version: string): Buffer => {
    const { callouts, tracer } = world({ collector_endpoint_version: version }, false, {
      'tracing.zipkin.min_flush_spans': 1,
    })
    const headers = { 'x-b3-traceid': TRACE, 'x-b3-spanid': SPAN, 'x-b3-parentspanid': PARENT }
    const span = tracer.startSpan(request(headers), 1001, INGRESS, true)!
    span.setTag('a', '1')
    span.setTag('empty', '')
    span.setTag('a', '2')
    span.setTypedTag('n', 'gr\xc3\xbc\xc3\x9fe', 'string')
    span.log(1002, 'event')
    callouts.world.timers.advance(3)
    span.finish()
    callouts.connect()
    for (const line of [':method: POST', ':path: /api/v2/spans', ':authority: c', 'x-forwarded-for: 10.9.9.9'])
      t.ok(callouts.last.head.includes(line), line)
    return callouts.last.body
  }
  t.same(JSON.parse(body('HTTP_JSON').toString()), [
    {
      traceId: TRACE,
      parentId: PARENT,
      id: SPAN,
      name: 'lab.test',
      kind: 'SERVER',
      shared: true,
      timestamp: 1_600_000_001_001_000,
      duration: 2000,
      localEndpoint: { serviceName: 'fleet', ipv4: '10.9.9.9', port: 0 },
      annotations: [
        { timestamp: 1_600_000_001_002_000, value: 'event' },
        { timestamp: 1_600_000_001_003_000, value: 'ss' },
      ],
      tags: { a: '2', n: 'grüße' },
    },
  ])
  const proto = body('HTTP_PROTO').toString('latin1')
  const micros = (value: bigint) => {
    const raw = Buffer.alloc(8)
    raw.writeBigUInt64LE(value)
    return raw.toString('latin1')
  }
  const bytes = (hex: string) => Buffer.from(hex, 'hex').toString('latin1')
  for (const [what, part] of Object.entries({
    traceId: `\x0a\x10${bytes(TRACE)}`,
    parentId: `\x12\x08${bytes(PARENT)}`,
    id: `\x1a\x08${bytes(SPAN)}`,
    kind: '\x20\x02',
    name: '\x2a\x08lab.test',
    timestamp: `\x31${micros(1_600_000_001_001_000n)}`,
    duration: '\x38\xd0\x0f',
    endpoint: '\x42\x0d\x0a\x05fleet\x12\x04\x0a\x09\x09\x09',
    annotation: `\x52\x10\x09${micros(1_600_000_001_002_000n)}\x12\x05event`,
    tags: '\x5a\x06\x0a\x01a\x12\x012\x5a\x0c\x0a\x01n\x12\x07gr\xc3\xbc\xc3\x9fe',
    shared: '\x68\x01',
  }))
    t.ok(proto.includes(part), what)
})

interface Otlp {
  readonly resource_spans: {
    resource: { attributes: Kv[] }
    scope_spans: { scope?: object; spans: Record<string, unknown>[] }[]
  }[]
}
interface Kv {
  readonly key: string
  readonly value: Record<string, unknown>
}

function otlpOf(bytes: Uint8Array): Otlp {
  return decodeMessage('opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest', bytes).message as Otlp
}

t.test('opentelemetry: the parent and the connection manager must both want a span sampled', async t => {
  const sampled = (headers: Record<string, string>, traced: boolean, config: object = {}) =>
    world(config, true).tracer.startSpan(request(headers), 0, INGRESS, traced)!.sampled
  t.equal(sampled({}, true), true)
  t.equal(sampled({}, false), false)
  t.equal(sampled({ traceparent: W3C }, true), true)
  t.equal(sampled({ traceparent: W3C }, false), false)
  t.equal(sampled({ traceparent: W3C.replace(/1$/, '0') }, true), false)
  const type = 'envoy.extensions.tracers.opentelemetry.samplers.v3.AlwaysOnSamplerConfig'
  const always = { sampler: { name: 's', typed_config: { type_url: type, message: {} } } }
  t.equal(
    sampled({ traceparent: W3C.replace(/1$/, '0') }, true, always),
    true,
    'a sampler decides instead of the parent',
  )
  t.equal(sampled({}, false, always), false, 'but not instead of the connection manager')
})

t.test('opentelemetry: the context goes on with a tracestate of all fields that came', async t => {
  const { tracer } = world({}, true)
  const h = request({ traceparent: W3C })
  h.push('tracestate', 'a=b')
  h.push('tracestate', 'c=d')
  const span = tracer.startSpan(h, 0, INGRESS, true)!
  const out = injected(span, h)
  t.match(out['traceparent'], /^00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-01$/)
  t.equal(out['tracestate'], 'a=b,c=d')
  t.equal(h.list.filter(name => name === 'tracestate').length, 1)
  t.equal(tracer.startSpan(request({ traceparent: 'junk' }), 0, INGRESS, true), null)
})

t.test('opentelemetry: a batch in OTLP', async t => {
  const { callouts, tracer, stats } = world({ service_name: 'svc' }, true, {
    'tracing.opentelemetry.min_flush_spans': 2,
  })
  const span = tracer.startSpan(request({ traceparent: W3C }), 1001, INGRESS, true)!
  span.setTag('http.method', 'PURGE')
  span.setTag('http.status_code', '404')
  span.setTag('grpc.status_code', '5')
  span.setTag('empty', '')
  span.setTypedTag('i', '7', 'int')
  span.setTypedTag('d', '1.5', 'double')
  span.setTypedTag('b', 'true', 'bool')
  span.setTypedTag('bad', 'x', 'int')
  span.setTag('empty', 'full')
  span.log(1002, 'event')
  const child = span.spawnChild('call', 1002)
  child.setTag('http.status_code', '404')
  callouts.world.timers.advance(3)
  child.finish()
  span.finish()
  t.same(stats(), { spans_sent: 2 })
  callouts.connect()
  t.match(
    callouts.last.head.join('\n'),
    /:path: \/v1\/traces\n:authority: otel\.test\n.*\ncontent-type: application\/x-protobuf\nuser-agent: OTel-OTLP-Exporter-Envoy\//,
  )
  const [first] = otlpOf(callouts.last.body).resource_spans
  const resource = Object.fromEntries(first!.resource.attributes.map(({ key, value }) => [key, value['string_value']]))
  t.equal(resource['service.name'], 'svc')
  t.equal(resource['telemetry.sdk.name'], 'envoy')
  const [inner, outer] = first!.scope_spans[0]!.spans as [Record<string, unknown>, Record<string, unknown>]
  t.equal(Buffer.from(outer['parent_span_id'] as Uint8Array).toString('hex'), '00f067aa0ba902b7')
  t.same(inner['parent_span_id'], outer['span_id'])
  t.match(outer, {
    kind: 'SPAN_KIND_SERVER',
    flags: 0x301,
    status: {},
    start_time_unix_nano: 1_600_000_001_001_000_000n,
    end_time_unix_nano: 1_600_000_001_003_000_000n,
  })
  t.equal((outer['status'] as { code?: string }).code, undefined, "a client's fault is none of the server")
  t.match(inner, { kind: 'SPAN_KIND_CLIENT', flags: 0x101, name: 'call', status: { code: 'STATUS_CODE_ERROR' } })
  t.match(outer['events'], [{ name: 'event', time_unix_nano: 1_600_000_001_002_000_000n }])
  t.same(
    (outer['attributes'] as Kv[]).map(({ key, value }) => [key, value]),
    [
      ['http.method', { string_value: '_OTHER' }],
      ['http.status_code', { string_value: '404' }],
      ['grpc.status_code', { string_value: '5' }],
      ['empty', { string_value: 'full' }],
      ['i', { int_value: 7 }],
      ['d', { double_value: 1.5 }],
      ['b', { bool_value: true }],
      ['bad', { string_value: 'x' }],
    ],
  )
})

t.test(
  'opentelemetry: what does not fit into the cache is dropped, and so is what a slow collector leaves no room for',
  async t => {
    const small = world({ max_cache_size: 2 }, true, { 'tracing.opentelemetry.min_flush_spans': 10 })
    for (let i = 0; i < 5; i++) small.tracer.startSpan(request(), 0, INGRESS, true)!.finish()
    t.same(small.stats(), { spans_dropped: 3 })
    small.callouts.world.timers.advance(5000)
    t.same(small.stats(), { spans_dropped: 3, spans_sent: 2, timer_flushed: 1 })
    const grpc = { grpc_service: { envoy_grpc: { cluster_name: 'c' } }, http_service: undefined }
    for (const config of [{}, grpc]) {
      const mute = world(config, true, { 'tracing.opentelemetry.min_flush_spans': 1 })
      for (let i = 0; i < 70; i++) mute.tracer.startSpan(request(), 0, INGRESS, true)!.finish()
      t.same(mute.stats(), { spans_sent: 64, spans_dropped: 6 })
      mute.callouts.world.timers.advance(10_001)
      mute.tracer.startSpan(request(), 0, INGRESS, true)!.finish()
      t.equal(mute.stats()['spans_sent'], 65, 'calls that got no answer have ended')
    }
  },
)

t.test('opentelemetry: by gRPC the collector is called as the real one calls it', async t => {
  const config = { grpc_service: { envoy_grpc: { cluster_name: 'c', authority: 'otel' } }, http_service: undefined }
  const { callouts, tracer } = world(config, true, { 'tracing.opentelemetry.min_flush_spans': 1 })
  tracer.startSpan(request(), 0, EGRESS, true)!.finish()
  callouts.connect()
  t.match(callouts.last.head, [
    ':method: POST',
    ':path: /opentelemetry.proto.collector.trace.v1.TraceService/Export',
    ':authority: otel',
  ])
  t.ok(callouts.last.head.some(line => line.startsWith('user-agent: OTel-OTLP-Exporter-Envoy/')))
  const [first] = otlpOf(callouts.last.body.subarray(5)).resource_spans
  t.match(first!.scope_spans[0]!.spans[0], { name: 'egress lab.test', kind: 'SPAN_KIND_CLIENT', flags: 0x101 })
})

t.test('settings that no tracer can have are refused in the words of the real one', async t => {
  const zipkin = (proto: object) => () => zipkinFactory.parse(proto, FieldPath.root(), [])
  const otel = (proto: object) => () => openTelemetryFactory.parse(proto, FieldPath.root(), [])
  t.throws(zipkin({ collector_cluster: 'c', collector_endpoint: '/x' }), { message: /DEPRECATED_AND_UNAVAILABLE/ })
  t.throws(zipkin({ collector_endpoint_version: 'GRPC' }), { message: /GRPC is not supported/ })
  t.throws(zipkin({ collector_endpoint_version: 'HTTP_JSON', collector_cluster: 'c' }), {
    message: /collector_cluster and collector_endpoint must be specified when not using collector_service/,
  })
  t.throws(otel({}), { message: /must have exactly one of gRPC, HTTP, or custom exporter configured/ })
  t.throws(otel(opentelemetryOf({ sampler: { name: 'q' } })), { message: /Sampler factory not found: 'q'/ })
  t.throws(otel(opentelemetryOf({ resource_detectors: [{ name: 'q' }] })), {
    message: /Resource detector factory not found: 'q'/,
  })
})

t.test('what a resource says: service, SDK, environment, fixed attributes; later ones go first', async t => {
  process.env['OTEL_RESOURCE_ATTRIBUTES'] = 'k=v,bad,a=b=c,service.name=env'
  t.teardown(() => delete process.env['OTEL_RESOURCE_ATTRIBUTES'])
  const type = 'envoy.extensions.tracers.opentelemetry.resource_detectors.v3.'
  const detectors = [
    { name: 'e', typed_config: { type_url: `${type}EnvironmentResourceDetectorConfig`, message: {} } },
    {
      name: 's',
      typed_config: { type_url: `${type}StaticConfigResourceDetectorConfig`, message: { attributes: { z: '1' } } },
    },
  ]
  const warnings: string[] = []
  const config = { resource_detectors: detectors, set_telemetry_sdk_resource_attributes: false }
  const parsed = openTelemetryFactory.parse(opentelemetryOf(config), FieldPath.root(), warnings)
  t.same(parsed.resource.attributes, ['service.name', 'env', 'k', 'v', 'z', '1'])
  t.equal(warnings.length, 2)
  t.equal(
    openTelemetryFactory.parse(opentelemetryOf({ set_instrumentation_scope: false }), FieldPath.root(), []).resource
      .scope,
    false,
  )
  const bare = { set_service_name_resource_attribute: false, set_telemetry_sdk_resource_attributes: false }
  t.same(openTelemetryFactory.parse(opentelemetryOf(bare), FieldPath.root(), []).resource.attributes, [])
})
