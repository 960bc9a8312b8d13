import { sharedGaugesOf } from '../listener/chain-runtime.ts'
import { balanceMemory, leaveBalance } from '../listener/connection-balance.ts'
import type { ListenerConfig } from '../listener/listener-config.ts'
import { gaugeBlock, type SharedBlock, type SharedStateAllocator } from '../upstream/shared-state.ts'

/** What the workers have of one listener together: counts, and the name under which they speak of it. */
export interface Shares {
  readonly tag: number
  readonly open: SharedBlock
  /** By filter chain, the default chain last; null = none needed. */
  readonly gauges: readonly (SharedBlock | null)[]
  readonly balance: SharedArrayBuffer | null
}

/** Makes and gives back the shares of listeners. */
export class ListenerShareStore {
  readonly #allocator: SharedStateAllocator
  readonly #workers: number
  readonly #balances = new Set<SharedArrayBuffer>()
  #tags = 0

  constructor(allocator: SharedStateAllocator, workers: number) {
    this.#allocator = allocator
    this.#workers = workers
  }

  make(config: ListenerConfig): Shares {
    const balance = config.exactBalance ? balanceMemory(this.#workers) : null
    if (balance !== null) this.#balances.add(balance)
    const open = this.#allocator.allocate(gaugeBlock(1))
    return { tag: ++this.#tags, open, gauges: this.#gauges(config, [], null), balance }
  }

  /** For an update in place: chains that are kept have the same counts as before. */
  update(before: Shares, config: ListenerConfig, kept: readonly number[]): Shares {
    return { ...before, gauges: this.#gauges(config, kept, before) }
  }

  /** Nothing of it is in use any more, but for what `successor` has of it. */
  retire(shares: Shares, successor: Shares | null): void {
    for (const block of shares.gauges) {
      if (block !== null && successor?.gauges.includes(block) !== true) this.#allocator.retire(block)
    }
    if (successor !== null) return
    this.#allocator.retire(shares.open)
    if (shares.balance !== null) this.#balances.delete(shares.balance)
  }

  onWorkerDied(worker: number): void {
    for (const balance of this.#balances) leaveBalance(balance, worker)
  }

  #gauges(config: ListenerConfig, kept: readonly number[], before: Shares | null): (SharedBlock | null)[] {
    const chains = [...config.filterChains, config.defaultFilterChain]
    return chains.map((chain, i) => {
      const same = kept[i] ?? -1
      if (same >= 0) return before!.gauges[same] ?? null
      const count = chain === null ? 0 : sharedGaugesOf(chain)
      return count === 0 ? null : this.#allocator.allocate(gaugeBlock(count))
    })
  }
}
