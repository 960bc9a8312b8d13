import type { ResetReason } from '../../codec/codec.ts'
import type { HeaderBlock } from '../../codec/header-block.ts'
import type { WorkerServices } from '../../config/services.ts'
import {
  backOff,
  type RetryOverrides,
  rateLimitedBackOff,
  retryOverrides,
  wouldRetryOnHeaders,
  wouldRetryOnReset,
} from '../../routing/retry.ts'
import type { RetryPolicy } from '../../routing/route.ts'
import type { Cluster } from '../../upstream/upstream.ts'
import type { RouteStats } from './route-stats.ts'

export const RetryVerdict = { No: 0, Yes: 1, NoOverflow: 2, NoLimitExceeded: 3 } as const
export type RetryVerdict = (typeof RetryVerdict)[keyof typeof RetryVerdict]

const NOTHING: RetryOverrides = { on: 0, numRetries: 0, statusCodes: [], headerNames: [] }

/** Request headers of retries and hedging: obeyed here and not passed on (RetryStateImpl::create). */
const CONSUMED = [
  'x-envoy-retry-on',
  'x-envoy-retry-grpc-on',
  'x-envoy-max-retries',
  'x-envoy-retriable-header-names',
  'x-envoy-retriable-status-codes',
  'x-envoy-hedge-on-per-try-timeout',
]

/**
 * Retries of one request: attempts left, the slot of the circuit breaker, counters (Envoy: RetryStateImpl). What may be
 * retried is decided by routing/retry.ts. Reused with its router request.
 */
export class RetryState {
  enabled = false
  private policy: RetryPolicy | null = null
  private cluster: Cluster | null = null
  private priority: 0 | 1 = 0
  private overrides: RetryOverrides = NOTHING
  private remaining = 0
  private used = 0
  /** A retry is under way or was: a slot of the circuit breaker is ours. */
  private slotTaken = false
  private rateLimitedDelay = -1
  private routeStats: RouteStats | null = null
  private clusterStats: RouteStats | null = null

  /** Policy of the route with x-envoy-retry-on and its relatives, which are taken out of `h`. */
  begin(
    policy: RetryPolicy | null,
    h: HeaderBlock,
    cluster: Cluster,
    priority: 0 | 1,
    routeStats: RouteStats | null,
    virtualClusterStats: RouteStats | null,
  ): void {
    this.policy = policy
    this.cluster = cluster
    this.priority = priority
    this.used = 0
    this.slotTaken = false
    this.rateLimitedDelay = -1
    this.routeStats = routeStats
    this.clusterStats = virtualClusterStats
    if (asksForRetries(h)) {
      this.overrides = retryOverrides(policy, h)
      for (let i = 0; i < CONSUMED.length; i++) h.remove(CONSUMED[i]!)
    } else if (policy === null) this.overrides = NOTHING
    else this.overrides = policy.matchesRetriableRequestHeaders(h) ? policy.asConfigured : retryOverrides(policy, h)
    this.remaining = this.overrides.numRetries
    this.enabled = this.overrides.on !== 0
  }

  /** A response head arrived. */
  onHeaders(h: HeaderBlock, services: WorkerServices): RetryVerdict {
    const would = wouldRetryOnHeaders(this.policy, this.overrides, h)
    this.rateLimitedDelay = would && this.policy !== null ? this.policy.rateLimitedDelay(h, services.clock.wall()) : -1
    return this.decide(would, services)
  }

  /** What `onHeaders` would say with retries left; nothing is counted or taken. */
  wouldRetry(h: HeaderBlock): boolean {
    return wouldRetryOnHeaders(this.policy, this.overrides, h)
  }

  /** The attempt was reset; `started`: request bytes may have reached the upstream. */
  onReset(reason: ResetReason, started: boolean, services: WorkerServices): RetryVerdict {
    this.rateLimitedDelay = -1
    return this.decide(wouldRetryOnReset(this.overrides.on, reason, started), services)
  }

  /** A hedge after a per-try timeout is retried whatever retry_on says (shouldHedgeRetryPerTryTimeout). */
  onHedge(services: WorkerServices): RetryVerdict {
    this.rateLimitedDelay = -1
    return this.decide(true, services)
  }

  /** ms until the next attempt: what reset headers said, else full jitter over base × (2^n - 1). */
  nextDelay(services: WorkerServices, cluster: Cluster): number {
    const random = services.random.next()
    if (this.rateLimitedDelay >= 0) {
      cluster.counters.upstreamRqRetryBackoffRatelimited.inc()
      return rateLimitedBackOff(this.rateLimitedDelay, random)
    }
    cluster.counters.upstreamRqRetryBackoffExponential.inc()
    const { policy } = this
    const base = policy === null ? services.runtime.integer('upstream.base_retry_backoff_ms', 25) : policy.backOffBase
    return backOff(base, policy === null ? base * 10 : policy.backOffMax, this.used, random)
  }

  /** No retries any more: the response is on its way, or the body is gone. */
  end(): void {
    this.giveBack()
    this.enabled = false
    this.policy = null
    this.cluster = null
    this.overrides = NOTHING
    this.routeStats = null
    this.clusterStats = null
  }

  private decide(would: boolean, services: WorkerServices): RetryVerdict {
    const cluster = this.cluster!
    const { counters } = cluster
    if (!would) {
      // The attempt that was a retry itself needs none: it succeeded.
      if (this.slotTaken) {
        counters.upstreamRqRetrySuccess.inc()
        this.routeStats?.retrySuccess.inc()
        this.clusterStats?.retrySuccess.inc()
      }
      this.giveBack()
      return RetryVerdict.No
    }
    // An earlier retry of this request is over: its slot may serve the next.
    this.giveBack()
    if (this.remaining === 0) {
      counters.upstreamRqRetryLimitExceeded.inc()
      this.routeStats?.retryLimitExceeded.inc()
      this.clusterStats?.retryLimitExceeded.inc()
      return RetryVerdict.NoLimitExceeded
    }
    this.remaining--
    if (!cluster.limits.tryTakeRetry(this.priority)) {
      counters.upstreamRqRetryOverflow.inc()
      this.routeStats?.retryOverflow.inc()
      this.clusterStats?.retryOverflow.inc()
      return RetryVerdict.NoOverflow
    }
    if (!services.runtime.fraction('upstream.use_retry', 100, 100, services.random.next())) {
      cluster.limits.giveRetry(this.priority)
      return RetryVerdict.No
    }
    this.slotTaken = true
    this.used++
    counters.upstreamRqRetry.inc()
    this.routeStats?.retry.inc()
    this.clusterStats?.retry.inc()
    return RetryVerdict.Yes
  }

  private giveBack(): void {
    if (!this.slotTaken) return
    this.slotTaken = false
    this.cluster!.limits.giveRetry(this.priority)
  }
}

function asksForRetries(h: HeaderBlock): boolean {
  const list = h.list
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]!
    if (name.startsWith('x-envoy-') && CONSUMED.includes(name)) return true
  }
  return false
}
