import { parse as parseYaml } from 'yaml'
import { bootstrap, cluster, fileLog, httpListener, tcpListener } from '../configs/builder.ts'
import { type Group, get, raw, scenario, tcp, together } from '../scenario.ts'

/** What a listener says of itself, and which of its connections count against the limit of the process. */
const FORMAT =
  'listener=%METADATA(LISTENER:a.b:k)% all=%METADATA(LISTENER:a.b)% chain=%METADATA(LISTENER_FILTER_CHAIN:a.b:k)% none=%METADATA(LISTENER_FILTER_CHAIN:other)% flags=%RESPONSE_FLAGS%\n'
const LOG = `access_log: [${JSON.stringify(fileLog(FORMAT))}]`
const metadata = (value: string) => ({ metadata: { filter_metadata: { 'a.b': { k: value, n: 1 } } } })

type Json = Record<string, unknown>
function described(listener: Json, value: string): Json {
  const [chain] = listener['filter_chains'] as Json[]
  return { ...listener, ...metadata(value), filter_chains: [{ ...chain, ...metadata(`chain of ${value}`) }] }
}
const { address: _, ...inner } = tcpListener('inner', 'cluster: echo')
const INTERNAL =
  '{"@type": type.googleapis.com/envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport, transport_socket: {name: raw, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}'
const toInner = {
  ...cluster('to_inner', [], `transport_socket: {name: i, typed_config: ${INTERNAL}}`),
  load_assignment: {
    cluster_name: 'to_inner',
    endpoints: [
      { lb_endpoints: [{ endpoint: { address: { envoy_internal_address: { server_listener_name: 'inner' } } } }] },
    ],
  },
}
const LIMIT = `
bootstrap_extensions: [{name: i, typed_config: {"@type": type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener}}]
overload_manager:
  resource_monitors:
  - name: envoy.resource_monitors.global_downstream_max_connections
    typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig, max_active_downstream_connections: 1}
`
const hello = (listener: string) => tcp(listener, ['hello', { bytes: 5 }, { end: true }, { closed: true }])

const facts: Group = {
  name: 'listener-facts',
  upstreams: { echo: { kind: 'tcp' }, a: { kind: 'http1' } },
  config: bootstrap(
    [
      described(httpListener('main', { routes: '[{match: {prefix: /}, route: {cluster: a}}]', hcm: LOG }), 'http'),
      described(tcpListener('tcp', `cluster: echo\n${LOG}`), 'tcp'),
    ],
    [cluster('a', 'a'), cluster('echo', 'echo')],
  ),
  scenarios: [
    scenario('metadata', 'Metadata of listener and filter chain in the log', [get('/'), hello('tcp')], [], {
      logLines: 2,
    }),
  ],
}

const limit: Group = {
  name: 'internal-limit',
  upstreams: { echo: { kind: 'tcp' } },
  config: bootstrap(
    [tcpListener('outer', `cluster: to_inner\n${LOG}`), { ...inner, internal_listener: {} }],
    [cluster('echo', 'echo'), toInner],
    LIMIT,
  ),
  scenarios: [
    scenario(
      'not-counted',
      'Connections of internal listeners do not count against max_active_downstream_connections',
      together(tcp('outer', ['hello', { bytes: 5 }, { wait: 1500 }, { end: true }, { closed: true }]), [
        600,
        tcp('outer', [{ closed: true }]),
      ]),
      [],
      { stats: ['downstream_global_cx_overflow$'], logLines: 1 },
    ),
  ],
}

const line = (who: string) =>
  `access_log: [${JSON.stringify(fileLog(`${who} type=%ACCESS_LOG_TYPE% flags=%RESPONSE_FLAGS%\n`))}]`
const refusedFrames = [0x00, 0x00, 0x05, 0x01, 0x05, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff]

/** One connection, two lines: the filter's and the listener's. */
const lines: Group = {
  name: 'listener-log',
  upstreams: { echo: { kind: 'tcp' }, a: { kind: 'http1' } },
  config: bootstrap(
    [
      httpListener('main', {
        routes: '[{match: {prefix: /}, route: {cluster: a}}]',
        hcm: line('hcm'),
        listener: line('listener'),
      }),
      { ...tcpListener('tcp', `cluster: echo\n${line('tcp_proxy')}`), ...(parseYaml(line('listener')) as Json) },
      { ...tcpListener('nowhere', `cluster: gone\n${line('tcp_proxy')}`), ...(parseYaml(line('listener')) as Json) },
    ],
    [cluster('a', 'a'), cluster('echo', 'echo'), cluster('gone', [])],
  ),
  scenarios: [
    scenario('http', 'The connection manager logs first; the line of a listener has no type', get('/'), [], {
      logLines: 2,
    }),
    scenario('tcp', 'tcp_proxy logs after its listener, which has its flags', hello('tcp'), [], { logLines: 2 }),
    scenario('tcp-failed', 'The same without an upstream', tcp('nowhere', [{ closed: true }]), [], {
      logLines: 2,
    }),
    scenario('protocol-error', "A protocol error is the connection's too", raw('nonsense\r\n\r\n'), [], {
      logLines: 2,
    }),
    scenario(
      'protocol-error-h2',
      'The same, HTTP/2',
      {
        kind: 'h2',
        listener: 'main',
        streams: [],
        rawFrames: Buffer.from(refusedFrames).toString('hex'),
        untilClosed: true,
      },
      [],
      { logLines: 1 },
    ),
  ],
}

export default [facts, limit, lines]
