import { bootstrap, cluster, downstreamTls, H2_UPSTREAM, httpListener, tcpListener, typed } from '../configs/builder.ts'
import { type Group, get, h2, type Scenario, type Step, scenario, tcp } from '../scenario.ts'

/** Entries that gRPC access loggers send to an access log service. */
const PACKAGE = 'envoy.extensions.access_loggers.grpc.v3'
const ROUTES = `
- {match: {prefix: /up}, name: the_route, route: {cluster: a}}
- {match: {prefix: /trailers}, route: {cluster: service}}
- {match: {prefix: /rewritten}, route: {cluster: a, prefix_rewrite: /other}}
- {match: {prefix: /retried}, route: {cluster: a, retry_policy: {retry_on: 5xx, num_retries: 2, retry_back_off: {base_interval: 0.001s}}}}
- {match: {prefix: /refused}, route: {cluster: closed}}
- {match: {prefix: /nowhere}, route: {cluster: none}}
- {match: {prefix: /slow}, route: {cluster: a, timeout: 0.1s}}
- {match: {prefix: /direct}, direct_response: {status: 200, body: {inline_string: "hi"}}, metadata: {filter_metadata: {lab: {n: 5}}}}
`
const als = (
  kind: 'Http' | 'Tcp',
  name: string,
  {
    common = '',
    more = '',
    to = 'service',
    up = 'hang',
  }: { common?: string; more?: string; to?: string; up?: string } = {},
) =>
  typed(
    'als',
    `${PACKAGE}.${kind}GrpcAccessLogConfig`,
    `
common_config:
  log_name: ${name}
  transport_api_version: V3
  buffer_flush_interval: 0.1s
  grpc_service: {envoy_grpc: {cluster_name: ${to}}, initial_metadata: [{key: x-up, value: "${up}"}]}
  ${common}
${more}`,
  )
const http = (name: string, options: Parameters<typeof als>[2] = {}, extra: object = {}) =>
  httpListener(name, {
    // Its digits would be counted.
    router: 'suppress_envoy_headers: true',
    routes: ROUTES,
    routeConfig: 'validate_clusters: false',
    hcm: `access_log: [${JSON.stringify(als('Http', name, options))}]`,
    ...extra,
  })
const onTcp = (name: string, kind: 'Http' | 'Tcp') =>
  tcpListener(name, `{cluster: echo, access_log: [${JSON.stringify(als(kind, name))}]}`)
const HEADERS = `
additional_request_headers_to_log: [X-A, x-none, user-agent, x-multi, ":path"]
additional_response_headers_to_log: [x-upstream, content-type]
additional_response_trailers_to_log: [x-trail]`
const STATE = typed(
  'state',
  'envoy.extensions.filters.http.set_filter_state.v3.Config',
  '{on_request_headers: [{object_key: one, factory_key: envoy.string, format_string: {text_format_source: {inline_string: "V %REQ(:path)%"}}}]}',
)
const TAGS = `custom_tags:
  - {tag: literal, literal: {value: L}}
  - {tag: environment, environment: {name: PARITY_NONE, default_value: none}}
  - {tag: unset, environment: {name: PARITY_NONE}}
  - {tag: header, request_header: {name: x-h, default_value: none}}
  - {tag: missing, request_header: {name: x-none}}
  - {tag: metadata, metadata: {kind: {route: {}}, metadata_key: {key: lab, path: [{key: n}]}}}
  - {tag: format, value: "v %PROTOCOL% %REQ(x-none)%"}
  - {tag: empty, value: "%REQ(x-none)%"}
  - {tag: literal, literal: {value: second}}`
const TLS = downstreamTls(
  'common_tls_context: {tls_certificates: [{certificate_chain: {filename: $cert(server.pem)}, private_key: {filename: $cert(server.key)}}], validation_context: {trusted_ca: {filename: $cert(ca.pem)}}}',
)

/** After the flush. */
const flushed: Step = { kind: 'wait', ms: 250 }
const STATS = { stats: ['^access_logs\\.grpc_access_log\\.'] }
const sent = (name: string, doc: string, steps: readonly Step[], more: object = {}): Scenario =>
  scenario(name, doc, [...steps, flushed], [], { ...STATS, ...more })

