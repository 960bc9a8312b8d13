import type { Timers } from '../base/timer.ts'
import type { Runtime } from '../config/services.ts'
import type { CircuitBreakerThresholds } from './cluster-config.ts'
import { ClusterCell, type SharedCells } from './shared-state.ts'
import { Resource, type ResourceLimits } from './upstream.ts'

const KINDS = 5
const RUNTIME_NAMES = ['max_connections', 'max_pending_requests', 'max_requests', 'max_retries', 'max_connection_pools']
const PRIORITY_NAMES = ['default', 'high']
/** Runtime keys are looked up at most this often: five map lookups per request would be seen in profiles. */
const RUNTIME_REFRESH = 1000

/** Circuit breakers of a cluster, counted over all workers. */
export class ResourceManager implements ResourceLimits {
  private readonly name: string
  private readonly cells: SharedCells
  private readonly thresholds: readonly [CircuitBreakerThresholds, CircuitBreakerThresholds]
  private readonly runtime: Runtime
  private readonly timers: Timers
  private readonly max = new Float64Array(2 * KINDS)
  private readonly budgetPercent = new Float64Array(2)
  private readonly budgetMinimum = new Float64Array(2)
  private refreshAt = 0

  constructor(
    name: string,
    cells: SharedCells,
    thresholds: readonly [CircuitBreakerThresholds, CircuitBreakerThresholds],
    runtime: Runtime,
    timers: Timers,
  ) {
    this.name = name
    this.cells = cells
    this.thresholds = thresholds
    this.runtime = runtime
    this.timers = timers
    this.refresh()
  }

  tryTake(priority: 0 | 1, kind: number): boolean {
    if (this.timers.now() >= this.refreshAt) this.refresh()
    const i = priority * KINDS + kind
    return this.cells.takeBelow(ClusterCell.Limits + i, this.max[i]!)
  }

  canTake(priority: 0 | 1, kind: number): boolean {
    if (this.timers.now() >= this.refreshAt) this.refresh()
    const i = priority * KINDS + kind
    return this.cells.load(ClusterCell.Limits + i) < this.max[i]!
  }

  take(priority: 0 | 1, kind: number): void {
    this.cells.take(ClusterCell.Limits + priority * KINDS + kind, 1)
  }

  give(priority: 0 | 1, kind: number): void {
    this.cells.take(ClusterCell.Limits + priority * KINDS + kind, -1)
  }

  tryTakeRetry(priority: 0 | 1): boolean {
    if (this.timers.now() >= this.refreshAt) this.refresh()
    const i = priority * KINDS + Resource.Retries
    return this.cells.takeBelow(ClusterCell.Limits + i, this.retryMax(priority))
  }

  giveRetry(priority: 0 | 1): void {
    this.give(priority, Resource.Retries)
  }

  /** Active requests of both priorities. */
  activeRequests(): number {
    return (
      this.cells.load(ClusterCell.Limits + Resource.Requests) +
      this.cells.load(ClusterCell.Limits + KINDS + Resource.Requests)
    )
  }

  /** RetryBudgetImpl::max: a share of active and pending requests, never below the minimum. */
  private retryMax(priority: 0 | 1): number {
    const percent = this.budgetPercent[priority]!
    if (percent < 0) return this.max[priority * KINDS + Resource.Retries]!
    const base = ClusterCell.Limits + priority * KINDS
    const busy = this.cells.load(base + Resource.Requests) + this.cells.load(base + Resource.PendingRequests)
    return Math.max(Math.floor((percent / 100) * busy), this.budgetMinimum[priority]!)
  }

  private refresh(): void {
    this.refreshAt = this.timers.now() + RUNTIME_REFRESH
    for (let p = 0; p < 2; p++) {
      const prefix = `circuit_breakers.${this.name}.${PRIORITY_NAMES[p]!}.`
      const t = this.thresholds[p]!
      for (let k = 0; k < KINDS; k++) {
        this.max[p * KINDS + k] = this.runtime.integer(prefix + RUNTIME_NAMES[k]!, t.max[k]!)
      }
      const budget = t.retryBudget
      const percent = this.runtime.double(`${prefix}retry_budget.budget_percent`, budget?.percent ?? -1)
      this.budgetPercent[p] = percent
      this.budgetMinimum[p] = this.runtime.integer(
        `${prefix}retry_budget.min_retry_concurrency`,
        budget?.minRetryConcurrency ?? 3,
      )
    }
  }
}

/** Names by `Resource`: `<name>_open`, and `remaining_<name>` with track_remaining. */
const OPEN = ['cx_open', 'rq_pending_open', 'rq_open', 'rq_retry_open', 'cx_pool_open']
const REMAINING = ['remaining_cx', 'remaining_pending', 'remaining_rq', 'remaining_retries', 'remaining_cx_pools']

/**
 * `circuit_breakers.{default,high}.*` of one cluster, as main computes them for a scrape: they follow from the shared cells,
 * so that the request path need not set them. Calls `set(name, value, touched)`, names relative to `cluster.X.`; not `touched`: no
 * request has needed that limit yet, as far as main can tell.
 */
export function circuitBreakerGauges(
  cells: SharedCells,
  thresholds: readonly [CircuitBreakerThresholds, CircuitBreakerThresholds],
  set: (name: string, value: number | bigint, touched: boolean) => void,
): void {
  const traffic = cells.load(ClusterCell.Traffic) !== 0
  for (let p = 0; p < 2; p++) {
    const prefix = `circuit_breakers.${PRIORITY_NAMES[p]!}.`
    const t = thresholds[p]!
    for (let k = 0; k < KINDS; k++) {
      const taken = cells.load(ClusterCell.Limits + p * KINDS + k)
      // A limit of 0 reads as closed until something was refused in Envoy; nothing is ever taken, so it stays 0 here.
      const touched = taken > 0 || (traffic && p === 0 && k !== Resource.Retries)
      set(prefix + OPEN[k]!, taken > 0 && taken >= t.max[k]! ? 1 : 0, touched)
      if (!t.trackRemaining) continue
      const max = t.max[k]!
      // Pools without a limit start at the largest 64-bit number, which a double rounds up; a configured limit has 32 bits.
      const left = max === 2 ** 64 ? 2n ** 64n - 1n - BigInt(taken) : Math.max(0, max - taken)
      // These begin at the limit, not at 0.
      set(prefix + REMAINING[k]!, left, true)
    }
  }
}
