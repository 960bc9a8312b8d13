import t from 'tap'
import type { ConfigError } from '../../../src/base/errors.ts'
import { decodeMessage, encodeMessage } from '../../../src/config/binary.ts'
import { FieldPath } from '../../../src/config/field-path.ts'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { registerExtensions } from '../../../src/extensions.ts'
import { Flow } from '../../../src/io/connection.ts'
import { fullNode } from '../../../src/server/node.ts'
import { encodeNode } from '../../../src/telemetry/access-loggers/grpc/node.ts'
import { httpGrpcAccessLog } from '../../../src/telemetry/access-loggers/http-grpc.ts'
import { tcpGrpcAccessLog } from '../../../src/telemetry/access-loggers/tcp-grpc.ts'
import type { AccessLogger, FormatContext } from '../../../src/telemetry/format-context.ts'
import { ResponseFlag, StreamInfo } from '../../../src/telemetry/stream-info.ts'
import { validUtf8 } from '../../../src/telemetry/valid-utf8.ts'
import { CalloutWorld, type ServedStream } from '../http/callout-world.ts'
import { request } from '../http/fakes.ts'

registerExtensions()

type Common = envoy.extensions.access_loggers.grpc.v3.CommonGrpcAccessLogConfig
type Entry = envoy.data.accesslog.v3.HTTPAccessLogEntry
interface Message {
  readonly identifier?: { readonly node: { readonly id: string }; readonly log_name: string }
  readonly http_logs?: { readonly log_entry: Entry[] }
  readonly tcp_logs?: { readonly log_entry: object[] }
}

let unique = 0
const common = (more: Common = {}): Common => ({
  log_name: `log-${++unique}`,
  grpc_service: { envoy_grpc: { cluster_name: 'c' } },
  ...more,
})

function logger(world: CalloutWorld, more: Common = {}, kind: 'http' | 'tcp' = 'http'): AccessLogger {
  const proto = { common_config: common(more) }
  if (kind === 'tcp') {
    return tcpGrpcAccessLog.create(tcpGrpcAccessLog.parse(proto, FieldPath.root(), []), world.services)
  }
  return httpGrpcAccessLog.create(httpGrpcAccessLog.parse(proto, FieldPath.root(), []), world.services)
}

function context(change: (info: StreamInfo) => void = () => undefined): FormatContext {
  const info = new StreamInfo()
  info.protocol = 'HTTP/1.1'
  info.startWall = 1_700_000_000_123
  info.start = 1000
  info.end = 3500.25
  change(info)
  return { info, requestHeaders: request(), responseHeaders: null, responseTrailers: null, localReplyBody: '' }
}

function messages(stream: ServedStream): Message[] {
  const found: Message[] = []
  for (let at = 0; at < stream.body.length; ) {
    const length = stream.body.readUInt32BE(at + 1)
    const bytes = stream.body.subarray(at + 5, at + 5 + length)
    const { message, unknownNumbers } = decodeMessage('envoy.service.accesslog.v3.StreamAccessLogsMessage', bytes)
    t.same(unknownNumbers, [])
    found.push(message as Message)
    at += 5 + length
  }
  return found
}

const counts = (world: CalloutWorld): string => {
  const get = (name: string): number => world.world.stats.get(`access_logs.grpc_access_log.${name}`)
  const [written, dropped] = [get('logs_written'), get('logs_dropped')]
  return `${written} written ${dropped} dropped ${get('grpc_entries_flushed')} sent ${get('grpc_entries_flush_failed')} failed`
}

function entryOf(of: FormatContext, more: Common = {}): Entry {
  const world = new CalloutWorld()
  logger(world, more).log(of, 'DownstreamEnd')
  world.world.timers.advance(1000)
  world.connect()
  return messages(world.last)[0]!.http_logs!.log_entry[0]!
}

t.test('the node of a worker is the one that the control plane gets', async t => {
  const node = {
    id: 'i',
    cluster: 'c',
    metadata: { a: [1, { b: null }], z: 'ü' },
    locality: { region: 'r', zone: 'z', sub_zone: 's' },
  }
  const info = {
    id: 'i',
    cluster: 'c',
    region: 'r',
    zone: 'z',
    subZone: 's',
    metadata: node.metadata,
  }
  const decoded = (bytes: Uint8Array) => decodeMessage('envoy.config.core.v3.Node', bytes).message
  t.same(decoded(encodeNode(info)), decoded(encodeMessage('envoy.config.core.v3.Node', fullNode(node))))
})

