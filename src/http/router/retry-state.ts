import { ResetReason } from '../../codec/codec.ts'
import type { HeaderBlock } from '../../codec/header-block.ts'
import type { WorkerServices } from '../../config/services.ts'
import { RetryOn, type RetryPolicy } from '../../routing/route.ts'
import type { Cluster } from '../../upstream/upstream.ts'

export const RetryVerdict = { No: 0, Yes: 1, NoOverflow: 2, NoLimitExceeded: 3 } as const
export type RetryVerdict = (typeof RetryVerdict)[keyof typeof RetryVerdict]

const httpWords: Readonly<Record<string, number>> = {
  '5xx': RetryOn.FiveXx,
  'gateway-error': RetryOn.GatewayError,
  'connect-failure': RetryOn.ConnectFailure,
  'retriable-4xx': RetryOn.Retriable4xx,
  'refused-stream': RetryOn.RefusedStream,
  'retriable-status-codes': RetryOn.RetriableStatusCodes,
  'retriable-headers': RetryOn.RetriableHeaders,
  reset: RetryOn.Reset,
  'reset-before-request': RetryOn.ResetBeforeRequest,
  'envoy-ratelimited': RetryOn.EnvoyRatelimited,
  'http3-post-connect-failure': RetryOn.Http3PostConnectFailure,
}
const grpcWords: Readonly<Record<string, number>> = {
  cancelled: RetryOn.GrpcCancelled,
  'deadline-exceeded': RetryOn.GrpcDeadlineExceeded,
  internal: RetryOn.GrpcInternal,
  'resource-exhausted': RetryOn.GrpcResourceExhausted,
  unavailable: RetryOn.GrpcUnavailable,
}
const GRPC_BITS =
  RetryOn.GrpcCancelled |
  RetryOn.GrpcDeadlineExceeded |
  RetryOn.GrpcInternal |
  RetryOn.GrpcResourceExhausted |
  RetryOn.GrpcUnavailable

/** Decides about retries of one request (Envoy: RetryStateImpl); reused with its router request. */
export class RetryState {
  enabled = false
  private policy: RetryPolicy | null = null
  private cluster: Cluster | null = null
  private priority: 0 | 1 = 0
  private retryOn = 0
  private remaining = 0
  private used = 0
  private extraCodes: readonly number[] = []
  private extraHeaders: readonly string[] = []
  /** A retry slot of the circuit breaker is ours. */
  private slotTaken = false
  private rateLimitedDelay = -1

  /** Policy of the route merged with x-envoy-retry-on and its relatives, which are taken out of `h`. */
  begin(policy: RetryPolicy | null, h: HeaderBlock, cluster: Cluster, priority: 0 | 1, _globalTimeout: number): void {
    this.policy = policy
    this.cluster = cluster
    this.priority = priority
    this.retryOn = policy === null ? 0 : policy.retryOn
    this.used = 0
    this.slotTaken = false
    this.rateLimitedDelay = -1
    this.extraCodes = []
    this.extraHeaders = []
    let remaining = policy === null ? 1 : policy.numRetries
    const list = h.list
    for (let i = 0; i < list.length; i += 2) {
      if (list[i]!.startsWith('x-envoy-')) {
        remaining = this.fromHeaders(h, remaining)
        break
      }
    }
    if (policy !== null && this.retryOn !== 0 && !policy.matchesRetriableRequestHeaders(h)) this.retryOn = 0
    this.remaining = remaining
    this.enabled = this.retryOn !== 0
  }

  /** A response head arrived. `status` is the HTTP status, with gRPC the one its grpc-status stands for. */
  onHeaders(
    h: HeaderBlock,
    status: number,
    isGrpc: boolean,
    _request: HeaderBlock,
    services: WorkerServices,
  ): RetryVerdict {
    if (!this.wouldRetryFromHeaders(h, status, isGrpc)) {
      this.giveBack()
      return RetryVerdict.No
    }
    this.rateLimitedDelay = this.policy === null ? -1 : this.policy.rateLimitedDelay(h, services.clock.wall())
    return this.decide(services)
  }

  /** The attempt was reset; `started`: request bytes may have reached the upstream. */
  onReset(reason: ResetReason, started: boolean, services: WorkerServices): RetryVerdict {
    this.rateLimitedDelay = -1
    if (!this.wouldRetryFromReset(reason, started)) {
      this.giveBack()
      return RetryVerdict.No
    }
    return this.decide(services)
  }

  onHedge(services: WorkerServices): RetryVerdict {
    this.rateLimitedDelay = -1
    return this.decide(services)
  }

  retryBegins(): void {
    // The slot is held until the retried request ends, so that max_retries bounds concurrent retries.
  }

  /** ms until the next attempt: reset headers if they say so, else full jitter over base × (2^n - 1). */
  nextDelay(h: HeaderBlock | null, services: WorkerServices, cluster: Cluster): number {
    if (h !== null && this.rateLimitedDelay >= 0) {
      cluster.counters.upstreamRqRetryBackoffRatelimited.inc()
      return this.rateLimitedDelay
    }
    cluster.counters.upstreamRqRetryBackoffExponential.inc()
    const base =
      this.policy === null ? services.runtime.integer('upstream.base_retry_backoff_ms', 25) : this.policy.backOffBase
    const max = this.policy === null ? base * 10 : this.policy.backOffMax
    const window = Math.min((2 ** Math.min(this.used, 30) - 1) * base, max)
    return Math.max(0, services.random.next() % Math.max(1, window))
  }

