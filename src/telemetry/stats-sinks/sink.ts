import type { ExtensionFactory } from '../../config/registry.ts'
import type { WorkerServices } from '../../config/services.ts'
import type { SampledHistogram } from '../../stats/slab.ts'
import type { UsedStats } from '../../stats/store.ts'
import type { TagExtractor } from '../../stats/tags.ts'

/** What one flush shows. Envoy's sinks leave out what was never used. */
export interface StatsFlush extends UsedStats {
  /** Wall clock, ms since the epoch. */
  readonly at: number
}

/** What a sink on main has. */
export interface SinkServices {
  readonly tags: TagExtractor
  /** Bounds of the buckets of a histogram. */
  buckets(name: string): readonly number[]
  /** Hands messages to the sink's sender on one of the workers, which have the clusters. Without one they are lost. */
  deliver(messages: readonly Uint8Array[]): void
}

/** A sink's half on main (Envoy: Stats::Sink): it sees all statistics of the process, and encodes them. */
export interface StatsSink {
  flush(stats: StatsFlush): void
  /** A sample of a histogram of main's own; those of workers go to their senders. */
  sample?(name: string, value: number): void
}

/** A sink's half on every worker. */
export interface StatsSender {
  /** What the half on main delivers, to one of the workers. */
  send(messages: readonly Uint8Array[]): void
  /** The samples of one turn of this worker, if the factory has `samples`: the first `count` of both lists. */
  samples?(histograms: readonly SampledHistogram[], values: Float64Array, count: number): void
}

export interface SenderServices extends WorkerServices {
  readonly tags: TagExtractor
}

/** `create` makes the half on a worker. */
export interface StatsSinkFactory<P extends object = object, C = unknown>
  extends ExtensionFactory<P, C, never, StatsSender> {
  create(config: C, services: SenderServices): StatsSender
  /** It wants every sample of every histogram, when it is recorded. */
  readonly samples: boolean
  createSink(config: C, services: SinkServices): StatsSink
  /** The static cluster that must exist, and what is said when it does not; null = none. */
  needs(config: C): { readonly cluster: string; readonly otherwise: string } | null
}
