import {
  bootstrap,
  cluster,
  downstreamTls,
  fileLog,
  hcm,
  httpListener,
  tcpListener,
  typed,
} from '../configs/builder.ts'
import { admin, type Group, get, scenario, tcp } from '../scenario.ts'

/** Internal listeners, and what reaches them with a connection. */
const STATE = 'envoy.extensions.filters.network.set_filter_state.v3.Config'
const RAW =
  '{name: raw, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}'
const INTERNAL = 'type.googleapis.com/envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport'
const transport = (sources = '') =>
  `transport_socket: {name: internal, typed_config: {"@type": ${INTERNAL}, passthrough_metadata: [${sources}], transport_socket: ${RAW}}}`
const value = (key: string, factory: string, text: string, shared: string) =>
  `- {object_key: ${key}, factory_key: ${factory}, format_string: {text_format_source: {inline_string: "${text}"}}, shared_with_upstream: ${shared}}\n`

type Json = Record<string, unknown>
const FORMAT = [
  'at=%FILTER_CHAIN_NAME% remote=%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% local=%DOWNSTREAM_LOCAL_ADDRESS%',
  'direct=%DOWNSTREAM_DIRECT_LOCAL_ADDRESS% id=%DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID%',
  'host=%UPSTREAM_HOST% up-remote=%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%',
  'up-local=%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% up-id=%UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID%',
  'flags=%RESPONSE_FLAGS% tfail=%UPSTREAM_TRANSPORT_FAILURE_REASON% rx=%BYTES_RECEIVED% tx=%BYTES_SENT%',
  'host-md=%DYNAMIC_METADATA(host.md)% cluster-md=%DYNAMIC_METADATA(cluster.md)%',
  'none=%FILTER_STATE(none:PLAIN)% once=%FILTER_STATE(once:PLAIN)% all=%FILTER_STATE(all:PLAIN)%',
  'up-once=%UPSTREAM_FILTER_STATE(once:PLAIN)% up-all=%UPSTREAM_FILTER_STATE(all:PLAIN)%\n',
].join(' ')
const LOG = `access_log: [${JSON.stringify(fileLog(`up-port=%UPSTREAM_REMOTE_PORT% ${FORMAT}`))}]`
/** Ports of sockets differ from run to run, those of what is no socket do not. */
const INNER_LOG = `access_log: [${JSON.stringify(fileLog(`port=%DOWNSTREAM_LOCAL_PORT% from=%DOWNSTREAM_REMOTE_PORT% ${FORMAT}`))}]`

function chain(name: string, proxy: string): Json {
  const [filter] = (tcpListener(name, `${proxy}\n${INNER_LOG}`)['filter_chains'] as { filters: Json[] }[])[0]!.filters
  return { name, filters: [filter] }
}

function internal(name: string, proxy: string, more: Json = {}): Json {
  return { name, internal_listener: {}, filter_chains: [chain(name, proxy)], ...more }
}

function toInternal(name: string, listener: string, extra = '', id = '', metadata: Json = {}): Json {
  const endpoint = { address: { envoy_internal_address: { server_listener_name: listener, endpoint_id: id } } }
  const load = { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint, metadata }] }] }
  return { ...cluster(name, [], extra), load_assignment: load }
}

const SHARE = typed(
  'share',
  STATE,
  `on_new_connection:
${value('none', 'envoy.string', 'stays', 'NONE')}${value('once', 'envoy.string', 'one hop', 'ONCE')}${value('all', 'envoy.string', 'every hop', 'TRANSITIVE')}`,
)
const ADDRESSES = typed(
  'share',
  STATE,
  `on_new_connection:
${value('envoy.filters.listener.original_dst.local_ip', 'envoy.filters.listener.original_dst.local_ip', '10.1.1.1:8080', 'ONCE')}${value('envoy.filters.listener.original_dst.remote_ip', 'envoy.filters.listener.original_dst.remote_ip', '10.2.2.2:4321', 'ONCE')}`,
)
const ORIGINAL_DST = {
  listener_filters: [
    typed('envoy.filters.listener.original_dst', 'envoy.extensions.filters.listener.original_dst.v3.OriginalDst'),
  ],
}
const SERVER_TLS =
  'common_tls_context: {tls_certificates: [{certificate_chain: {filename: $cert(server.pem)}, private_key: {filename: $cert(server.key)}}]}'
