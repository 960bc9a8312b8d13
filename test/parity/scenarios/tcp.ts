import { bootstrap, cluster, tcpListener, typed } from '../configs/builder.ts'
import { type Group, scenario, tcp } from '../scenario.ts'

/** tcp_proxy. */
const send = (listener: string, text: string, answer: number) =>
  tcp(listener, [text, { bytes: answer }, { end: true }, { closed: true }])
const stats = (name: string) => ({
  stats: [
    `^tcp\\.${name}\\.`,
    `^cluster\\.${name}\\.upstream_cx_(total|connect_fail|connect_attempts_exceeded|none_healthy|rx|tx|destroy)`,
  ],
  logLines: 1,
})
const RBAC = (rules: string) =>
  typed(
    'envoy.filters.network.rbac',
    'envoy.extensions.filters.network.rbac.v3.RBAC',
    `stat_prefix: r\nrules: ${rules}`,
  )

const group: Group = {
  name: 'tcp',
  upstreams: {
    echo: { kind: 'tcp' },
    greet: { kind: 'tcp', script: 'greet' },
    sink: { kind: 'tcp', script: 'sink' },
    closes: { kind: 'tcp', script: 'closeafter:4' },
    resets: { kind: 'tcp', script: 'rst' },
    leaves: { kind: 'tcp', script: 'closenow' },
    silent: { kind: 'tcp', script: 'silent' },
    hole: { kind: 'blackhole' },
  },
  config: bootstrap(
    [
      tcpListener('techo', 'cluster: echo'),
      tcpListener('tgreet', 'cluster: greet'),
      tcpListener('tsink', 'cluster: sink'),
      tcpListener('tcloses', 'cluster: closes'),
      tcpListener('tresets', 'cluster: resets'),
      tcpListener('tleaves', 'cluster: leaves'),
      tcpListener('tidle', 'cluster: silent\nidle_timeout: 0.15s'),
      tcpListener('tmaxdur', 'cluster: silent\nmax_downstream_connection_duration: 0.15s'),
      tcpListener('tdead', 'cluster: dead'),
      tcpListener('tdead3', 'cluster: dead\nmax_connect_attempts: 3'),
      tcpListener('thole', 'cluster: hole'),
      tcpListener('tempty', 'cluster: empty'),
      tcpListener('tnone', 'cluster: nowhere'),
      tcpListener('tlimit', 'cluster: limited'),
      tcpListener('tweighted', 'weighted_clusters: {clusters: [{name: echo, weight: 1}]}'),
      tcpListener('trbac', 'cluster: echo', '', [
        RBAC('{action: DENY, policies: {all: {permissions: [{any: true}], principals: [{any: true}]}}}'),
      ]),
      tcpListener('trbacok', 'cluster: echo', '', [
        RBAC(
          '{action: ALLOW, policies: {all: {permissions: [{any: true}], principals: [{direct_remote_ip: {address_prefix: 127.0.0.1, prefix_len: 32}}]}}}',
        ),
      ]),
      tcpListener(
        'tproxyproto',
        'cluster: echo',
        'listener_filters: [{name: envoy.filters.listener.proxy_protocol, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol}}]',
      ),
      tcpListener('tconnlimit', 'cluster: echo', '', [
        typed(
          'envoy.filters.network.connection_limit',
          'envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit',
          'stat_prefix: cl\nmax_connections: 1',
        ),
      ]),
      tcpListener('tratelimit', 'cluster: echo', '', [
        typed(
          'envoy.filters.network.local_ratelimit',
          'envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit',
          'stat_prefix: lrl\ntoken_bucket: {max_tokens: 1, tokens_per_fill: 1, fill_interval: 3600s}',
        ),
      ]),
      tcpListener(
        'techofilter',
        'cluster: echo',
        `filter_chains: [{filters: [{name: envoy.filters.network.echo, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}]}]`,
      ),
      tcpListener(
        'tdirect',
        'cluster: echo',
        `filter_chains: [{filters: [{name: envoy.filters.network.direct_response, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config, response: {inline_string: "bye"}}}]}]`,
      ),
    ],
    [
      cluster('echo', 'echo'),
      cluster('greet', 'greet'),
      cluster('sink', 'sink'),
      cluster('closes', 'closes'),
      cluster('resets', 'resets'),
      cluster('leaves', 'leaves'),
      cluster('silent', 'silent'),
      cluster('dead', 'nobody'),
      cluster('empty', []),
      cluster('hole', 'hole', 'connect_timeout: 0.15s'),
      cluster('limited', 'echo', 'circuit_breakers: {thresholds: [{max_connections: 0}]}'),
    ],
  ),
  scenarios: [
    scenario('echo', 'Bytes both ways', send('techo', 'hello', 5), [], {
      stats: ['^tcp\\.techo\\.', '^cluster\\.echo\\.upstream_cx_(total|active|destroy|rx|tx)'],
      logLines: 1,
    }),
    scenario('weighted', 'weighted_clusters', send('tweighted', 'hello', 5), [], { logLines: 1 }),
    scenario('echo-large', '200 KB both ways', send('techo', 'x'.repeat(200_000), 200_000), [], { logLines: 1 }),
    scenario(
      'greeting',
      'The server speaks first',
      tcp('tgreet', [{ bytes: 17 }, 'hi', { bytes: 19 }, { end: true }, { closed: true }]),
      [],
      { logLines: 1 },
    ),
    scenario(
      'half-close',
      'The client half-closes, the server still answers',
      tcp('tsink', ['hello', { end: true }, { closed: true }]),
      [],
      { logLines: 1 },
    ),
    scenario('upstream-closes', 'The server closes after its answer', tcp('tcloses', ['abcd', { closed: true }]), [], {
      logLines: 1,
    }),
    scenario('upstream-resets', 'The server resets', tcp('tresets', ['abcd', { closed: true }]), [], { logLines: 1 }),
    scenario('upstream-leaves', 'The server closes at once', tcp('tleaves', [{ closed: true }]), [], { logLines: 1 }),
    scenario('client-resets', 'The client resets', tcp('techo', ['abcd', { bytes: 4 }, { reset: true }]), [], {
      logLines: 1,
    }),
    scenario('idle', 'idle_timeout', tcp('tidle', ['abcd', { closed: true }]), [], {
      stats: ['^tcp\\.tidle\\.idle_timeout'],
      logLines: 1,
    }),
    scenario('max-duration', 'max_downstream_connection_duration', tcp('tmaxdur', ['abcd', { closed: true }]), [], {
      stats: ['^tcp\\.tmaxdur\\.max_downstream'],
      logLines: 1,
    }),
    scenario('refused', 'Nobody listens', tcp('tdead', [{ closed: true }]), [], stats('dead')),
    scenario('refused-three-times', 'max_connect_attempts', tcp('tdead3', [{ closed: true }]), [], stats('dead')),
    scenario('connect-timeout', 'The connection takes too long', tcp('thole', [{ closed: true }]), [], { logLines: 1 }),
    scenario('no-endpoints', 'A cluster without endpoints', tcp('tempty', [{ closed: true }]), [], {
      logLines: 1,
      stats: ['^cluster\\.empty\\.upstream_cx_none_healthy'],
    }),
    scenario('unknown-cluster', 'A cluster that does not exist', tcp('tnone', [{ closed: true }]), [], {
      logLines: 1,
      stats: ['^tcp\\.tnone\\.downstream_cx_no_route'],
    }),
    scenario('max-connections', 'max_connections: 0', tcp('tlimit', [{ closed: true }]), [], {
      logLines: 1,
      stats: ['^cluster\\.limited\\.upstream_cx_overflow'],
    }),
    scenario('rbac-denied', 'Network RBAC denies', tcp('trbac', ['abcd', { closed: true }]), [], {
      logLines: 1,
      stats: ['^r\\.?rbac'],
    }),
    scenario('rbac-allowed', 'Network RBAC allows', send('trbacok', 'abcd', 4), [], { logLines: 1 }),
    scenario(
      'proxy-protocol',
      'PROXY v1 is read',
      tcp('tproxyproto', [
        'PROXY TCP4 1.2.3.4 127.0.0.1 1000 2000\r\nhello',
        { bytes: 5 },
        { end: true },
        { closed: true },
      ]),
      [],
      { logLines: 1 },
    ),
    scenario(
      'proxy-protocol-missing',
      'No PROXY line',
      tcp('tproxyproto', ['hello, no proxy line at all\r\n', { closed: true }]),
      [],
      { log: false },
    ),
    scenario(
      'connection-limit',
      'connection_limit: the second is closed',
      {
        kind: 'together',
        steps: [
          { after: 0, step: tcp('tconnlimit', ['a', { bytes: 1 }, { wait: 150 }, { end: true }, { closed: true }]) },
          { after: 60, step: tcp('tconnlimit', [{ closed: true }]) },
        ],
      },
      [],
      { logLines: 2, unordered: true, stats: ['^connection_limit\\.cl\\.'] },
    ),
    scenario(
      'rate-limit',
      'local_ratelimit: the second is closed',
      [send('tratelimit', 'a', 1), tcp('tratelimit', [{ closed: true }])],
      [],
      { logLines: 2, stats: ['^local_rate_limit\\.lrl\\.'] },
    ),
    scenario('echo-filter', 'The echo filter', send('techofilter', 'abc', 3), [], { log: false }),
    scenario('direct-response', 'The direct_response filter', tcp('tdirect', [{ closed: true }]), [], { log: false }),
  ],
}

export default group
