import t from 'tap'
import type { ConfigError } from '../../../src/base/errors.ts'
import { decodeMessage } from '../../../src/config/binary.ts'
import { FieldPath } from '../../../src/config/field-path.ts'
import type { opentelemetry } from '../../../src/config/gen/messages.d.ts'
import {
  type OpenTelemetryProto,
  parseOpenTelemetry,
} from '../../../src/telemetry/access-loggers/open-telemetry/config.ts'
import { openTelemetryAccessLog } from '../../../src/telemetry/access-loggers/open-telemetry.ts'
import type { AccessLogger, FormatContext } from '../../../src/telemetry/format-context.ts'
import { StreamInfo } from '../../../src/telemetry/stream-info.ts'
import { CalloutWorld, type ServedStream } from '../http/callout-world.ts'
import { request } from '../http/fakes.ts'

type AnyValue = opentelemetry.proto.common.v1.AnyValue

const GRPC = { grpc_service: { envoy_grpc: { cluster_name: 'c' } } }
const text = (string_value: string): AnyValue => ({ string_value })
const list = (...values: AnyValue[]): AnyValue => ({ array_value: { values } })
const kvs = (map: Record<string, AnyValue>) => ({ values: Object.entries(map).map(([key, value]) => ({ key, value })) })
const parse = (proto: OpenTelemetryProto, warnings: string[] = []) =>
  parseOpenTelemetry(proto, FieldPath.root(), warnings)

function context(headers: Record<string, string> = {}): FormatContext {
  const info = new StreamInfo()
  info.startWall = 1_700_000_000_123
  info.responseCode = 200
  return {
    info,
    requestHeaders: request(headers),
    responseHeaders: null,
    responseTrailers: null,
    localReplyBody: '',
  }
}

let unique = 0

/** Loggers of one worker whose collector the test plays. Each has a log name of its own, so that no two tests share one. */
class Collector {
  readonly world = new CalloutWorld()

  logger(more: OpenTelemetryProto = {}): AccessLogger {
    const proto = { log_name: `log-${++unique}`, ...GRPC, ...more }
    return openTelemetryAccessLog.create(parse(proto), this.world.services)
  }

  /** Lets `ms` pass and gives the requests that came. */
  after(ms = 1000): object[] {
    const before = this.world.streams.length
    this.world.world.timers.advance(ms)
    if (this.world.world.connector.made.length > 0 && this.world.streams.length === 0) this.world.connect()
    return this.world.streams.slice(before).map(messageOf)
  }

  stats(prefix = ''): Record<string, number> {
    const start = `access_logs.open_telemetry_access_log.${prefix}`
    const all = Object.entries(this.world.world.stats.nonZero()).filter(([name]) => name.startsWith(start))
    return Object.fromEntries(all.map(([name, value]) => [name.slice(start.length), value]))
  }
}

function messageOf(stream: ServedStream): object {
  const bytes = stream.body.subarray(5)
  const type = 'opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest'
  const { message, unknownNumbers } = decodeMessage(type, bytes)
  t.same(unknownNumbers, [])
  return message
}

/** Body and attributes of the one record. */
function recordOf(proto: OpenTelemetryProto, of = context()): object {
  const collector = new Collector()
  collector.logger(proto).log(of, 'DownstreamEnd')
  const [message] = collector.after() as [Message]
  const [record] = message.resource_logs[0]!.scope_logs[0]!.log_records
  const { time_unix_nano: time, ...rest } = record as { time_unix_nano: bigint }
  t.equal(time, 1_700_000_000_123_000_000n)
  return rest
}

interface Message {
  readonly resource_logs: {
    readonly resource: { attributes?: { key: string; value: AnyValue }[] }
    readonly scope_logs: { readonly log_records: object[] }[]
  }[]
}

t.test('body and attributes: texts with operators, lists and key-values, in the configured order', async t => {
  t.same(
    recordOf({
      body: text('%REQ(:method)% %REQ(x-none)% 100%%'),
      attributes: kvs({
        z: text('plain'),
        code: text('%RESPONSE_CODE%'),
        empty: text(''),
        list: list(text('%PROTOCOL%'), list(text('x')), { kvlist_value: kvs({ k: text('%REQ(:path)%') }) }),
        a: { kvlist_value: kvs({ y: text('1'), b: text('2') }) },
      }),
    }),
    {
      body: text('GET - 100%'),
      attributes: [
        { key: 'z', value: text('plain') },
        { key: 'code', value: text('200') },
        { key: 'empty', value: text('') },
        { key: 'list', value: list(text('-'), list(text('x')), { kvlist_value: kvs({ k: text('/') }) }) },
        { key: 'a', value: { kvlist_value: kvs({ y: text('1'), b: text('2') }) } },
      ],
    },
  )
  t.same(recordOf({ body: list(text('a'), text('%REQ(:path)%')) }), { body: list(text('a'), text('/')) })
  t.same(recordOf({ body: {} }), {})
})

