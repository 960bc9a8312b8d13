import { EvictionMarks } from './eviction.ts'
import { isTagged, readTagged } from './explicit-tags.ts'
import { HistogramBins } from './histogram.ts'
import { NamingScope, StatNames } from './naming-scope.ts'
import { CellKind, CHUNK_CELLS, type HistogramUpdate, type SlabUpdate } from './slab.ts'
import type { Counter, Gauge, Histogram, StatsScope } from './stats.ts'
import type { TaggedName } from './tags.ts'

/** Names that exist at zero from load time, per kind; shared by all scopes of one sort (e.g. every cluster). */
export interface StatTemplate {
  readonly counters: readonly string[]
  readonly gauges: readonly string[]
  readonly histograms: readonly string[]
}

export interface NumberSample {
  readonly name: string
  readonly value: number
  /** Set for 64-bit values that a double cannot hold (hashes of versions); wins over `value`. */
  readonly exact?: bigint
  readonly used: boolean
}

export interface HistogramSample {
  readonly name: string
  /** Samples of the last flush interval and of all time. */
  readonly interval: HistogramBins
  readonly cumulative: HistogramBins
  readonly used: boolean
}

export interface CounterSample extends NumberSample {
  /** Without what /reset_counters took away: what has been counted since the stat was made. */
  readonly total: number
}

/** What has been used, in no order: what sinks are told, and no more, as the names that the configuration declares are many. */
export interface UsedStats {
  /** Also those that were not used since the last eviction, which are not `used`: what they count goes on from there. */
  readonly counters: readonly CounterSample[]
  readonly gauges: readonly NumberSample[]
  readonly histograms: readonly HistogramSample[]
}

/** A consistent view for one scrape; every list is sorted by full name. */
export interface StatsSnapshot {
  readonly counters: readonly NumberSample[]
  readonly gauges: readonly NumberSample[]
  readonly histograms: readonly HistogramSample[]
  readonly texts: readonly { readonly name: string; readonly value: string }[]
}

/** Which names exist at all (stats_config.stats_matcher); true = drop. */
export type StatsRejector = (name: string) => boolean

class MainCounter implements Counter {
  value = 0

  inc(): void {
    this.value++
  }

  add(n: number): void {
    this.value += n
  }
}

class MainGauge implements Gauge {
  value = 0
  used = false

  inc(): void {
    this.add(1)
  }

  dec(): void {
    this.value--
  }

  add(n: number): void {
    this.value += n
    this.used = true
  }

  set(n: number): void {
    this.value = n
    this.used = true
  }
}

class MainHistogram implements Histogram {
  /** Not yet flushed, last interval, all time. */
  readonly pending = new HistogramBins()
  readonly interval = new HistogramBins()
  readonly cumulative = new HistogramBins()
  readonly #name: string
  readonly #store: StatsStore

  constructor(name: string, store: StatsStore) {
    this.#name = name
    this.#store = store
  }

  record(value: number): void {
    this.pending.record(value)
    this.#store.sampled(this.#name, value)
  }
}

/** Cells of one worker as main reads them. */
class WorkerCells {
  readonly cells: Float64Array[] = []
  readonly marks: Uint8Array[] = []
  readonly names: string[] = []
  /** Null: the name was dropped, and the cell is not read until it has another. */
  readonly kinds: (CellKind | null)[] = []

  drop(i: number): void {
    this.names[i] = ''
    this.kinds[i] = null
  }
}

/** All statistics of the process, on main: its own, the workers' cells, and names known from the configuration. */
export class StatsStore implements StatsScope {
  readonly #counters = new Map<string, MainCounter>()
  readonly #gauges = new Map<string, MainGauge>()
  readonly #histograms = new Map<string, MainHistogram>()
  readonly #texts = new Map<string, string>()
  readonly #exact = new Map<string, bigint>()
  readonly #explicit = new Map<string, TaggedName>()
  /** Of the same: the name that workers have for it. */
  readonly #raw = new Map<string, string>()
  readonly #marks = new EvictionMarks()
  readonly #workers = new Map<number, WorkerCells>()
  readonly #declared = new Map<string, readonly StatTemplate[]>()
  readonly #named = new StatNames()
  /** Subtracted from counters since /reset_counters. */
  #baseline = new Map<string, number>()
  #rejector: StatsRejector | null = null
  /** Verdicts of the rejector: scrapes and sinks ask for the same names over and over. */
  readonly #judged = new Map<string, boolean>()
  #onSample: ((name: string, value: number) => void) | null = null

