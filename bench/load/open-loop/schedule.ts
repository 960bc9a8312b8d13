/** When requests are to be sent. */
export interface Arrivals {
  /** Microseconds; infinite when there are no more. */
  readonly next: number
  /** Requests handed out so far, and in all; infinite while that is open. */
  readonly taken: number
  readonly total: number
  /** Takes the next request and gives the time that its latency counts from. */
  take(): number
}

/**
 * When requests ought to be sent: evenly, whatever became of those before. The time a request was due, not the time it
 * could be sent, is what its latency counts from; that is what keeps coordinated omission out. All times are
 * microseconds of the caller's clock.
 */
export class Schedule implements Arrivals {
  /** Requests handed out so far. */
  taken = 0
  readonly total: number
  private readonly start: number
  private readonly interval: number

  constructor(start: number, rate: number, seconds: number) {
    this.start = start
    this.interval = 1e6 / rate
    this.total = Math.round(rate * seconds)
  }

  /** When the next request is due; infinite after the last one. Computed, not summed up: no rounding error grows. */
  get next(): number {
    return this.taken < this.total ? this.start + this.taken * this.interval : Number.POSITIVE_INFINITY
  }

  /** Takes the next request and gives its due time. */
  take(): number {
    return this.start + this.taken++ * this.interval
  }
}

/** As many as connections and streams take: each request is due when there is room for it, until the end. */
export class Saturation implements Arrivals {
  taken = 0
  private readonly end: number
  private readonly now: () => number

  constructor(end: number, now: () => number) {
    this.end = end
    this.now = now
  }

  get next(): number {
    return this.now() < this.end ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  }

  get total(): number {
    return this.now() < this.end ? Number.POSITIVE_INFINITY : this.taken
  }

  take(): number {
    this.taken++
    return this.now()
  }
}
