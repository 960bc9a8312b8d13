import type { Http1Options } from '../codec/http1/options.ts'
import type { Http2Options } from '../codec/http2/options.ts'
import type { ParsedExtension } from '../config/registry.ts'
import type { Address } from '../io/connection.ts'

/**
 * envoy.config.cluster.v3.Cluster after `config/cluster.ts`: defaults filled in, legacy and new forms of one setting merged,
 * plain and cloneable. Times are milliseconds, 0 = off unless a field says otherwise.
 */
export interface ClusterConfig {
  readonly name: string
  /** `alt_stat_name` or the name: %UPSTREAM_CLUSTER%, admin `observability_name`. */
  readonly observabilityName: string
  /** The above as it stands in stat names: `:` replaced by `_` (Envoy's sanitizeStatsName). */
  readonly statsName: string
  readonly type: ClusterType
  /** EDS: `service_name`; empty = the name of the cluster. */
  readonly edsServiceName: string
  readonly connectTimeout: number
  /** Write-buffer watermark of upstream connections. */
  readonly perConnectionBufferLimit: number
  readonly http: UpstreamHttpConfig
  readonly lb: LbConfig
  /** Index 0 default, 1 high. */
  readonly circuitBreakers: readonly [CircuitBreakerThresholds, CircuitBreakerThresholds]
  /** per_host_thresholds max_connections by priority; Infinity = none. */
  readonly perHostMaxConnections: readonly [number, number]
  readonly outlierDetection: OutlierConfig | null
  readonly healthChecks: readonly HealthCheckConfig[]
  readonly dns: DnsConfig | null
  readonly originalDst: OriginalDstConfig | null
  /** ORIGINAL_DST: how often unused hosts are dropped. */
  readonly cleanupInterval: number
  readonly bind: UpstreamBindConfig | null
  readonly tcpKeepalive: TcpKeepaliveConfig | null
  /** `filter_metadata`; null when none. */
  readonly metadata: Readonly<Record<string, unknown>> | null
  /** Network filters of upstream connections, in their order. */
  readonly networkFilters: readonly ParsedExtension[]
  readonly transportSocket: TransportSocketConfig
  readonly transportSocketMatches: readonly TransportSocketMatchConfig[]
  readonly closeConnectionsOnHostHealthFailure: boolean
  readonly ignoreHealthOnHostRemoval: boolean
  readonly connectionPoolPerDownstreamConnection: boolean
  readonly waitForWarmOnInit: boolean
  /** load_assignment of STATIC and DNS clusters; null otherwise. */
  readonly assignment: AssignmentConfig | null
}

export type ClusterType = 'STATIC' | 'STRICT_DNS' | 'LOGICAL_DNS' | 'EDS' | 'ORIGINAL_DST'

export interface UpstreamHttpConfig {
  /** `http1`, `http2`: always that. `downstream`: as the downstream stream. `auto`: by ALPN. */
  readonly protocol: 'http1' | 'http2' | 'downstream' | 'auto'
  readonly http1: Http1Options
  /** The stream buffer limit is the cluster's per_connection_buffer_limit_bytes. */
  readonly http2: Http2Options
  /** 0 = never. */
  readonly idleTimeout: number
  readonly maxConnectionDuration: number
  /** Share of maxConnectionDuration, 0 to 1, by which it is randomly extended. */
  readonly maxConnectionDurationJitter: number
  readonly maxStreamDuration: number
  /** 0 = no limit. */
  readonly maxRequestsPerConnection: number
  /** Streams on one HTTP/2 connection, before the peer's SETTINGS lower it. */
  readonly maxConcurrentStreams: number
  /** SNI from the request's authority (or the header below). */
  readonly autoSni: boolean
  readonly autoSanValidation: boolean
  /** '' = `:authority`. */
  readonly overrideAutoSniHeader: string
  /** HttpProtocolOptions.http_filters, parsed by the HTTP filter registry; null = only the upstream codec filter. */
  readonly filters: readonly unknown[] | null
}

export type LbPolicy =
  | { readonly kind: 'round_robin'; readonly slowStart: SlowStartConfig | null }
  | {
      readonly kind: 'least_request'
      readonly choiceCount: number
      readonly fullScan: boolean
      readonly activeRequestBias: RuntimeNumber
      readonly slowStart: SlowStartConfig | null
    }
  | { readonly kind: 'random' }
  | {
      readonly kind: 'ring_hash'
      readonly minimumRingSize: number
      readonly maximumRingSize: number
      readonly murmur: boolean
      readonly useHostname: boolean
      /** Per cent of the average load; 0 = not bounded. */
      readonly balanceFactor: number
    }
  | {
      readonly kind: 'maglev'
      readonly tableSize: number
      readonly useHostname: boolean
      readonly balanceFactor: number
    }
  | { readonly kind: 'cluster_provided' }

