import type { StatsStore } from '../stats/store.ts'
import type { MetHost } from '../upstream/host.ts'
import { HostCell } from '../upstream/upstream.ts'

/** A host of an ORIGINAL_DST cluster: the workers that use it have found it each by itself. */
export class SharedMetHost {
  readonly address: MetHost['address']
  readonly hostname: string
  /** Numbers by worker. */
  readonly cells = new Map<number, Int32Array>()

  constructor({ address, hostname }: MetHost) {
    this.address = address
    this.hostname = hostname
  }

  /** Of all workers; `cell` as in `HostCell`. */
  gauge(cell: number): number {
    let sum = 0
    for (const cells of this.cells.values()) sum += Atomics.load(cells, cell)
    return sum
  }

  counter(cell: number): number {
    return this.gauge(HostCell.Count + cell)
  }
}

/** The hosts of one ORIGINAL_DST cluster by address, with its membership stats. */
export class MetHosts {
  readonly #byAddress = new Map<string, SharedMetHost>()
  readonly #store: StatsStore
  readonly #prefix: string

  /** `prefix`: `cluster.<name>.` */
  constructor(store: StatsStore, prefix: string) {
    this.#store = store
    this.#prefix = prefix
  }

  all(): readonly SharedMetHost[] {
    return [...this.#byAddress.values()]
  }

  update(worker: number, met: readonly MetHost[], gone: readonly string[]): void {
    const before = this.#byAddress.size
    for (const host of met) {
      const { text } = host.address
      let known = this.#byAddress.get(text)
      if (known === undefined) {
        known = new SharedMetHost(host)
        this.#byAddress.set(text, known)
      }
      known.cells.set(worker, new Int32Array(host.cells))
    }
    for (const text of gone) this.#remove(worker, text)
    this.#count(before)
  }

  /** The worker is gone, and what it counted with it. */
  forget(worker: number): void {
    const before = this.#byAddress.size
    for (const text of [...this.#byAddress.keys()]) this.#remove(worker, text)
    this.#count(before)
  }

  #remove(worker: number, text: string): void {
    const known = this.#byAddress.get(text)
    if (known === undefined) return
    known.cells.delete(worker)
    if (known.cells.size === 0) this.#byAddress.delete(text)
  }

  #count(before: number): void {
    const scope = this.#store.scope(this.#prefix)
    if (this.#byAddress.size !== before) scope.counter('membership_change').inc()
    scope.gauge('membership_total').set(this.#byAddress.size)
    scope.gauge('membership_healthy').set(this.#byAddress.size)
  }
}
