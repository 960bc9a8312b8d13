import type { HeaderBlock } from '../../codec/header-block.ts'
import { Flow } from '../../io/connection.ts'
import { OutlierEvent } from '../../upstream/upstream.ts'
import { grpcToHttpStatus } from '../grpc.ts'
import { noteUpstream } from './attempt-facts.ts'
import { setupInternalRedirect } from './internal-redirect.ts'
import { RetryVerdict } from './retry-state.ts'
import type { RouterRequest } from './router-request.ts'
import type { UpstreamRequest } from './upstream-request.ts'

/** The way of a response back: retried, redirected, or passed to the client (Envoy: Router::Filter::onUpstreamHeaders …). */
export function onInterimHead(r: RouterRequest, h: HeaderBlock): void {
  // 100 was answered by us already; interim heads only pass where the operator asked for them, and then all of them.
  if (r.s!.manager.config.proxy100Continue) r.s!.encode1xx(h)
}

export function onResponseHead(r: RouterRequest, attempt: UpstreamRequest, h: HeaderBlock, ended: boolean): void {
  const s = r.s!
  const noHandshake = s.isUpgrade && failsHandshake(r.headers!, h)
  const end = ended || noHandshake
  const cluster = r.cluster!
  const info = s.info
  const now = r.timers.now()
  if (info.firstUpstreamRx < 0) info.firstUpstreamRx = now
  const grpcStatus = s.isGrpc ? h.get('grpc-status') : undefined
  const outcome = grpcStatus === undefined ? h.status : grpcToHttpStatus(Number(grpcStatus))
  cluster.reportOutcome(attempt.host, outcome, OutlierEvent.Response)
  if (h.has('x-envoy-immediate-health-check-fail')) cluster.failHost(attempt.host)
  let failed = false
  const { retries } = r
  if (retries !== null && !r.body.dropped) {
    // A hedged attempt is not retried a second time.
    if (attempt.retried) failed = retries.wouldRetry(h)
    else {
      const verdict = retries.onHeaders(h, r.filter.services)
      if (verdict === RetryVerdict.Yes) {
        r.charges.retried(attempt.host, h.status)
        r.attempts.drop(attempt)
        r.scheduleRetry(false)
        return
      }
      r.noteRetryLimit(verdict)
      failed = verdict !== RetryVerdict.No
    }
  }
  if (redirected(r, attempt, h)) return
  if (failed) {
    r.attempts.remove(attempt)
    if (r.othersMayAnswer()) {
      r.charges.failed(attempt.host)
      attempt.abort()
      return
    }
    r.attempts.list.push(attempt)
  }
  r.endRetries()
  r.dropOthers(attempt)
  r.winner = attempt
  noteUpstream(info, attempt)
  r.charges.response(attempt.host, h.status, h)
  if (end) info.lastUpstreamRx = now
  const route = r.route!
  if (!r.filter.config.suppressEnvoyHeaders && r.requestCompleteAt >= 0)
    h.set('x-envoy-upstream-service-time', String(Math.max(0, Math.floor(now - r.requestCompleteAt))))
  if (route.virtualHost.includeAttemptCountInResponse) h.set('x-envoy-attempt-count', String(r.attemptCount))
  if (r.responseCookie !== '') h.push('set-cookie', r.responseCookie)
  info.responseCodeDetails = noHandshake ? 'websocket_handshake_unsuccessful' : 'via_upstream'
  info.responseCode = h.status
  s.responseHeaders = h
  route.mutateResponse(h, s)
  if (end) onResponseComplete(r, attempt)
  if (noHandshake) {
    h.remove('content-length')
    h.remove('content-type')
    if (!ended) attempt.abort()
  }
  s.encodeHeaders(h, end)
  if (!end && attempt.bodyHeld && r.winner === attempt && isAgreed(r.headers!, h)) {
    attempt.bodyHeld = false
    r.sendBody(attempt)
  }
}

/** A websocket server that answers with an ordinary success or redirect: Envoy passes its head on, and nothing more. Errors pass whole. */
function failsHandshake(request: HeaderBlock, response: HeaderBlock): boolean {
  if (response.status === 101 || response.status >= 400) return false
  return request.method !== 'CONNECT' && request.get('upgrade')?.toLowerCase() === 'websocket'
}

/** The upstream speaks the new protocol from here on. */
function isAgreed(request: HeaderBlock, response: HeaderBlock): boolean {
  if (request.method !== 'CONNECT') return response.status === 101
  return response.status >= 200 && response.status < 300
}

export function onResponseData(r: RouterRequest, attempt: UpstreamRequest, chunk: Uint8Array, end: boolean): Flow {
  const s = r.s
  if (r.winner !== attempt || s === null) return Flow.Continue
  if (end) {
    s.info.lastUpstreamRx = r.timers.now()
    onResponseComplete(r, attempt)
  }
  const flow = s.encodeData(chunk, end)
  if (flow === Flow.Pause && !end && r.winner === attempt) r.holdUpstream(true)
  return flow
}

export function onResponseTrailers(r: RouterRequest, attempt: UpstreamRequest, t: HeaderBlock): void {
  const s = r.s
  if (r.winner !== attempt || s === null) return
  s.info.lastUpstreamRx = r.timers.now()
  if (s.isGrpc) {
    const status = t.get('grpc-status')
    if (status !== undefined)
      r.cluster!.reportOutcome(attempt.host, grpcToHttpStatus(Number(status)), OutlierEvent.Response)
  }
  onResponseComplete(r, attempt)
  s.encodeTrailers(t)
}

function redirected(r: RouterRequest, attempt: UpstreamRequest, h: HeaderBlock): boolean {
  const policy = r.action!.internalRedirect
  if (policy === null || !policy.redirectResponseCodes.includes(h.status)) return false
  if (!r.requestComplete || r.body.dropped) return false
  const { counters } = r.cluster!
  if (!setupInternalRedirect(r.s!, r.headers!, h, policy, r.route!, r.filter)) {
    counters.upstreamInternalRedirectFailedTotal.inc()
    return false
  }
  counters.upstreamInternalRedirectSucceededTotal.inc()
  r.charges.response(attempt.host, h.status, h)
  noteUpstream(r.s!.info, attempt)
  r.attempts.drop(attempt)
  r.restart(h.status)
  return true
}

function onResponseComplete(r: RouterRequest, attempt: UpstreamRequest): void {
  r.cancelResponseTimeout()
  if (attempt.trace !== null) attempt.endTrace(null)
  if (!r.requestComplete) attempt.cutRequest()
  r.attempts.remove(attempt)
  if (r.requestCompleteAt >= 0) r.charges.time(attempt.host, r.timers.now() - r.requestCompleteAt)
}