t.test('texts of any length keep their place', async t => {
  for (const length of [0, 1, 124, 125, 126, 127, 128, 16380, 16384, 70000]) {
    const long = 'x'.repeat(length)
    const value = { kvlist_value: kvs({ in: text('%REQ(x-long)%') }) }
    const attributes = kvs({ a: text('%REQ(x-long)%'), b: list(text('%REQ(x-long)%')), c: value })
    const h = length === 0 ? {} : { 'x-long': long }
    const shown = length === 0 ? '-' : long
    t.same(recordOf({ body: text('[%REQ(x-long)%]'), attributes }, context(h)), {
      body: text(`[${shown}]`),
      attributes: [
        { key: 'a', value: text(shown) },
        { key: 'b', value: list(text(shown)) },
        { key: 'c', value: { kvlist_value: kvs({ in: text(shown) }) } },
      ],
    })
  }
})

t.test('UTF-8 stays as it came, other bytes become `!`: a collector refuses a batch for one wrong text', async t => {
  const latin1 = (utf8: string) => Buffer.from(utf8).toString('latin1')
  const attributes = kvs({ ü: text('ü %REQ(x-u)%') })
  const of = (value: string) => recordOf({ attributes }, context({ 'x-u': value }))
  t.same(of(latin1('é€')), { attributes: [{ key: 'ü', value: text('ü é€') }] })
  t.same(of('a\xe9b'), { attributes: [{ key: 'ü', value: text('ü a!b') }] })
  t.same(recordOf({ body: text('%REQ(x-u):1%') }, context({ 'x-u': latin1('é') })), { body: text('!') })
})

t.test('filter state objects are attributes of their own, as JSON; those that are not there are left out', async t => {
  const of = context()
  of.info.setState('one', 'V "x"')
  of.info.setState('two', { toJSON: () => ({ b: 1, a: 'y' }), toString: () => 'plain' })
  of.info.setState('three', { toJSON: () => null, toString: () => 'plain' })
  const proto = {
    attributes: kvs({ one: text('own') }),
    filter_state_objects_to_log: ['one', 'none', 'two', 'three'],
  }
  t.same(recordOf(proto, of), {
    attributes: [
      { key: 'one', value: text('own') },
      { key: 'one', value: text('"V \\"x\\""') },
      { key: 'two', value: text('{"a":"y","b":1}') },
    ],
  })
})

t.test('custom tags are attributes of their own, those without a value are left out; the trace is named', async t => {
  const of = context({ 'x-h': 'H' })
  of.info.traceId = '00112233445566778899aabbccddeeff'
  of.info.spanId = '0123456789abcdef'
  const custom_tags = [
    { tag: 'tag', literal: { value: 'first' } },
    { tag: 'header', request_header: { name: 'x-h' } },
    { tag: 'none', request_header: { name: 'x-none' } },
    { tag: 'tag', literal: { value: 'last' } },
  ]
  const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'))
  const attributes = [
    { key: 'tag', value: text('last') },
    { key: 'header', value: text('H') },
  ]
  const ids = { trace_id: bytes(of.info.traceId), span_id: bytes(of.info.spanId) }
  t.same(recordOf({ custom_tags }, of), { attributes, ...ids })
  of.info.traceId = '0123456789abcdef'
  const padded = bytes(`0000000000000000${of.info.traceId}`)
  t.same(recordOf({}, of), { ...ids, trace_id: padded }, 'tracers with ids of 64 bits')
  of.info.traceId = 'abc'
  of.info.spanId = ''
  t.same(recordOf({}, of), {})
})

t.test('formatters bring their operators', async t => {
  const type = 'type.googleapis.com/envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery'
  const formatters = [{ name: 'f', typed_config: { type_url: type, message: {} } }]
  const of = context({ ':path': '/a?b' })
  const body = text('%REQ_WITHOUT_QUERY(:path)%')
  t.same(recordOf({ body, formatters }, of), { body: text('/a') })
  t.throws(() => parse({ ...GRPC, body }), /Not supported field in StreamInfo: REQ_WITHOUT_QUERY/)
})

