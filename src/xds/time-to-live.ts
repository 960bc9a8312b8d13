import { TimerNode, type TimerOwner, type Timers } from '../base/timer.ts'

/** Resources that are to be taken for removed unless they are heard of again in time (Resource.ttl; ttl.cc). */
export class TimeToLive implements TimerOwner {
  readonly #timers: Timers
  readonly #expired: (names: readonly string[]) => void
  readonly #timer = new TimerNode(this, 0)
  /** When each ends, on the clock of the timers. */
  readonly #ends = new Map<string, number>()
  /** When the timer fires; Infinity = not armed. It may be early, since prolonging does not touch it. */
  #next = Number.POSITIVE_INFINITY

  constructor(timers: Timers, expired: (names: readonly string[]) => void) {
    this.#timers = timers
    this.#expired = expired
  }

  /** @param ttl milliseconds from now; null = for ever */
  set(name: string, ttl: number | null): void {
    if (ttl === null) {
      this.#ends.delete(name)
      return
    }
    const end = this.#timers.now() + Math.max(0, ttl)
    this.#ends.set(name, end)
    if (end < this.#next) this.#arm(end)
  }

  close(): void {
    this.#ends.clear()
    this.#timers.cancel(this.#timer)
  }

  onTimer(): void {
    const now = this.#timers.now()
    const over: string[] = []
    let next = Number.POSITIVE_INFINITY
    for (const [name, end] of this.#ends) {
      if (end <= now) over.push(name)
      else if (end < next) next = end
    }
    for (const name of over) this.#ends.delete(name)
    this.#next = Number.POSITIVE_INFINITY
    if (next < this.#next) this.#arm(next)
    if (over.length > 0) this.#expired(over)
  }

  #arm(end: number): void {
    this.#next = end
    this.#timers.arm(this.#timer, end - this.#timers.now())
  }
}
