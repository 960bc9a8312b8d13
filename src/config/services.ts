import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { Timers } from '../base/timer.ts'
import type { TokenBuckets } from '../base/token-bucket.ts'
import type { HeaderBlock } from '../codec/header-block.ts'
import type { RetryPolicy, RouteTable } from '../routing/route.ts'
import type { StatsScope } from '../stats/stats.ts'
import type { FormatContext } from '../telemetry/format-context.ts'
import type { WorkloadMetadata } from '../telemetry/workload-metadata.ts'
import type { ClusterManager } from '../upstream/upstream.ts'
import type { GrpcServiceConfig } from './grpc-service.ts'
import type { ParsedExtension } from './registry.ts'

/**
 * What `create()` of every extension gets: the world of one worker thread. Made by `worker/main.ts`; tests make a small one.
 * Only types are imported here, so the file pulls nothing in.
 */
export interface WorkerServices {
  /** 0 … concurrency-1. */
  readonly workerIndex: number
  readonly concurrency: number
  readonly timers: Timers
  readonly clock: Clock
  readonly random: Random
  /** Root scope: names are Envoy's full dotted names. */
  readonly stats: StatsScope
  /** Of stats made with tags of their own: when it has grown, cells that are kept must be asked for again. Not on main. */
  readonly evictedStats?: { readonly generation: number }
  readonly runtime: Runtime
  readonly clusters: ClusterManager
  readonly routes: RouteSource
  readonly secrets: SecretSource
  readonly extensions: ExtensionSource
  readonly workloads: WorkloadSource
  readonly callOuts: CallOuts
  readonly drain: DrainState
  /** Token buckets that all workers share. */
  readonly tokenBuckets: TokenBuckets
  readonly node: NodeInfo
  /** Goes to the process log through main. `component` is one of Envoy's logger names. */
  log(component: string): Log
  /** Milliseconds between access-log flushes (`--file-flush-interval-msec`). */
  readonly fileFlushInterval: number
  /** Next value of %CONNECTION_ID%: unique in the process, worker index in the high bits. */
  nextConnectionId(): number
}

/**
 * Calls that the data plane makes itself, HTTP and gRPC, through its clusters (their hosts, TLS, pools, limits, retries and stats,
 * counted as internal). Extensions of every layer make them here: access loggers and tracers stand below http/.
 */
export interface CallOuts {
  /**
   * One HTTP exchange whose answer is collected. `head` gets x-envoy-internal, x-forwarded-for, x-envoy-expected-rq-timeout-ms and,
   * when it has none, the scheme of the connection. The user may be called before this returns.
   */
  http(options: CallOptions, head: HeaderBlock, body: Uint8Array | null, user: CallUser): PendingCall
  /** Once per configuration, not per call. */
  grpc(service: GrpcServiceConfig): GrpcClient
  /** A connection to a host of `cluster`, with its transport socket. The user may be called before this returns. */
  tcp(cluster: string, user: TcpCallUser): TcpCall
}

/** Told once how an HTTP call ended. */
export interface CallUser {
  /**
   * A whole answer, whatever its status. `head` (with `head.status`) and `trailers` are the user's until it returns; `trailers` is
   * null when there were none.
   */
  onCallDone(head: HeaderBlock, body: Uint8Array, trailers: HeaderBlock | null): void
  /**
   * No whole answer in time: no cluster, no host, refused, reset, timeout, or the body was larger than it may be. `status` and
   * `text` as `AsyncStreamUser.onBroken` (http/async-stream.ts) says.
   */
  onCallFailed(status: number, text: string): void
}

export interface CallOptions {
  readonly cluster: string
  /** ms for all attempts together; 0 = no limit. */
  readonly timeout: number
  /** `compileCoreRetry` makes one from envoy.config.core.v3.RetryPolicy; null = one attempt. */
  readonly retry: RetryPolicy | null
  readonly maxBody: number
  /** False: x-forwarded-for stays as it is. */
  readonly forwardedFor?: boolean
}

/** Told that a connection is gone, or could not be made (no such cluster, no host, refused). */
export interface TcpCallUser {
  onTcpClosed(): void
}

/** What the peer says is read and thrown away. */
export interface TcpCall extends PendingCall {
  /** Bytes that wait for the connection or for the peer. */
  readonly buffered: number
  /** The bytes are given away. Does nothing when the connection is gone. */
  send(bytes: Uint8Array): void
}

export interface PendingCall {
  /** The user hears nothing more. Does nothing when the call is over. */
  cancel(): void
}

/**
 * Methods of one gRPC service (`parseGrpcService` of config/grpc-service.ts). Requests carry what Envoy's do: `te`, `grpc-timeout`,
 * `content-type`, initial_metadata, x-envoy-internal, x-forwarded-for, x-envoy-expected-rq-timeout-ms.
 */
export interface GrpcClient {
  /**
   * A unary call of `path`, `/package.Service/Method`. `message` is the encoded request (config/wire-writer.ts: workers have no
   * descriptors). `timeout` in ms, 0 = none. `parent`: the request or connection this call belongs to; formats in initial_metadata
   * read it. Null: they are sent unformatted, as Envoy does.
   * The user may be called before this returns (no such cluster, no host), with the call then being over.
   */
  call(
    path: string,
    message: Uint8Array,
    timeout: number,
    user: GrpcCallUser,
    parent: FormatContext | null,
  ): PendingCall
  /** A streaming call without a time limit. The user may be called before this returns. */
  open(path: string, user: GrpcStreamUser, parent: FormatContext | null): GrpcStream
}

