import { admin, fields, type Group, get, type Scenario, type Step, scenario } from '../scenario.ts'

/** The admin interface. This group is configured in YAML text, so that the YAML reader is used too. */
const CONFIG = `
node: {id: parity, cluster: parity-cluster, metadata: {a: b}, locality: {region: r, zone: z}}
admin:
  address: {socket_address: {address: 127.0.0.1, port_value: $port(admin)}}
layered_runtime:
  layers:
  - name: static_layer_0
    static_layer: {some: {key: 12, text: hello}, flag: true}
  - name: admin
    admin_layer: {}
static_resources:
  secrets:
  - name: server_cert
    tls_certificate: {certificate_chain: {filename: $cert(server.pem)}, private_key: {filename: $cert(server.key)}}
  listeners:
  - name: main
    address:
      socket_address: {address: 127.0.0.1, port_value: $port(main)}
    filter_chains:
    - filters: &hcm
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: main
          route_config:
            name: local_route
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                route: {cluster: a}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  - name: secure
    address: {socket_address: {address: 127.0.0.1, port_value: $port(secure)}}
    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context: {tls_certificate_sds_secret_configs: [{name: server_cert}], validation_context: {trusted_ca: {filename: $cert(ca.pem)}}}
      filters: *hcm
  clusters:
  - name: a
    type: STATIC
    connect_timeout: 1s
    outlier_detection: {consecutive_5xx: 50}
    circuit_breakers: {thresholds: [{max_connections: 11, max_requests: 12, track_remaining: true}, {priority: HIGH, max_retries: 7}]}
    load_assignment:
      cluster_name: a
      endpoints:
      - locality: {region: r1, zone: z1, sub_zone: s1}
        lb_endpoints:
        - endpoint: {hostname: a.lab, address: {socket_address: {address: 127.0.0.1, port_value: $port(a)}}}
          load_balancing_weight: 3
          metadata: {filter_metadata: {envoy.lb: {canary: true}}}
      - priority: 1
        lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: $port(nobody)}}}
          health_status: DRAINING
  - name: empty
    type: STATIC
    load_assignment: {cluster_name: empty}
`
const one = (name: string, doc: string, ...steps: Step[]): Scenario => scenario(name, doc, steps, [], { log: false })
const text = (path: string, only?: string) => admin(path, only === undefined ? {} : { only })
const post = (path: string, body = '') => admin(path, { method: 'POST', body })
const json = (path: string) => admin(path, { as: 'json' })

