import type { HeaderBlock } from '../../codec/header-block.ts'
import type { RouteAction } from '../../routing/route.ts'
import { grpcTimeout } from '../grpc.ts'

/** Timeouts of one request in ms, 0 = none. One object per router request, filled anew. */
export class RequestTimeouts {
  global = 0
  perTry = 0
  perTryIdle = 0

  /**
   * Route, retry policy, gRPC header and x-envoy-* headers, in Envoy's order (FilterUtility::finalTimeout); takes the
   * headers it obeyed away.
   */
  resolve(h: HeaderBlock, action: RouteAction, isGrpc: boolean, respectExpected: boolean): void {
    this.global = action.timeout
    if (isGrpc && action.maxGrpcTimeout >= 0) {
      const asked = grpcTimeout(h)
      let limit = asked < 0 ? 0 : asked
      if (action.maxGrpcTimeout > 0 && (limit === 0 || limit > action.maxGrpcTimeout)) limit = action.maxGrpcTimeout
      if (action.grpcTimeoutOffset > 0 && limit > action.grpcTimeoutOffset) limit -= action.grpcTimeoutOffset
      this.global = limit
    }
    this.perTry = action.retry === null ? 0 : action.retry.perTryTimeout
    this.perTryIdle = action.retry === null ? 0 : action.retry.perTryIdleTimeout
    if (respectExpected && h.has('x-envoy-expected-rq-timeout-ms')) {
      this.global = headerMs(h, 'x-envoy-expected-rq-timeout-ms', this.global)
    } else {
      this.global = headerMs(h, 'x-envoy-upstream-rq-timeout-ms', this.global)
      h.remove('x-envoy-upstream-rq-timeout-ms')
    }
    this.perTry = headerMs(h, 'x-envoy-upstream-rq-per-try-timeout-ms', this.perTry)
    h.remove('x-envoy-upstream-rq-per-try-timeout-ms')
    if (this.perTry >= this.global && this.global > 0) this.perTry = 0
  }

  /** x-envoy-expected-rq-timeout-ms for an attempt that begins `elapsed` ms after the first. */
  setExpected(h: HeaderBlock, elapsed: number, hedging: boolean): void {
    let expected = hedging || this.perTry === 0 ? this.global : this.perTry
    if (expected <= 0) return
    if (this.global > 0) {
      // Out of time: 0 would mean no limit.
      expected = elapsed >= this.global ? 1 : Math.min(expected, this.global - elapsed)
    }
    h.set('x-envoy-expected-rq-timeout-ms', String(Math.floor(expected)))
  }
}

/** A header with whole milliseconds; anything else counts as absent. */
function headerMs(h: HeaderBlock, name: string, otherwise: number): number {
  const value = h.get(name)
  return value !== undefined && /^[0-9]{1,15}$/.test(value) ? Number(value) : otherwise
}
