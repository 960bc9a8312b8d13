import type { Clock } from './clock.ts'
import { systemClock } from './clock.ts'
import type { TimerNode, Timers } from './timer.ts'

/** What the wheel needs of an event loop. Tests pass null to the wheel and call `advance` by hand. */
export interface TimerLoop {
  /** (Re)arms the one wake-up call, `ms` from now; it should call `wheel.advance()`. */
  wakeIn(ms: number): void
  /** Whether the pending wake-up keeps the process alive. */
  keepAlive(on: boolean): void
  /** Calls `wheel.endTurn()` once, when the callbacks of this loop turn have run. */
  atEndOfTurn(): void
}

// 256 slots of 1 ms, then four levels of 64 slots, each slot as long as the whole level below: 2^32 ms (49 days) in all.
const FIRST_BITS = 8
const LEVEL_BITS = 6
const LEVELS = 5
const FIRST_SLOTS = 1 << FIRST_BITS
const LEVEL_SLOTS = 1 << LEVEL_BITS
const HORIZON = 2 ** (FIRST_BITS + (LEVELS - 1) * LEVEL_BITS)
/** Ticks that a slot of a level stands for. */
const UNITS: readonly number[] = Array.from({ length: LEVELS }, (_, i) =>
  i === 0 ? 1 : 2 ** (FIRST_BITS + (i - 1) * LEVEL_BITS),
)

/**
 * Hierarchical timer wheel with 1 ms ticks: arm and cancel are O(1) and allocate nothing. A timer never fires early and at most
 * one tick (plus what the loop itself is late) after its deadline. Timers further away than 49 days are carried along.
 */
export class TimerWheel implements Timers {
  readonly #clock: Clock
  #loop: TimerLoop | null
  /** Heads of the bucket lists: level 0 in 0…255, level n in 256 + 64 (n − 1) … */
  readonly #heads: (TimerNode | null)[]
  readonly #counts: number[]
  #count = 0
  /** Last tick that was processed. */
  #tick: number
  /** Tick of the pending wake-up; Infinity when none. */
  #wakeTick = Infinity
  #now: number
  #nowFresh = false
  #advancing = false

  /** `loop` undefined: the Node event loop; null: none, the caller advances by hand. */
  constructor(clock: Clock = systemClock, loop?: TimerLoop | null) {
    this.#clock = clock
    this.#heads = new Array<TimerNode | null>(FIRST_SLOTS + (LEVELS - 1) * LEVEL_SLOTS).fill(null)
    this.#counts = new Array<number>(LEVELS).fill(0)
    this.#now = clock.now()
    this.#tick = Math.floor(this.#now)
    this.#loop = loop === undefined ? new NodeTimerLoop(this) : loop
  }

