import type { HistogramBins } from './histogram.ts'

/**
 * Which stats have moved since the last eviction (Envoy: ThreadLocalStoreImpl::evictUnused). Each is marked unused; who is so still at
 * the next eviction goes. Gauges carry the mark themselves.
 */
export class EvictionMarks {
  readonly #totals = new Map<string, number>()
  readonly #counts = new Map<string, number>()

  /** Not counted since the last eviction. */
  isIdle(name: string, total: number): boolean {
    return this.#totals.get(name) === total
  }

  isIdleHistogram(name: string, { count }: HistogramBins): boolean {
    return this.#counts.get(name) === count
  }

  /** Marks it unused. True: it was so already. */
  mark(name: string, total: number): boolean {
    if (this.isIdle(name, total)) return true
    this.#totals.set(name, total)
    return false
  }

  markHistogram(name: string, bins: HistogramBins): boolean {
    if (this.isIdleHistogram(name, bins)) return true
    this.#counts.set(name, bins.count)
    return false
  }

  forget(name: string): void {
    this.#totals.delete(name)
    this.#counts.delete(name)
  }
}