t.test('the first message of each stream says who sends', async t => {
  const world = new CalloutWorld()
  const log = logger(world)
  log.log(context(), 'DownstreamEnd')
  world.world.timers.advance(1000)
  world.connect()
  log.log(context(), 'DownstreamEnd')
  log.log(context(), 'DownstreamEnd')
  world.world.timers.advance(1000)
  const [first, second] = messages(world.last)
  t.equal(first!.identifier!.node.id, 'node-1')
  t.equal(first!.identifier!.log_name, `log-${unique}`)
  t.equal(second!.identifier, undefined)
  t.equal(second!.http_logs!.log_entry.length, 2)
  t.equal(counts(world), '3 written 0 dropped 3 sent 0 failed')
  world.last.answer(200, { 'grpc-status': '0' }, true)
  log.log(context(), 'DownstreamEnd')
  world.world.timers.advance(1000)
  t.equal(world.streams.length, 2)
  t.ok(messages(world.last)[0]!.identifier)
})

t.test('loggers of one kind with the same common_config share a stream', async t => {
  const world = new CalloutWorld()
  const shared = { log_name: 'shared' }
  for (const log of [logger(world, shared), logger(world, shared), logger(world, shared, 'tcp')]) {
    log.log(context(), 'DownstreamEnd')
  }
  world.world.timers.advance(1000)
  world.connect()
  const all = world.streams.map(stream => messages(stream)[0]!)
  t.same(all.map(m => m.http_logs?.log_entry.length).sort(), [2, undefined])
  t.same(all.map(m => m.tcp_logs?.log_entry.length).sort(), [1, undefined])
})

t.test(
  'what cannot be sent stays until the buffer is full, then entries are dropped; nothing is lost before',
  async t => {
    const nobody = { grpc_service: { envoy_grpc: { cluster_name: 'nobody' } }, buffer_size_bytes: 20 }
    for (const kind of ['http', 'tcp'] as const) {
      const world = new CalloutWorld()
      const log = logger(world, nobody, kind)
      log.log(context(), 'DownstreamEnd')
      const written = kind === 'http' ? 1 : 0
      t.equal(counts(world), `${written} written 0 dropped 0 sent 1 failed`)
      // One that is full tries again first.
      log.log(context(), 'DownstreamEnd')
      t.equal(counts(world), `${written} written 1 dropped 0 sent 2 failed`)
      world.world.timers.advance(1000)
      t.equal(counts(world), `${written} written 1 dropped 0 sent 3 failed`)
    }
  },
)

t.test('while the service takes nothing, entries wait', async t => {
  const world = new CalloutWorld()
  const log = logger(world)
  log.log(context(), 'DownstreamEnd')
  world.world.timers.advance(1000)
  world.connect()
  world.last.flow = Flow.Pause
  log.log(context(), 'DownstreamEnd')
  world.world.timers.advance(1000)
  t.equal(counts(world), '2 written 0 dropped 2 sent 0 failed')
  log.log(context(), 'DownstreamEnd')
  world.world.timers.advance(1000)
  t.equal(counts(world), '3 written 0 dropped 2 sent 1 failed')
  world.last.drained()
  world.world.timers.advance(1000)
  t.equal(counts(world), '3 written 0 dropped 3 sent 1 failed')
  t.equal(messages(world.last).length, 3)
})

t.test('grpc_stream_retry_policy connects again, and what waits goes to the next connection', async t => {
  const world = new CalloutWorld()
  const retry = { num_retries: 1, retry_back_off: { base_interval: 10 } }
  logger(world, { grpc_stream_retry_policy: retry }).log(context(), 'DownstreamEnd')
  world.world.timers.advance(1000)
  world.world.connector.last.refuse()
  t.equal(world.world.connector.made.length, 1)
  world.world.timers.advance(10)
  t.equal(world.world.connector.made.length, 2)
  world.connect()
  t.equal(messages(world.last)[0]!.http_logs!.log_entry.length, 1)
  // A stream lives longer than an attempt of the policy may take.
  world.world.timers.advance(1000)
  t.equal(world.last.wasReset, false)
})

t.test('times and durations: nanoseconds since the epoch, and from the start of the request', async t => {
  const { common_properties: of } = entryOf(
    context(info => {
      info.lastDownstreamRx = 1000.5
      info.firstUpstreamTx = 2500
      info.firstUpstreamRx = 999
    }),
  )
  t.match(of, { start_time: 1_700_000_000_123, duration: 2500.25, time_to_last_rx_byte: 0.5 })
  t.match(of, { time_to_first_upstream_tx_byte: 1500, time_to_first_upstream_rx_byte: 0 })
  t.equal(of!.time_to_last_downstream_tx_byte, undefined)
  t.equal(of!.intermediate_log_entry, undefined)
  const early = context(info => {
    info.end = -1
  })
  t.match(entryOf(early).common_properties, { intermediate_log_entry: true })
})

