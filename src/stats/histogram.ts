/**
 * Log-linear histogram with the bins of libcircllhist (two decimal digits per power of ten), so that quantiles and Prometheus
 * buckets print as Envoy's. A bin is `digits` 10…99 and `exponent`: it holds [digits/10 · 10^exponent, +10^exponent/10); zero has its own bin.
 */
export const QUANTILES: readonly number[] = [0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1]

/** Envoy's default buckets (`stats/histogram_impl.cc` ConstSupportedBuckets), also for bytes and ratios. */
export const BUCKETS: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
]

const DIGITS = 90
/** Smallest exponent kept; below it values count as zero. Envoy's integers need 0; percentages need -8. */
const LOWEST = -8
const DECADES = 28
const POWERS: readonly number[] = Array.from({ length: DECADES }, (_, i) => 10 ** (i + LOWEST))

/** Flat number of the bin of a value: 0 for zero (and negatives), 1 + (exponent - LOWEST) * 90 + digits - 10 otherwise. */
export function binOf(value: number): number {
  if (!(value > 0)) return 0
  let exponent = 0
  let digits: number
  if (value >= 10) {
    digits = value
    while (digits >= 100) {
      digits /= 10
      exponent++
    }
    exponent++
  } else if (value >= 1) {
    digits = value * 10
  } else {
    digits = value
    while (digits < 10) {
      digits *= 10
      exponent--
    }
    exponent++
  }
  if (exponent < LOWEST) return 0
  if (exponent >= LOWEST + DECADES) return 1 + DECADES * DIGITS - 1
  return 1 + (exponent - LOWEST) * DIGITS + Math.floor(digits) - 10
}

/** Lower bound of a bin as circllhist computes it: digits / 10 first, so 490 is 490.00000000000006. */
export function binLeft(bin: number): number {
  if (bin === 0) return 0
  const digits = ((bin - 1) % DIGITS) + 10
  return (digits / 10) * (POWERS[Math.floor((bin - 1) / DIGITS)] ?? 1)
}

export function binWidth(bin: number): number {
  return bin === 0 ? 0 : (POWERS[Math.floor((bin - 1) / DIGITS)] ?? 1) / 10
}

/** Counts per bin; a decade's 90 cells are made when first needed (a histogram of milliseconds uses two or three). */
export class HistogramBins {
  #zero = 0
  readonly #decades: (Float64Array | null)[] = new Array<Float64Array | null>(DECADES).fill(null)
  #count = 0

  get count(): number {
    return this.#count
  }

  record(value: number): void {
    this.add(binOf(value), 1)
  }

  add(bin: number, n: number): void {
    this.#count += n
    if (bin === 0) {
      this.#zero += n
      return
    }
    const index = Math.floor((bin - 1) / DIGITS)
    let cells = this.#decades[index]
    if (cells === null || cells === undefined) {
      cells = new Float64Array(DIGITS)
      this.#decades[index] = cells
    }
    cells[(bin - 1) % DIGITS]! += n
  }

  merge(other: HistogramBins): void {
    other.forEach((bin, n) => {
      this.add(bin, n)
    })
  }

  /** Non-empty bins in ascending order. */
  forEach(visit: (bin: number, count: number) => void): void {
    if (this.#zero > 0) visit(0, this.#zero)
    for (let d = 0; d < DECADES; d++) {
      const cells = this.#decades[d]
      if (cells === null || cells === undefined) continue
      for (let i = 0; i < DIGITS; i++) {
        const n = cells[i]!
        if (n > 0) visit(1 + d * DIGITS + i, n)
      }
    }
  }

  /** Flat [bin, count, …] since the last call; empties the histogram. For the message of a worker to main. */
  drain(): number[] {
    const flat: number[] = []
    this.forEach((bin, n) => {
      flat.push(bin, n)
    })
    this.clear()
    return flat
  }

  clear(): void {
    this.#zero = 0
    this.#count = 0
    this.#decades.fill(null)
  }

  /**
   * Values at `QUANTILES`; null when empty. As circllhist's hist_approx_quantile: the k-th of n samples of a bin is taken to lie
   * at k/(n+1) of its width, and the quantile is the sample of rank ceil(q · count).
   */
  quantiles(at: readonly number[] = QUANTILES): number[] | null {
    if (this.#count === 0) return null
    const bins: number[] = []
    const counts: number[] = []
    this.forEach((bin, n) => {
      bins.push(bin)
      counts.push(n)
    })
    const out: number[] = []
    let i = 0
    let below = 0
    for (const q of at) {
      const rank = Math.max(1, Math.ceil(this.#count * q))
      while (i < bins.length - 1 && below + counts[i]! < rank) {
        below += counts[i]!
        i++
      }
      const bin = bins[i]!
      out.push(binLeft(bin) + ((rank - below) / (counts[i]! + 1)) * binWidth(bin))
    }
    return out
  }

  /** Samples up to and including each bucket; the bin that holds the bound counts whole, as in Envoy. */
  cumulative(buckets: readonly number[] = BUCKETS): number[] {
    const out = new Array<number>(buckets.length).fill(0)
    this.forEach((bin, n) => {
      const left = binLeft(bin)
      for (let i = 0; i < buckets.length; i++) if (left <= buckets[i]!) out[i]! += n
    })
    return out
  }

  /** Sum as circllhist estimates it: every sample at left + width · left / (left + right). */
  sum(): number {
    let sum = 0
    this.forEach((bin, n) => {
      const left = binLeft(bin)
      const width = binWidth(bin)
      const middle = left === 0 ? 0 : left + width * (left / (left + left + width))
      sum += middle * n
    })
    return sum
  }
}

/** 15-digit-free shortest form for quantiles as `fmt` prints doubles in Envoy: `1.05`, `495.00000000000006`, `1.8e+06`. */
export function formatDouble(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  return `${value}`
}
