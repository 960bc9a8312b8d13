import type { CodecStream, ResetReason } from '../codec/codec.ts'
import type { HeaderBlock } from '../codec/header-block.ts'
import type { Address, Connection, Flow } from '../io/connection.ts'
import type { StatsScope } from '../stats/stats.ts'
import type { SharedState, StreamInfo } from '../telemetry/stream-info.ts'
import type { AlpnOverride } from './host-pools.ts'
import type { UpstreamNetworkFilter } from './network-filter.ts'
import type { PriorityLoads } from './priority-load.ts'

/** Int32 cells per host in the shared state (see `shared-state.ts`): counted with Atomics so that all workers see one truth. */
export const HostCell = {
  /** Bit set over `HostHealth`; 0 = healthy. */
  Health: 0,
  ActiveRequests: 1,
  ActiveConnections: 2,
  Consecutive5xx: 3,
  ConsecutiveGateway: 4,
  ConsecutiveLocalOrigin: 5,
  Ejections: 6,
  SuccessRateTotal: 7,
  SuccessRateSuccess: 8,
  LocalOriginTotal: 9,
  LocalOriginSuccess: 10,
  /** From here on counters for /clusters: each worker counts in its own mirror, main adds them up (`hostCounter`). */
  RqTotal: 11,
  RqSuccess: 12,
  RqError: 13,
  RqTimeout: 14,
  CxTotal: 15,
  CxConnectFail: 16,
  Count: 18,
} as const

export const HostHealth = {
  FailedActive: 1,
  FailedOutlier: 2,
  FailedEds: 4,
  DegradedActive: 8,
  DegradedEds: 16,
  EdsDraining: 32,
  ActiveTimeout: 64,
  /** Health checks configured but no result yet. */
  PendingActive: 128,
  /** The endpoint said `x-envoy-immediate-health-check-fail`: not counted among the hosts of its priority. */
  ExcludedImmediate: 256,
  /** Discovery dropped it, its health checks still pass: it goes when they fail. */
  PendingRemoval: 512,
} as const

/** One endpoint as a worker sees it. Identity is kept across host-set updates while address and cluster stay the same. */
export interface Host {
  readonly address: Address
  /** `hostname` of the endpoint or the DNS name it was resolved from; '' when none. */
  readonly hostname: string
  readonly weight: number
  readonly priority: number
  readonly region: string
  readonly zone: string
  readonly subZone: string
  /** `filter_metadata` by filter name; null when none. */
  readonly metadata: Readonly<Record<string, unknown>> | null
  readonly cluster: Cluster
  /** Reads the shared health cell: 0 healthy, 1 degraded, 2 unhealthy. */
  health(): 0 | 1 | 2
  activeRequests(): number
}

/** What load balancers and retry predicates may ask about the request; the router's upstream request implements it. */
export interface PickContext {
  /** 0 = no hash policy produced a value (ring hash and maglev pick at random then). */
  readonly hash: bigint | null
  readonly requestHeaders: HeaderBlock | null
  /** Subset match from route metadata_match; null when none. */
  readonly metadataMatch: Readonly<Record<string, unknown>> | null
  readonly downstream: Connection | null
  /** Facts of the stream or connection that a host is for; ORIGINAL_DST finds it there. */
  readonly info: StreamInfo | null
  /** Address of the host that is wanted before any other; '' when none. */
  readonly overrideHost: string
  /** True: choose again (retry host predicate); asked at most `maxHostSelections` times. */
  rejectHost(host: Host): boolean
  readonly maxHostSelections: number
  /** retry_priority plug-in of a retry: replaces the priority loads for this pick; null = default. */
  readonly retryPriority: RetryPriority | null
}

/** Nothing is known that could tell one host from another. */
export const ANY_REQUEST: PickContext = {
  hash: null,
  requestHeaders: null,
  metadataMatch: null,
  downstream: null,
  info: null,
  overrideHost: '',
  rejectHost: () => false,
  maxHostSelections: 1,
  retryPriority: null,
}

export interface RetryPriority {
  /** `own`: the loads of the balancer, which are not to be changed. */
  loads(own: PriorityLoads): PriorityLoads
}

/** Why a pool could not give a stream. */
export const PoolFailure = {
  /** Circuit breaker of requests. */
  Overflow: 0,
  RemoteConnectionFailure: 1,
  LocalConnectionFailure: 2,
  Timeout: 3,
  /** Circuit breaker of pending requests: no connection was chosen. */
  PendingOverflow: 4,
} as const
export type PoolFailure = (typeof PoolFailure)[keyof typeof PoolFailure]