  counter(name: string): Counter {
    return made(this.#counters, name, () => new MainCounter())
  }

  gauge(name: string): Gauge {
    return made(this.#gauges, name, () => new MainGauge())
  }

  histogram(name: string): Histogram {
    return this.#histogram(name)
  }

  text(name: string, value: string): void {
    this.#texts.set(name, value)
  }

  /** A gauge with all 64 bits, such as `version`. */
  exactGauge(name: string, value: bigint): void {
    this.gauge(name).set(Number(value))
    this.#exact.set(name, value)
  }

  scope(prefix: string): StatsScope {
    return new StoreScope(this, prefix)
  }

  /** `heard` is told of every sample that main itself records. */
  listen(heard: (name: string, value: number) => void): void {
    this.#onSample = heard
  }

  /** For histograms of this store. */
  sampled(name: string, value: number): void {
    if (this.#onSample !== null && !this.#rejected(name)) this.#onSample(name, value)
  }

  /** Null: every name exists. */
  setRejector(rejector: StatsRejector | null): void {
    this.#rejector = rejector
    this.#judged.clear()
  }

  #rejected(name: string): boolean {
    const rejector = this.#rejector
    return rejector !== null && made(this.#judged, name, () => rejector(name))
  }

  /** The names of `template` exist at zero under `prefix` (with its final dot) until `drop(prefix)`. */
  declare(prefix: string, template: StatTemplate): void {
    const known = this.#declared.get(prefix)
    if (known === undefined) this.#declared.set(prefix, alone(template))
    else if (!known.includes(template)) this.#declared.set(prefix, [...known, template])
  }

  /** What is asked of it exists at zero, until `drop` of a prefix that it has. */
  declaring(): StatsScope {
    return new NamingScope(this.#named)
  }

  /** Forgets everything under `prefix`; workers are told separately. */
  drop(prefix: string): void {
    this.#named.drop(prefix)
    for (const key of this.#declared.keys()) if (key.startsWith(prefix)) this.#declared.delete(key)
    // Made again they count from 0, whatever was subtracted before.
    const maps: Map<string, unknown>[] = [this.#texts, this.#exact, ...this.#byName]
    for (const map of maps) for (const name of map.keys()) if (name.startsWith(prefix)) map.delete(name)
    for (const worker of this.#workers.values()) {
      for (let i = 0; i < worker.names.length; i++) if (worker.names[i]!.startsWith(prefix)) worker.drop(i)
    }
  }

  /** Takes over names and cells of worker `id`. */
  onSlabUpdate(id: number, update: SlabUpdate): void {
    const worker = made(this.#workers, id, () => new WorkerCells())
    for (const chunk of update.chunks) {
      worker.cells.push(new Float64Array(chunk, 0, CHUNK_CELLS))
      worker.marks.push(new Uint8Array(chunk, CHUNK_CELLS * 8))
    }
    for (let i = 0; i < update.names.length; i++) {
      worker.names[update.first + i] = this.#shown(update.names[i]!)
      worker.kinds[update.first + i] = update.kinds[i]!
    }
    for (const [index, name, kind] of update.reused) {
      worker.names[index] = this.#shown(name)
      worker.kinds[index] = kind
    }
    for (const name of update.histograms) this.histogram(this.#shown(name))
  }

  onHistogramUpdate(update: HistogramUpdate): void {
    for (const [raw, flat] of update) {
      const name = this.#shown(raw)
      const histogram = this.#histogram(name)
      for (let i = 0; i < flat.length; i += 2) histogram.pending.add(flat[i]!, flat[i + 1]!)
    }
  }

  #histogram(name: string): MainHistogram {
    return made(this.#histograms, name, () => new MainHistogram(name, this))
  }

  /** Tags of stats that were made with them, by name: no rule cuts them out of the name. */
  get explicitTags(): ReadonlyMap<string, TaggedName> {
    return this.#explicit
  }

  #shown(name: string): string {
    if (!isTagged(name)) return name
    const { display, tagged } = readTagged(name)
    this.#explicit.set(display, tagged)
    this.#raw.set(display, name)
    return display
  }

  /** A worker died: what it counted stays, what it held (gauges) is given back. */
  foldWorker(id: number): void {
    const worker = this.#workers.get(id)
    if (worker === undefined) return
    this.#workers.delete(id)
    for (let i = 0; i < worker.names.length; i++) {
      if (worker.kinds[i] !== CellKind.Counter) continue
      this.counter(worker.names[i]!).add(cellOf(worker, i))
    }
  }

  /**
   * Drops the stats with tags of their own (Envoy: of evictable scopes) that were not used since the last call, and marks the others
   * unused. Comes after `flushHistograms`. @returns their names as workers know them, for `Slab.evict`
   */
  evict(): string[] {
    const counters = this.#counterTotals()
    const gauges = this.#gaugeTotals()
    const evicted = new Set<string>()
    for (const name of this.#explicit.keys()) {
      const histogram = this.#histograms.get(name)
      const total = counters.get(name)
      const idle =
        histogram !== undefined
          ? this.#marks.markHistogram(name, histogram.cumulative)
          : total !== undefined
            ? this.#marks.mark(name, total)
            : gauges.get(name)?.used !== true
      if (idle) evicted.add(name)
    }
    for (const worker of this.#workers.values()) {
      for (let i = 0; i < worker.names.length; i++) {
        if (evicted.has(worker.names[i]!)) worker.drop(i)
        else if (worker.kinds[i] === CellKind.Gauge && this.#explicit.has(worker.names[i]!)) {
          worker.marks[Math.floor(i / CHUNK_CELLS)]![i % CHUNK_CELLS] = 0
        }
      }
    }
    return [...evicted].map(name => this.#forget(name))
  }

  #forget(name: string): string {
    const raw = this.#raw.get(name)!
    for (const map of this.#byName) map.delete(name)
    this.#marks.forget(name)
    return raw
  }

  /** What is kept of a name that workers may have made. */
  get #byName(): readonly Map<string, unknown>[] {
    return [this.#counters, this.#gauges, this.#histograms, this.#explicit, this.#raw, this.#baseline, this.#judged]
  }

  /** Ends the flush interval: what was recorded since becomes the interval shown by `/stats` (stats_flush_interval). */
  flushHistograms(): void {
    for (const histogram of this.#histograms.values()) {
      histogram.interval.clear()
      if (histogram.pending.count === 0) continue
      histogram.interval.merge(histogram.pending)
      histogram.cumulative.merge(histogram.pending)
      histogram.pending.clear()
    }
  }

  /** POST /reset_counters: counters only, not gauges or histograms. */
  resetCounters(): void {
    this.#baseline = this.#counterTotals()
  }

  /** Sum over workers and main of one counter or gauge; 0 when unknown. */
  value(name: string): number {
    let sum = this.#counters.get(name)?.value ?? this.#gauges.get(name)?.value ?? 0
    for (const worker of this.#workers.values()) {
      const at = worker.names.lastIndexOf(name)
      if (at >= 0) sum += cellOf(worker, at)
    }
    return sum - (this.#baseline.get(name) ?? 0)
  }

  /** Sum of all gauges whose name passes. */
  sumOf(wanted: (name: string) => boolean): number {
    let sum = 0
    for (const [name, gauge] of this.#gauges) if (wanted(name)) sum += gauge.value
    for (const worker of this.#workers.values()) {
      for (let i = 0; i < worker.names.length; i++) {
        if (worker.kinds[i] === CellKind.Gauge && wanted(worker.names[i]!)) sum += cellOf(worker, i)
      }
    }
    return sum
  }

  snapshot(): StatsSnapshot {
    const counters = this.#counterTotals()
    const gauges = this.#gaugeTotals()
    const histograms = new Map<string, MainHistogram | null>(this.#histograms)
    for (const name of this.#named.counters) if (!counters.has(name)) counters.set(name, 0)
    for (const name of this.#named.gauges) if (!gauges.has(name)) gauges.set(name, { value: 0, used: false })
    for (const name of this.#named.histograms) if (!histograms.has(name)) histograms.set(name, null)
    for (const [prefix, templates] of this.#declared) {
      for (const template of templates) {
        for (const name of template.counters) if (!counters.has(prefix + name)) counters.set(prefix + name, 0)
        for (const name of template.gauges) {
          if (!gauges.has(prefix + name)) gauges.set(prefix + name, { value: 0, used: false })
        }
        for (const name of template.histograms) if (!histograms.has(prefix + name)) histograms.set(prefix + name, null)
      }
    }
    const visible = (name: string): boolean => !this.#rejected(name)
    return {
      counters: sorted(counters, visible).map(([name, total]) => ({
        name,
        value: total - (this.#baseline.get(name) ?? 0),
        used: total > 0 && !this.#marks.isIdle(name, total),
      })),
      gauges: sorted(gauges, visible).map(([name, gauge]) => this.#gaugeSample(name, gauge)),
      histograms: sorted(histograms, visible).map(([name, h]) => ({
        name,
        interval: h?.interval ?? EMPTY,
        cumulative: h?.cumulative ?? EMPTY,
        used: h !== null && h.cumulative.count > 0 && !this.#marks.isIdleHistogram(name, h.cumulative),
      })),
      texts: sorted(this.#texts, visible).map(([name, value]) => ({ name, value })),
    }
  }

  /** For sinks. */
  used(): UsedStats {
    const counters: CounterSample[] = []
    for (const [name, total] of this.#counterTotals()) {
      if (total === 0 || this.#rejected(name)) continue
      const used = !this.#marks.isIdle(name, total)
      counters.push({ name, total, value: total - (this.#baseline.get(name) ?? 0), used })
    }
    const gauges: NumberSample[] = []
    for (const [name, gauge] of this.#gaugeTotals()) {
      if (gauge.used && !this.#rejected(name)) gauges.push(this.#gaugeSample(name, gauge))
    }
    const histograms: HistogramSample[] = []
    for (const [name, { interval, cumulative }] of this.#histograms) {
      if (cumulative.count === 0 || this.#marks.isIdleHistogram(name, cumulative)) continue
      if (!this.#rejected(name)) histograms.push({ name, interval, cumulative, used: true })
    }
    return { counters, gauges, histograms }
  }

  #gaugeSample(name: string, gauge: GaugeTotal): NumberSample {
    const exact = this.#exact.get(name)
    return exact === undefined ? { name, ...gauge } : { name, ...gauge, exact }
  }

  #gaugeTotals(): Map<string, GaugeTotal> {
    const gauges = new Map<string, GaugeTotal>()
    for (const [name, gauge] of this.#gauges) gauges.set(name, { value: gauge.value, used: gauge.used })
    for (const worker of this.#workers.values()) {
      for (let i = 0; i < worker.names.length; i++) {
        if (worker.kinds[i] !== CellKind.Gauge) continue
        const used = (worker.marks[Math.floor(i / CHUNK_CELLS)]?.[i % CHUNK_CELLS] ?? 0) !== 0
        const known = gauges.get(worker.names[i]!)
        if (known === undefined) gauges.set(worker.names[i]!, { value: cellOf(worker, i), used })
        else {
          known.value += cellOf(worker, i)
          known.used ||= used
        }
      }
    }
    return gauges
  }

  #counterTotals(): Map<string, number> {
    const totals = new Map<string, number>()
    for (const [name, counter] of this.#counters) totals.set(name, counter.value)
    for (const worker of this.#workers.values()) {
      for (let i = 0; i < worker.names.length; i++) {
        if (worker.kinds[i] !== CellKind.Counter) continue
        const name = worker.names[i]!
        totals.set(name, (totals.get(name) ?? 0) + cellOf(worker, i))
      }
    }
    return totals
  }
}

interface GaugeTotal {
  value: number
  used: boolean
}

const EMPTY = new HistogramBins()
const singles = new Map<StatTemplate, readonly StatTemplate[]>()

/** One list for all scopes that have this template only, which most clusters do. */
function alone(template: StatTemplate): readonly StatTemplate[] {
  return made(singles, template, () => [template])
}

function cellOf(worker: WorkerCells, i: number): number {
  return worker.cells[Math.floor(i / CHUNK_CELLS)]?.[i % CHUNK_CELLS] ?? 0
}

function made<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}

/** By code unit, as Envoy sorts bytes; localeCompare would not. */
function sorted<V>(map: ReadonlyMap<string, V>, visible: (name: string) => boolean): [string, V][] {
  const entries = [...map].filter(([name]) => visible(name))
  return entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
}

class StoreScope implements StatsScope {
  readonly #store: StatsStore
  readonly #prefix: string

  constructor(store: StatsStore, prefix: string) {
    this.#store = store
    this.#prefix = prefix
  }

  counter(name: string): Counter {
    return this.#store.counter(this.#prefix + name)
  }

  gauge(name: string): Gauge {
    return this.#store.gauge(this.#prefix + name)
  }

  histogram(name: string): Histogram {
    return this.#store.histogram(this.#prefix + name)
  }

  scope(prefix: string): StatsScope {
    return new StoreScope(this.#store, this.#prefix + prefix)
  }
}
