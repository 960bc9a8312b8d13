import type { HeaderAddConfig } from '../routing/route-config.ts'
import type { AccessLogConfig } from '../telemetry/access-loggers/access-log-config.ts'

export interface WeightedClusterConfig {
  readonly name: string
  readonly weight: number
  /** Null = the one of the filter. */
  readonly metadataMatch: Readonly<Record<string, unknown>> | null
}

/** TcpProxy.TunnelingConfig. */
export interface TunnelConfig {
  /** Format string: the authority. */
  readonly hostname: string
  readonly usePost: boolean
  readonly postPath: string
  readonly headersToAdd: readonly HeaderAddConfig[]
  readonly propagateResponseHeaders: boolean
  readonly propagateResponseTrailers: boolean
}

/** envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, cloneable. Times in ms, 0 = none. */
export interface TcpProxyConfig {
  readonly statPrefix: string
  /** One entry of weight 1 for `cluster`. */
  readonly clusters: readonly WeightedClusterConfig[]
  readonly totalWeight: number
  readonly metadataMatch: Readonly<Record<string, unknown>> | null
  readonly idleTimeout: number
  readonly maxConnectAttempts: number
  /** Null = tried again at once. */
  readonly backoff: { readonly base: number; readonly max: number } | null
  readonly hashSourceIp: boolean
  readonly maxConnectionDuration: number
  /** Percent of the duration that is added at random. */
  readonly durationJitter: number
  /** Null = plain TCP. */
  readonly tunnel: TunnelConfig | null
  readonly accessLogs: readonly AccessLogConfig[]
}
