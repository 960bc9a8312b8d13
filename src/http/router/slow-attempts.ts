import { ResetReason } from '../../codec/codec.ts'
import { ResponseFlag } from '../../telemetry/stream-info.ts'
import { OutlierEvent } from '../../upstream/upstream.ts'
import { localReplyHeaders, noteUpstream } from './attempt-facts.ts'
import { refuseAfterMaxDuration } from './refusals.ts'
import { RetryVerdict } from './retry-state.ts'
import type { RouterRequest } from './router-request.ts'
import type { UpstreamRequest } from './upstream-request.ts'

/** What becomes of attempts that take too long: retried, joined by another one, or given up (Envoy: Filter::onPerTryTimeout …). */
export function onPerTryTimeout(r: RouterRequest, attempt: UpstreamRequest, idle: boolean): void {
  const { counters } = r.cluster!
  // Once a response is on its way only the route timeout ends it (UpstreamRequest::onPerTryTimeout).
  if (!idle && r.winner !== null) return
  if (r.hedging) {
    hedge(r, attempt)
    return
  }
  ;(idle ? counters.upstreamRqPerTryIdleTimeout : counters.upstreamRqPerTryTimeout).inc()
  giveUp(r, attempt, idle ? 'upstream_per_try_idle_timeout' : 'upstream_per_try_timeout')
}

/** max_stream_duration of the cluster or x-envoy-upstream-stream-duration-ms. */
export function onMaxDuration(r: RouterRequest, attempt: UpstreamRequest): void {
  r.cluster!.counters.upstreamRqMaxDurationReached.inc()
  const wasWinner = r.winner === attempt
  r.attempts.drop(attempt)
  if (!wasWinner && r.tryAgain(attempt, ResetReason.Local, true)) return
  const s = r.s!
  r.dropOthers(null)
  refuseAfterMaxDuration(r, s)
}

/** The route's timeout: no attempt is waited for any longer. */
export function onResponseTimeout(r: RouterRequest): void {
  const { list } = r.attempts
  for (let i = list.length - 1; i >= 0; i--) {
    const attempt = list[i]!
    r.charges.timedOut()
    noteUpstream(r.s!.info, attempt)
    if (!attempt.headersSeen) {
      if (!attempt.timeoutReported)
        r.cluster!.reportOutcome(attempt.host, r.timeouts.status, OutlierEvent.RequestTimeout)
      r.charges.response(attempt.host, r.timeouts.status, null)
    }
    if (r.winner !== attempt) r.attempts.drop(attempt)
  }
  timeoutReply(r, 'response_timeout')
}

/** A second attempt beside a slow one, whose answer is still welcome (Filter::onSoftPerTryTimeout). */
function hedge(r: RouterRequest, attempt: UpstreamRequest): void {
  r.cluster!.reportOutcome(attempt.host, r.timeouts.status, OutlierEvent.RequestTimeout)
  attempt.timeoutReported = true
  const { retries } = r
  if (r.winner !== null || retries === null || r.body.dropped) return
  const verdict = retries.onHedge(r.filter.services)
  if (verdict === RetryVerdict.Yes) {
    attempt.retried = true
    r.scheduleRetry(true)
  } else r.noteRetryLimit(verdict)
}

/** An attempt took too long: another one, or the reply that says so. */
function giveUp(r: RouterRequest, attempt: UpstreamRequest, details: string): void {
  const { status } = r.timeouts
  r.cluster!.reportOutcome(attempt.host, status, OutlierEvent.RequestTimeout)
  noteUpstream(r.s!.info, attempt)
  const wasWinner = r.winner === attempt
  if (attempt.trace !== null) attempt.trace.setFlag(ResponseFlag.UpstreamRequestTimeout)
  r.attempts.drop(attempt)
  if (!wasWinner) {
    if (r.tryAgain(attempt, ResetReason.Local, true)) return
    r.charges.response(attempt.host, status, null)
  }
  timeoutReply(r, details)
}

function timeoutReply(r: RouterRequest, details: string): void {
  const s = r.s!
  r.dropOthers(null)
  s.info.setFlag(ResponseFlag.UpstreamRequestTimeout)
  if (r.winner !== null) {
    s.info.responseCodeDetails = details
    s.resetStream()
    return
  }
  const { status } = r.timeouts
  // 204 stands for the timeout when the client asked for an alternative response.
  const body = status === 504 ? 'upstream request timeout' : ''
  s.sendLocalReply(status, body, details, localReplyHeaders(r, false))
}