const group: Group = {
  name: 'als',
  upstreams: { a: { kind: 'http1' }, h2: { kind: 'h2' }, echo: { kind: 'tcp' } },
  config: bootstrap(
    [
      http('plain', {}, { filters: [] }),
      http('local'),
      http('rewritten'),
      http('headers', { more: HEADERS }),
      http('trailers', { more: HEADERS }),
      http('slow'),
      http('retries'),
      http('flags'),
      http('state', { common: 'filter_state_objects_to_log: [one, none]' }, { filters: [STATE] }),
      http('tags', { common: TAGS }),
      http('stream'),
      http('secure', {}, { transport: TLS }),
      http('full', { common: 'buffer_size_bytes: 1' }),
      http('ends', { up: 'early,tonly:12' }),
      http('dead', { to: 'closed' }),
      onTcp('tcp', 'Tcp'),
      onTcp('httpontcp', 'Http'),
      httpListener('tcponhttp', {
        router: 'suppress_envoy_headers: true',
        routes: ROUTES,
        routeConfig: 'validate_clusters: false',
        hcm: `access_log: [${JSON.stringify(als('Tcp', 'tcponhttp'))}]`,
      }),
    ],
    [
      cluster('a', 'a'),
      cluster('service', 'h2', H2_UPSTREAM),
      cluster('echo', 'echo'),
      cluster('closed', 'nobody', H2_UPSTREAM),
    ],
  ),
  scenarios: [
    sent('plain', 'A request that went upstream', [
      get('/up?a=b', {
        listener: 'plain',
        method: 'POST',
        body: 'hello',
        headers: ['referer: ref', 'user-agent: ua', 'x-forwarded-for: 1.2.3.4'],
      }),
    ]),
    sent('local', 'Replies of the proxy itself', [
      get('/direct', { listener: 'local' }),
      get('/direct', { listener: 'local', method: 'ODD' }),
      get('/direct', { listener: 'local', headers: ['content-type: application/grpc'] }),
    ]),
    sent('rewritten', 'HTTP/2, and a path that was changed', [h2('/rewritten', {}, 'rewritten')]),
    sent('headers', 'Headers that are wanted besides', [
      get('/up', {
        listener: 'headers',
        headers: ['x-a: \xe9A\xc3\xa9\xc3', 'x-multi: 1', 'x-multi: 2', 'user-agent: u'],
      }),
    ]),
    sent('trailers', 'Trailers that are wanted', [h2('/trailers', { 'x-up': 'trailer:x-trail=t' }, 'trailers')]),
    sent('retries', 'A request that was tried twice', [get('/retried', { listener: 'retries', up: 'status:503|ok' })]),
    sent(
      'flags',
      'Response flags',
      ['/refused', '/nowhere', '/none'].map(path => get(path, { listener: 'flags' })),
    ),
    sent('slow', 'A request whose upstream does not answer', [get('/slow', { listener: 'slow', up: 'hang' })]),
    sent('state', 'Filter state objects', [get('/direct', { listener: 'state' })]),
    sent('tags', 'Custom tags: of two with one name the last counts', [
      get('/direct', { listener: 'tags', headers: ['x-h: H'] }),
    ]),
    sent('stream', 'One stream for all messages, which says only once who sends', [
      get('/direct', { listener: 'stream' }),
      flushed,
      get('/direct', { listener: 'stream' }),
    ]),
    sent('secure', 'TLS with a client certificate', [
      get('/direct', { listener: 'secure', tls: { certificate: 'client', sni: 'lab.test' } }),
    ]),
    sent('full', 'A buffer that every entry fills', [get('/direct', { listener: 'full' })]),
    sent('ends', 'A service that ends the stream gets a new one', [
      get('/direct', { listener: 'ends' }),
      flushed,
      get('/direct', { listener: 'ends' }),
    ]),
    sent('dead', 'A service that refuses connections', [get('/direct', { listener: 'dead' })]),
    sent('tcp', 'A TCP connection', [tcp('tcp', ['ping', { bytes: 4 }, { end: true }, { closed: true }])]),
    sent('http-on-tcp', 'The logger for requests on a TCP connection', [
      tcp('httpontcp', ['ping', { bytes: 4 }, { end: true }, { closed: true }]),
    ]),
    sent('tcp-on-http', 'The logger for connections on requests', [get('/direct', { listener: 'tcponhttp' })]),
  ],
}

export default group
