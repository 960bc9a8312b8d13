import type { MessagePort } from 'node:worker_threads'
import type { LogLevel } from '../base/log.ts'
import type { ParsedExtension } from '../config/registry.ts'
import type { NodeInfo } from '../config/services.ts'
import type { StatsMatcherConfig } from '../config/stats-matcher.ts'
import type { HistogramUpdate, SlabUpdate } from '../stats/slab.ts'
import type { TagConfig } from '../stats/tags.ts'
import type { WorkloadFields } from '../telemetry/workload-metadata.ts'
import type { ClusterConfig } from '../upstream/cluster-config.ts'
import type { HostsUpdate, MetHost } from '../upstream/host.ts'
import type { EjectionRequest } from '../upstream/outlier-monitor.ts'
import type { SharedBlock, SharedPageView } from '../upstream/shared-state.ts'

/** What the server says about a worker that it wants. */
export interface WorkerFacts {
  readonly workerIndex: number
  readonly concurrency: number
  /** Raised for a replacement of a worker that died. */
  readonly generation: number
  readonly node: NodeInfo
  readonly logLevels: [LogLevel, [string, LogLevel][]]
  readonly fileFlushInterval: number
  /** Kilobytes an access log may hold back. */
  readonly fileFlushMinSizeKb: number
  readonly drainStrategy: 'gradual' | 'immediate'
  /** Milliseconds. */
  readonly drainTime: number
  readonly seed: number
  /** The machine's own address. */
  readonly localAddress: string
  /** cluster_manager.local_cluster_name; '' = none. */
  readonly localCluster: string
  /** Int32 cells over `ControlCell`, written by main, read by workers. */
  readonly control: SharedArrayBuffer
  readonly downstream: DownstreamLimit
  /** `tokenBucketMemory`, of the process. */
  readonly tokenBuckets: SharedArrayBuffer
  /** Bytes that wait for either side of a connection to an internal listener. */
  readonly internalBuffer: number
  /** Type names of extensions switched off: `category/name`. */
  readonly disabledExtensions: readonly string[]
  /** Null: no stats sink is configured. */
  readonly statsSinks: StatsSinksConfig | null
}

/** What a worker thread is told first. */
export interface WorkerBirth extends WorkerFacts {
  /** `OpenDescriptors.memory`: its own. */
  readonly openDescriptors: SharedArrayBuffer
}

/** What a worker needs for its half of the stats sinks. */
export interface StatsSinksConfig {
  readonly sinks: readonly ParsedExtension[]
  readonly tags: TagConfig
  readonly matcher: StatsMatcherConfig | null
}

/** How many downstream connections the process may have. */
export interface DownstreamLimit {
  /** envoy.resource_monitors.global_downstream_max_connections; 0 = not set. */
  readonly max: number
  /** One gauge: how many there are. */
  readonly taken: SharedBlock
}

/** Cells of the control block: state so small and so often read that a message would be the wrong way. */
export const ControlCell = {
  /** 1 after POST /healthcheck/fail. */
  HealthCheckFailed: 0,
  Count: 16,
} as const

/** A configuration resource as published: the serialised parsed form, shared by all workers, read when first needed. */
export interface Published {
  readonly name: string
  /** xDS version; '' for static resources. */
  readonly version: string
  /** The parsed configuration, by `ValueWriter`. */
  readonly bytes: SharedArrayBuffer
}

/** What one element of the packed clusters holds. */
export interface PublishedCluster {
  readonly name: string
  readonly version: string
  readonly config: ClusterConfig
  readonly block: SharedBlock
  /** Null: none were published yet (EDS, DNS still to answer). */
  readonly hosts: HostsUpdate | null
}

export interface PublishedListener extends Published {
  /** Names what the workers have together; an update in place has that of the version it updates. */
  readonly tag: number
  /** Listening descriptors of this worker, one per address; the worker owns them. Empty in an update in place. */
  readonly descriptors: readonly number[]
  /** One gauge: open connections. */
  readonly open: SharedBlock
  /** Gauges of the filters, by filter chain; the default chain comes last. Null = a chain without any. */
  readonly gauges: readonly (SharedBlock | null)[]
  /** exact_balance: `balanceMemory`. */
  readonly balance: SharedArrayBuffer | null
  /** Update in place: the number of the present filter chain that each chain is, -1 = new; the default chain comes last. */
  readonly kept: readonly number[] | null
}

