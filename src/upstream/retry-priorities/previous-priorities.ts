import type { PriorityLoads } from '../priority-load.ts'

/**
 * envoy.retry_priorities.previous_priorities, for one request: every `updateFrequency` attempts the priorities tried so far lose
 * their load to the others (source/extensions/retry/priority/previous_priorities/previous_priorities.cc).
 */
export class PreviousPriorities {
  readonly #updateFrequency: number
  #attempts: number[] = []
  readonly #excluded: boolean[] = []
  #loads: PriorityLoads | null = null

  /** @param updateFrequency attempts, at least 1 */
  constructor(updateFrequency: number) {
    this.#updateFrequency = updateFrequency
  }

  attempted(priority: number): void {
    this.#attempts.push(priority)
  }

  /** What the balancer goes by for the next attempt. `own`: what it would go by without. */
  loads(own: PriorityLoads): PriorityLoads {
    const attempts = this.#attempts.length
    if (attempts < this.#updateFrequency) return own
    if (attempts % this.#updateFrequency === 0) {
      for (const priority of this.#attempts) this.#excluded[priority] = true
      this.#loads = this.#adjusted(own)
    }
    return this.#loads ?? own
  }

  /** Null: nothing is available anywhere; the balancer's own loads deal with that. */
  #adjusted(own: PriorityLoads): PriorityLoads | null {
    let available = this.#available(own)
    if (available === 0) {
      // All were tried: it begins anew.
      this.#excluded.length = 0
      this.#attempts = []
      available = this.#available(own)
    }
    if (available === 0) return null
    const n = own.health.length
    const healthy = new Array<number>(n).fill(0)
    const degraded = new Array<number>(n).fill(0)
    let left = 100
    // More than one round because of what is lost to rounding; the first available priority gets it.
    while (left > 0) {
      left = this.#give(healthy, own.health, left, available)
      left = this.#give(degraded, own.degradedHealth, left, available)
    }
    return { ...own, healthy, degraded }
  }

  #give(load: number[], health: readonly number[], left: number, available: number): number {
    for (let i = 0; i < health.length; i++) {
      if (this.#excluded[i] === true) continue
      const share = Math.min(left, Math.floor((health[i]! * 100) / available))
      load[i]! += share
      left -= share
    }
    return left
  }

  #available(own: PriorityLoads): number {
    let sum = 0
    for (let i = 0; i < own.health.length; i++) {
      if (this.#excluded[i] !== true) sum += own.health[i]! + own.degradedHealth[i]!
    }
    return Math.min(100, sum)
  }
}