/** Told once how a unary call ended. */
export interface GrpcCallUser {
  /** grpc-status 0 and a message, which may have no bytes; config/wire-reader.ts reads it. The bytes are the user's. */
  onReply(message: Uint8Array): void
  /**
   * grpc-status (google.rpc.Code) and grpc-message as sent, not percent-decoded. Ends that no server gave: 14 when no answer came
   * (no cluster, no host, refused, reset, timeout; the message says which), 13 for a broken or compressed answer or a missing
   * message, 8 when it is longer than max_receive_message_length (4 MiB unless configured), 2 without grpc-status, that of the HTTP
   * status when it is not 200, -1 for a grpc-status that is no known code.
   */
  onFailure(status: number, text: string): void
}

export interface GrpcStreamUser {
  /** The bytes are the user's. */
  onMessage(message: Uint8Array): void
  /** The stream is over, status 0 included. As `GrpcCallUser.onFailure`. */
  onClosed(status: number, text: string): void
}

export interface GrpcStream extends PendingCall {
  /** What waits to be sent exceeds the cluster's per_connection_buffer_limit_bytes: the caller should drop messages. */
  readonly blocked: boolean
  /** Does nothing once the stream is over. */
  send(message: Uint8Array): void
  /** No more messages from here; the server still answers. */
  close(): void
}

/** Runtime layers as a worker sees them; changes arrive by message and swap the map. */
export interface Runtime {
  /** The value as text; undefined when no layer sets the key. */
  get(key: string): string | undefined
  integer(key: string, defaultValue: number): number
  double(key: string, defaultValue: number): number
  boolean(key: string, defaultValue: boolean): boolean
  /**
   * `envoy.config.core.v3.RuntimeFractionalPercent` and `featureEnabled`: true for `random` of the stream when
   * `random % denominator < numerator`. The runtime value may be a FractionalPercent or an integer (then percent of 100).
   * `numerator` and `denominator` (100, 10_000, 1_000_000) are the configured default. `key` '' = the default only.
   */
  fraction(key: string, numerator: number, denominator: number, random: number): boolean
}

/** Dynamic route configurations (RDS). */
export interface RouteSource {
  /** The newest table of that name; null until it has arrived. Read it once per stream: it may be swapped at any time. */
  get(name: string): RouteTable | null
}

/** Configurations of filters that came by ECDS. */
export interface ExtensionSource {
  /** Grows with every change: what is as it was need not be asked again. */
  readonly generation: number
  /** The same object until it changes; null: it has not arrived, or was removed. */
  get(category: string, name: string): ParsedExtension | null
}

/** Workloads of an ambient mesh (envoy.bootstrap.workload_discovery). */
export interface WorkloadSource {
  /** Who has this IP address, as `Address.ip`; null: nobody that is known, or nothing is discovered. */
  get(ip: string): WorkloadMetadata | null
}

/** Static and SDS secrets, as `server/secrets.ts` publishes them. */
export interface SecretSource {
  /** Null until the secret has arrived. */
  get(name: string): SecretData | null
  /** `changed` is called after each update of `name`, on this worker; returns the function that ends it. */
  watch(name: string, changed: () => void): () => void
}

/** Cloneable form of envoy.extensions.transport_sockets.tls.v3.Secret: every DataSource is resolved to its bytes by main. */
export interface SecretData {
  readonly name: string
  /** xDS version; '' for static ones. */
  readonly version: string
  readonly tlsCertificate?: {
    readonly certificateChain: Uint8Array
    readonly privateKey: Uint8Array
    readonly password: string
    readonly ocspStaple: Uint8Array | null
    /** Where chain and key were read from, as error texts name it: a path or `<inline>`. */
    readonly source: string
    readonly keySource: string
  }
  /** The resource as read (snake_case message of config/gen/messages.d.ts) with its data sources replaced by inline bytes. */
  readonly validationContext?: object
  readonly sessionTicketKeys?: readonly Uint8Array[]
  readonly genericSecret?: Uint8Array
}

/** Drain decision of one listener (envoy/network/drain_decision.h). */
export interface DrainDecision {
  /** Begins the drain; the second time does nothing. */
  start(): void
  /**
   * True when this stream or connection should be told to go away (`connection: close`, GOAWAY): its listener drains, or
   * /healthcheck/fail was called. Gradual strategy: true with a probability that grows over --drain-time-s.
   */
  closing(): boolean
}

export interface DrainState {
  /** For a new listener. `modifyOnly`: drain_type MODIFY_ONLY, which /healthcheck/fail does not drain. */
  decision(modifyOnly: boolean): DrainDecision
  /** /healthcheck/fail: health check filter answers 503 and data-plane HTTP/1 responses carry `connection: close`. */
  readonly healthCheckFailed: boolean
}

export interface NodeInfo {
  readonly id: string
  readonly cluster: string
  readonly region: string
  readonly zone: string
  readonly subZone: string
  readonly metadata: Readonly<Record<string, unknown>>
}
