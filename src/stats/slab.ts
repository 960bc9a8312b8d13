import { HistogramBins } from './histogram.ts'
import type { SampleRing } from './sample-ring.ts'
import type { Counter, Gauge, Histogram, StatsScope } from './stats.ts'

/**
 * Statistics of one worker: Float64 cells on shared memory with a single writer, which main reads at scrape without a message.
 * Only names (once) and histogram bins (per flush) travel by message.
 */
export const CHUNK_CELLS = 4096

/** Kind of a cell as registered with main. */
export const CellKind = { Counter: 0, Gauge: 1 } as const
export type CellKind = (typeof CellKind)[keyof typeof CellKind]

/** What a worker tells main: new chunks of cells and the names of new cells, in cell order. */
export interface SlabUpdate {
  /** Chunks made since the last update: CHUNK_CELLS Float64 values, then CHUNK_CELLS bytes of "was written" marks. */
  readonly chunks: readonly SharedArrayBuffer[]
  /** Index of the first cell named here. */
  readonly first: number
  readonly names: readonly string[]
  readonly kinds: readonly CellKind[]
  /** Cells of evicted names that have a new one. */
  readonly reused: readonly (readonly [index: number, name: string, kind: CellKind])[]
  /** Histograms made since the last update: they are listed before the first flush. */
  readonly histograms: readonly string[]
}

/** Histogram samples since the last flush: flat [bin, count, …] per name. */
export type HistogramUpdate = readonly (readonly [string, readonly number[]])[]

export class SlabCounter implements Counter {
  readonly cells: Float64Array
  readonly at: number

  constructor(cells: Float64Array, at: number) {
    this.cells = cells
    this.at = at
  }

  inc(): void {
    this.cells[this.at]!++
  }

  add(n: number): void {
    this.cells[this.at]! += n
  }
}

export class SlabGauge implements Gauge {
  readonly cells: Float64Array
  readonly marks: Uint8Array
  readonly at: number

  constructor(cells: Float64Array, marks: Uint8Array, at: number) {
    this.cells = cells
    this.marks = marks
    this.at = at
  }

  inc(): void {
    this.cells[this.at]!++
    this.marks[this.at] = 1
  }

  dec(): void {
    this.cells[this.at]!--
  }

  add(n: number): void {
    this.cells[this.at]! += n
    this.marks[this.at] = 1
  }

  set(n: number): void {
    this.cells[this.at] = n
    this.marks[this.at] = 1
  }
}

export class SlabHistogram implements Histogram {
  readonly bins = new HistogramBins()

  record(value: number): void {
    this.bins.record(value)
  }
}

/** A histogram whose samples a sink wants one by one. Without such a sink a worker has none of these. */
export class SampledHistogram implements Histogram {
  readonly bins = new HistogramBins()
  readonly name: string
  readonly #ring: SampleRing

  constructor(name: string, ring: SampleRing) {
    this.name = name
    this.#ring = ring
  }

  record(value: number): void {
    this.bins.record(value)
    this.#ring.add(this, value)
  }
}

export class Slab {
  readonly root: StatsScope
  readonly #counters = new Map<string, SlabCounter>()
  readonly #gauges = new Map<string, SlabGauge>()
  readonly #histograms = new Map<string, SlabHistogram | SampledHistogram>()
  readonly #samples: SampleRing | null
  readonly #post: (update: SlabUpdate) => void
  #total = 0
  #first = 0
  #newChunks: SharedArrayBuffer[] = []
  #newNames: string[] = []
  #newKinds: CellKind[] = []
  #newHistograms: string[] = []
  #newReused: [number, string, CellKind][] = []
  /** Of all chunks, and indices of cells that nobody has. */
  readonly #allCells: Float64Array[] = []
  readonly #allMarks: Uint8Array[] = []
  readonly #free: number[] = []
  #scheduled = false

  /**
   * `post` sends to main; called once per event-loop turn in which names were made. `samples`: gets every sample too; null: no sink
   * wants them, and recording one costs nothing more than its bin.
   */
  constructor(post: (update: SlabUpdate) => void, samples: SampleRing | null = null) {
    this.#post = post
    this.#samples = samples
    this.root = new SlabScope(this, '')
  }

