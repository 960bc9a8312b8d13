import type { KeyPair } from '../certificates.ts'
import type { Plain } from './yaml.ts'

export const TYPE = 'type.googleapis.com/envoy'

/** Timeout of the route that is measured; the check for armed timeouts waits that long. */
export const ROUTE_TIMEOUT_SECONDS = 3
export const PER_TRY_TIMEOUT_SECONDS = 2

export interface HttpListener {
  readonly port: number
  readonly log: string
  readonly routes: Plain
  readonly filters?: readonly Plain[]
  readonly tls?: DownstreamTls | undefined
  /** Further or other fields of the connection manager. */
  readonly manager?: Readonly<Record<string, Plain>>
  readonly logFormat?: string
  readonly listener?: Readonly<Record<string, Plain>>
  readonly filterChainMatch?: Plain
}

export interface DownstreamTls {
  readonly pair: KeyPair
  /** Clients must show a certificate signed by this CA. */
  readonly clientCa: string | null
}

export function address(port: number): Plain {
  return { socket_address: { address: '127.0.0.1', port_value: port } }
}

export function typed(type: string, fields: Readonly<Record<string, Plain | undefined>> = {}): Plain {
  return { '@type': `${TYPE}.${type}`, ...fields }
}

export const ROUTER: Plain = {
  name: 'envoy.filters.http.router',
  typed_config: typed('extensions.filters.http.router.v3.Router'),
}

export function bootstrap(admin: number, listeners: readonly Plain[], clusters: readonly Plain[]): Plain {
  return { admin: { address: address(admin) }, static_resources: { listeners, clusters } }
}

export function fileLog(path: string, format?: string): Plain {
  return {
    name: 'envoy.access_loggers.file',
    typed_config: typed('extensions.access_loggers.file.v3.FileAccessLog', {
      path,
      log_format: format === undefined ? undefined : { text_format_source: { inline_string: format } },
    }),
  }
}

export function httpListener(options: HttpListener): Plain {
  return {
    name: 'ingress',
    address: address(options.port),
    ...options.listener,
    filter_chains: [
      {
        filter_chain_match: options.filterChainMatch,
        transport_socket: options.tls === undefined ? undefined : downstreamTls(options.tls),
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: typed('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
              stat_prefix: 'ingress',
              access_log: [fileLog(options.log, options.logFormat)],
              route_config: options.routes,
              http_filters: [...(options.filters ?? []), ROUTER],
              ...options.manager,
            }),
          },
        ],
      },
    ],
  }
}

/** Everything to `cluster`, with timeouts, a retry policy and the attempt count: what a mesh sets on every route. */
export function oneRoute(cluster: string, timeoutSeconds = ROUTE_TIMEOUT_SECONDS): Plain {
  return {
    name: 'local',
    virtual_hosts: [
      {
        name: 'all',
        domains: ['*'],
        include_request_attempt_count: true,
        routes: [{ match: { prefix: '/' }, route: routeAction(cluster, timeoutSeconds) }],
      },
    ],
  }
}

export function routeAction(cluster: string, timeoutSeconds = ROUTE_TIMEOUT_SECONDS): Plain {
  return {
    cluster,
    timeout: `${timeoutSeconds}s`,
    retry_policy: {
      retry_on: '5xx,reset,connect-failure',
      num_retries: 2,
      per_try_timeout: timeoutSeconds > PER_TRY_TIMEOUT_SECONDS ? `${PER_TRY_TIMEOUT_SECONDS}s` : undefined,
    },
  }
}

export function cluster(name: string, port: number, http2 = false, more: Readonly<Record<string, Plain>> = {}): Plain {
  return {
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    ...(http2 ? { typed_extension_protocol_options: HTTP2_UPSTREAM } : {}),
    // A bench opens more connections than the 1,024 that a cluster may have when nothing is said.
    circuit_breakers: {
      thresholds: [{ max_connections: 100000, max_pending_requests: 100000, max_requests: 100000, max_retries: 1000 }],
    },
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }] },
    ...more,
  }
}

const HTTP2_UPSTREAM: Plain = {
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed('extensions.upstreams.http.v3.HttpProtocolOptions', {
    explicit_http_config: { http2_protocol_options: {} },
  }),
}

export function downstreamTls(tls: DownstreamTls): Plain {
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: typed('extensions.transport_sockets.tls.v3.DownstreamTlsContext', {
      require_client_certificate: tls.clientCa === null ? undefined : true,
      common_tls_context: {
        alpn_protocols: ['h2', 'http/1.1'],
        tls_certificates: [{ certificate_chain: { filename: tls.pair.cert }, private_key: { filename: tls.pair.key } }],
        validation_context: tls.clientCa === null ? undefined : { trusted_ca: { filename: tls.clientCa } },
      },
    }),
  }
}

export function upstreamTls(name: string, pair: KeyPair, ca: string): Plain {
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: typed('extensions.transport_sockets.tls.v3.UpstreamTlsContext', {
      sni: name,
      common_tls_context: {
        tls_params: { tls_maximum_protocol_version: 'TLSv1_3' },
        tls_certificates: [{ certificate_chain: { filename: pair.cert }, private_key: { filename: pair.key } }],
        validation_context: {
          trusted_ca: { filename: ca },
          match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { exact: name } }],
        },
      },
    }),
  }
}