export interface RuntimeNumber {
  readonly value: number
  /** '' = no runtime key. */
  readonly key: string
}

export interface SlowStartConfig {
  readonly window: number
  readonly aggression: RuntimeNumber
  /** 0 to 1. */
  readonly minWeight: number
}

export interface LbConfig {
  readonly policy: LbPolicy
  /** 0 to 100. */
  readonly healthyPanicThreshold: number
  readonly localityWeighted: boolean
  readonly zoneAware: ZoneAwareConfig
  readonly ignoreNewHostsUntilFirstHc: boolean
  readonly closeConnectionsOnHostSetChange: boolean
  /** Which hosts an override may name; default UNKNOWN, HEALTHY, DEGRADED. */
  readonly overrideHostStatus: readonly HealthStatus[]
}

export interface ZoneAwareConfig {
  /** 0 to 100. */
  readonly routingEnabled: number
  readonly minClusterSize: number
  readonly failTrafficOnPanic: boolean
  readonly forceLocalityDirectRouting: boolean
}

/** envoy.config.core.v3.HealthStatus */
export type HealthStatus = 'UNKNOWN' | 'HEALTHY' | 'UNHEALTHY' | 'DRAINING' | 'TIMEOUT' | 'DEGRADED'

export interface CircuitBreakerThresholds {
  /** By `Resource` index; defaults 1024, 1024, 1024, 3, 2^64 (none). */
  readonly max: readonly [number, number, number, number, number]
  readonly trackRemaining: boolean
  readonly retryBudget: { readonly percent: number; readonly minRetryConcurrency: number } | null
}

export interface OutlierConfig {
  readonly interval: number
  readonly baseEjectionTime: number
  readonly maxEjectionTime: number
  readonly maxEjectionTimeJitter: number
  readonly maxEjectionPercent: number
  readonly alwaysEjectOneHost: boolean
  readonly consecutive5xx: number
  readonly enforcingConsecutive5xx: number
  readonly consecutiveGatewayFailure: number
  readonly enforcingConsecutiveGatewayFailure: number
  readonly splitExternalLocalOriginErrors: boolean
  readonly consecutiveLocalOriginFailure: number
  readonly enforcingConsecutiveLocalOriginFailure: number
  readonly successRateMinimumHosts: number
  readonly successRateRequestVolume: number
  /** Already divided by 1000. */
  readonly successRateStdevFactor: number
  readonly enforcingSuccessRate: number
  readonly enforcingLocalOriginSuccessRate: number
  readonly failurePercentageThreshold: number
  readonly failurePercentageMinimumHosts: number
  readonly failurePercentageRequestVolume: number
  readonly enforcingFailurePercentage: number
  readonly enforcingFailurePercentageLocalOrigin: number
  readonly successfulActiveHealthCheckUnejectHost: boolean
}

export interface HealthCheckConfig {
  readonly timeout: number
  readonly interval: number
  readonly initialJitter: number
  readonly intervalJitter: number
  readonly intervalJitterPercent: number
  readonly unhealthyThreshold: number
  readonly healthyThreshold: number
  readonly reuseConnection: boolean
  readonly noTrafficInterval: number
  readonly noTrafficHealthyInterval: number
  readonly unhealthyInterval: number
  readonly unhealthyEdgeInterval: number
  readonly healthyEdgeInterval: number
  /** '' = no log. Lines are JSON HealthCheckEvents. */
  readonly eventLogPath: string
  readonly alwaysLogFailures: boolean
  readonly alwaysLogSuccess: boolean
  readonly alpnProtocols: readonly string[]
  readonly transportSocketMatchCriteria: Readonly<Record<string, unknown>> | null
  readonly checker: HealthCheckerConfig
}