  disable(): void {
    this.enabled = false
    this.giveBack()
  }

  end(): void {
    this.giveBack()
    this.enabled = false
    this.policy = null
    this.cluster = null
  }

  private decide(services: WorkerServices): RetryVerdict {
    const cluster = this.cluster!
    // An earlier retry of this request is over: its slot may serve the next.
    this.giveBack()
    if (this.remaining === 0) {
      cluster.counters.upstreamRqRetryLimitExceeded.inc()
      return RetryVerdict.NoLimitExceeded
    }
    this.remaining--
    if (!cluster.limits.tryTakeRetry(this.priority)) {
      cluster.counters.upstreamRqRetryOverflow.inc()
      return RetryVerdict.NoOverflow
    }
    if (!services.runtime.fraction('upstream.use_retry', 100, 100, services.random.next())) {
      cluster.limits.giveRetry(this.priority)
      return RetryVerdict.No
    }
    this.slotTaken = true
    this.used++
    cluster.counters.upstreamRqRetry.inc()
    return RetryVerdict.Yes
  }

  private giveBack(): void {
    if (!this.slotTaken) return
    this.slotTaken = false
    this.cluster!.limits.giveRetry(this.priority)
  }

  private wouldRetryFromHeaders(h: HeaderBlock, status: number, isGrpc: boolean): boolean {
    const on = this.retryOn
    const code = h.status
    if (h.has('x-envoy-ratelimited') && (on & RetryOn.EnvoyRatelimited) === 0) return false
    if ((on & RetryOn.EnvoyRatelimited) !== 0 && h.has('x-envoy-ratelimited')) return true
    if ((on & RetryOn.FiveXx) !== 0 && code >= 500 && code < 600) return true
    if ((on & RetryOn.GatewayError) !== 0 && (code === 502 || code === 503 || code === 504)) return true
    if ((on & RetryOn.Retriable4xx) !== 0 && code === 409) return true
    if ((on & RetryOn.RetriableStatusCodes) !== 0) {
      if (this.policy?.retriableStatusCodes.includes(code) === true || this.extraCodes.includes(code)) return true
    }
    if ((on & RetryOn.RetriableHeaders) !== 0) {
      if (this.policy?.matchesRetriableHeaders(h) === true) return true
      for (const name of this.extraHeaders) if (h.has(name)) return true
    }
    if ((on & GRPC_BITS) !== 0 && isGrpc) {
      switch (h.get('grpc-status')) {
        case '1':
          return (on & RetryOn.GrpcCancelled) !== 0
        case '4':
          return (on & RetryOn.GrpcDeadlineExceeded) !== 0
        case '8':
          return (on & RetryOn.GrpcResourceExhausted) !== 0
        case '13':
          return (on & RetryOn.GrpcInternal) !== 0
        case '14':
          return (on & RetryOn.GrpcUnavailable) !== 0
      }
    }
    return status < 0
  }

  private wouldRetryFromReset(reason: ResetReason, started: boolean): boolean {
    const on = this.retryOn
    if (reason === ResetReason.Overflow) return false
    if ((on & RetryOn.Reset) !== 0) return true
    if ((on & RetryOn.ResetBeforeRequest) !== 0 && !started) return true
    if ((on & (RetryOn.FiveXx | RetryOn.GatewayError)) !== 0) return true
    if ((on & RetryOn.RefusedStream) !== 0 && reason === ResetReason.RemoteRefused) return true
    return (
      (on & RetryOn.ConnectFailure) !== 0 &&
      (reason === ResetReason.ConnectionFailure || reason === ResetReason.ConnectionTimeout)
    )
  }

  private fromHeaders(h: HeaderBlock, configured: number): number {
    const on = h.get('x-envoy-retry-on')
    if (on !== undefined) {
      this.retryOn |= words(on, httpWords)
      h.remove('x-envoy-retry-on')
    }
    const grpcOn = h.get('x-envoy-retry-grpc-on')
    if (grpcOn !== undefined) {
      this.retryOn |= words(grpcOn, grpcWords)
      h.remove('x-envoy-retry-grpc-on')
    }
    const codes = h.get('x-envoy-retriable-status-codes')
    if (codes !== undefined) {
      this.extraCodes = codes.split(',').slice(0, 64).map(Number)
      h.remove('x-envoy-retriable-status-codes')
    }
    const names = h.get('x-envoy-retriable-header-names')
    if (names !== undefined) {
      this.extraHeaders = names
        .split(',')
        .slice(0, 64)
        .map(name => name.trim().toLowerCase())
      h.remove('x-envoy-retriable-header-names')
    }
    const max = h.get('x-envoy-max-retries')
    h.remove('x-envoy-max-retries')
    h.remove('x-envoy-hedge-on-per-try-timeout')
    if (this.retryOn !== 0 && max !== undefined && /^[0-9]{1,9}$/.test(max)) return Number(max)
    return configured
  }
}

function words(text: string, table: Readonly<Record<string, number>>): number {
  let bits = 0
  for (const word of text.split(',')) {
    const name = word.trim()
    if (Object.hasOwn(table, name)) bits |= table[name]!
  }
  return bits
}
