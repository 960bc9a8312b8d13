import { bootstrap, cluster, httpListener, tcpListener } from '../configs/builder.ts'
import { type Group, get, scenario, tcp, together } from '../scenario.ts'

/** How many connections the process and a listener take: the ones too many are closed unread, and counted. */
const holds = (listener: string) => tcp(listener, ['a', { bytes: 1 }, { wait: 400 }, { end: true }, { closed: true }])
const refused = (listener: string) => tcp(listener, [{ closed: true }])
const stats = {
  stats: [
    '^listener\\.127.*\\.downstream_(global_cx_overflow|cx_overflow|cx_total|cx_active)$',
    '^overload\\.envoy\\.resource_monitors.*pressure',
  ],
  log: false,
  upstream: false,
}

const connections: Group = {
  name: 'limits',
  upstreams: { echo: { kind: 'tcp' } },
  config: bootstrap(
    [
      tcpListener('one', 'cluster: echo'),
      tcpListener('two', 'cluster: echo'),
      tcpListener('free', 'cluster: echo', 'ignore_global_conn_limit: true'),
    ],
    [cluster('echo', 'echo')],
    `
overload_manager:
  resource_monitors:
  - name: envoy.resource_monitors.global_downstream_max_connections
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig
      max_active_downstream_connections: 2
layered_runtime:
  layers:
  - {name: static, static_layer: {envoy.resource_limits.listener.two.connection_limit: 1}}
`,
  ),
  scenarios: [
    scenario(
      'process',
      'global_downstream_max_connections holds over all listeners but those that ignore it',
      together(holds('one'), holds('two'), [150, refused('one')], [150, holds('free')]),
      [],
      stats,
    ),
    scenario(
      'listener',
      'connection_limit of a listener; what was taken is given back',
      [together(holds('two'), [150, refused('two')]), holds('two')],
      [],
      stats,
    ),
  ],
}

/** max_connection_pools, where each client has pools of its own. */
const pools: Group = {
  name: 'pool-limits',
  upstreams: { a: { kind: 'http1' } },
  config: bootstrap(
    [httpListener('main', { routes: '[{match: {prefix: /}, route: {cluster: a}}]' })],
    [
      cluster(
        'a',
        'a',
        'connection_pool_per_downstream_connection: true\ncircuit_breakers: {thresholds: [{max_connection_pools: 1}]}',
      ),
    ],
  ),
  scenarios: [
    scenario(
      'idle',
      'A pool whose connections are gone makes room for another',
      [get('/1', { up: 'connclose' }), get('/2', { up: 'connclose' }), get('/3', { up: 'connclose' })],
      [],
      { stats: ['^cluster\\.a\\.upstream_cx_pool_overflow'] },
    ),
  ],
}

export default [connections, pools]
