import { join } from 'node:path'
import { keySet } from '../harness/jwt.ts'

/** A listener for each HTTP filter that exists, one without any, and one with all of them; with everything that hears of requests. */
type Json = Record<string, unknown>
const TYPE = 'type.googleapis.com/'
export const HTTP = 'envoy.extensions.filters.http'

export const typed = (name: string, type: string, body: Json = {}): Json => ({
  name,
  typed_config: { '@type': TYPE + type, ...body },
})
const address = (port: number): Json => ({ socket_address: { address: '127.0.0.1', port_value: port } })
const ALWAYS = { default_value: { numerator: 100 } }
const ANYBODY = { action: 'ALLOW', policies: { all: { permissions: [{ any: true }], principals: [{ any: true }] } } }
const grpc = (cluster: string): Json => ({ envoy_grpc: { cluster_name: cluster } })
const ISTIO_HEADERS = [{ istio_headers: {} }]

/** By the name of the file in src/http/filters; a number tells those with several configurations apart. */
export const FILTERS: Readonly<Record<string, Json>> = {
  'peer-metadata': typed('peer_metadata', 'io.istio.http.peer_metadata.Config', {
    downstream_discovery: ISTIO_HEADERS,
    downstream_propagation: ISTIO_HEADERS,
    upstream_discovery: ISTIO_HEADERS,
    upstream_propagation: ISTIO_HEADERS,
  }),
  cors: typed('envoy.filters.http.cors', `${HTTP}.cors.v3.Cors`),
  rbac: typed('rbac', `${HTTP}.rbac.v3.RBAC`, { rules: ANYBODY, shadow_rules: ANYBODY, shadow_rules_stat_prefix: 's' }),
  'jwt-authn': typed('jwt', `${HTTP}.jwt_authn.v3.JwtAuthentication`, {
    providers: { p: { issuer: 'i', local_jwks: { inline_string: keySet(['rsa']) }, payload_in_metadata: 'p' } },
    rules: [
      {
        match: { prefix: '/' },
        requires: { requires_any: { requirements: [{ provider_name: 'p' }, { allow_missing: {} }] } },
      },
    ],
  }),
  'ext-authz': typed('ext_authz', `${HTTP}.ext_authz.v3.ExtAuthz`, {
    transport_api_version: 'V3',
    http_service: { server_uri: { uri: 'http://auth.test', cluster: 'upstream', timeout: '20s' } },
    with_request_body: { max_request_bytes: 1000, allow_partial_message: true },
  }),
  'ext-authz 2': typed('ext_authz_grpc', `${HTTP}.ext_authz.v3.ExtAuthz`, {
    transport_api_version: 'V3',
    grpc_service: grpc('nobody'),
    failure_mode_allow: true,
  }),
  'local-ratelimit': typed('rate', `${HTTP}.local_ratelimit.v3.LocalRateLimit`, {
    stat_prefix: 'rl',
    token_bucket: { max_tokens: 1_000_000, tokens_per_fill: 1_000_000, fill_interval: '60s' },
    filter_enabled: { ...ALWAYS, runtime_key: 'a' },
    filter_enforced: { ...ALWAYS, runtime_key: 'b' },
    response_headers_to_add: [{ header: { key: 'x-rate', value: 'here' } }],
  }),
  ratelimit: typed('global', `${HTTP}.ratelimit.v3.RateLimit`, {
    domain: 'd',
    rate_limit_service: { transport_api_version: 'V3', grpc_service: grpc('nobody') },
    enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
  }),
  fault: typed('fault', `${HTTP}.fault.v3.HTTPFault`, {
    delay: { header_delay: {}, percentage: { numerator: 100 } },
    abort: { header_abort: {}, percentage: { numerator: 100 } },
  }),
  'set-filter-state': typed('state', `${HTTP}.set_filter_state.v3.Config`, {
    on_request_headers: [
      {
        object_key: 'k',
        factory_key: 'envoy.string',
        format_string: {
          text_format_source: { inline_string: '%REQ(:PATH)% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%' },
        },
      },
    ],
  }),
  'grpc-stats': typed('grpc', `${HTTP}.grpc_stats.v3.FilterConfig`, {
    stats_for_all_methods: true,
    emit_filter_state: true,
    enable_upstream_stats: true,
  }),
  compressor: typed('gzip', `${HTTP}.compressor.v3.Compressor`, {
    compressor_library: typed('gzip', 'envoy.extensions.compression.gzip.compressor.v3.Gzip'),
    request_direction_config: { common_config: { enabled: { default_value: true, runtime_key: 'c' } } },
    response_direction_config: { common_config: { min_content_length: 1 } },
  }),
  'istio-stats': typed('istio.stats', 'stats.PluginConfig', {
    metrics: [{ name: 'requests_total', dimensions: { host: 'request.host', path: 'request.url_path' } }],
  }),
  'istio-alpn': typed('istio.alpn', 'istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig', {
    alpn_override: [{ alpn_override: ['istio'] }],
  }),
}