const TLS_TRANSPORT = transport().replace(
  RAW,
  '{name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: lab.test}}',
)
const KNOWS = {
  routes: '[{match: {prefix: /}, direct_response: {status: 200}}]',
  hcm: `access_log: [${JSON.stringify(fileLog('knows %FILTER_STATE(who:PLAIN)% of %REQ(x-who)%\n'))}]`,
}
const who = (listener: string, name: string) => get('/', { listener, headers: [`x-who: ${name}`] })
const keyed = (name: string, factory: string) =>
  httpListener(name, {
    routes: `[{match: {prefix: /}, route: {cluster: ${name}}}]`,
    filters: [
      typed(
        'state',
        'envoy.extensions.filters.http.set_filter_state.v3.Config',
        `on_request_headers:\n${value('who', factory, '%REQ(x-who)%', 'ONCE')}`,
      ),
    ],
  })
const STATS = (...listeners: string[]) => ({
  stats: [
    ...listeners.map(
      name => `^listener\\.envoy_internal_${name}\\.(downstream_cx_(total|active|destroy|overflow)$|no_filter)`,
    ),
    '^cluster\\.(hop|last|nobody|plain)\\.(internal_upstream|upstream_cx_(total|destroy|destroy_(local|remote)|connect_fail|rx_bytes_total|tx_bytes_total)$)',
  ],
})
const both = (listener: string) => tcp(listener, ['hello', { bytes: 5 }, { end: true }, { closed: true }])

