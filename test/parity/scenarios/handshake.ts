import { bootstrap, cluster, downstreamTls, fileLog, httpListener, tcpListener, typed } from '../configs/builder.ts'
import { type Group, get, type Step, scenario, tcp, together } from '../scenario.ts'

/** Network filters begin before the TLS handshake: what they count and log of connections whose handshake fails. */
const CERT =
  'tls_certificates: [{certificate_chain: {filename: $cert(server.pem)}, private_key: {filename: $cert(server.key)}}]'
const TLS = downstreamTls(`common_tls_context: {${CERT}}`)
const MTLS = downstreamTls(
  `require_client_certificate: true\ncommon_tls_context: {${CERT}, validation_context: {trusted_ca: {filename: $cert(ca.pem)}}}`,
)
const ROUTES = '[{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: ok}}}]'

const LISTENER_LOG =
  'listener flags=%RESPONSE_FLAGS% cluster=%UPSTREAM_CLUSTER% host=%UPSTREAM_HOST% fail=%DOWNSTREAM_TRANSPORT_FAILURE_REASON%\n'

type Json = Record<string, unknown>

function secured(listener: Json, transport: Json, chain: Json = {}): Json {
  const [first] = listener['filter_chains'] as Json[]
  return { ...listener, filter_chains: [{ ...first, transport_socket: transport, ...chain }] }
}

const limit = (delay: Json): Json =>
  typed(
    'envoy.filters.network.connection_limit',
    'envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit',
    {
      stat_prefix: 'limit',
      max_connections: 1,
      ...delay,
    },
  )
const direct = typed('direct', 'envoy.extensions.filters.network.direct_response.v3.Config', {
  response: { inline_string: 'hello' },
})

const stats = (name: string, logLines = 0) => ({
  stats: [
    `^http\\.${name}\\.downstream_cx_(total|active|destroy|destroy_local|destroy_remote|ssl_total|ssl_active)$`,
    `^tcp\\.${name}\\.downstream_cx_`,
    `^listener\\.127.*\\.(downstream_cx_(total|active|destroy|transport.*)|ssl\\.(handshake|connection_error|no_certificate|fail_verify_no_cert))$`,
    '^cluster\\.(echo|dead)\\.upstream_cx_(total|active|destroy_local|connect_fail)$',
    '^connection_limit\\.',
  ],
  logLines,
  // Whether the upstream sees a connection before it ends is a race.
  upstream: false,
})

/** Says nothing and leaves. */
const leaves = (listener: string): Step => tcp(listener, [{ wait: 150 }, { end: true }, { closed: true }])
const silent = (listener: string): Step => tcp(listener, [{ closed: true }])
const PLAIN = { sni: 'lab.test' }

const group: Group = {
  name: 'handshake',
  upstreams: { echo: { kind: 'tcp' } },
  config: bootstrap(
    [
      secured(httpListener('http', { routes: ROUTES }), TLS),
      secured(httpListener('mutual', { routes: ROUTES }), MTLS),
      secured(httpListener('late', { routes: ROUTES }), TLS, { transport_socket_connect_timeout: '0.3s' }),
      secured(tcpListener('tcp', 'cluster: echo'), TLS),
      secured(tcpListener('tcpmutual', 'cluster: echo'), MTLS),
      secured(tcpListener('tcplate', 'cluster: echo'), TLS, { transport_socket_connect_timeout: '0.3s' }),
      secured(tcpListener('tcpdead', 'cluster: dead'), TLS),
      secured(tcpListener('logged', 'cluster: dead', `access_log: [${JSON.stringify(fileLog(LISTENER_LOG))}]`), TLS),
      secured(tcpListener('limited', 'cluster: echo', '', [limit({})]), TLS),
      secured({ ...tcpListener('direct', 'cluster: echo'), filter_chains: [{ filters: [direct] }] }, TLS),
    ],
    [cluster('echo', 'echo'), cluster('dead', 'nobody')],
  ),
  scenarios: [
    scenario('http', 'A handshake that succeeds', get('/', { listener: 'http', tls: PLAIN }), [], stats('http')),
    scenario('http-leaves', 'A client that leaves before it says anything', leaves('http'), [], stats('http')),
    scenario(
      'http-no-certificate',
      'A client without the certificate that is required',
      get('/', { listener: 'mutual', tls: { ...PLAIN, maxVersion: 'TLSv1.2' } }),
      [],
      stats('mutual'),
    ),
    scenario(
      'http-timeout',
      'transport_socket_connect_timeout closes from this side',
      silent('late'),
      [],
      stats('late'),
    ),
    scenario(
      'tcp-leaves',
      'tcp_proxy has connected by the time that the client leaves, and logs it',
      leaves('tcp'),
      [],
      stats('tcp', 1),
    ),
    scenario(
      'tcp-no-certificate',
      'tcp_proxy and a client without a certificate',
      tcp('tcpmutual', ['hi', { closed: true }], { tls: { ...PLAIN, maxVersion: 'TLSv1.2' } }),
      [],
      stats('tcpmutual', 1),
    ),
    scenario('tcp-timeout', 'tcp_proxy and a silent client', silent('tcplate'), [], stats('tcplate', 1)),
    scenario(
      'tcp-dead-upstream',
      'Without an upstream there is no handshake',
      silent('tcpdead'),
      [],
      stats('tcpdead', 1),
    ),
    scenario(
      'listener-log',
      "The listener's own log knows what tcp_proxy found out about the connection",
      silent('logged'),
      [],
      { ...stats('logged', 2), unordered: true },
    ),
    scenario(
      'connection-limit',
      'A connection counts for connection_limit from its beginning, not from its handshake',
      together(tcp('limited', [{ wait: 500 }, { end: true }, { closed: true }]), [200, silent('limited')]),
      [],
      stats('limited', 2),
    ),
    scenario(
      'direct-response',
      'What is written before the handshake and closed is never sent',
      silent('direct'),
      [],
      stats('direct'),
    ),
  ],
}

export default group
