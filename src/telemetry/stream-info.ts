import { cut, narrowList } from '../base/list.ts'
import type { StateSharing } from '../config/filter-state-value.ts'
import type { Address, Connection, TlsInfo } from '../io/connection.ts'
import { StreamTimes } from './stream-times.ts'

/**
 * Response flags, in Envoy's bit order (`envoy/stream_info/stream_info.h` CoreResponseFlag); the access log joins the short
 * names by a comma in this order. `telemetry/response-flags.ts` has the names.
 */
export const ResponseFlag = {
  FailedLocalHealthCheck: 0,
  NoHealthyUpstream: 1,
  UpstreamRequestTimeout: 2,
  LocalReset: 3,
  UpstreamRemoteReset: 4,
  UpstreamConnectionFailure: 5,
  UpstreamConnectionTermination: 6,
  UpstreamOverflow: 7,
  NoRouteFound: 8,
  DelayInjected: 9,
  FaultInjected: 10,
  RateLimited: 11,
  UnauthorizedExternalService: 12,
  RateLimitServiceError: 13,
  DownstreamConnectionTermination: 14,
  UpstreamRetryLimitExceeded: 15,
  StreamIdleTimeout: 16,
  InvalidEnvoyRequestHeaders: 17,
  DownstreamProtocolError: 18,
  UpstreamMaxStreamDurationReached: 19,
  ResponseFromCacheFilter: 20,
  NoFilterConfigFound: 21,
  DurationTimeout: 22,
  UpstreamProtocolError: 23,
  NoClusterFound: 24,
  OverloadManager: 25,
  DnsResolutionFailed: 26,
  DropOverLoad: 27,
  DownstreamRemoteReset: 28,
  UnconditionalDropOverload: 29,
} as const
export type ResponseFlag = (typeof ResponseFlag)[keyof typeof ResponseFlag]

/** An object of the filter state that upstream connections get to know. */
export interface SharedState {
  readonly key: string
  readonly value: unknown
  readonly sharing: StateSharing
  /** Streams that share objects of different texts have different connections; '' = any will do (Envoy: Hashable). */
  readonly poolKey: string
}

/** What is told of a host. */
export interface UpstreamHost {
  readonly address: Address
  readonly hostname: string
  readonly metadata: StreamInfo['hostMetadata']
}

/**
 * Facts of one HTTP stream or TCP connection, filled in while it runs and read by access loggers, formatters and
 * inspectors. Pooled with its owner: `reset` must leave it as new.
 */
