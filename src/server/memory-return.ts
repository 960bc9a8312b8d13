import { TimerNode, type TimerOwner, type Timers } from '../base/timer.ts'

/** How long the process is watched before its memory is trimmed, in ms, and how often in a row while it is busy. */
const WATCH = 250
const TRIES = 40
/** Share of one processor up to which the process counts as quiet. */
const QUIET_SHARE = 0.1

/**
 * Gives memory that was freed back to the kernel. What V8 compiles functions in comes from malloc: 25 MB during the first thousand
 * requests, which glibc keeps afterwards because single pages in between are in use. Trimming takes some ms and the lock of each
 * thread's memory in turn, so it waits until no thread works.
 */
export class MemoryReturn implements TimerOwner {
  readonly #trim: () => void
  readonly #timers: Timers
  readonly #cpuMs: () => number
  readonly #timer = new TimerNode(this, 0)
  #left = 0
  #cpu = 0
  #since = 0

  /** `cpuMs`: what all threads have used so far. */
  constructor(trim: () => void, timers: Timers, cpuMs: () => number = processCpuMs) {
    this.#trim = trim
    this.#timers = timers
    this.#cpuMs = cpuMs
  }

  /** Some thread rests: as soon as the others do, memory goes back. Given up when they work on for ten seconds: they rest later. */
  soon(): void {
    if (this.#left === 0) this.#watch()
    this.#left = TRIES
  }

  onTimer(): void {
    const quiet = this.#cpuMs() - this.#cpu <= (this.#timers.now() - this.#since) * QUIET_SHARE
    if (quiet) this.#left = 0
    else if (--this.#left > 0) this.#watch()
    if (quiet) this.#trim()
  }

  #watch(): void {
    this.#cpu = this.#cpuMs()
    this.#since = this.#timers.now()
    this.#timers.arm(this.#timer, WATCH)
  }
}

function processCpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