const group: Group = {
  name: 'internal-listener',
  upstreams: {
    echo: { kind: 'tcp' },
    sink: { kind: 'tcp', script: 'sink' },
    resets: { kind: 'tcp', script: 'rst' },
    closes: { kind: 'tcp', script: 'closeafter:4' },
    a: { kind: 'http1' },
  },
  config: bootstrap(
    [
      tcpListener('hops', `cluster: hop\n${LOG}`, '', [SHARE]),
      internal('inner', 'cluster: last', ORIGINAL_DST),
      internal('innermost', 'cluster: echo'),
      tcpListener('plain', `cluster: plain\n${LOG}`),
      tcpListener('nobody', `cluster: nobody\n${LOG}`),
      tcpListener('addresses', `cluster: hop\n${LOG}`, '', [ADDRESSES]),
      tcpListener('sinking', 'cluster: sinking'),
      internal('sinks', 'cluster: sink'),
      tcpListener('resetting', 'cluster: resetting'),
      internal('resets', 'cluster: resets'),
      tcpListener('closing', 'cluster: closing'),
      internal('closes', 'cluster: closes'),
      keyed('keyed', 'envoy.hashable_string'),
      keyed('unkeyed', 'envoy.string'),
      {
        name: 'knows',
        internal_listener: {},
        filter_chains: [{ name: 'knows', filters: [hcm('knows', KNOWS)] }],
      },
      tcpListener('encrypting', 'cluster: encrypting'),
      internal('encrypted', 'cluster: echo', {
        filter_chains: [{ ...chain('encrypted', 'cluster: echo'), transport_socket: downstreamTls(SERVER_TLS) }],
      }),
      httpListener('main', { routes: '[{match: {prefix: /}, route: {cluster: http}}]' }),
      {
        name: 'http_inner',
        internal_listener: {},
        filter_chains: [
          { name: 'http', filters: [hcm('http_inner', { routes: '[{match: {prefix: /}, route: {cluster: a}}]' })] },
        ],
      },
      internal('choosy', 'cluster: echo', {
        ...ORIGINAL_DST,
        filter_chains: [
          { ...chain('by-port', 'cluster: echo'), filter_chain_match: { destination_port: 8080 } },
          {
            ...chain('by-range', 'cluster: sink'),
            filter_chain_match: { prefix_ranges: [{ address_prefix: '10.1.0.0', prefix_len: 16 }] },
          },
        ],
      }),
      tcpListener('chosen', `cluster: choosy\n${LOG}`, '', [ADDRESSES]),
      tcpListener('unchosen', `cluster: choosy\n${LOG}`),
    ],
    [
      toInternal(
        'hop',
        'inner',
        `metadata: {filter_metadata: {cluster.md: {c: d}}}
${transport('{kind: {host: {}}, name: host.md}, {kind: {cluster: {}}, name: cluster.md}, {kind: {host: {}}, name: absent}, {kind: {host: {}}, name: envoy.filters.listener.original_dst}')}`,
        'one/two:3',
        {
          filter_metadata: { 'host.md': { a: 'b' }, 'envoy.filters.listener.original_dst': { local: '10.9.8.7:4242' } },
        },
      ),
      toInternal('last', 'innermost', transport()),
      toInternal('plain', 'innermost'),
      toInternal('nobody', 'nowhere', transport(), 'x'),
      toInternal('sinking', 'sinks', transport()),
      toInternal('resetting', 'resets', transport()),
      toInternal('closing', 'closes', transport()),
      toInternal('keyed', 'knows', transport()),
      toInternal('unkeyed', 'knows', transport()),
      toInternal('encrypting', 'encrypted', TLS_TRANSPORT),
      toInternal('http', 'http_inner', transport()),
      toInternal('choosy', 'choosy', transport()),
      cluster('echo', 'echo'),
      cluster('sink', 'sink'),
      cluster('resets', 'resets'),
      cluster('closes', 'closes'),
      cluster('a', 'a'),
    ],
    `bootstrap_extensions:
- name: envoy.bootstrap.internal_listener
  typed_config: {"@type": type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener, buffer_size_kb: 64}`,
  ),
  scenarios: [
    scenario('two-hops', 'Metadata and filter state go as far as they are shared', both('hops'), [], {
      ...STATS('inner', 'innermost'),
      logLines: 3,
      unordered: true,
    }),
    scenario('plain', 'Without the transport socket bytes pass, and nothing else', both('plain'), [], {
      ...STATS('innermost'),
      logLines: 2,
      unordered: true,
    }),
    scenario('nobody', 'There is no such listener', tcp('nobody', [{ closed: true }]), [], { ...STATS(), logLines: 1 }),
    scenario('addresses', 'Filter state says between whom the connection is', both('addresses'), [], {
      logLines: 3,
      unordered: true,
    }),
    scenario(
      'large',
      '400 KB both ways',
      tcp('plain', ['x'.repeat(400_000), { bytes: 400_000 }, { end: true }, { closed: true }]),
      [],
      {
        logLines: 2,
        unordered: true,
      },
    ),
    scenario(
      'half-close',
      'A half-closed client is still answered',
      tcp('sinking', ['hello', { end: true }, { closed: true }]),
      [],
      {
        logLines: 2,
        unordered: true,
      },
    ),
    scenario('client-resets', 'A reset goes all the way', tcp('plain', ['abcd', { bytes: 4 }, { reset: true }]), [], {
      logLines: 2,
      unordered: true,
    }),
    scenario('upstream-resets', 'A reset comes all the way', tcp('resetting', ['abcd', { closed: true }]), [], {
      logLines: 2,
      unordered: true,
    }),
    scenario(
      'pools-by-state',
      'Requests with different hashable state have connections of their own',
      [who('keyed', 'one'), who('keyed', 'two'), who('keyed', 'one')],
      [],
      { stats: ['^cluster\\.keyed\\.upstream_(cx|rq)_total$'], logLines: 6, unordered: true },
    ),
    scenario(
      'pools-whatever-state',
      'Other state comes to the first connection only',
      [who('unkeyed', 'one'), who('unkeyed', 'two')],
      [],
      { stats: ['^cluster\\.unkeyed\\.upstream_(cx|rq)_total$'], logLines: 4, unordered: true },
    ),
    scenario('tls', 'TLS goes through an internal listener, too', both('encrypting'), [], {
      stats: ['^listener\\.envoy_internal_encrypted\\.ssl\\.handshake$', '^cluster\\.encrypting\\.ssl\\.handshake$'],
      logLines: 2,
      unordered: true,
    }),
    scenario('upstream-closes', 'So does the end', tcp('closing', ['abcd', { closed: true }]), [], {
      logLines: 2,
      unordered: true,
    }),
    scenario('http', 'HTTP to an internal listener', get('/x'), [], { logLines: 2, unordered: true }),
    scenario('chosen', 'Filter chains match the addresses that are passed on', both('chosen'), [], {
      ...STATS('choosy'),
      logLines: 2,
      unordered: true,
    }),
    scenario('unchosen', 'No filter chain matches', tcp('unchosen', [{ closed: true }]), [], {
      ...STATS('choosy'),
      logLines: 1,
      unordered: true,
    }),
    scenario('admin-listeners', '/listeners', admin('/listeners', { only: '^(inner|innermost|http_inner)::' })),
    scenario('admin-listeners-json', '/listeners as JSON', admin('/listeners?format=json', { as: 'keys' })),
    scenario(
      'admin-clusters',
      '/clusters',
      admin('/clusters?filter=^(hop|plain)$', { as: 'lines', only: 'hostname|weight|health' }),
    ),
  ],
}

export default group
