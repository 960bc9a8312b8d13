import { bootstrap, cluster, H2_UPSTREAM, httpListener, tcpListener, typed } from '../configs/builder.ts'
import { type Group, get, type Scenario, type Step, scenario, tcp } from '../scenario.ts'

/** OpenTelemetry access logs: what a collector gets, and what is counted when it does not take it. */
const TYPE = 'envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig'
const ROUTES = `
- {match: {prefix: /up}, name: the_route, route: {cluster: a}}
- {match: {prefix: /}, direct_response: {status: 200, body: {inline_string: "hi"}}, metadata: {filter_metadata: {lab: {team: blue, n: 5, b: true, l: [1, x]}}}}
`
/** `up`: what the collector does. Each logger has stats of its own. */
const grpcLog = (name: string, body: string, up = 'message:', more = 'buffer_flush_interval: 0.1s') =>
  typed(
    'otel',
    TYPE,
    `
common_config:
  log_name: ${name}
  transport_api_version: V3
  grpc_service:
    envoy_grpc: {cluster_name: collector}
    initial_metadata: [{key: x-up, value: "${up}"}, {key: x-raw, value: "%PROTOCOL% %HOSTNAME%"}]
  ${more.replace(/^{|}$/g, '').replace(', ', '\n  ')}
stat_prefix: ${name}
${body}`,
  )
const logged = (name: string, log: object) =>
  httpListener(name, { routes: ROUTES, hcm: `access_log: [${JSON.stringify(log)}]` })

const VALUES = `
body: {string_value: "%REQ(:METHOD)% %REQ(x-none)% %REQ(x-utf)% 100%%"}
attributes:
  values:
  - {key: plain, value: {string_value: plain}}
  - {key: code, value: {string_value: "%RESPONSE_CODE%"}}
  - {key: mixed, value: {string_value: "c %RESPONSE_CODE% %REQ(x-none)% %RESPONSE_FLAGS%"}}
  - {key: none, value: {string_value: "%REQ(x-none)%"}}
  - {key: empty, value: {string_value: ""}}
  - {key: cut, value: {string_value: "%REQ(x-long):3%"}}
  - {key: list, value: {array_value: {values: [{string_value: "%PROTOCOL%"}, {array_value: {values: [{string_value: x}]}}, {kvlist_value: {values: [{key: k, value: {string_value: "%REQ(:path)%"}}]}}]}}}
  - {key: map, value: {kvlist_value: {values: [{key: z, value: {string_value: "1"}}, {key: a, value: {string_value: "%ACCESS_LOG_TYPE%"}}]}}}
  - {key: struct, value: {string_value: "%METADATA(ROUTE:lab)%"}}
  - {key: number, value: {string_value: "%METADATA(ROUTE:lab:n)%"}}
  - {key: host, value: {string_value: "%UPSTREAM_HOST% %UPSTREAM_CLUSTER% %ROUTE_NAME%"}}
  - {key: plain, value: {string_value: twice}}`
const RESOURCE = `
resource_attributes:
  values:
  - {key: r, value: {string_value: "%REQ(:path)%"}}
  - {key: cluster_name, value: {string_value: mine}}
  - {key: i, value: {int_value: -9}}
  - {key: b, value: {bool_value: false}}
  - {key: d, value: {double_value: 1.5}}
  - {key: y, value: {bytes_value: AAEC}}
  - {key: l, value: {array_value: {values: [{string_value: x}, {int_value: 0}]}}}
  - {key: m, value: {kvlist_value: {values: [{key: k, value: {string_value: v}}]}}}
  - {key: r, value: {string_value: last}}`
const TAGS = `
body: {string_value: tagged}
attributes: {values: [{key: tag, value: {string_value: own}}]}
custom_tags: [{tag: tag, request_header: {name: x-h}}, {tag: missing, request_header: {name: x-none}}]`
const DETECTED = `
resource_attributes: {values: [{key: two, value: {string_value: configured}}]}
resource_detectors:
- name: s
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.tracers.opentelemetry.resource_detectors.v3.StaticConfigResourceDetectorConfig
    attributes: {log_name: found}
- name: s
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.tracers.opentelemetry.resource_detectors.v3.StaticConfigResourceDetectorConfig
    attributes: {two: found}`
const TRACED = `tracing:
  provider:
    name: o
    typed_config: {"@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig, grpc_service: {envoy_grpc: {cluster_name: closed}}, service_name: svc}`
const HTTP = (name: string, body: string) =>
  typed(
    'otel',
    TYPE,
    `
log_name: ${name}
stat_prefix: ${name}
buffer_flush_interval: 0.1s
http_service:
  http_uri: {uri: "http://col.test:99/v1/logs?x=y", cluster: http1, timeout: 0.7s}
  request_headers_to_add:
  - {header: {key: X-K, value: "v %PROTOCOL% %REQ(a)%"}}
  - {header: {key: user-agent, value: mine}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
  - {header: {key: x-up, value: "${body}"}}
body: {string_value: "over http"}`,
  )
