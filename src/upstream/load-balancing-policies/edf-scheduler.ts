import { cut } from '../../base/list.ts'

/**
 * Earliest deadline first: each pick serves the entry with the smallest deadline and puts it back 1/weight later, so that
 * entries are served in proportion to their weights and evenly spread (edf_scheduler.h). A binary heap over flat arrays.
 */
export class EdfScheduler<T> {
  private readonly entries: T[] = []
  private readonly deadlines: number[] = []
  /** Breaks ties: first in, first out. */
  private readonly orders: number[] = []
  private now = 0
  private order = 0

  get size(): number {
    return this.entries.length
  }

  /** `weight` above 0. */
  add(entry: T, weight: number): void {
    const i = this.entries.length
    this.entries.push(entry)
    this.deadlines.push(this.now + 1 / weight)
    this.orders.push(this.order++)
    this.up(i)
  }

  /** The next entry, or undefined when empty; call `reinsert` with its current weight right after. */
  peek(): T | undefined {
    return this.entries[0]
  }

  /** Puts the entry `peek` gave back at its next deadline; a weight of 0 or less drops it. */
  reinsert(weight: number): void {
    this.now = this.deadlines[0]!
    if (weight > 0) {
      this.deadlines[0] = this.now + 1 / weight
      this.orders[0] = this.order++
      this.down(0)
      return
    }
    const last = this.entries.length - 1
    this.swap(0, last)
    cut(this.entries, last)
    cut(this.deadlines, last)
    cut(this.orders, last)
    if (last > 0) this.down(0)
  }

  private before(a: number, b: number): boolean {
    const d = this.deadlines[a]! - this.deadlines[b]!
    return d < 0 || (d === 0 && this.orders[a]! < this.orders[b]!)
  }

  private up(i: number): void {
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!this.before(i, parent)) return
      this.swap(i, parent)
      i = parent
    }
  }

  private down(i: number): void {
    const n = this.entries.length
    for (;;) {
      const left = 2 * i + 1
      if (left >= n) return
      const right = left + 1
      const child = right < n && this.before(right, left) ? right : left
      if (!this.before(child, i)) return
      this.swap(i, child)
      i = child
    }
  }

  private swap(a: number, b: number): void {
    const e = this.entries[a]!
    this.entries[a] = this.entries[b]!
    this.entries[b] = e
    const d = this.deadlines[a]!
    this.deadlines[a] = this.deadlines[b]!
    this.deadlines[b] = d
    const o = this.orders[a]!
    this.orders[a] = this.orders[b]!
    this.orders[b] = o
  }
}