/** Whoever asked an HTTP pool for a stream (the router's upstream request). Set as `stream.user`, then receives its events. */
export interface HttpPoolUser {
  /** `stream` is ready for encodeHeaders. May be called inside newStream. `connection` is the upstream connection. */
  onPoolReady(stream: CodecStream, host: Host, connection: Connection, protocol: string): void
  /** `transportFailure`: e.g. `delayed connect error: Connection refused`; '' when none. */
  onPoolFailure(failure: PoolFailure, host: Host, transportFailure: string): void
  onResponseHeaders(h: HeaderBlock, end: boolean): void
  onResponseData(chunk: Uint8Array, end: boolean): Flow
  onResponseTrailers(t: HeaderBlock): void
  onUpstreamReset(why: ResetReason, details: string): void
  onUpstreamWritable(): void
}

/** A pending pool request; `cancel` after onPoolReady/onPoolFailure is a bug. */
export interface PoolHandle {
  cancel(): void
}

export interface HttpPool {
  /** Calls `user` now or later; null when it was called already. */
  newStream(user: HttpPoolUser): PoolHandle | null
}

export interface TcpPoolUser {
  /** The connection is established; the user sets `connection.handler`. */
  onTcpReady(connection: Connection, host: Host): void
  onTcpFailure(failure: PoolFailure, host: Host, transportFailure: string): void
}

/** A cluster materialised on a worker. Immutable but for its host set; replaced as a whole by CDS updates. */
export interface Cluster {
  readonly name: string
  readonly observabilityName: string
  readonly config: import('./cluster-config.ts').ClusterConfig
  /** Scope `cluster.<observability name>.`. */
  readonly stats: StatsScope
  /** The fixed `cluster.X.*` counters; see `cluster-stats.ts`. */
  readonly counters: import('./cluster-stats.ts').ClusterStats
  readonly metadata: Readonly<Record<string, unknown>> | null
  /** Runtime key of the percentage of requests that are refused: made once, as it is asked for with each of them. */
  readonly maintenanceKey: string
  readonly limits: ResourceLimits
  /** Filters of upstream connections; null = none. */
  readonly networkFilters: readonly UpstreamNetworkFilter[] | null
  /** Picks a host; null = no healthy upstream. */
  pick(context: PickContext): Host | null
  /** Pool for `host` and what the downstream needs; `downstreamProtocol` matters for use_downstream_protocol_config. */
  httpPool(
    host: Host,
    priority: 0 | 1,
    downstreamProtocol: string,
    downstream: Connection | null,
    /** SNI for this request when `config.http.autoSni`: the authority (or override header) without port; '' = as configured. */
    serverName?: string,
    /** Protocols that a filter wants offered instead of the configured ones. */
    alpn?: AlpnOverride | null,
    /** Filter state that the connection gets to know. */
    shared?: readonly SharedState[] | null,
  ): HttpPool
  tcpConnect(host: Host, user: TcpPoolUser, info: StreamInfo, downstream: Connection | null): PoolHandle | null
  /** Per-host rq_success / rq_error by status, as /clusters prints them. */
  chargeHost(host: Host, status: number): void
  /** The host said `x-envoy-immediate-health-check-fail`: it is unhealthy until a health check passes. */
  failHost(host: Host): void
  /** Category of the `drop_overloads` entry that says to drop this request; '' = go on. */
  dropOverload(): string
  /** Reports an outcome to outlier detection; `status` 0 for connection-level failures with `localOrigin`. */
  reportOutcome(host: Host, status: number, localOrigin: OutlierEvent): void
}

export const OutlierEvent = {
  /** An HTTP status arrived. */
  Response: 0,
  ConnectFailed: 1,
  ConnectTimeout: 2,
  /** Connected; how it goes is told by what follows. */
  ConnectSuccess: 3,
  RequestReset: 4,
  RequestTimeout: 5,
  /** Connected, and nothing more will be told: TCP. */
  ConnectSuccessFinal: 6,
} as const
export type OutlierEvent = (typeof OutlierEvent)[keyof typeof OutlierEvent]

/** Circuit-breaker counters of one cluster and priority, shared by all workers (Int32, Atomics). */
export interface ResourceLimits {
  /** Takes one if the limit allows; false = overflow. `kind`: index into `Resource`. `priority`: 0 default, 1 high. */
  tryTake(priority: 0 | 1, kind: number): boolean
  canTake(priority: 0 | 1, kind: number): boolean
  /** Takes one above the limit: an empty pool may always open one connection (conn_pool_base.cc). */
  take(priority: 0 | 1, kind: number): void
  give(priority: 0 | 1, kind: number): void
  /** Retry resource with the budget (retry_budget) taken into account. */
  tryTakeRetry(priority: 0 | 1): boolean
  giveRetry(priority: 0 | 1): void
}
export const Resource = { Connections: 0, PendingRequests: 1, Requests: 2, Retries: 3, ConnectionPools: 4 } as const

export interface ClusterManager {
  /** Materialises the cluster on first use; null when unknown. */
  get(name: string): Cluster | null
  /** Hosts of the cluster that the proxy itself is in, healthy or not; 1 when there are none. */
  localSize(): number
}
