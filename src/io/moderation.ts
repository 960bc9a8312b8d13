import { multiplexed } from '../base/multiplexed.ts'
import { addressOf, system } from './system-calls.ts'

/** Open streams; a request from HTTP/2 to HTTP/2 is two. */
const MANY = 128
/** Streams that begin within a millisecond, looked at once in so many. */
const OFTEN = 32
const WINDOW = 1
/** Milliseconds between turns. */
const NEAR = 0.1
const PAUSE = 50_000n

/**
 * Lets streams gather before a turn, as network cards moderate their interrupts: while very many are under way, tens of thousands begin in a
 * second, and turns follow each other closely, each would find two or three and pay for its reads, writes and polls alone. 50 µs
 * are a fraction of what a stream waits anyway when 64 requests are under way; with fewer, or fewer a second, nothing ever waits.
 */
export class Moderation {
  readonly #now: () => number
  readonly #pause: () => void
  #windowStart = 0
  #begunBefore = 0
  #often = false
  #lastTurn = 0

  /** `now`: milliseconds. `pause` blocks the thread. */
  constructor(now: () => number = () => performance.now(), pause: () => void = sleep) {
    this.#now = now
    this.#pause = pause
  }

  beforeTurn(): void {
    if (multiplexed.open < MANY) return
    let now = this.#now()
    const elapsed = now - this.#windowStart
    if (elapsed >= WINDOW) {
      this.#often = multiplexed.begun - this.#begunBefore >= OFTEN * elapsed
      this.#begunBefore = multiplexed.begun
      this.#windowStart = now
    }
    if (this.#often && now - this.#lastTurn < NEAR) {
      this.#pause()
      now = this.#now()
    }
    this.#lastTurn = now
  }
}

/** struct timespec; used below, so that its memory lives as long as its address. */
const duration = BigInt64Array.of(0n, 0n)
let durationAddress = 0n
const PR_SET_TIMERSLACK = 29n

function sleep(): void {
  if (durationAddress === 0n) {
    durationAddress = addressOf(new Uint8Array(duration.buffer))
    // Of this thread: the kernel may else add 50 µs to any wait.
    system.prctl(PR_SET_TIMERSLACK, 1000n, 0n, 0n, 0n)
  }
  duration[1] = PAUSE
  system.nanosleep(durationAddress, 0n)
}
