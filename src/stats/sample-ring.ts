import type { SampledHistogram } from './slab.ts'

/** Samples that one turn of the loop may make; far more than its connections can. What comes beyond is dropped and counted. */
const CAPACITY = 16_384

/** The samples of one turn, for sinks that want every one of them. */
export class SampleRing {
  readonly histograms: SampledHistogram[] = []
  readonly values = new Float64Array(CAPACITY)
  count = 0
  dropped = 0
  readonly #drain: () => void
  readonly #take: (ring: SampleRing) => void

  /** Whether the histogram of that name, as it is shown, has sinks at all (stats_matcher). */
  readonly wants: (name: string) => boolean

  /** `take` is called at the end of every turn with samples; afterwards the ring is empty. */
  constructor(take: (ring: SampleRing) => void, wants: (name: string) => boolean) {
    this.#take = take
    this.wants = wants
    this.#drain = () => this.drain()
  }

  add(histogram: SampledHistogram, value: number): void {
    const at = this.count
    if (at === CAPACITY) {
      this.dropped++
      return
    }
    if (at === 0) setImmediate(this.#drain)
    this.histograms[at] = histogram
    this.values[at] = value
    this.count = at + 1
  }

  drain(): void {
    if (this.count === 0) return
    this.#take(this)
    this.count = 0
    this.dropped = 0
  }
}