function resourceOf(proto: OpenTelemetryProto): unknown {
  const collector = new Collector()
  collector.logger(proto).log(context(), 'DownstreamEnd')
  const [message] = collector.after() as [Message]
  return message.resource_logs[0]!.resource.attributes?.map(({ key, value }) => [key, Object.values(value)[0]])
}

t.test(
  'resource: built-in labels, then resource_attributes, which take the place of labels; formats are not evaluated',
  async t => {
    const builtin = [
      ['log_name', 'l'],
      ['zone_name', 'zone-1'],
      ['cluster_name', 'fleet'],
      ['node_name', 'node-1'],
    ]
    t.same(resourceOf({ log_name: 'l' }), builtin)
    const resource_attributes = kvs({
      r: text('%REQ(:path)%'),
      log_name: text('mine'),
      i: { int_value: -9 },
      b: { bool_value: false },
      d: { double_value: 1.5 },
      y: { bytes_value: Buffer.from('xy') },
    })
    t.same(resourceOf({ log_name: 'l', resource_attributes }), [
      ['log_name', 'mine'],
      ...builtin.slice(1),
      ['r', '%REQ(:path)%'],
      ['i', -9],
      ['b', false],
      ['d', 1.5],
      ['y', new Uint8Array(Buffer.from('xy'))],
    ])
    t.same(resourceOf({ disable_builtin_labels: true, resource_attributes: kvs({ r: list(text('a')) }) }), [
      ['r', { values: [text('a')] }],
    ])
    t.same(resourceOf({ disable_builtin_labels: true, body: text('alone') }), undefined)
    const common = { log_name: 'common', transport_api_version: 'V3' as const, ...GRPC }
    const named = (log_name: string) => {
      const collector = new Collector()
      const config = parse({ common_config: common, ...(log_name === '' ? {} : { log_name }) })
      openTelemetryAccessLog.create(config, collector.world.services).log(context(), 'DownstreamEnd')
      const [message] = collector.after() as [Message]
      return message.resource_logs[0]!.resource.attributes![0]!.value.string_value
    }
    t.equal(named(''), 'common')
    t.equal(named('own'), 'own', 'the name of the message itself is preferred')
  },
)

const OK = Buffer.alloc(5)

function reply(stream: ServedStream, message: Buffer = OK, status = '0'): void {
  stream.answer(200)
  stream.data(message)
  stream.trailers({ 'grpc-status': status })
}

t.test('records wait for the interval, and go out together', async t => {
  const collector = new Collector()
  const logger = collector.logger({ body: text('x') })
  logger.log(context(), 'DownstreamEnd')
  t.same(collector.after(999), [])
  logger.log(context(), 'DownstreamEnd')
  const [message] = collector.after(1) as [Message]
  t.equal(message.resource_logs[0]!.scope_logs[0]!.log_records.length, 2)
  t.same(collector.stats(), {})
  reply(collector.world.last)
  t.same(collector.stats(), { logs_written: 2 })
  t.same(collector.after(10_000), [], 'an empty buffer is not sent')
  logger.log(context(), 'DownstreamEnd')
  t.equal(collector.after(1000).length, 1)
})

t.test('a full buffer is sent at once: the size is that of the records alone', async t => {
  // 9 bytes of time and 14 of body each.
  for (const [size, records] of [
    [46, 2],
    [47, 3],
    [0, 1],
  ] as const) {
    const collector = new Collector()
    const logger = collector.logger({ body: text('0123456789'), buffer_size_bytes: size })
    for (let i = 0; i < records; i++) {
      t.equal(collector.world.world.connector.made.length, 0)
      logger.log(context(), 'DownstreamEnd')
    }
    collector.world.connect()
    t.equal(collector.world.streams.length, 1)
  }
})

t.test('interval and size come from common_config, from the message itself, or are 1 s and 16 KiB', async t => {
  const sizes = ({ flushInterval, bufferSize }: ReturnType<typeof parse>) => [flushInterval, bufferSize]
  const common = (more: object) => ({ common_config: { log_name: 'x', ...GRPC, ...more } })
  t.same(sizes(parse(GRPC)), [1000, 16384])
  t.same(sizes(parse({ ...GRPC, buffer_flush_interval: 5, buffer_size_bytes: 6 })), [5, 6])
  t.same(sizes(parse(common({ buffer_flush_interval: 7, buffer_size_bytes: 0 }))), [7, 0])
  t.same(sizes(parse({ ...common({}), buffer_flush_interval: 5 })), [5, 16384])
})

