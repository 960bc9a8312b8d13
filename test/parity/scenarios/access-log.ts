import { bootstrap, cluster, fileLog, httpListener, typed } from '../configs/builder.ts'
import { type Group, get, h2, raw, type Scenario, scenario } from '../scenario.ts'

/** Formats, operators and filters of access logs. The file logger is the same for all of them. */
const FILE = 'envoy.extensions.access_loggers.file.v3.FileAccessLog'
const ROUTES = `
- {match: {path: /uf}, name: uf, route: {cluster: closed}}
- {match: {path: /direct}, direct_response: {status: 200, body: {inline_string: "direct"}}}
- {match: {path: /rewritten}, route: {cluster: a, prefix_rewrite: /other}}
- {match: {prefix: /}, name: "the route", route: {cluster: a}, metadata: {filter_metadata: {lab: {team: blue, n: 5, b: true, l: [1, x], deep: {k: v}}}}}
`
const json = (format: string) =>
  typed('envoy.access_loggers.file', FILE, `path: $tmp/access.log\nlog_format: ${format}`)
const text = (name: string, format: string, routes = ROUTES) =>
  httpListener(name, { routes, hcm: `access_log: [${JSON.stringify(fileLog(`${format}\n`))}]` })
const filtered = (name: string, filter: string) =>
  httpListener(name, {
    routes: ROUTES,
    hcm: `access_log: [${JSON.stringify({ ...fileLog('logged %RESPONSE_CODE% %RESPONSE_FLAGS% %REQ(:PATH)%\n') })}]`.replace(
      /\}\]$/,
      `, "filter": ${filter}}]`,
    ),
  })

const OPERATORS: Record<string, string> = {
  request:
    '%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %REQ(:AUTHORITY)% %REQ(:SCHEME)% %REQ(x-missing)% %REQ(x-long):5% %PROTOCOL%',
  response:
    '%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %RESP(content-type)% %RESP(x-missing?server)% %RESP(:status)% %RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG% %TRAILER(x-trail)%',
  bytes:
    '%BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_WIRE_BYTES_SENT% %UPSTREAM_HEADER_BYTES_SENT% %DOWNSTREAM_WIRE_BYTES_RECEIVED% %DOWNSTREAM_HEADER_BYTES_RECEIVED% %REQUEST_HEADERS_BYTES% %RESPONSE_TRAILERS_BYTES%',
  addresses:
    '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %UPSTREAM_PROTOCOL%',
  route:
    '%ROUTE_NAME% %UPSTREAM_CLUSTER% %UPSTREAM_CLUSTER_RAW% %VIRTUAL_CLUSTER_NAME% %METADATA(ROUTE:lab:team)% %METADATA(ROUTE:lab)% %METADATA(ROUTE:lab:deep:k)% %METADATA(CLUSTER:c:k)% %METADATA(ROUTE:none)% %CLUSTER_METADATA(c:k)% %DYNAMIC_METADATA(none)%',
  query:
    '%QUERY_PARAM(a)% %QUERY_PARAM(a):2% %QUERY_PARAM(none)% %PATH% %PATH(NQ)% %PATH(WQ)% %PATH(NQ:ORIG)% %PATH(WQ:PATH):4%',
  tls: '%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TLS_CIPHER% %REQUESTED_SERVER_NAME% %DOWNSTREAM_PEER_SUBJECT% %UPSTREAM_TLS_VERSION%',
  grpc: '%GRPC_STATUS% %GRPC_STATUS(CAMEL_STRING)% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS(NUMBER)% %GRPC_STATUS_NUMBER%',
  other:
    '%UPSTREAM_REQUEST_ATTEMPT_COUNT% %UPSTREAM_TRANSPORT_FAILURE_REASON% %CONNECTION_TERMINATION_DETAILS% %FILTER_STATE(none)% %FILTER_CHAIN_NAME% %ACCESS_LOG_TYPE% %TRACE_ID% %ENVIRONMENT(PARITY_NONE)% 100%%',
  body: '%LOCAL_REPLY_BODY% [%LOCAL_REPLY_BODY%]',
  unique: '%REQ(x-request-id)% %STREAM_ID%',
}
const operators = Object.keys(OPERATORS).map((name): Scenario => {
  const listener = `op${name}`
  return scenario(`operators-${name}`, `Text operators: ${name}`, [
    get('/ok?a=xyz&b=2', { listener, headers: ['x-long: 0123456789', 'x-a: "q\\"'], method: 'POST', body: 'hello' }),
    get('/uf', { listener }),
    get('/rewritten?a=1', { listener }),
    get('/direct', { listener, headers: ['content-type: application/grpc'] }),
    raw('BAD\r\n\r\n', { listener }),
    h2('/ok', {}, listener),
  ])
})
const FILTERS: Record<string, string> = {
  status: '{"status_code_filter":{"comparison":{"op":"GE","value":{"default_value":500,"runtime_key":"k"}}}}',
  notfound: '{"not_health_check_filter":{}}',
  flags: '{"response_flag_filter":{"flags":["UF"]}}',
  anyflag: '{"response_flag_filter":{}}',
  header: '{"header_filter":{"header":{"name":"x-log","present_match":true}}}',
  and: '{"and_filter":{"filters":[{"header_filter":{"header":{"name":"x-log","present_match":true}}},{"status_code_filter":{"comparison":{"op":"EQ","value":{"default_value":200,"runtime_key":"k"}}}}]}}',
  or: '{"or_filter":{"filters":[{"response_flag_filter":{"flags":["UF"]}},{"header_filter":{"header":{"name":"x-log","string_match":{"exact":"1"}}}}]}}',
  runtime: '{"runtime_filter":{"runtime_key":"never","percent_sampled":{"numerator":0}}}',
  duration: '{"duration_filter":{"comparison":{"op":"GE","value":{"default_value":60000,"runtime_key":"k"}}}}',
  cel: '{"extension_filter":{"name":"cel","typed_config":{"@type":"type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter","expression":"response.code >= 500"}}}',
}
const filters = Object.keys(FILTERS).map((name): Scenario => {
  const listener = `filter${name}`
  return scenario(`filter-${name}`, `Access log filter: ${name}`, [
    get('/ok', { listener }),
    get('/ok2', { listener, headers: ['x-log: 1'] }),
    get('/uf', { listener }),
  ])
})