t.test('every response flag has its field', async t => {
  const names = Object.values(ResponseFlag).map(flag => {
    const { common_properties: of } = entryOf(context(info => info.setFlag(flag)))
    return Object.entries(of!.response_flags ?? {})
      .map(([name, value]) => (value === true ? name : `${name} ${JSON.stringify(value)}`))
      .join()
  })
  t.same(names, [
    'failed_local_healthcheck',
    'no_healthy_upstream',
    'upstream_request_timeout',
    'local_reset',
    'upstream_remote_reset',
    'upstream_connection_failure',
    'upstream_connection_termination',
    'upstream_overflow',
    'no_route_found',
    'delay_injected',
    'fault_injected',
    'rate_limited',
    'unauthorized_details {"reason":"EXTERNAL_SERVICE"}',
    'rate_limit_service_error',
    'downstream_connection_termination',
    'upstream_retry_limit_exceeded',
    'stream_idle_timeout',
    'invalid_envoy_request_headers',
    'downstream_protocol_error',
    'upstream_max_stream_duration_reached',
    'response_from_cache_filter',
    'no_filter_config_found',
    'duration_timeout',
    'upstream_protocol_error',
    'no_cluster_found',
    'overload_manager',
    'dns_resolution_failure',
    '',
    'downstream_remote_reset',
    '',
  ])
})

t.test('addresses: IPv4, IPv6, Unix sockets; metadata and filter state as Structs and texts', async t => {
  const address = (ip: string, port = 0) => ({ ip, port, text: '' })
  const of = context(info => {
    const connection = { remote: address('::1', 80), local: address('/run/x'), directRemote: address('10.0.0.1', 0) }
    info.connection = { ...connection, requestedServerName: 'sni.test', tls: null } as never
    info.upstreamHost = '[2001:db8::1]:443'
    info.upstreamLocal = '/run/up'
    info.upstreamClusterName = 'up'
    info.mergeMetadata('ns', { k: 'v', n: [1, true, null] })
    info.setState('text', 'ü')
    info.setState('object', { toJSON: () => ({ a: 1 }), toString: () => 'x' })
    info.setState('untyped', { toJSON: () => null, toString: () => 'x' })
  })
  const { common_properties: found } = entryOf(of, {
    filter_state_objects_to_log: ['text', 'object', 'untyped', 'none'],
  })
  t.match(found, {
    downstream_remote_address: { socket_address: { address: '::1', port_value: 80 } },
    downstream_local_address: { pipe: { path: '/run/x' } },
    downstream_direct_remote_address: { socket_address: { address: '10.0.0.1', port_value: 0 } },
    upstream_remote_address: { socket_address: { address: '2001:db8::1', port_value: 443 } },
    upstream_local_address: { pipe: { path: '/run/up' } },
    upstream_cluster: 'up',
    tls_properties: { tls_sni_hostname: 'sni.test' },
    metadata: { filter_metadata: { ns: { k: 'v', n: [1, true, null] } } },
  })
  const state = found!.filter_state_objects as Record<string, { message: { value: unknown } }>
  t.same(
    Object.entries(state).map(([key, { message }]) => [key, message.value]),
    [
      ['text', 'ü'],
      ['object', { a: 1 }],
    ],
  )
})

t.test('upstream addresses as they are printed', async t => {
  const shown = (text: string) =>
    entryOf(
      context(info => {
        info.upstreamHost = text
      }),
    ).common_properties!.upstream_remote_address
  t.same(shown('10.0.0.1:8080'), { socket_address: { address: '10.0.0.1', port_value: 8080 } })
  t.same(shown('envoy://listener/id'), {
    envoy_internal_address: { server_listener_name: 'listener', endpoint_id: 'id' },
  })
  t.same(shown('envoy://listener'), { envoy_internal_address: { server_listener_name: 'listener' } })
  t.same(shown('@abstract'), { pipe: { path: '@abstract' } })
})

t.test('texts that are no UTF-8 are mended byte by byte', async t => {
  const mend = (hex: string) => Buffer.from(validUtf8(Buffer.from(hex, 'hex').toString('latin1')), 'latin1').toString()
  t.equal(mend('61'), 'a')
  t.equal(mend('c3a9'), 'é')
  t.equal(mend('61c3'), 'a!')
  t.equal(mend('c361'), '!a')
  t.equal(mend('e9e9c3a9'), '!!é')
  t.equal(mend('c080'), '!!', 'overlong')
  t.equal(mend('eda080'), '!!!', 'a surrogate')
  t.equal(mend('f0908080'), '\u{10000}')
  t.equal(mend('f4908080'), '!!!!', 'beyond Unicode')
  t.equal(mend('e282'), '!!')
})

t.test('what is not supported is refused', async t => {
  const parse = (more: Common) => httpGrpcAccessLog.parse({ common_config: common(more) }, FieldPath.root(), [])
  const refuse = (more: Common, reason: RegExp) => {
    try {
      parse(more)
      t.fail('accepted')
    } catch (error) {
      t.match((error as ConfigError).envoyText, reason)
    }
  }
  refuse({ transport_api_version: 'V2' }, /v2 xDS major version/)
  refuse({ grpc_service: { google_grpc: { target_uri: 'x' } } }, /google_grpc/)
  refuse({ grpc_stream_retry_policy: { retry_on: '5xx' } }, /retry_on/)
})
