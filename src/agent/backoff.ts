const FACTOR = 1.5
const SCATTER = 0.5

/** Istio's back-off (pkg/backoff, cenkalti's exponential): × 1.5 each time, ± 50 %, without an end. Milliseconds. */
export class Backoff {
  readonly #initial: number
  readonly #maximum: number
  readonly #random: () => number
  #interval: number

  constructor(initial = 500, maximum = 60_000, random: () => number = Math.random) {
    this.#initial = initial
    this.#maximum = maximum
    this.#random = random
    this.#interval = initial
  }

  next(): number {
    const scattered = this.#interval * (1 - SCATTER + 2 * SCATTER * this.#random())
    this.#interval = Math.min(this.#interval * FACTOR, this.#maximum)
    return scattered
  }

  reset(): void {
    this.#interval = this.#initial
  }
}