/** Which the real Envoy does not have: what it does without them is what is expected. */
const FOREIGN = /^(peer-metadata|istio-)/

const OPERATORS = [
  '%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% %PROTOCOL%',
  '"%REQ(:METHOD)% %REQ(:PATH)% %REQ(:AUTHORITY)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%" %ROUTE_NAME% %UPSTREAM_CLUSTER%',
  '%UPSTREAM_HOST% %UPSTREAM_TRANSPORT_FAILURE_REASON% %GRPC_STATUS% %RESP(CONTENT-TYPE)% %RESP(:STATUS)%',
  '%DYNAMIC_METADATA(p)% %FILTER_STATE(none)% %VIRTUAL_CLUSTER_NAME% %REQUESTED_SERVER_NAME%',
]

const ROUTES: readonly Json[] = [
  {
    match: { prefix: '/' },
    route: { cluster: 'upstream', rate_limits: [{ actions: [{ remote_address: {} }] }] },
    decorator: { operation: 'op' },
    typed_per_filter_config: {
      'envoy.filters.http.cors': {
        '@type': `${TYPE}${HTTP}.cors.v3.CorsPolicy`,
        allow_origin_string_match: [{ prefix: 'http' }],
      },
    },
  },
]

interface Difference {
  /** Behind the filter. */
  readonly filters?: readonly Json[]
  readonly routes?: readonly Json[]
}

/** A proxy with a listener for each name of `ports`, whose access log is `<name>.log` in the folder. `forReal`: it is the real Envoy. */
export function everyFilter(
  ports: ReadonlyMap<string, number>,
  folder: string,
  upstream: number,
  forReal: boolean,
  difference: Difference = {},
): (port: number, admin: number) => string {
  return (_, admin) =>
    JSON.stringify({
      node: { id: 'sidecar~10.0.0.1~web.lab~x', cluster: 'web' },
      admin: { address: address(admin) },
      static_resources: {
        listeners: [...ports].map(([name, port]) =>
          listener(name, port, join(folder, `${name}.log`), forReal, difference),
        ),
        clusters: clusters(upstream),
      },
    })
}

function listener(name: string, port: number, log: string, forReal: boolean, more: Difference): Json {
  const filters = Object.entries(FILTERS)
    .filter(([filter]) => name === 'all' || filter === name)
    .filter(([filter]) => !(forReal && FOREIGN.test(filter)))
    .map(([, config]) => config)
  const common = {
    log_name: 'x',
    transport_api_version: 'V3',
    grpc_service: grpc('nobody'),
    buffer_flush_interval: '0.1s',
  }
  const manager = typed('hcm', 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: name.replaceAll(' ', '_'),
    delayed_close_timeout: '0.05s',
    access_log: [
      typed('file', 'envoy.extensions.access_loggers.file.v3.FileAccessLog', {
        path: log,
        log_format: { text_format_source: { inline_string: `${OPERATORS.join(' ')}\n` } },
      }),
      typed('als', 'envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig', {
        common_config: { ...common, filter_state_objects_to_log: ['k'] },
        additional_request_headers_to_log: ['x-none'],
        additional_response_headers_to_log: ['x-rate'],
      }),
      typed('otlp', 'envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig', {
        common_config: common,
        body: { string_value: '%REQ(:PATH)% %RESPONSE_CODE%' },
        attributes: { values: [{ key: 'path', value: { string_value: '%REQ(:PATH)%' } }] },
      }),
    ],
    tracing: {
      provider: typed('z', 'envoy.config.trace.v3.ZipkinConfig', {
        collector_cluster: 'nobody',
        collector_endpoint: '/api/v2/spans',
        collector_endpoint_version: 'HTTP_JSON',
      }),
      random_sampling: { value: 100 },
      custom_tags: [{ tag: 'h', request_header: { name: 'x-h', default_value: 'd' } }],
      verbose: true,
    },
    route_config: {
      name: 'r',
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: more.routes ?? ROUTES,
        },
      ],
    },
    http_filters: [
      ...filters,
      ...(more.filters ?? []),
      typed('router', `${HTTP}.router.v3.Router`, { start_child_span: true }),
    ],
  })
  return { name: name.replaceAll(' ', '_'), address: address(port), filter_chains: [{ filters: [manager] }] }
}

const clusters = (upstream: number): Json[] =>
  Object.entries({ upstream, nobody: 1 }).map(([name, port]) => ({
    name,
    type: 'STATIC',
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }] },
    ...(name === 'upstream'
      ? {}
      : {
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': `${TYPE}envoy.extensions.upstreams.http.v3.HttpProtocolOptions`,
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
        }),
  }))
