import { ConfigError } from '../base/errors.ts'
import { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { findFactory, type ParsedExtension, parseAny } from '../config/registry.ts'
import type { StatsStore } from '../stats/store.ts'
import type { TagExtractor } from '../stats/tags.ts'
import type { StatsSink, StatsSinkFactory } from '../telemetry/stats-sinks/sink.ts'
import type { WorkerPool } from './workers.ts'

type Bootstrap = envoy.config.bootstrap.v3.Bootstrap

const DEFAULT_INTERVAL = 5000
const ROOT = FieldPath.root()

export interface FlusherParts {
  readonly store: StatsStore
  readonly pool: WorkerPool
  /** Brings values that change at flushes up to date. */
  readonly refresh: () => void
}

/** Ends the intervals of statistics, and shows each to the sinks (Envoy: InstanceBase::flushStats). */
export class StatsFlusher {
  readonly #parts: FlusherParts
  readonly #interval: number
  /** stats_flush_on_admin: only when /stats is asked for. */
  readonly onAdmin: boolean
  /** Flushes; 0: nothing is evicted. */
  readonly #evictEvery: number
  #flushes = 0
  #sinks: readonly StatsSink[] = []
  #flushing = false

  /** Throws ConfigError. */
  constructor(bootstrap: Bootstrap, parts: FlusherParts) {
    this.#parts = parts
    this.onAdmin = bootstrap.stats_flush_on_admin === true
    if (this.onAdmin && bootstrap.stats_flush_interval !== undefined) {
      const text = 'Only one of stats_flush_interval or stats_flush_on_admin should be set!'
      const advice = 'remove stats_flush_interval to flush when /stats is read only, else stats_flush_on_admin'
      throw new ConfigError('CONFIG_INVALID', ROOT.field('stats_flush_on_admin'), text, { advice })
    }
    this.#interval = bootstrap.stats_flush_interval ?? DEFAULT_INTERVAL
    const eviction = bootstrap.stats_eviction_interval ?? 0
    this.#evictEvery = eviction / this.#interval
    if (eviction % this.#interval !== 0) {
      const text = 'stats_eviction_interval must be a multiple of stats_flush_interval'
      const advice = `stats_flush_interval is ${this.#interval} ms`
      throw new ConfigError('CONFIG_INVALID', ROOT.field('stats_eviction_interval'), text, { advice })
    }
  }

  /** The sinks of `parseStatsSinks`, which see every flush and sample from now on. */
  use(sinks: readonly ParsedExtension[], tags: TagExtractor, buckets: (name: string) => readonly number[]): void {
    const { store, pool } = this.#parts
    this.#sinks = sinks.map((sink, number) =>
      factoryOf(sink).createSink(sink.config, {
        tags,
        buckets,
        deliver: messages => pool.sendToOne({ type: 'deliver-stats', sink: number, messages }),
      }),
    )
    const sampled = this.#sinks.filter(sink => sink.sample !== undefined)
    if (sampled.length === 0) return
    store.listen((name, value) => {
      for (const sink of sampled) sink.sample!(name, value)
    })
  }

  start(): void {
    if (!this.onAdmin) setInterval(() => void this.flush(), this.#interval)
  }

  /** While one is under way another is not begun, but counted. */
  async flush(): Promise<void> {
    const { store, pool, refresh } = this.#parts
    if (this.#flushing) {
      store.counter('server.dropped_stat_flushes').inc()
      return
    }
    this.#flushing = true
    await pool.flush()
    store.flushHistograms()
    refresh()
    this.#show()
    this.#evict()
    this.#flushing = false
  }

  /** What there is, without waiting for workers: the process ends. */
  last(): void {
    // The samples of the last interval have been shown.
    this.#parts.store.flushHistograms()
    this.#show()
  }

  #evict(): void {
    if (this.#evictEvery === 0 || ++this.#flushes % this.#evictEvery !== 0) return
    const { store, pool } = this.#parts
    const names = store.evict()
    if (names.length > 0) pool.broadcast({ type: 'evict-stats', names })
  }

  #show(): void {
    if (this.#sinks.length === 0) return
    const flush = { ...this.#parts.store.used(), at: Date.now() }
    for (const sink of this.#sinks) sink.flush(flush)
  }
}

/** stats_sinks of the bootstrap. Throws ConfigError. */
export function parseStatsSinks({ stats_sinks, static_resources }: Bootstrap, warnings: string[]): ParsedExtension[] {
  const clusters = new Set((static_resources?.clusters ?? []).map(cluster => cluster.name ?? ''))
  return (stats_sinks ?? []).map((proto, i) => {
    const at = ROOT.field('stats_sinks').index(i)
    const sink = parseAny(proto.typed_config, 'envoy.stats_sinks', proto.name ?? '', at.field('typed_config'), warnings)
    const needed = factoryOf(sink).needs(sink.config)
    if (needed !== null && !clusters.has(needed.cluster)) {
      const advice = `define cluster '${needed.cluster}' in static_resources.clusters`
      throw new ConfigError('CONFIG_INVALID', at, needed.otherwise, { advice })
    }
    return sink
  })
}

function factoryOf(sink: ParsedExtension): StatsSinkFactory {
  return findFactory(sink.category, sink.typeUrl) as unknown as StatsSinkFactory
}