export type HealthCheckerConfig =
  | {
      readonly kind: 'http'
      readonly host: string
      readonly path: string
      readonly method: string
      readonly http2: boolean
      /** Half-open ranges [start, end), flat. */
      readonly expectedStatuses: readonly number[]
      readonly retriableStatuses: readonly number[]
      readonly headersToAdd: readonly HealthCheckHeader[]
      readonly headersToRemove: readonly string[]
      /** Patterns the body must contain in order; empty = the body is not read. */
      readonly receive: readonly Uint8Array[]
      readonly responseBufferSize: number
      readonly send: Uint8Array | null
      readonly serviceName: ServiceNameMatcher | null
    }
  | { readonly kind: 'tcp'; readonly send: Uint8Array | null; readonly receive: readonly Uint8Array[] }
  | {
      readonly kind: 'grpc'
      readonly serviceName: string
      readonly authority: string
      readonly headersToAdd: readonly HealthCheckHeader[]
    }

export interface HealthCheckHeader {
  readonly name: string
  readonly value: string
  readonly append: boolean
}

/** service_name_matcher against `x-envoy-upstream-healthchecked-cluster`. */
export interface ServiceNameMatcher {
  readonly kind: 'exact' | 'prefix' | 'suffix' | 'contains'
  readonly value: string
  readonly ignoreCase: boolean
}

export interface DnsConfig {
  readonly refreshRate: number
  readonly jitter: number
  /** Back-off after failures; null = refreshRate. */
  readonly failureRefresh: { readonly base: number; readonly max: number } | null
  readonly respectTtl: boolean
  readonly lookupFamily: 'AUTO' | 'V4_ONLY' | 'V6_ONLY' | 'V4_PREFERRED' | 'ALL'
  /** `ip:port`; empty = /etc/resolv.conf. */
  readonly resolvers: readonly string[]
  readonly noDefaultSearchDomain: boolean
  /** Milliseconds per try and tries of c-ares; 0 = its default. */
  readonly queryTimeout: number
  readonly queryTries: number
}

export interface OriginalDstConfig {
  /** '' = not by header. */
  readonly httpHeaderName: string
  /** Dynamic metadata that names the host; null = not by metadata. */
  readonly metadata: { readonly name: string; readonly path: readonly string[] } | null
  /** 0 = keep the port. */
  readonly portOverride: number
}

export interface UpstreamBindConfig {
  /** Source address, null = kernel's choice. */
  readonly address: Address | null
  /** First of another IP family than `address`; null = none. */
  readonly extraAddress: Address | null
}

/** Times in seconds; null = the system's. */
export interface TcpKeepaliveConfig {
  readonly probes: number | null
  readonly time: number | null
  readonly interval: number | null
}

/** What `io/transport-sockets` made of a TransportSocket message; opaque here. */
export interface TransportSocketConfig {
  /** `envoy.transport_sockets.raw_buffer` when the cluster names none. */
  readonly name: string
  readonly typeUrl: string
  readonly config: unknown
}

export interface TransportSocketMatchConfig {
  readonly name: string
  /** Compared with endpoint metadata `envoy.transport_socket_match`; empty matches all. */
  readonly match: Readonly<Record<string, unknown>>
  readonly transportSocket: TransportSocketConfig
}

/** ClusterLoadAssignment, as `config/endpoint.ts` gives it. */
export interface AssignmentConfig {
  readonly clusterName: string
  readonly localities: readonly LocalityConfig[]
  /** Per cent: 140. */
  readonly overprovisioningFactor: number
  readonly weightedPriorityHealth: boolean
  readonly dropOverloads: readonly DropOverload[]
  /** EDS: hosts are dropped when no update came for so long; 0 = never. */
  readonly endpointStaleAfter: number
}

export interface DropOverload {
  readonly category: string
  readonly numerator: number
  readonly denominator: number
}

export interface LocalityConfig {
  readonly region: string
  readonly zone: string
  readonly subZone: string
  readonly priority: number
  /** load_balancing_weight of the locality; 0 when unset (no traffic under locality weighting). */
  readonly weight: number
  readonly hosts: readonly HostConfig[]
}

export interface HostConfig {
  /** For DNS clusters `ip` is the name to resolve. */
  readonly address: Address
  readonly hostname: string
  readonly weight: number
  readonly priority: number
  readonly region: string
  readonly zone: string
  readonly subZone: string
  readonly healthStatus: HealthStatus
  /** `filter_metadata` by name; null when none. */
  readonly metadata: Readonly<Record<string, unknown>> | null
  readonly healthCheck: HostHealthCheckConfig | null
}

export interface HostHealthCheckConfig {
  /** Null = the host's own. */
  readonly address: Address | null
  /** 0 = the host's own. */
  readonly port: number
  readonly hostname: string
  readonly disabled: boolean
}