t.test('loggers with the same configuration share a buffer, others do not', async t => {
  const collector = new Collector()
  const shared = { log_name: 'shared', body: text('x') }
  const [one, two] = [collector.logger(shared), collector.logger(structuredClone(shared))]
  const other = collector.logger({ ...shared, body: text('y') })
  for (const logger of [one, two, other]) logger.log(context(), 'DownstreamEnd')
  const counts = (collector.after() as Message[]).map(m => m.resource_logs[0]!.scope_logs[0]!.log_records.length)
  t.same(counts.sort(), [1, 2])
})

t.test('what becomes of a batch is counted: refused records, a failed call, a reply that is none', async t => {
  const partial = (hex: string) => Buffer.from(`00000000${(hex.length / 2).toString(16).padStart(2, '0')}${hex}`, 'hex')
  const rows: [(s: ServedStream) => void, Record<string, number>][] = [
    [s => reply(s), { logs_written: 3 }],
    [s => reply(s, partial('0a0408021200')), { logs_written: 1, logs_dropped: 2 }],
    [s => reply(s, partial('0a020809')), { logs_dropped: 3 }],
    [s => reply(s, partial('0a0b08ffffffffffffffffff01')), { logs_written: 3 }],
    [s => reply(s, partial('ffffff')), { logs_dropped: 3 }],
    [s => reply(s, partial('1a01780a020801')), { logs_written: 2, logs_dropped: 1 }],
    [s => s.answer(200, { 'grpc-status': '14' }, true), { logs_dropped: 3 }],
    [s => s.answer(503, {}, true), { logs_dropped: 3 }],
  ]
  for (const [serve, expected] of rows) {
    const collector = new Collector()
    const logger = collector.logger()
    for (let i = 0; i < 3; i++) logger.log(context(), 'DownstreamEnd')
    collector.after()
    serve(collector.world.last)
    t.same(collector.stats(), expected)
  }
})

t.test('a collector that is not there costs the records and nothing else; the log says it once', async t => {
  const collector = new Collector()
  const logger = collector.logger({ grpc_service: { envoy_grpc: { cluster_name: 'nobody' } }, log_name: 'lost' })
  for (let i = 0; i < 3; i++) {
    logger.log(context(), 'DownstreamEnd')
    collector.after()
  }
  t.same(collector.stats(), { logs_dropped: 3 })
  const [said] = collector.world.said
  t.equal(
    said,
    "OpenTelemetry access log 'lost': grpc-status 14, Cluster not available; records are dropped, traffic goes on",
  )
  t.equal(collector.world.said.length, 1)
})

t.test('batches under way are bounded by the circuit breaker of the cluster; what is beyond it is dropped', async t => {
  const thresholds = { circuit_breakers: { thresholds: [{ max_requests: 2, max_pending_requests: 2 }] } }
  const world = new CalloutWorld(1, thresholds)
  const proto = { log_name: 'bounded', ...GRPC }
  const logger = openTelemetryAccessLog.create(parse(proto), world.services)
  for (let i = 0; i < 5; i++) {
    logger.log(context(), 'DownstreamEnd')
    world.world.timers.advance(1000)
    if (i === 0) world.connect()
  }
  t.equal(world.streams.length, 2)
  t.equal(world.world.stats.get('access_logs.open_telemetry_access_log.logs_dropped'), 3)
})

t.test('a timeout of the service ends a call that is not answered', async t => {
  const collector = new Collector()
  const logger = collector.logger({ grpc_service: { ...GRPC.grpc_service, timeout: 300 } })
  logger.log(context(), 'DownstreamEnd')
  collector.after()
  t.ok(collector.world.last.head.includes('grpc-timeout: 300m'))
  collector.after(300)
  t.same(collector.stats(), { logs_dropped: 1 })
})

t.test('stat_prefix stands before the names, with one dot', async t => {
  for (const prefix of ['pfx', 'pfx.']) {
    const collector = new Collector()
    collector
      .logger({ stat_prefix: prefix, grpc_service: { envoy_grpc: { cluster_name: 'nobody' } } })
      .log(context(), 'DownstreamEnd')
    collector.after()
    t.same(collector.stats('pfx.'), { logs_dropped: 1 })
  }
})