const group: Group = {
  name: 'admin',
  upstreams: { a: { kind: 'http1' } },
  config: CONFIG,
  scenarios: [
    one('ready', '/ready', text('/ready'), admin('/ready', { method: 'DELETE' })),
    one('help', '/help lists every handler', text('/help')),
    one('home', '/ is a page', admin('/', { as: 'none' })),
    one(
      'unknown',
      'An unknown path is 404 with the help',
      text('/nothing', '^(invalid|admin)'),
      text('/stats/', '^(invalid|admin)'),
      text('/Stats', '^(invalid|admin)'),
    ),
    one('slashes', 'Slashes are merged', text('//ready')),
    one(
      'method',
      'GET of a handler that changes state',
      ...[
        '/quitquitquit',
        '/logging',
        '/reset_counters',
        '/healthcheck/fail',
        '/healthcheck/ok',
        '/drain_listeners',
        '/runtime_modify',
        '/cpuprofiler',
        '/heapprofiler',
        '/reopen_logs',
      ].map(path => text(path)),
      admin('/reset_counters', { method: 'PUT' }),
    ),
    one('post-reader', 'POST of a handler that only reads', post('/ready'), post('/hot_restart_version')),
    one('server-info', '/server_info: its fields', admin('/server_info', { as: 'keys' })),
    one('hot-restart-version', '/hot_restart_version', text('/hot_restart_version')),
    one('listeners', '/listeners', text('/listeners'), json('/listeners?format=json'), text('/listeners?format=zzz')),
    one('clusters-text', '/clusters', admin('/clusters', { as: 'lines', only: '^(a|empty)::' })),
    one('clusters-json', '/clusters?format=json', json('/clusters?format=json')),
    one(
      'clusters-filter',
      '/clusters?filter',
      admin('/clusters?filter=^emp', { as: 'lines' }),
      admin('/clusters?filter=zzz', { as: 'lines' }),
    ),
    one(
      'clusters-after-traffic',
      '/clusters after a request',
      get('/x'),
      admin('/clusters', { as: 'lines', only: '^a::127.*::(rq_|health|weight|region|zone|canary|priority|hostname)' }),
    ),
    one('certs', '/certs', json('/certs')),
    one(
      'days-until-expiry',
      'Certificates count in server.days_until_first_cert_expiring, which has a great value without any',
      admin('/stats?filter=days_until_first_cert_expiring', { as: 'text', only: '4294967295' }),
    ),
    one('config-dump', '/config_dump: sections and keys', admin('/config_dump', { as: 'keys' })),
    one(
      'config-dump-bootstrap',
      '/config_dump?resource=bootstrap',
      admin('/config_dump?resource=bootstrap', { as: 'text' }),
    ),
    one('config-dump-clusters', '/config_dump?resource=static_clusters', json('/config_dump?resource=static_clusters')),
    one(
      'config-dump-routes',
      '/config_dump?resource=static_route_configs',
      json('/config_dump?resource=static_route_configs'),
    ),
    one(
      'config-dump-listeners',
      '/config_dump?resource=static_listeners',
      json('/config_dump?resource=static_listeners&name_regex=main'),
    ),
    one(
      'config-dump-secrets',
      '/config_dump?resource=static_secrets hides keys',
      json('/config_dump?resource=static_secrets'),
    ),
    one(
      'config-dump-mask',
      '/config_dump with a mask',
      json('/config_dump?resource=static_clusters&mask=cluster.name,cluster.type'),
    ),
    one('config-dump-unknown', '/config_dump of an unknown resource', text('/config_dump?resource=nope')),
    one('config-dump-eds', '/config_dump?include_eds', admin('/config_dump?include_eds', { as: 'keys' })),
    one('init-dump', '/init_dump', text('/init_dump')),
    one('runtime', '/runtime', json('/runtime')),
    one(
      'runtime-modify',
      '/runtime_modify',
      post('/runtime_modify?added=1'),
      json('/runtime'),
      post('/runtime_modify?added='),
      post('/runtime_modify'),
      json('/runtime'),
    ),
    one(
      'logging',
      '/logging: levels',
      admin('/logging', { method: 'POST', as: 'text', only: '^(active|  (admin|http|main|router|upstream):)' }),
      admin('/logging?http=debug', { method: 'POST', as: 'text', only: '^  (http|main):' }),
      admin('/logging?level=warning', { method: 'POST', as: 'text', only: '^  (http|main):' }),
      admin('/logging?level=loud', { method: 'POST', as: 'text', only: '^(error|usage)' }),
      admin('/logging?nope=info', { method: 'POST', as: 'text', only: '^(error|usage)' }),
      admin('/logging?a=b&c=d', { method: 'POST', as: 'text', only: '^(error|usage)' }),
    ),
    one(
      'logging-paths',
      '/logging?paths',
      admin('/logging?paths=http:info,admin:error', { method: 'POST', as: 'text', only: '^(error|  (http|admin):)' }),
      admin('/logging?level=warning', { method: 'POST', as: 'none' }),
    ),
    one(
      'healthcheck',
      '/healthcheck/fail and ok',
      post('/healthcheck/fail'),
      text('/ready'),
      get('/x'),
      post('/healthcheck/ok'),
      text('/ready'),
      get('/x'),
    ),
    one(
      'reset-counters',
      '/reset_counters',
      get('/x'),
      post('/reset_counters'),
      text('/stats?filter=^cluster\\.a\\.upstream_rq_(total|200|2xx|active)$'),
    ),
    scenario(
      'http2',
      'HTTP/2 by prior knowledge: several requests at once, a body both ways, an unknown path, a wrong method',
      {
        kind: 'h2',
        listener: 'admin',
        streams: [
          { fields: fields('/ready') },
          { fields: fields('/stats?filter=^server\\.live$') },
          { fields: fields('/runtime_modify', { ':method': 'POST', 'content-length': '7' }), body: 'foo=bar' },
          { fields: fields('/quitquitquit') },
          { fields: fields('/hot_restart_version') },
        ],
      },
      [],
      { log: false, stats: ['^http\\.admin\\.downstream_(cx|rq)_http2_total$'] },
    ),
    one('reopen-logs', '/reopen_logs', post('/reopen_logs')),
    one('memory', '/memory: its fields', admin('/memory', { as: 'keys' })),
    one('contention', '/contention', text('/contention')),
    one(
      'profilers',
      'Profilers without parameters',
      post('/cpuprofiler'),
      post('/heapprofiler'),
      post('/allocprofiler'),
    ),
    one('recent-lookups', '/stats/recentlookups', admin('/stats/recentlookups', { only: '^Lookup' })),
    one(
      'stats-filter',
      '/stats?filter',
      get('/x'),
      text('/stats?filter=^cluster\\.a\\.(circuit_breakers|membership|lb_|bind|assign)'),
      text('/stats?filter=zzz'),
      text('/stats?filter=('),
    ),
    one(
      'stats-types',
      '/stats?type',
      text('/stats?type=Gauges&filter=^cluster\\.a\\.member'),
      text('/stats?type=TextReadouts'),
      text('/stats?type=bogus'),
    ),
    one(
      'stats-json',
      '/stats?format=json',
      text('/stats?format=json&filter=^cluster\\.a\\.member'),
      text('/stats?format=json&filter=zzz'),
    ),
    one('stats-unknown-format', '/stats with an unknown format', text('/stats?format=xyz')),
    one(
      'stats-histogram-empty',
      'A histogram without values',
      text('/stats?filter=^cluster\\.empty\\.upstream_cx_length_ms$'),
      text('/stats?type=Histograms&filter=^cluster\\.empty\\.'),
    ),
    one('stats-histogram-buckets', 'histogram_buckets is checked', text('/stats?histogram_buckets=nope')),
    one('stats-invert', 'invert_filter', text('/stats?filter=.&invert_filter')),
    one(
      'prometheus',
      '/stats/prometheus of a cluster',
      text('/stats/prometheus?filter=^cluster\\.a\\.(membership|circuit_breakers|lb_healthy|upstream_rq_active)'),
    ),
    one(
      'prometheus-used-only',
      '/stats/prometheus?usedonly',
      text('/stats/prometheus?usedonly&filter=^cluster\\.empty\\.(membership|lb_)'),
    ),
    one(
      'prometheus-histogram',
      'A histogram in Prometheus form without values',
      text('/stats/prometheus?filter=^cluster\\.empty\\.upstream_cx_length_ms'),
    ),
    one('http10-admin', 'Admin over a raw connection', {
      kind: 'http1',
      listener: 'admin',
      actions: ['GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'],
      responses: 1,
      methods: [],
    }),
    one('raw-head', 'HEAD on the admin port', {
      kind: 'http1',
      listener: 'admin',
      actions: ['HEAD /ready HTTP/1.1\r\nHost: x\r\n\r\n'],
      responses: 1,
      methods: ['HEAD'],
    }),
    one('raw-bad', 'A bad request on the admin port', {
      kind: 'http1',
      listener: 'admin',
      actions: ['FOO /ready HTTP/1.1\r\nHost: x\r\n\r\n'],
      responses: 1,
      methods: [],
    }),
    one('raw-http10', 'HTTP/1.0 on the admin port', {
      kind: 'http1',
      listener: 'admin',
      actions: ['GET /ready HTTP/1.0\r\n\r\n'],
      responses: 1,
      methods: [],
    }),
    one(
      'drain-listeners',
      '/drain_listeners closes the listening sockets',
      post('/drain_listeners'),
      { kind: 'wait', ms: 100 },
      get('/x'),
      text('/ready'),
    ),
  ],
}

export default group
