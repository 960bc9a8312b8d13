import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import type { DrainDecision, DrainState } from '../config/services.ts'
import { ControlCell } from './messages.ts'

/** Who is asked to go, and how insistently (envoy/server/drain_manager.h). */
export class WorkerDrainState implements DrainState {
  readonly #control: Int32Array
  readonly clock: Clock
  readonly random: Random
  readonly strategy: 'gradual' | 'immediate'
  /** Milliseconds. */
  readonly drainTime: number

  constructor(
    control: SharedArrayBuffer,
    clock: Clock,
    random: Random,
    strategy: 'gradual' | 'immediate',
    drainTime: number,
  ) {
    this.#control = new Int32Array(control)
    this.clock = clock
    this.random = random
    this.strategy = strategy
    this.drainTime = drainTime
  }

  decision(modifyOnly: boolean): DrainDecision {
    return new ListenerDrain(this, modifyOnly)
  }

  get healthCheckFailed(): boolean {
    return this.#control[ControlCell.HealthCheckFailed] === 1
  }
}

/** The drain of one listener: its successor of the same name begins anew. */
class ListenerDrain implements DrainDecision {
  readonly #state: WorkerDrainState
  readonly #modifyOnly: boolean
  /** 0 = it does not drain. */
  #since = 0

  constructor(state: WorkerDrainState, modifyOnly: boolean) {
    this.#state = state
    this.#modifyOnly = modifyOnly
  }

  start(): void {
    if (this.#since === 0) this.#since = Math.max(1, this.#state.clock.now())
  }

  closing(): boolean {
    const state = this.#state
    if (!this.#modifyOnly && state.healthCheckFailed) return true
    if (this.#since === 0) return false
    if (state.strategy === 'immediate' || state.drainTime === 0) return true
    const elapsed = state.clock.now() - this.#since
    // Gradual: the chance grows linearly to 1 over the drain time (drain_manager_impl.cc).
    return elapsed >= state.drainTime || elapsed > state.random.next32() % state.drainTime
  }
}