  counter(name: string): Counter {
    let counter = this.#counters.get(name)
    if (counter === undefined) {
      const index = this.#cell(name, CellKind.Counter)
      counter = new SlabCounter(this.#allCells[Math.floor(index / CHUNK_CELLS)]!, index % CHUNK_CELLS)
      this.#counters.set(name, counter)
    }
    return counter
  }

  gauge(name: string): Gauge {
    let gauge = this.#gauges.get(name)
    if (gauge === undefined) {
      const index = this.#cell(name, CellKind.Gauge)
      const chunk = Math.floor(index / CHUNK_CELLS)
      gauge = new SlabGauge(this.#allCells[chunk]!, this.#allMarks[chunk]!, index % CHUNK_CELLS)
      this.#gauges.set(name, gauge)
    }
    return gauge
  }

  histogram(name: string): Histogram {
    let histogram = this.#histograms.get(name)
    if (histogram === undefined) {
      const samples = this.#samples
      histogram = samples?.wants(name) === true ? new SampledHistogram(name, samples) : new SlabHistogram()
      this.#histograms.set(name, histogram)
      this.#newHistograms.push(name)
      this.#schedule()
    }
    return histogram
  }

  /**
   * Forgets all names under `prefix` (a cluster or listener was removed). Their cells are not used again: streams in flight may
   * still write to them.
   */
  drop(prefix: string): void {
    for (const map of [this.#counters, this.#gauges, this.#histograms] as Map<string, unknown>[]) {
      for (const name of map.keys()) if (name.startsWith(prefix)) map.delete(name)
    }
  }

  /**
   * Forgets stats that were not used for a while. Their cells get other names: whoever holds one must ask for it again
   * (`WorkerServices.evictedStats`).
   */
  evict(names: readonly string[]): void {
    for (const name of names) {
      for (const cell of [this.#counters.get(name), this.#gauges.get(name)]) {
        if (cell === undefined) continue
        const chunk = this.#allCells.indexOf(cell.cells)
        cell.cells[cell.at] = 0
        this.#allMarks[chunk]![cell.at] = 0
        this.#free.push(chunk * CHUNK_CELLS + cell.at)
      }
      this.#counters.delete(name)
      this.#gauges.delete(name)
      this.#histograms.delete(name)
    }
  }

  /** Samples since the last call, for main. */
  drainHistograms(): HistogramUpdate {
    const out: [string, number[]][] = []
    for (const [name, histogram] of this.#histograms) {
      if (histogram.bins.count > 0) out.push([name, histogram.bins.drain()])
    }
    return out
  }

  /** Sends names that are waiting; called by itself after the turn, and by hand before a scrape is answered. */
  flushNames(): void {
    this.#scheduled = false
    if (this.#newNames.length === 0 && this.#newHistograms.length === 0 && this.#newReused.length === 0) return
    this.#post({
      chunks: this.#newChunks,
      first: this.#first,
      names: this.#newNames,
      kinds: this.#newKinds,
      reused: this.#newReused,
      histograms: this.#newHistograms,
    })
    this.#first = this.#total
    this.#newChunks = []
    this.#newNames = []
    this.#newKinds = []
    this.#newHistograms = []
    this.#newReused = []
  }

  /** @returns the index of a cell over all chunks */
  #cell(name: string, kind: CellKind): number {
    this.#schedule()
    const free = this.#free.pop()
    if (free !== undefined) {
      this.#newReused.push([free, name, kind])
      return free
    }
    if (this.#total === this.#allCells.length * CHUNK_CELLS) {
      const chunk = new SharedArrayBuffer(CHUNK_CELLS * 9)
      this.#allCells.push(new Float64Array(chunk, 0, CHUNK_CELLS))
      this.#allMarks.push(new Uint8Array(chunk, CHUNK_CELLS * 8))
      this.#newChunks.push(chunk)
    }
    this.#newNames.push(name)
    this.#newKinds.push(kind)
    return this.#total++
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => this.flushNames())
  }
}

class SlabScope implements StatsScope {
  readonly #slab: Slab
  readonly #prefix: string

  constructor(slab: Slab, prefix: string) {
    this.#slab = slab
    this.#prefix = prefix
  }

  counter(name: string): Counter {
    return this.#slab.counter(this.#prefix + name)
  }

  gauge(name: string): Gauge {
    return this.#slab.gauge(this.#prefix + name)
  }

  histogram(name: string): Histogram {
    return this.#slab.histogram(this.#prefix + name)
  }

  scope(prefix: string): StatsScope {
    return new SlabScope(this.#slab, this.#prefix + prefix)
  }
}