/** Who has an address, by workload discovery. */
export interface PublishedWorkload {
  readonly address: string
  readonly fields: WorkloadFields
}

/** One atomic change of the configuration: a worker applies all of it in one turn. */
export interface ConfigBatch {
  /** Shared cells retired up to here are named by nothing after this batch (`SharedStateAllocator`); set when it is sent. */
  readonly epoch?: number
  /** Pages of shared state, before anything that points into them. */
  readonly pages?: readonly SharedPageView[]
  /** `PackedList<PublishedCluster>`, by `ValueWriter`. */
  readonly clusters?: SharedArrayBuffer
  readonly removedClusters?: readonly string[]
  readonly listeners?: readonly PublishedListener[]
  readonly removedListeners?: readonly string[]
  readonly routes?: readonly Published[]
  readonly removedRoutes?: readonly string[]
  readonly secrets?: readonly Published[]
  readonly removedSecrets?: readonly string[]
  /** ParsedExtension each, by `extensionKey`. */
  readonly extensions?: readonly Published[]
  readonly removedExtensions?: readonly string[]
  /** `PackedList<PublishedWorkload>`, by `ValueWriter`. */
  readonly workloads?: SharedArrayBuffer
  /** Addresses. */
  readonly removedWorkloads?: readonly string[]
  readonly runtime?: readonly (readonly [string, string])[]
  readonly hosts?: readonly { readonly cluster: string; readonly update: HostsUpdate }[]
  /** Clusters in which a health flag of a host changed. */
  readonly healthChanges?: readonly string[]
}

export type ToWorker =
  /** `first`: answer with `serving` when all its listeners accept. */
  | { readonly type: 'config'; readonly batch: ConfigBatch; readonly first?: boolean }
  | { readonly type: 'log-levels'; readonly levels: [LogLevel, [string, LogLevel][]] }
  | { readonly type: 'flush-stats' }
  | { readonly type: 'drop-stats'; readonly prefix: string }
  /** Stats that were not used for an eviction interval. */
  | { readonly type: 'evict-stats'; readonly names: readonly string[] }
  /** Messages of the stats sink of that number, for one worker. */
  | { readonly type: 'deliver-stats'; readonly sink: number; readonly messages: readonly Uint8Array[] }
  | { readonly type: 'reopen-logs' }
  /** Samples the thread until the same comes with a path, where the profile is then written; this worker's number is added. */
  | { readonly type: 'cpu-profile'; readonly path: string | null }
  /** How to reach another worker, or its replacement. */
  | { readonly type: 'peer'; readonly worker: number; readonly port: MessagePort }
  /** Drain listeners: tell clients to go; `stop`: close the listening sockets (now, or after the drain time). */
  | {
      readonly type: 'drain'
      readonly listeners: readonly string[]
      readonly stop: boolean
    }
  | { readonly type: 'shutdown' }

export type FromWorker =
  | { readonly type: 'ready' }
  | { readonly type: 'serving' }
  /** The thread has done what there was to do, and collected its garbage. */
  | { readonly type: 'resting' }
  | { readonly type: 'slab'; readonly update: SlabUpdate }
  | { readonly type: 'histograms'; readonly update: HistogramUpdate }
  | {
      readonly type: 'log'
      readonly component: string
      readonly level: LogLevel
      readonly text: string
      readonly place: string
      readonly thread: number
      readonly wall: number
    }
  | { readonly type: 'listening'; readonly listener: string; readonly error: string }
  | { readonly type: 'ejection'; readonly request: EjectionRequest }
  /** Hosts of an ORIGINAL_DST cluster that this worker has met, and addresses that it has forgotten. */
  | {
      readonly type: 'hosts-met'
      readonly cluster: string
      readonly met: readonly MetHost[]
      readonly gone: readonly string[]
    }
  /** Every update up to this epoch is applied: shared cells it let go may be used again. */
  | { readonly type: 'applied'; readonly epoch: number }
  | { readonly type: 'flushed' }
