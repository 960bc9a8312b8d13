import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import type { DrainState } from '../config/services.ts'
import { ControlCell } from './messages.ts'

/** Who is asked to go, and how insistently (envoy/server/drain_manager.h). */
export class WorkerDrainState implements DrainState {
  readonly #control: Int32Array
  readonly #clock: Clock
  readonly #random: Random
  readonly #strategy: 'gradual' | 'immediate'
  readonly #drainTime: number
  /** When everything began to drain; 0 = it does not. */
  #allSince = 0
  readonly #since = new Map<string, number>()
  /** Listeners of drain_type MODIFY_ONLY: /healthcheck/fail does not drain them. */
  readonly #modifyOnly = new Set<string>()

  /** `drainTime`: milliseconds. */
  constructor(
    control: SharedArrayBuffer,
    clock: Clock,
    random: Random,
    strategy: 'gradual' | 'immediate',
    drainTime: number,
  ) {
    this.#control = new Int32Array(control)
    this.#clock = clock
    this.#random = random
    this.#strategy = strategy
    this.#drainTime = drainTime
  }

  /** `listener` null: all of them. */
  start(listener: string | null): void {
    const now = Math.max(1, this.#clock.now())
    if (listener !== null) {
      if (!this.#since.has(listener)) this.#since.set(listener, now)
    } else if (this.#allSince === 0) this.#allSince = now
  }

  /** A listener of that name is new: it does not inherit the drain of the one before. */
  renew(listener: string, modifyOnly: boolean): void {
    this.#since.delete(listener)
    if (modifyOnly) this.#modifyOnly.add(listener)
    else this.#modifyOnly.delete(listener)
  }

  get healthCheckFailed(): boolean {
    return this.#control[ControlCell.HealthCheckFailed] === 1
  }

  closing(listener: string): boolean {
    if (this.#control[ControlCell.HealthCheckFailed] === 1 && !this.#modifyOnly.has(listener)) return true
    let since = this.#allSince
    if (this.#since.size > 0) since ||= this.#since.get(listener) ?? 0
    if (since === 0) return false
    if (this.#strategy === 'immediate' || this.#drainTime === 0) return true
    const elapsed = this.#clock.now() - since
    // Gradual: the chance grows linearly to 1 over the drain time (drain_manager_impl.cc).
    return elapsed >= this.#drainTime || elapsed > this.#random.next32() % this.#drainTime
  }
}
