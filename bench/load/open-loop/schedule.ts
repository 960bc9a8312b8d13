/**
 * When requests ought to be sent: evenly, whatever became of those before. The time a request was due, not the time it
 * could be sent, is what its latency counts from; that is what keeps coordinated omission out. All times are
 * microseconds of the caller's clock.
 */
export class Schedule {
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
