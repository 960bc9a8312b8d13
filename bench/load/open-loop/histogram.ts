/**
 * High dynamic range histogram after Gil Tene's HdrHistogram, three significant digits: recorded values keep a relative
 * error below 0.1 % from 1 to 2^31−1, at a constant cost and without an allocation per value. Unit: whatever the caller
 * records, here microseconds.
 *
 * Written here and not taken from npm: hdr-histogram-js pulls in a WebAssembly loader, zlib and base64 for an exchange
 * format nobody reads here, and the whole of what is needed is the index arithmetic below.
 */
export class Histogram {
  /** Number of values. */
  count = 0
  min = Number.POSITIVE_INFINITY
  max = 0
  private sum = 0
  private readonly counts = new Float64Array(SLOTS)

  /** Values below 0 count as 0, values above 2^31−1 as that; fractions are dropped. */
  record(value: number): void {
    const whole = value < 0 ? 0 : value > HIGHEST ? HIGHEST : Math.trunc(value)
    this.counts[slotOf(whole)]!++
    this.count++
    this.sum += whole
    if (whole < this.min) this.min = whole
    if (whole > this.max) this.max = whole
  }

  get mean(): number {
    return this.count === 0 ? 0 : this.sum / this.count
  }

  /** The largest value equivalent to the one below which `percentile` (0–100) of all values lie; 0 when empty. */
  valueAt(percentile: number): number {
    if (this.count === 0) return 0
    if (percentile >= 100) return this.max
    // The smallest rank that covers the percentile, at least the first value; the epsilon absorbs 99.9/100 in binary.
    const rank = Math.max(1, Math.ceil((percentile / 100) * this.count - 1e-9))
    let seen = 0
    for (let slot = 0; slot < SLOTS; slot++) {
      seen += this.counts[slot]!
      if (seen >= rank) return Math.min(this.max, highestEquivalent(lowestOf(slot)))
    }
    return this.max
  }

  /** Adds everything another histogram holds. */
  add(other: Histogram): void {
    for (let slot = 0; slot < SLOTS; slot++) this.counts[slot]! += other.counts[slot]!
    this.count += other.count
    this.sum += other.sum
    if (other.min < this.min) this.min = other.min
    if (other.max > this.max) this.max = other.max
  }
}

/** 2048 slots tell 1 in 1000 apart; every further power of two needs its upper half only. */
const HALF_BITS = 10
const HALF = 1 << HALF_BITS
const HIGHEST = 0x7fffffff
const SLOTS = HALF * (31 - HALF_BITS + 1)

function slotOf(value: number): number {
  const shift = shiftOf(value)
  return (shift << HALF_BITS) + (value >>> shift)
}

function lowestOf(slot: number): number {
  const shift = Math.max(0, (slot >> HALF_BITS) - 1)
  return (slot - (shift << HALF_BITS)) * 2 ** shift
}

/** Power of two of the distance between values that are told apart at this size. */
function shiftOf(value: number): number {
  return Math.max(0, 31 - HALF_BITS - Math.clz32(value))
}

export function lowestEquivalent(value: number): number {
  const shift = shiftOf(value)
  return (value >>> shift) * 2 ** shift
}

export function highestEquivalent(value: number): number {
  return lowestEquivalent(value) + 2 ** shiftOf(value) - 1
}
