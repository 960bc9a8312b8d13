import { TimerNode, type TimerOwner } from '../../base/timer.ts'
import type { WorkerServices } from '../../config/services.ts'

/** What is flushed from time to time. */
export interface Flushed {
  onFlushTimer(): void
}

/**
 * Sends what a tracer has collected at least every `key` milliseconds, for as long as somebody holds the tracer: nobody says when the
 * last connection manager that used it is gone.
 */
export class FlushTimer implements TimerOwner {
  readonly #target: WeakRef<Flushed>
  readonly #services: Pick<WorkerServices, 'timers' | 'runtime'>
  readonly #key: string
  readonly #node: TimerNode

  constructor(target: Flushed, services: Pick<WorkerServices, 'timers' | 'runtime'>, key: string) {
    this.#target = new WeakRef(target)
    this.#services = services
    this.#key = key
    this.#node = new TimerNode(this, 0)
    this.#arm()
  }

  onTimer(): void {
    const target = this.#target.deref()
    if (target === undefined) return
    target.onFlushTimer()
    this.#arm()
  }

  #arm(): void {
    const { timers, runtime } = this.#services
    timers.arm(this.#node, Math.max(1, runtime.integer(this.#key, 5000)))
  }
}
