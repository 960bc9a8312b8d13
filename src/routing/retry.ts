import { ResetReason } from '../codec/codec.ts'
import type { HeaderBlock } from '../codec/header-block.ts'
import { retryGrpcOnHeader, retryOnHeader } from '../config/retry-on.ts'
import { RetryOn, type RetryPolicy } from './route.ts'

/**
 * Retry decisions of source/common/router/retry_state_impl.cc as pure functions: no counters, no limits, no timers. The router
 * keeps the state (attempts left, circuit breaker) and asks here.
 */

/** What request headers add to a policy. Retriable codes and names only count with their word in `on`. */
export interface RetryOverrides {
  /** Bits of policy and headers together. */
  readonly on: number
  readonly numRetries: number
  readonly statusCodes: readonly number[]
  readonly headerNames: readonly string[]
}

const MAX_LIST = 64

/** Reads x-envoy-retry-on, -retry-grpc-on, -max-retries, -retriable-status-codes and -retriable-header-names; removes none. */
export function retryOverrides(policy: RetryPolicy | null, h: HeaderBlock): RetryOverrides {
  let on = policy === null ? 0 : policy.retryOn
  const words = h.get('x-envoy-retry-on')
  if (words !== undefined) on |= retryOnHeader(words)
  const grpcWords = h.get('x-envoy-retry-grpc-on')
  if (grpcWords !== undefined) on |= retryGrpcOnHeader(grpcWords)
  if (policy !== null && !policy.matchesRetriableRequestHeaders(h)) on = 0
  const max = h.get('x-envoy-max-retries')
  const configured = policy === null ? 1 : policy.numRetries
  return {
    on,
    numRetries: on !== 0 && max !== undefined && /^[0-9]{1,9}$/.test(max) ? Number(max) : configured,
    statusCodes: list(h.get('x-envoy-retriable-status-codes')).map(Number),
    headerNames: list(h.get('x-envoy-retriable-header-names')).map(name => name.toLowerCase()),
  }
}

function list(value: string | undefined): string[] {
  if (value === undefined) return []
  return value
    .split(',', MAX_LIST)
    .map(item => item.trim())
    .filter(item => item !== '')
}

/** A response head: `h.status` and the gRPC status in the headers (trailers-only answers) decide. */
export function wouldRetryOnHeaders(policy: RetryPolicy | null, overrides: RetryOverrides, h: HeaderBlock): boolean {
  const { on } = overrides
  // A rate-limited answer is retried when asked for, and never for another reason.
  if (h.has('x-envoy-ratelimited')) return (on & RetryOn.EnvoyRatelimited) !== 0
  const code = h.status
  if ((on & RetryOn.FiveXx) !== 0 && code >= 500 && code < 600) return true
  if ((on & RetryOn.GatewayError) !== 0 && code >= 502 && code <= 504) return true
  if ((on & RetryOn.Retriable4xx) !== 0 && code === 409) return true
  if ((on & RetryOn.RetriableStatusCodes) !== 0) {
    if (policy?.retriableStatusCodes.includes(code) === true || overrides.statusCodes.includes(code)) return true
  }
  if ((on & RetryOn.RetriableHeaders) !== 0) {
    if (policy?.matchesRetriableHeaders(h) === true) return true
    for (let i = 0; i < overrides.headerNames.length; i++) if (h.has(overrides.headerNames[i]!)) return true
  }
  return (on & GRPC_BITS) !== 0 && (on & grpcBit(h.get('grpc-status'))) !== 0
}

const GRPC_BITS =
  RetryOn.GrpcCancelled |
  RetryOn.GrpcDeadlineExceeded |
  RetryOn.GrpcInternal |
  RetryOn.GrpcResourceExhausted |
  RetryOn.GrpcUnavailable

/** Envoy looks at the header of any answer, whether or not the request was gRPC. */
function grpcBit(status: string | undefined): number {
  switch (status) {
    case '1':
      return RetryOn.GrpcCancelled
    case '4':
      return RetryOn.GrpcDeadlineExceeded
    case '8':
      return RetryOn.GrpcResourceExhausted
    case '13':
      return RetryOn.GrpcInternal
    case '14':
      return RetryOn.GrpcUnavailable
  }
  return 0
}

/** The attempt was reset. `started`: bytes of the request may have reached the upstream. */
export function wouldRetryOnReset(on: number, reason: ResetReason, started: boolean): boolean {
  // Another try would run into the same circuit breaker.
  if (reason === ResetReason.Overflow) return false
  if ((on & RetryOn.Reset) !== 0) return true
  if ((on & RetryOn.ResetBeforeRequest) !== 0 && !started) return true
  if ((on & (RetryOn.FiveXx | RetryOn.GatewayError)) !== 0) return true
  if ((on & RetryOn.RefusedStream) !== 0 && reason === ResetReason.RemoteRefused) return true
  if ((on & RetryOn.ConnectFailure) === 0) return false
  return reason === ResetReason.ConnectionFailure || reason === ResetReason.ConnectionTimeout
}

/**
 * JitteredExponentialBackOffStrategy: ms before retry number `attempt` (1 = the first), uniform in [0, min(2^(attempt-1) × base, max)):
 * measured on the real one, whose documentation says (2^attempt - 1). `random`: uniform in [0, 2^53).
 */
export function backOff(base: number, max: number, attempt: number, random: number): number {
  const window = Math.min(2 ** Math.min(attempt - 1, 30) * base, max)
  return window <= 0 ? 0 : random % window
}

/** JitteredLowerBoundBackOffStrategy: a reset header's delay is the least; up to half of it is added. */
export function rateLimitedBackOff(delay: number, random: number): number {
  const spread = Math.floor(delay / 2)
  return spread === 0 ? delay : delay + (random % spread)
}