const group: Group = {
  name: 'access-log',
  upstreams: { a: { kind: 'http1' } },
  config: bootstrap(
    [
      httpListener('default', {
        routes: ROUTES,
        hcm: `access_log: [${JSON.stringify(typed('envoy.access_loggers.file', FILE, 'path: $tmp/access.log'))}]`,
      }),
      httpListener('json', {
        routes: ROUTES,
        hcm: `access_log: [${JSON.stringify(
          json(
            '{json_format: {code: "%RESPONSE_CODE%", flags: "%RESPONSE_FLAGS%", mixed: "code %RESPONSE_CODE% %REQ(x-missing)%", missing: "%REQ(x-missing)%", quoted: "%REQ(x-quote)%", rx: "%BYTES_RECEIVED%", route: "%ROUTE_NAME%", meta: "%METADATA(ROUTE:lab)%", team: "%METADATA(ROUTE:lab:team)%", n: "%METADATA(ROUTE:lab:n)%", constant: fixed, number: 5, flag: true, nested: {b: "%PROTOCOL%", a: "%REQ(:METHOD)%"}, list: ["%RESPONSE_CODE%", x], attempts: "%UPSTREAM_REQUEST_ATTEMPT_COUNT%", grpc: "%GRPC_STATUS_NUMBER%", host: "%UPSTREAM_HOST%", Upper: a}}',
          ),
        )}]`,
      }),
      httpListener('jsonomit', {
        routes: ROUTES,
        hcm: `access_log: [${JSON.stringify(json('{omit_empty_values: true, json_format: {code: "%RESPONSE_CODE%", missing: "%REQ(x-missing)%", mixed: "a%REQ(x-missing)%b", nested: {m: "%REQ(x-missing)%"}, route: "%ROUTE_NAME%"}}'))}]`,
      }),
      httpListener('textomit', {
        routes: ROUTES,
        hcm: `access_log: [${JSON.stringify(json('{omit_empty_values: true, text_format_source: {inline_string: "[%REQ(x-missing)%] [%RESPONSE_CODE%] [%UPSTREAM_HOST%] [%RESPONSE_FLAGS%]\\n"}}'))}]`,
      }),
      httpListener('textformat', {
        routes: ROUTES,
        hcm: `access_log: [${JSON.stringify(json('{text_format: "%REQ(:METHOD)% no newline|"}'))}, ${JSON.stringify(fileLog(' and a second log\n'))}]`,
      }),
      ...Object.entries(OPERATORS).map(([name, format]) => text(`op${name}`, format)),
      ...Object.entries(FILTERS).map(([name, filter]) => filtered(`filter${name}`, filter)),
    ],
    [cluster('a', 'a', 'metadata: {filter_metadata: {c: {k: v}}}'), cluster('closed', 'nobody')],
  ),
  scenarios: [
    scenario('default-format', 'The default format', [
      get('/ok?x=1', { listener: 'default', headers: ['user-agent: ua "q"', 'x-forwarded-for: 1.2.3.4'] }),
      get('/uf', { listener: 'default' }),
      raw('BAD\r\n\r\n', { listener: 'default' }),
      get('/rewritten', { listener: 'default', method: 'POST', body: 'abc' }),
    ]),
    scenario('json', 'JSON: types, missing values, nesting and key order', [
      get('/ok', { listener: 'json', headers: ['x-quote: a"b\\c\tdé'] }),
      get('/uf', { listener: 'json' }),
      get('/direct', { listener: 'json' }),
      raw('BAD\r\n\r\n', { listener: 'json' }),
    ]),
    scenario('json-omit-empty', 'omit_empty_values in JSON', [
      get('/ok', { listener: 'jsonomit' }),
      get('/direct', { listener: 'jsonomit' }),
    ]),
    scenario('text-omit-empty', 'omit_empty_values in text', [
      get('/ok', { listener: 'textomit' }),
      get('/direct', { listener: 'textomit' }),
    ]),
    scenario('two-logs', 'Two logs of one request, and text_format', get('/ok', { listener: 'textformat' })),
    ...operators,
    ...filters,
  ],
}

export default group