export class StreamInfo extends StreamTimes {
  /** 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2'; '' for TCP. */
  protocol = ''
  upstreamProtocol = ''
  /** 0 = no response. */
  responseCode = 0
  /** Blanks already replaced by `_`; '' when none. */
  responseCodeDetails = ''
  /** Bit set over `ResponseFlag` (30 bits used). */
  flags = 0
  /** The same flags in the order they were set, which is how Envoy prints them: five bits each (bit + 1), first one highest. */
  flagOrder = 0
  connectionTerminationDetails = ''
  upstreamTransportFailure = ''
  downstreamTransportFailure = ''
  /** Body bytes, as BYTES_RECEIVED / BYTES_SENT count them; TCP: all bytes. */
  bytesReceived = 0
  bytesSent = 0
  downstreamHeaderBytesReceived = 0
  downstreamHeaderBytesSent = 0
  downstreamWireBytesReceived = 0
  downstreamWireBytesSent = 0
  upstreamHeaderBytesReceived = 0
  upstreamHeaderBytesSent = 0
  upstreamWireBytesReceived = 0
  upstreamWireBytesSent = 0
  upstreamAttempts = 0
  routeName = ''
  virtualHostName = ''
  virtualClusterName = ''
  filterChainName = ''
  listenerName = ''
  upstreamClusterName = ''
  /** Cluster alt_stat_name / observability name. */
  upstreamClusterStatName = ''
  /** `ip:port` of the chosen host; '' when none. */
  upstreamHost = ''
  upstreamHostName = ''
  /** Local `ip:port` of the upstream connection. */
  upstreamLocal = ''
  /** Of the last attempt, when it got one. */
  upstreamConnection: Connection | null = null
  /** Facts of the upstream connection, when it has any. */
  upstream: StreamInfo | null = null
  /** Hosts tried, in order, for retry predicates and logs. */
  upstreamHostsAttempted: string[] = narrowList()
  requestId = ''
  /** A trusted caller forced a trace: it learns the request id from the response. */
  requestIdInResponse = false
  /** Reason the request id carries (see Envoy's uuid trace bits); 0 = no trace. */
  traceReason = 0
  /** Lower-case hex of the span that stands for the request; '' when nothing traces it. */
  traceId = ''
  spanId = ''
  connection: Connection | null = null
  /** Client this request came from when trusted headers name one; null = the connection's peer. Never outlives the request. */
  client: Address | null = null
  /** Route, cluster and host metadata (`filter_metadata` by name) and per-stream dynamic metadata; null when none. */
  routeMetadata: Readonly<Record<string, unknown>> | null = null
  clusterMetadata: Readonly<Record<string, unknown>> | null = null
  virtualHostMetadata: Readonly<Record<string, unknown>> | null = null
  /** Of the listener and of the filter chain that took the connection. */
  listenerMetadata: Readonly<Record<string, unknown>> | null = null
  filterChainMetadata: Readonly<Record<string, unknown>> | null = null
  hostMetadata: Readonly<Record<string, unknown>> | null = null
  dynamicMetadata: Record<string, Record<string, unknown>> | null = null
  /** Objects print themselves by `toString`. May be the connection's until `setState`. */
  filterState: Record<string, unknown> | null = null
  /** Those that upstream connections get to know; null = none. Never changed in place: streams have their connection's. */
  sharedState: readonly SharedState[] | null = null
  #ownsState = false

  setFlag(flag: ResponseFlag): void {
    if ((this.flags & (1 << flag)) !== 0) return
    this.flags |= 1 << flag
    // Ten flags fit a double; no stream collects more.
    this.flagOrder = this.flagOrder * 32 + flag + 1
  }

  hasFlag(flag: ResponseFlag): boolean {
    return (this.flags & (1 << flag)) !== 0
  }

  /** Sets fields of dynamic metadata `namespace`; the ones it has already stay (Envoy: setDynamicMetadata merges). */
  mergeMetadata(namespace: string, fields: Readonly<Record<string, unknown>>): void {
    this.dynamicMetadata ??= {}
    const known = Object.hasOwn(this.dynamicMetadata, namespace) ? this.dynamicMetadata[namespace] : undefined
    this.dynamicMetadata[namespace] = known === undefined ? { ...fields } : Object.assign(known, fields)
  }

  /** Filter state of the stream; what the connection gave it stays as it is for the other streams. */
  setState(key: string, value: unknown): void {
    if (this.filterState === null || !this.#ownsState) {
      this.filterState = { ...this.filterState }
      this.#ownsState = true
    }
    this.filterState[key] = value
  }

  /** As set_filter_state does it: what the connection has set stays for its streams (FilterStateImpl::setData). */
  setFilterState(key: string, value: unknown, sharing: StateSharing, poolKey: string): void {
    const own = this.connection?.streamInfo
    if (own !== this && own?.state(key) !== undefined) return
    this.setState(key, value)
    const others = (this.sharedState ?? NOTHING).filter(shared => shared.key !== key)
    if (sharing !== 'none') others.push({ key, value, sharing, poolKey })
    this.sharedState = others.length === 0 ? null : others
  }

  state(key: string): unknown {
    const { filterState } = this
    return filterState !== null && Object.hasOwn(filterState, key) ? filterState[key] : undefined
  }

  /** An internal redirect begins the exchange anew: what the first response left is forgotten, the request stays. */
  restart(): void {
    this.responseCode = 0
    this.responseCodeDetails = ''
    this.flags = 0
    this.flagOrder = 0
    this.upstreamAttempts = 0
    cut(this.upstreamHostsAttempted, 0)
    this.forgetAttempt()
    this.upstreamHeaderBytesReceived = 0
    this.upstreamHeaderBytesSent = 0
    this.upstreamWireBytesReceived = 0
    this.upstreamWireBytesSent = 0
  }