const FAILURES: Readonly<Record<string, string>> = {
  partial: 'message:0a06080112026e6f',
  garbage: 'message:ffffff',
  refused: 'grpc:8:full',
  trailersonly: 'tonly:7:no',
  status: 'status:503,headersonly',
  nomessage: 'bare,body:0,trailer:grpc-status=0',
  reset: 'rst:2',
}
const failing = (name: string, cluster: string) =>
  typed(
    'otel',
    TYPE,
    `
log_name: ${name}
stat_prefix: ${name}
grpc_service: {envoy_grpc: {cluster_name: ${cluster}}}
body: {string_value: lost}`,
  )

const stat = (name: string, of: string) => `access_logs.open_telemetry_access_log.${name}.${of}`
const until = (name: string, of: string, value: number): Step => ({ kind: 'until', stat: stat(name, of), value })
const counted = (name: string) => ({ stats: [`^access_logs\\.open_telemetry_access_log\\.${name}\\.`] })
const exported = (name: string, doc: string, steps: readonly Step[], records = steps.length): Scenario =>
  scenario(name, doc, [...steps, until(name, 'logs_written', records)], [], counted(name))
const lost = (name: string, doc: string): Scenario =>
  scenario(name, doc, [get('/', { listener: name }), until(name, 'logs_dropped', 1)], [], counted(name))

const group: Group = {
  name: 'otlp-log',
  upstreams: { a: { kind: 'http1' }, h2: { kind: 'h2' }, col: { kind: 'http1' }, echo: { kind: 'tcp' } },
  config: bootstrap(
    [
      logged('values', grpcLog('values', VALUES)),
      logged('resource', grpcLog('resource', RESOURCE)),
      logged('bare', grpcLog('bare', 'disable_builtin_labels: true')),
      logged('named', grpcLog('named', 'log_name: own')),
      logged('list', grpcLog('list', 'body: {array_value: {values: [{string_value: "%PROTOCOL%"}]}}')),
      logged(
        'map',
        grpcLog('map', 'body: {kvlist_value: {values: [{key: m, value: {string_value: "%REQ(:METHOD)%"}}]}}'),
      ),
      logged(
        'full',
        grpcLog(
          'full',
          'body: {string_value: "0123456789"}',
          'message:',
          '{buffer_size_bytes: 46, buffer_flush_interval: 60s}',
        ),
      ),
      logged(
        'zero',
        grpcLog(
          'zero',
          'body: {string_value: "0123456789"}',
          'message:',
          '{buffer_size_bytes: 0, buffer_flush_interval: 60s}',
        ),
      ),
      logged('tags', grpcLog('tags', TAGS)),
      logged('detected', grpcLog('detected', DETECTED)),
      httpListener('traced', {
        routes: ROUTES,
        hcm: `access_log: [${JSON.stringify(grpcLog('traced', 'body: {string_value: x}'))}]\n${TRACED}`,
      }),
      tcpListener('tcp', `{cluster: echo, access_log: [${JSON.stringify(grpcLog('tcp', VALUES))}]}`),
      ...Object.entries(FAILURES).map(([name, up]) => logged(name, grpcLog(name, 'body: {string_value: x}', up))),
      logged('dead', failing('dead', 'closed')),
      logged('unknown', failing('unknown', 'nowhere')),
      logged('http', HTTP('http', 'ok')),
      logged('httprefused', HTTP('httprefused', 'status:204')),
    ],
    [
      cluster('a', 'a'),
      cluster('collector', 'h2', H2_UPSTREAM),
      cluster('http1', 'col'),
      cluster('echo', 'echo'),
      cluster('closed', 'nobody', H2_UPSTREAM),
    ],
  ),
  scenarios: [
    exported('values', 'Body and attributes', [
      get('/x?a=b', { listener: 'values', headers: ['x-utf: \xc3\xa9', 'x-long: 0123456'] }),
    ]),
    scenario(
      'upstream',
      'A request that went upstream',
      [get('/up', { listener: 'values' }), until('values', 'logs_written', 2)],
      [],
      counted('values'),
    ),
    exported('resource', 'Resource attributes and built-in labels', [get('/', { listener: 'resource' })]),
    exported('bare', 'Without labels, without a body', [get('/', { listener: 'bare' })]),
    exported('named', 'The log name of the message itself', [get('/', { listener: 'named' })]),
    exported('list', 'A list as body', [get('/', { listener: 'list' })]),
    exported('map', 'Key-values as body', [get('/', { listener: 'map' })]),
    exported(
      'full',
      'A full buffer is sent at once',
      [get('/', { listener: 'full' }), get('/', { listener: 'full' })],
      2,
    ),
    exported('zero', 'No buffer', [get('/', { listener: 'zero' })]),
    exported('tags', 'Custom tags are attributes of their own', [get('/', { listener: 'tags', headers: ['x-h: H'] })]),
    exported('detected', 'Detected resource attributes', [get('/', { listener: 'detected' })]),
    exported('traced', 'A traced request says of which trace and span', [get('/', { listener: 'traced' })]),
    exported('tcp', 'A TCP connection', [tcp('tcp', ['ping', { bytes: 4 }, { end: true }, { closed: true }])]),
    ...Object.keys(FAILURES).map(name => lost(name, `A collector that does not take it: ${name}`)),
    lost('dead', 'A collector that refuses connections'),
    lost('unknown', 'A cluster that does not exist'),
    exported('http', 'Over HTTP', [get('/', { listener: 'http' })]),
    lost('httprefused', 'Over HTTP: 200 is the only success'),
  ],
}

export default group
