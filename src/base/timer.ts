/**
 * Timers without a closure or object per arm: the node lives inside its owner and is armed and cancelled in O(1).
 * `src/base/timer-wheel.ts` implements `Timers`; one wheel serves a whole worker.
 */
export interface TimerOwner {
  /** Called once when the node's time has come; `kind` tells an owner with several timers apart. */
  onTimer(kind: number): void
}

export class TimerNode {
  readonly owner: TimerOwner
  readonly kind: number
  /** Absolute deadline on the wheel's clock in milliseconds; 0 while not armed. */
  deadline = 0
  next: TimerNode | null = null
  prev: TimerNode | null = null
  /** Bucket the wheel keeps the node in; -1 while it is in none. */
  bucket = -1
  /** Tick at which that bucket comes up. */
  due = 0

  constructor(owner: TimerOwner, kind: number) {
    this.owner = owner
    this.kind = kind
  }
}

export interface Timers {
  /** Arms (or re-arms) `node` to fire `ms` from now, never early. `ms` is clamped to at least 0. */
  arm(node: TimerNode, ms: number): void
  /** Disarms; a no-op when not armed. */
  cancel(node: TimerNode): void
  /**
   * The same for a timer that is likely to be armed again soon: it may stay where it is until its time has come, which makes this and
   * the next `arm` a few stores. Its owner is held that long: whoever goes away calls `cancel`.
   */
  suspend(node: TimerNode): void
  /** Coarse monotonic milliseconds, refreshed once per event-loop turn: cheap enough for the hot path. */
  now(): number
}
