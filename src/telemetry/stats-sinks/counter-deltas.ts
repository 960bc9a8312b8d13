import type { CounterSample } from '../../stats/store.ts'

/** What counters have counted since a sink saw them last. /reset_counters takes nothing away from it, as in Envoy. */
export class CounterDeltas {
  #last = new Map<string, number>()

  /** One for each of `counters`, in their order. */
  take(counters: readonly CounterSample[]): number[] {
    const next = new Map<string, number>()
    const deltas: number[] = []
    for (const { name, total } of counters) {
      const last = this.#last.get(name) ?? 0
      // Less than before: the stat was dropped and has been made anew.
      deltas.push(total < last ? total : total - last)
      next.set(name, total)
    }
    this.#last = next
    return deltas
  }
}
