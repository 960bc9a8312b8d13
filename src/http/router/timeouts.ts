import type { HeaderBlock } from '../../codec/header-block.ts'
import type { RouteAction } from '../../routing/route.ts'
import { grpcTimeout, setGrpcTimeout } from '../grpc.ts'

/** Timeouts of one request in ms, 0 = none. One object per router request, filled anew. */
export class RequestTimeouts {
  global = 0
  perTry = 0
  perTryIdle = 0
  /** x-envoy-upstream-stream-duration-ms; -1 = absent, the cluster's max_stream_duration counts. */
  maxDuration = -1
  /** What a timeout is answered with: 204 after x-envoy-upstream-rq-timeout-alt-response. */
  status = 504
  /** max_grpc_timeout: the upstream gets its share of the time as grpc-timeout. */
  private tellsGrpc = false

  /**
   * Route, retry policy, gRPC header and x-envoy-* headers, in Envoy's order (FilterUtility::finalTimeout); takes the
   * headers it obeyed away.
   *
   * @param steered false: `h` is known to have no x-envoy-* header
   */
  resolve(h: HeaderBlock, action: RouteAction, isGrpc: boolean, respectExpected: boolean, steered = true): void {
    this.tellsGrpc = false
    if (usesMaxStreamDuration(action)) this.global = 0
    else if (isGrpc && action.maxGrpcTimeout >= 0) {
      this.tellsGrpc = true
      this.global = grpcLimit(h, action)
    } else this.global = action.timeout
    this.perTry = action.retry === null ? 0 : action.retry.perTryTimeout
    this.perTryIdle = action.retry === null ? 0 : action.retry.perTryIdleTimeout
    this.maxDuration = -1
    this.status = 504
    if (!steered) {
      if (this.perTry >= this.global && this.global > 0) this.perTry = 0
      return
    }
    if (respectExpected && h.has('x-envoy-expected-rq-timeout-ms')) {
      this.global = headerMs(h, 'x-envoy-expected-rq-timeout-ms', this.global)
    } else this.global = takeMs(h, 'x-envoy-upstream-rq-timeout-ms', this.global)
    this.perTry = takeMs(h, 'x-envoy-upstream-rq-per-try-timeout-ms', this.perTry)
    if (this.perTry >= this.global && this.global > 0) this.perTry = 0
    this.maxDuration = takeMs(h, 'x-envoy-upstream-stream-duration-ms', -1)
    this.status = h.has('x-envoy-upstream-rq-timeout-alt-response') ? 204 : 504
    if (this.status === 204) h.remove('x-envoy-upstream-rq-timeout-alt-response')
  }

  /**
   * x-envoy-expected-rq-timeout-ms, and grpc-timeout under max_grpc_timeout, for an attempt that begins `elapsed` ms after the
   * request was complete (FilterUtility::setTimeoutHeaders).
   */
  setHeaders(h: HeaderBlock, elapsed: number, hedging: boolean, envoyHeader: boolean): void {
    // With hedging a slow attempt may go on to the end of the route timeout.
    let expected = hedging || this.perTry === 0 ? this.global : this.perTry
    if (expected <= 0) return
    if (this.global > 0) {
      // Out of time: 0 would mean no limit.
      expected = elapsed >= this.global ? 1 : Math.min(expected, this.global - elapsed)
    }
    const ms = Math.floor(expected)
    if (envoyHeader) h.set('x-envoy-expected-rq-timeout-ms', textOf(ms))
    if (this.tellsGrpc) setGrpcTimeout(h, ms)
  }
}

let lastMs = 0
let lastText = '0'

/** Most requests of a worker have one timeout. */
function textOf(ms: number): string {
  if (ms !== lastMs) {
    lastMs = ms
    lastText = String(ms)
  }
  return lastText
}

/** The header wins over the route (FilterUtility::finalHedgingParams); retry.begin takes it out. */
export function hedgesOnTimeout(h: HeaderBlock, action: RouteAction): boolean {
  const asked = h.get('x-envoy-hedge-on-per-try-timeout')
  if (asked === 'true') return true
  return asked !== 'false' && action.hedge?.hedgeOnPerTryTimeout === true
}

/** max_stream_duration on the route replaces timeout, max_grpc_timeout and grpc_timeout_offset (usingNewTimeouts). */
function usesMaxStreamDuration(action: RouteAction): boolean {
  return action.maxStreamDuration >= 0 || action.grpcTimeoutHeaderMax >= 0
}

function grpcLimit(h: HeaderBlock, action: RouteAction): number {
  const { maxGrpcTimeout, grpcTimeoutOffset } = action
  let limit = Math.max(0, grpcTimeout(h))
  // The offset never turns a limit into none.
  if (grpcTimeoutOffset > 0 && grpcTimeoutOffset < limit) limit -= grpcTimeoutOffset
  if (maxGrpcTimeout > 0 && (limit === 0 || limit > maxGrpcTimeout)) limit = maxGrpcTimeout
  return limit
}

/** A header with whole milliseconds; anything else counts as absent. */
function headerMs(h: HeaderBlock, name: string, otherwise: number): number {
  const value = h.get(name)
  return value !== undefined && /^[0-9]{1,15}$/.test(value) ? Number(value) : otherwise
}

function takeMs(h: HeaderBlock, name: string, otherwise: number): number {
  const value = h.get(name)
  if (value === undefined) return otherwise
  h.remove(name)
  return /^[0-9]{1,15}$/.test(value) ? Number(value) : otherwise
}
