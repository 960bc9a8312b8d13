import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { Timers } from '../base/timer.ts'
import type { RouteTable } from '../routing/route.ts'
import type { StatsScope } from '../stats/stats.ts'
import type { ClusterManager } from '../upstream/upstream.ts'
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
  readonly runtime: Runtime
  readonly clusters: ClusterManager
  readonly routes: RouteSource
  readonly secrets: SecretSource
  readonly extensions: ExtensionSource
  readonly drain: DrainState
  readonly node: NodeInfo
  /** Goes to the process log through main. `component` is one of Envoy's logger names. */
  log(component: string): Log
  /** Milliseconds between access-log flushes (`--file-flush-interval-msec`). */
  readonly fileFlushInterval: number
  /** Next value of %CONNECTION_ID%: unique in the process, worker index in the high bits. */
  nextConnectionId(): number
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