  /** What the log says of the upstream is of the last attempt alone; only bytes are summed up. */
  forgetAttempt(): void {
    this.forgetHost()
    this.upstreamTransportFailure = ''
    this.upstreamProtocol = ''
    this.upstreamLocal = ''
    this.upstreamConnection = null
    this.upstream = null
    this.firstUpstreamTx = -1
    this.lastUpstreamTx = -1
    this.firstUpstreamRx = -1
    this.lastUpstreamRx = -1
    this.poolRequest = -1
    this.poolAnswer = -1
  }

  /** The host of an attempt, from its beginning on; of a TCP connection, once it has answered or refused. */
  noteHost(host: UpstreamHost): void {
    this.upstreamHost = host.address.text
    this.upstreamHostName = host.hostname
    this.hostMetadata = host.metadata
  }

  forgetHost(): void {
    this.upstreamHost = ''
    this.upstreamHostName = ''
    this.hostMetadata = null
  }

  get upstreamTls(): TlsInfo | null {
    return this.upstreamConnection === null ? null : this.upstreamConnection.tls
  }

  /** 0 = none. */
  get upstreamConnectionId(): number {
    return this.upstreamConnection === null ? 0 : this.upstreamConnection.id
  }

  /** Of the upstream connection, which may be older than the stream. `Timers.now()` milliseconds, -1 = not reached. */
  get upstreamConnectStart(): number {
    return this.upstreamConnection === null ? -1 : this.upstreamConnection.startTime
  }

  get upstreamConnectEnd(): number {
    return this.upstreamConnection?.connectEnd ?? -1
  }

  get upstreamHandshakeEnd(): number {
    const upstream = this.upstreamTls?.handshakeEnd ?? -1
    // Envoy's TLS socket notes the client's handshake as the upstream's where it finds that tcp_proxy works for an upstream.
    return this.#isTcpProxys ? Math.max(upstream, this.connection?.tls?.handshakeEnd ?? -1) : upstream
  }

  get downstreamHandshakeEnd(): number {
    return this.#isTcpProxys ? -1 : (this.connection?.tls?.handshakeEnd ?? -1)
  }

  get #isTcpProxys(): boolean {
    return this.poolRequest >= 0 && this.connection?.streamInfo === this
  }

  reset(): void {
    this.resetTimes()
    this.protocol = ''
    this.upstreamProtocol = ''
    this.responseCode = 0
    this.responseCodeDetails = ''
    this.flags = 0
    this.flagOrder = 0
    this.connectionTerminationDetails = ''
    this.upstreamTransportFailure = ''
    this.downstreamTransportFailure = ''
    this.bytesReceived = 0
    this.bytesSent = 0
    this.downstreamHeaderBytesReceived = 0
    this.downstreamHeaderBytesSent = 0
    this.downstreamWireBytesReceived = 0
    this.downstreamWireBytesSent = 0
    this.upstreamHeaderBytesReceived = 0
    this.upstreamHeaderBytesSent = 0
    this.upstreamWireBytesReceived = 0
    this.upstreamWireBytesSent = 0
    this.upstreamAttempts = 0
    this.routeName = ''
    this.virtualHostName = ''
    this.virtualClusterName = ''
    this.filterChainName = ''
    this.listenerName = ''
    this.upstreamClusterName = ''
    this.upstreamClusterStatName = ''
    this.upstreamHost = ''
    this.upstreamHostName = ''
    this.upstreamLocal = ''
    this.upstreamConnection = null
    this.upstream = null
    cut(this.upstreamHostsAttempted, 0)
    this.requestId = ''
    this.requestIdInResponse = false
    this.traceReason = 0
    this.traceId = ''
    this.spanId = ''
    this.connection = null
    this.client = null
    this.routeMetadata = null
    this.clusterMetadata = null
    this.virtualHostMetadata = null
    this.listenerMetadata = null
    this.filterChainMetadata = null
    this.hostMetadata = null
    this.dynamicMetadata = null
    this.filterState = null
    this.sharedState = null
    this.#ownsState = false
  }
}

const NOTHING: readonly SharedState[] = []