t.test('over HTTP: a POST of the request alone; 200 is success', async t => {
  const http = (uri: string, more: object = {}) => ({
    http_service: { http_uri: { uri, cluster: 'c', timeout: 700 }, ...more },
  })
  const send = (service: object) => {
    const world = new CalloutWorld()
    const logger = openTelemetryAccessLog.create(parse({ log_name: `log-${++unique}`, ...service }), world.services)
    logger.log(context(), 'DownstreamEnd')
    world.world.timers.advance(1000)
    world.connect()
    return { world, stream: world.last }
  }
  const headers = [
    { header: { key: 'X-K', value: 'v %PROTOCOL% %REQ(a)%' } },
    { header: { key: 'user-agent', value: 'mine' }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' },
    { header: { key: 'x-k', value: 'two' } },
    { header: { key: 'x-k', value: 'no' }, append_action: 'ADD_IF_ABSENT' },
    { header: { key: 'x-none', value: 'no' }, append_action: 'OVERWRITE_IF_EXISTS' },
  ]
  const { stream, world } = send(http('http://col.test:99/v1/logs?x=y', { request_headers_to_add: headers }))
  t.same(stream.head, [
    ':method: POST',
    ':path: /v1/logs?x=y',
    ':authority: col.test:99',
    ':scheme: http',
    'content-type: application/x-protobuf',
    'x-k: v - -',
    'user-agent: mine',
    'x-k: two',
    'x-envoy-internal: true',
    'x-forwarded-for: 10.9.9.9',
    'x-envoy-expected-rq-timeout-ms: 700',
  ])
  const type = 'opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest'
  t.match(decodeMessage(type, stream.body).message, { resource_logs: [{ scope_logs: [{ log_records: [{}] }] }] })
  stream.answer(200, {}, true)
  const written = 'access_logs.open_telemetry_access_log.logs_written'
  t.equal(world.world.stats.get(written), 1)
  const bare = send(http('col.test'))
  t.match(bare.stream.head.slice(1, 3), [':path: /', ':authority: col.test'])
  t.match(bare.stream.head[5], /^user-agent: OTel-OTLP-Exporter-Envoy\//)
  bare.stream.answer(204, {}, true)
  t.equal(bare.world.world.stats.get('access_logs.open_telemetry_access_log.logs_dropped'), 1)
  const slow = send(http('http://col.test/'))
  slow.world.world.timers.advance(700)
  t.equal(slow.world.world.stats.get('access_logs.open_telemetry_access_log.logs_dropped'), 1)
})

t.test('configurations that are refused, in the words of the real one', async t => {
  const refuse = (proto: OpenTelemetryProto, reason: string | RegExp) => {
    try {
      parse(proto)
      t.fail(`accepted: ${JSON.stringify(proto)}`)
    } catch (error) {
      t.match((error as ConfigError).envoyText, reason)
    }
  }
  const http_service = { http_uri: { uri: 'http://x/', cluster: 'c', timeout: 1 } }
  const common_config = { log_name: 'x', ...GRPC }
  refuse({}, 'requires one of: grpc_service, http_service, or common_config.grpc_service to be configured.')
  for (const two of [
    { ...GRPC, http_service },
    { common_config, http_service },
    { common_config, ...GRPC },
  ]) {
    refuse(two, 'OpenTelemetry access logger can only have one transport configured.')
  }
  const only =
    'Only string values, nested key value lists and array values are supported in OpenTelemetry access log format.'
  refuse({ ...GRPC, body: { int_value: 1 } }, only)
  refuse({ ...GRPC, attributes: kvs({ x: { bool_value: true } }) }, only)
  refuse({ ...GRPC, attributes: kvs({ x: {} }) }, only)
  refuse({ ...GRPC, body: list({ double_value: 1 }) }, only)
  refuse({ ...GRPC, body: text('%NOPE%') }, 'Not supported field in StreamInfo: NOPE')
  refuse({ ...GRPC, attributes: kvs({ x: text('%REQ(%') }) }, "Couldn't find valid command at position 0")
  refuse({ common_config: { ...common_config, transport_api_version: 'V2' } }, /v2 xDS major version has been removed/)
  refuse({ grpc_service: { google_grpc: { target_uri: 'x', stat_prefix: 'g' } } }, /google_grpc is not supported/)
})

t.test('fields of common_config that the real logger does not look at are warned about', async t => {
  const warnings: string[] = []
  parse({ common_config: { log_name: 'x', ...GRPC, filter_state_objects_to_log: ['x'] } }, warnings)
  const custom_tags = [{ tag: 'x', literal: { value: 'y' } }]
  parse({ common_config: { log_name: 'x', ...GRPC, custom_tags } }, warnings)
  t.match(warnings[1], /^common_config.custom_tags: not looked at/)
  t.match(warnings, [/^common_config.filter_state_objects_to_log: not looked at/])
})