  arm(node: TimerNode, ms: number): void {
    if (node.bucket >= 0 && node.deadline !== 0) this.#count--
    // The coarse time is of this turn of the loop: with a tick on top the timer is hardly ever early, and never by a tick.
    const now = this.#nowFresh ? this.#now + 1 : this.#refresh()
    if (this.#count === 0) {
      if (!this.#advancing) this.#tick = Math.floor(now)
      this.#loop?.keepAlive(true)
    }
    // Not Math.max: NaN has to become 0 too.
    node.deadline = now + (ms > 0 ? ms : 0)
    this.#count++
    // In a bucket that comes up before its time it stays: it is placed anew then. Timeouts of a busy connection are armed for each
    // request and move once in a while.
    if (node.bucket >= 0 && (node.due <= this.#tick || node.deadline < node.due)) this.#unlink(node)
    if (node.bucket < 0) this.#insert(node)
    if (node.due < this.#wakeTick && !this.#advancing) this.#schedule(node.due, now)
  }

  cancel(node: TimerNode): void {
    if (node.bucket < 0) return
    this.#unlink(node)
    this.#disarm(node)
  }

  suspend(node: TimerNode): void {
    if (node.bucket >= 0) this.#disarm(node)
  }

  // The wake-up stays: arming and cancelling a timeout per request must not touch the loop's timer.
  #disarm(node: TimerNode): void {
    if (node.deadline === 0) return
    node.deadline = 0
    this.#count--
    if (this.#count === 0) this.#loop?.keepAlive(false)
  }

  now(): number {
    if (this.#nowFresh) return this.#now
    this.#refresh()
    if (this.#loop !== null) {
      this.#nowFresh = true
      this.#loop.atEndOfTurn()
    }
    return this.#now
  }

  /** Number of armed timers. */
  get size(): number {
    return this.#count
  }

  /** Tick (ms on the clock) at which the wheel wants to run next; Infinity when it is empty. */
  get nextTick(): number {
    return this.#count === 0 ? Infinity : this.#findNext()
  }

  /** Fires everything that is due. The loop calls it; tests call it after moving their clock. */
  advance(): void {
    if (this.#advancing) return
    this.#wakeTick = Infinity
    const target = Math.floor(this.#refresh())
    this.#advancing = true
    try {
      while (this.#tick < target && this.#count > 0) this.#step(target)
      if (this.#count === 0) this.#tick = Math.max(this.#tick, target)
    } finally {
      this.#advancing = false
      if (this.#count > 0) this.#schedule(this.#findNext(), this.#refresh())
    }
  }

  /** The coarse time is stale from here on. */
  endTurn(): void {
    this.#nowFresh = false
  }

  #refresh(): number {
    this.#now = this.#clock.now()
    return this.#now
  }

  #schedule(tick: number, now: number): void {
    this.#wakeTick = tick
    this.#loop?.wakeIn(tick > now ? tick - now : 0)
  }

  /** Puts `node` into its bucket and notes when that has to be looked at. */
  #insert(node: TimerNode): void {
    // A tick that has run does not run again: a timer armed for "now" waits for the next one.
    let tick = Math.ceil(node.deadline)
    if (tick <= this.#tick) tick = this.#tick + 1
    const wait = tick - this.#tick
    if (wait < FIRST_SLOTS) {
      this.#link(node, tick & (FIRST_SLOTS - 1), 0)
      node.due = tick
      return
    }
    // Beyond the horizon: into the farthest bucket; it is placed anew when that bucket comes up.
    if (wait >= HORIZON) tick = this.#tick + HORIZON - 1
    let level = 1
    while (level < LEVELS - 1 && wait >= UNITS[level + 1]!) level++
    const shift = FIRST_BITS + (level - 1) * LEVEL_BITS
    const slot = (tick >>> shift) & (LEVEL_SLOTS - 1)
    this.#link(node, FIRST_SLOTS + (level - 1) * LEVEL_SLOTS + slot, level)
    // Without a division, and right beyond 2^32 too: what is cut off are low bits.
    node.due = tick - (tick & (UNITS[level]! - 1))
  }

  #link(node: TimerNode, bucket: number, level: number): void {
    const head = this.#heads[bucket] ?? null
    node.prev = null
    node.next = head
    if (head !== null) head.prev = node
    this.#heads[bucket] = node
    node.bucket = bucket
    this.#counts[level]!++
  }

  #unlink(node: TimerNode): void {
    const { prev, next, bucket } = node
    if (prev !== null) prev.next = next
    else this.#heads[bucket] = next
    if (next !== null) next.prev = prev
    node.prev = null
    node.next = null
    node.bucket = -1
    this.#counts[levelOf(bucket)]!--
  }

  /** Goes to the next tick where something can happen, at most `target`, and does it. */
  #step(target: number): void {
    let unit = 1
    let level = 0
    while (level < LEVELS - 1 && this.#counts[level] === 0) {
      unit *= level === 0 ? FIRST_SLOTS : LEVEL_SLOTS
      level++
    }
    const tick = (Math.floor(this.#tick / unit) + 1) * unit
    if (tick > target) {
      this.#tick = target
      return
    }
    this.#tick = tick
    if ((tick & (FIRST_SLOTS - 1)) === 0) this.#cascade(tick)
    this.#fire(tick & (FIRST_SLOTS - 1))
  }

  #cascade(tick: number): void {
    let top = 1
    while (top < LEVELS - 1 && ((tick >>> (FIRST_BITS + (top - 1) * LEVEL_BITS)) & (LEVEL_SLOTS - 1)) === 0) top++
    for (let level = top; level >= 1; level--) {
      const slot = (tick >>> (FIRST_BITS + (level - 1) * LEVEL_BITS)) & (LEVEL_SLOTS - 1)
      const bucket = FIRST_SLOTS + (level - 1) * LEVEL_SLOTS + slot
      let node = this.#heads[bucket] ?? null
      while (node !== null) {
        const next: TimerNode | null = node.next
        this.#unlink(node)
        if (node.deadline > tick) this.#insert(node)
        else if (node.deadline !== 0) this.#link(node, tick & (FIRST_SLOTS - 1), 0)
        node = next
      }
    }
  }

  #fire(bucket: number): void {
    // Taken one by one: a callback may cancel its neighbours. What it arms goes to later ticks, so this ends.
    let node = this.#heads[bucket] ?? null
    while (node !== null) {
      this.#unlink(node)
      // Armed anew for later since it came here, or suspended.
      if (node.deadline > this.#tick) this.#insert(node)
      else if (node.deadline !== 0) {
        this.#disarm(node)
        node.owner.onTimer(node.kind)
      }
      node = this.#heads[bucket] ?? null
    }
  }

  #findNext(): number {
    let next = Infinity
    if (this.#counts[0]! > 0) {
      for (let i = 1; i <= FIRST_SLOTS; i++) {
        if (this.#heads[(this.#tick + i) & (FIRST_SLOTS - 1)] !== null) {
          next = this.#tick + i
          break
        }
      }
    }
    for (let level = 1; level < LEVELS; level++) {
      if (this.#counts[level] === 0) continue
      const shift = FIRST_BITS + (level - 1) * LEVEL_BITS
      const unit = 2 ** shift
      const at = Math.floor(this.#tick / unit)
      for (let i = 1; i <= LEVEL_SLOTS; i++) {
        if (this.#heads[FIRST_SLOTS + (level - 1) * LEVEL_SLOTS + ((at + i) & (LEVEL_SLOTS - 1))] === null) continue
        next = Math.min(next, (at + i) * unit)
        break
      }
    }
    return next
  }
}

function levelOf(bucket: number): number {
  return bucket < FIRST_SLOTS ? 0 : 1 + ((bucket - FIRST_SLOTS) >> LEVEL_BITS)
}

/** setTimeout takes at most 2^31 − 1 ms; longer waits wake once in between. */
const MAX_TIMEOUT = 2 ** 31 - 1

class NodeTimerLoop implements TimerLoop {
  readonly #advance: () => void
  readonly #endTurn: () => void
  #timeout: NodeJS.Timeout | null = null
  #alive = false

  constructor(wheel: TimerWheel) {
    this.#advance = () => {
      this.#timeout = null
      wheel.advance()
    }
    this.#endTurn = () => wheel.endTurn()
  }

  wakeIn(ms: number): void {
    if (this.#timeout !== null) clearTimeout(this.#timeout)
    this.#timeout = setTimeout(this.#advance, Math.min(Math.ceil(ms), MAX_TIMEOUT))
    if (!this.#alive) this.#timeout.unref()
  }

  keepAlive(on: boolean): void {
    if (this.#alive === on) return
    this.#alive = on
    if (this.#timeout === null) return
    if (on) this.#timeout.ref()
    else this.#timeout.unref()
  }

  atEndOfTurn(): void {
    // Unreferenced: a read of the clock is no reason to stay alive.
    setImmediate(this.#endTurn).unref()
  }
}
