import { parse } from 'yaml'

/**
 * Builds bootstraps for scenario groups. Anything that is not the subject of a group has one fixed form here; the rest is
 * given as YAML text, in the words of Envoy's own documentation. Placeholders are filled by the runner.
 */
const TYPE = 'type.googleapis.com/'
const HCM = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'

type Json = Record<string, unknown>

/** One access-log line of every request: `key=value` words in this order. */
export const LOG_FORMAT = [
  'code=%RESPONSE_CODE%',
  'flags=%RESPONSE_FLAGS%',
  'long=%RESPONSE_FLAGS_LONG%',
  'details=%RESPONSE_CODE_DETAILS%',
  'term=%CONNECTION_TERMINATION_DETAILS%',
  'tfail=%UPSTREAM_TRANSPORT_FAILURE_REASON%',
  'route=%ROUTE_NAME%',
  'cluster=%UPSTREAM_CLUSTER%',
  'host=%UPSTREAM_HOST%',
  'attempts=%UPSTREAM_REQUEST_ATTEMPT_COUNT%',
  'rx=%BYTES_RECEIVED%',
  'tx=%BYTES_SENT%',
  'proto=%PROTOCOL%',
  'method=%REQ(:METHOD)%',
  'path=%REQ(:PATH)%',
  'authority=%REQ(:AUTHORITY)%',
  'grpc=%GRPC_STATUS%',
  'type=%ACCESS_LOG_TYPE%\n',
].join(' ')

export function yaml(text: string): Json {
  return (parse(text) ?? {}) as Json
}

export function typed(name: string, message: string, body: Json | string = {}): Json {
  const config = typeof body === 'string' ? yaml(body) : body
  return { name, typed_config: { '@type': TYPE + message, ...config } }
}

export function fileLog(format: string = LOG_FORMAT, extra: Json = {}): Json {
  const message = 'envoy.extensions.access_loggers.file.v3.FileAccessLog'
  const body = { path: '$tmp/access.log', log_format: { text_format_source: { inline_string: format } } }
  return { ...typed('envoy.access_loggers.file', message, body), ...extra }
}

export interface HttpListener {
  /** Routes of the one virtual host for every domain (YAML list). */
  readonly routes?: string
  /** Domains of that virtual host; every domain if absent. */
  readonly domains?: readonly string[]
  /** More fields of that virtual host (YAML). */
  readonly vhost?: string
  /** Or all virtual hosts (YAML list). */
  readonly vhosts?: string
  /** More fields of the route configuration (YAML). */
  readonly routeConfig?: string
  /** More fields of the connection manager (YAML); `access_log` replaces the usual one. */
  readonly hcm?: string
  /** HTTP filters before the router. */
  readonly filters?: readonly Json[]
  readonly router?: string
  /** More fields of the listener (YAML). */
  readonly listener?: string
  /** Transport socket of the filter chain. */
  readonly transport?: Json
  /** Instead of the one chain. */
  readonly chains?: readonly Json[]
}

export function hcm(name: string, options: HttpListener): Json {
  const vhosts =
    options.vhosts !== undefined
      ? parse(options.vhosts)
      : [
          {
            name: 'all',
            domains: options.domains ?? ['*'],
            routes: parse(options.routes ?? '[]'),
            ...yaml(options.vhost ?? ''),
          },
        ]
  const router = typed(
    'envoy.filters.http.router',
    'envoy.extensions.filters.http.router.v3.Router',
    options.router ?? '',
  )
  return typed('envoy.filters.network.http_connection_manager', HCM, {
    stat_prefix: name,
    // The default of 1 s would cost that much in every scenario in which the proxy closes an unread connection.
    delayed_close_timeout: '0.05s',
    access_log: [fileLog()],
    route_config: { name: `${name}_routes`, ...yaml(options.routeConfig ?? ''), virtual_hosts: vhosts },
    http_filters: [...(options.filters ?? []), router],
    ...yaml(options.hcm ?? ''),
  })
}

export function httpListener(name: string, options: HttpListener): Json {
  const transport = options.transport === undefined ? {} : { transport_socket: options.transport }
  return {
    name,
    address: address(name),
    filter_chains: options.chains ?? [{ filters: [hcm(name, options)], ...transport }],
    ...yaml(options.listener ?? ''),
  }
}

export function tcpListener(name: string, proxy: string, listener = '', filters: readonly Json[] = []): Json {
  const format = [
    'flags=%RESPONSE_FLAGS% details=%RESPONSE_CODE_DETAILS% term=%CONNECTION_TERMINATION_DETAILS%',
    'tfail=%UPSTREAM_TRANSPORT_FAILURE_REASON% cluster=%UPSTREAM_CLUSTER% host=%UPSTREAM_HOST%',
    'attempts=%UPSTREAM_REQUEST_ATTEMPT_COUNT% rx=%BYTES_RECEIVED% tx=%BYTES_SENT% proto=%PROTOCOL%',
    'sni=%REQUESTED_SERVER_NAME% type=%ACCESS_LOG_TYPE%\n',
  ].join(' ')
  const body = { stat_prefix: name, access_log: [fileLog(format)], ...yaml(proxy) }
  const filter = typed(
    'envoy.filters.network.tcp_proxy',
    'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
    body,
  )
  return { name, address: address(name), filter_chains: [{ filters: [...filters, filter] }], ...yaml(listener) }
}

/** A STATIC cluster over upstreams by name; `extra` is YAML of further cluster fields. */
export function cluster(name: string, upstreams: string | readonly string[], extra = ''): Json {
  const names = typeof upstreams === 'string' ? [upstreams] : upstreams
  const endpoints = names.map(upstream => ({ endpoint: { address: address(upstream) } }))
  return {
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: { cluster_name: name, endpoints: names.length === 0 ? [] : [{ lb_endpoints: endpoints }] },
    ...yaml(extra),
  }
}

/** HTTP/2 towards the upstream. */
export const H2_UPSTREAM = `
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: {http2_protocol_options: {}}
`

export function bootstrap(listeners: readonly Json[], clusters: readonly Json[], extra = ''): Json {
  return {
    node: { id: 'parity', cluster: 'parity-cluster' },
    admin: { address: address('admin') },
    static_resources: { listeners, clusters },
    ...yaml(extra),
  }
}

export function address(name: string): Json {
  return { socket_address: { address: '127.0.0.1', port_value: `$port(${name})` } }
}

export function downstreamTls(body: string): Json {
  return typed('envoy.transport_sockets.tls', 'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext', body)
}

export function upstreamTls(body: string): string {
  const socket = typed(
    'envoy.transport_sockets.tls',
    'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
    body,
  )
  return JSON.stringify({ transport_socket: socket })
}
