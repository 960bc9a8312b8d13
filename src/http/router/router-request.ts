import { TimerNode, type TimerOwner, type Timers } from '../../base/timer.ts'
import { ResetReason } from '../../codec/codec.ts'
import type { HeaderBlock } from '../../codec/header-block.ts'
import type { Route, RouteAction } from '../../routing/route.ts'
import { ResponseFlag } from '../../telemetry/stream-info.ts'
import { autoServerName } from '../../upstream/auto-sni.ts'
import { type Cluster, type Host, OutlierEvent, PoolFailure } from '../../upstream/upstream.ts'
import type { RouterFilter } from '../filters/router.ts'
import type { ResponseSource, StreamContext } from '../stream-context.ts'
import { noteUpstream } from './attempt-facts.ts'
import { Attempts } from './attempts.ts'
import { respondDirectly } from './direct-response.ts'
import { HostPick } from './host-pick.ts'
import {
  refuseAfterFailure,
  refuseBadHeaders,
  refusedByCluster,
  refuseUnhealthy,
  refuseUnsendable,
  refuseWithoutCluster,
  refuseWithoutRoute,
} from './refusals.ts'
import { RequestBody } from './request-body.ts'
import { type FailureText, poolFailureText, resetDetails, resetText } from './reset-text.ts'
import { ResponseCharges } from './response-charges.ts'
import { RetryState, RetryVerdict } from './retry-state.ts'
import { shadowRequests } from './shadow.ts'
import { onResponseTimeout } from './slow-attempts.ts'
import { connectTcp } from './tcp-upstream.ts'
import { hedgesOnTimeout, RequestTimeouts } from './timeouts.ts'
import { UpstreamRequest } from './upstream-request.ts'
import { injectSpan, startUpstreamSpan } from './upstream-span.ts'

const RouterTimer = { Response: 0, BackOff: 1 } as const
const EMPTY = Buffer.alloc(0)

/**
 * The router's state for one stream: attempts, retries and timeouts (Envoy: Router::Filter). The way of a response back is in
 * upstream-response.ts, what becomes of slow attempts in slow-attempts.ts.
 */
export class RouterRequest implements ResponseSource, TimerOwner {
  readonly filter: RouterFilter
  readonly timers: Timers
  readonly timeouts = new RequestTimeouts()
  /** Made for the first request that may be retried; the next ones have it too. */
  private retry: RetryState | null = null
  readonly body = new RequestBody()
  readonly charges = new ResponseCharges()
  readonly pick = new HostPick()
  s: StreamContext | null = null
  route: Route | null = null
  action: RouteAction | null = null
  cluster: Cluster | null = null
  headers: HeaderBlock | null = null
  private trailers: HeaderBlock | null = null
  requestComplete = false
  /** The request had no body: the head ended it. */
  private headersOnly = false
  readonly attempts = new Attempts()
  /** The attempt whose response the client gets. */
  winner: UpstreamRequest | null = null
  attemptCount = 0
  requestCompleteAt = -1
  hedging = false
  responseCookie = ''
  private isRetry = false
  /** Some attempt has sent its head: reset-before-request does not retry any more. */
  private upstreamStarted = false
  private retryAfterTimeout = false
  private timedOut = false
  // Made when they are first armed.
  private responseTimer: TimerNode | null = null
  private backOffTimer: TimerNode | null = null
  /** For the next attempt. */
  private spare: UpstreamRequest | null = null

  constructor(filter: RouterFilter) {
    this.filter = filter
    this.timers = filter.services.timers
  }

  begin(s: StreamContext, h: HeaderBlock, end: boolean): void {
    const { filter, pick, timeouts } = this
    const info = s.info
    this.s = s
    this.headers = h
    pick.requestHeaders = h
    pick.info = info
    this.requestComplete = end
    this.headersOnly = end
    if (end) this.requestCompleteAt = this.timers.now()
    filter.stats.rqTotal.inc()
    const route = s.route()
    this.route = route
    if (route !== null && (route.redirect !== null || route.directResponse !== null)) {
      respondDirectly(s, route, h, filter)
      return
    }
    const action = route === null ? null : route.action
    if (route === null || action === null) {
      refuseWithoutRoute(this, s)
      return
    }
    this.action = action
    if (refuseBadHeaders(this, s, h)) return
    const { cluster } = s
    if (cluster === null) {
      refuseWithoutCluster(this, s, action)
      return
    }
    this.cluster = cluster
    info.clusterMetadata = cluster.metadata
    info.virtualClusterName = route.virtualHost.virtualCluster(h) ?? ''
    // Most requests have none of the headers that steer the router: one look instead of one for each of them.
    const steered = hasEnvoyHeader(h)
    this.charges.begin(cluster, route, info.virtualClusterName, h, filter.services.node.zone, filter.routeStats)
    if (steered) this.charges.takeAlternative(h)
    if (refusedByCluster(this, s, cluster)) return
    this.attemptCount = 1
    info.upstreamAttempts = 1
    const hashed = action.hash(h, info)
    if (hashed !== null) {
      pick.hash = hashed.hash
      this.responseCookie = hashed.responseCookie
    }
    pick.metadataMatch = action.metadataMatch
    pick.begin(action.retry)
    const host = cluster.pick(pick)
    if (host === null) {
      refuseUnhealthy(this, s)
      return
    }
    this.hedging = hedgesOnTimeout(h, action)
    timeouts.resolve(h, action, s.isGrpc, filter.config.respectExpectedRqTimeout, steered)
    timeouts.setHeaders(h, 0, this.hedging, !filter.config.suppressEnvoyHeaders)
    if (action.retry !== null || steered) {
      this.retry ??= new RetryState()
      this.retry.begin(action.retry, h, cluster, action.priority, this.charges.route, this.charges.virtualCluster)
    }
    if (route.virtualHost.includeRequestAttemptCount) h.set('x-envoy-attempt-count', '1')
    route.mutateRequest(h, s)
    action.rewrite(h, s, host.hostname, !filter.config.suppressEnvoyHeaders)
    this.body.keep = this.retries !== null || action.shadows.length > 0 || action.internalRedirect !== null
    s.responseSource = this
    this.launch(host)
    if (end && this.s !== null) this.onRequestComplete()
  }

  onData(chunk: Uint8Array, end: boolean): void {
    const s = this.s!
    const body = this.body
    const limit = this.action!.requestBufferLimit
    if (body.retained && body.bytes + chunk.length > (limit < 0 ? s.manager.bufferLimit : limit)) this.abandonBuffer()
    if (body.retained) body.push(chunk)
    else if (this.attempts.waiting) {
      body.push(chunk)
      if (body.bytes > s.manager.bufferLimit) this.holdDownstream(true)
    }
    if (end) this.requestComplete = true
    for (let i = 0; i < this.attempts.list.length; i++) {
      const attempt = this.attempts.list[i]!
      if (attempt.takesBody && !attempt.requestSent) attempt.send(chunk, end)
    }
    if (end && this.s !== null) this.onRequestComplete()
  }

  onTrailers(t: HeaderBlock): void {
    this.trailers = t
    this.requestComplete = true
    for (let i = 0; i < this.attempts.list.length; i++) {
      const attempt = this.attempts.list[i]!
      if (attempt.takesBody && !attempt.requestSent) {
        attempt.requestSent = true
        attempt.stream!.encodeTrailers(t)
      }
    }
    if (this.s !== null) this.onRequestComplete()
  }

  /** The stream is over: whatever is under way is dropped. */
  end(): void {
    this.cancelResponseTimeout()
    if (this.backOffTimer !== null) this.timers.suspend(this.backOffTimer)
    this.attempts.end()
    const { winner } = this
    if (winner !== null) {
      if (winner.retire()) this.spare = winner
      else winner.discard()
    }
    this.endRetries()
    this.reset()
  }

  /** It is not used again: no timer may hold it. */
  discard(): void {
    if (this.responseTimer !== null) this.timers.cancel(this.responseTimer)
    if (this.backOffTimer !== null) this.timers.cancel(this.backOffTimer)
    this.spare?.discard()
  }

  /** Null: nothing of this request is retried (any more). */
  get retries(): RetryState | null {
    return this.retry?.enabled ? this.retry : null
  }

  endRetries(): void {
    if (this.retry !== null) this.retry.end()
  }

  holdUpstream(hold: boolean): void {
    const winner = this.winner
    if (winner === null) return
    winner.hold(hold)
    const counters = this.cluster!.counters
    if (hold) counters.upstreamFlowControlPausedReadingTotal.inc()
    else counters.upstreamFlowControlResumedReadingTotal.inc()
  }

  holdDownstream(hold: boolean): void {
    const s = this.s
    if (s === null || s.finished) return
    const counters = this.cluster!.counters
    if (hold) counters.upstreamFlowControlBackedUpTotal.inc()
    else counters.upstreamFlowControlDrainedTotal.inc()
    s.connection!.holdRequest(s, hold)
  }

  onTimer(kind: number): void {
    if (this.s === null) return
    if (kind === RouterTimer.BackOff) this.doRetry()
    else {
      this.timedOut = true
      onResponseTimeout(this)
    }
  }

  onAttemptReady(attempt: UpstreamRequest, protocol: string): void {
    const s = this.s!
    const info = s.info
    const now = this.timers.now()
    this.upstreamStarted = true
    if (info.poolAnswer < 0) info.poolAnswer = now
    this.cluster!.reportOutcome(attempt.host, 0, OutlierEvent.ConnectSuccess)
    this.charges.started()
    noteUpstream(info, attempt)
    if (s.unsendable !== '') {
      this.dropOthers(null)
      refuseUnsendable(s)
      return
    }
    info.upstreamProtocol = protocol
    if (info.firstUpstreamTx < 0) info.firstUpstreamTx = now
    if (this.requestComplete) attempt.armPerTry(this.timeouts.perTry)
    attempt.armIdle(this.timeouts.perTryIdle)
    attempt.armMaxDuration(
      this.timeouts.maxDuration >= 0 ? this.timeouts.maxDuration : this.cluster!.config.http.maxStreamDuration,
    )
    info.lastUpstreamTx = now
    const bodyless = this.headersOnly
    if (bodyless) attempt.requestSent = true
    // What follows belongs to the new protocol: it waits until the upstream has agreed to it (RFC 9110 §7.8, §9.3.6).
    attempt.bodyHeld = s.isUpgrade
    if (s.span !== null) injectSpan(s, attempt, this.headers!)
    if (attempt.trace !== null) attempt.trace.firstTx = attempt.trace.lastTx = now
    attempt.stream!.encodeHeaders(this.headers!, bodyless)
    if (!bodyless && !attempt.bodyHeld) this.sendBody(attempt)
  }

  /** Everything of the body that is here already. */
  sendBody(attempt: UpstreamRequest): void {
    const { body, trailers } = this
    const { chunks } = body
    for (let i = 0; i < chunks.length; i++) {
      if (attempt.stream === null || attempt.done) return
      attempt.send(chunks[i]!, this.requestComplete && trailers === null && i === chunks.length - 1)
    }
    const { stream } = attempt
    if (stream === null || this.s === null) return
    if (this.requestComplete && !attempt.requestSent) {
      attempt.requestSent = true
      if (trailers !== null) stream.encodeTrailers(trailers)
      else stream.encodeData(EMPTY, true)
    }
    if (body.retained) return
    if (body.bytes > this.s.manager.bufferLimit) this.holdDownstream(false)
    body.clear(this.sendsOnce)
  }

  onAttemptPoolFailure(attempt: UpstreamRequest, failure: PoolFailure, transportFailure: string): void {
    const text = poolFailureText(failure)
    if (text.reason !== ResetReason.Overflow) {
      const event = failure === PoolFailure.Timeout ? OutlierEvent.ConnectTimeout : OutlierEvent.ConnectFailed
      this.cluster!.reportOutcome(attempt.host, 0, event)
    }
    const { info } = this.s!
    if (info.poolAnswer < 0) info.poolAnswer = this.timers.now()
    // A pool that takes nobody into its queue has not chosen a connection yet, and Envoy's log names no host then.
    if (failure === PoolFailure.PendingOverflow) info.forgetHost()
    else noteUpstream(info, attempt)
    this.attemptFailed(attempt, text, transportFailure)
  }

  onAttemptReset(attempt: UpstreamRequest, why: ResetReason): void {
    this.cluster!.reportOutcome(attempt.host, 0, OutlierEvent.RequestReset)
    if (this.winner === attempt) this.responseCut(resetText(why), '')
    else this.attemptFailed(attempt, resetText(why), '')
  }

  scheduleRetry(afterTimeout: boolean): void {
    this.retryAfterTimeout = afterTimeout
    this.backOffTimer ??= new TimerNode(this, RouterTimer.BackOff)
    this.timers.arm(this.backOffTimer, this.retry!.nextDelay(this.filter.services, this.cluster!))
  }

  /** Other attempts may still answer: one waits for its head, or a retry is due. */
  othersMayAnswer(): boolean {
    if (this.backOffTimer !== null && this.backOffTimer.deadline !== 0) return true
    return this.attempts.unanswered
  }

  noteRetryLimit(verdict: RetryVerdict): void {
    const info = this.s!.info
    if (verdict === RetryVerdict.NoOverflow) info.setFlag(ResponseFlag.UpstreamOverflow)
    else if (verdict === RetryVerdict.NoLimitExceeded) info.setFlag(ResponseFlag.UpstreamRetryLimitExceeded)
  }

  /** Internal redirect: the same stream once more through the filter chain, with a router request of its own. */
  restart(status: number): void {
    // 303 turned the request into a GET (RFC 9110 §15.4.4).
    const dropBody = status === 303 && this.headers!.method === 'GET'
    const { trailers } = this
    const chunks = dropBody ? [] : this.body.chunks.slice()
    this.body.clear(false)
    this.s!.recreate(status, chunks, dropBody ? null : trailers)
  }

  cancelResponseTimeout(): void {
    if (this.responseTimer !== null) this.timers.suspend(this.responseTimer)
  }

  /** The other attempts are of no interest any more, nor is a retry that is due. */
  dropOthers(keep: UpstreamRequest | null): void {
    this.attempts.dropOthers(keep)
    if (this.backOffTimer !== null) this.timers.suspend(this.backOffTimer)
    if (keep === null) this.cancelResponseTimeout()
  }

  private launch(host: Host): void {
    const s = this.s!
    const cluster = this.cluster!
    const { info } = s
    info.upstreamHostsAttempted.push(host.address.text)
    // Of a hedge both are under way: times count from the first one, and whichever answers is told of.
    if (this.attempts.list.length === 0) {
      if (info.poolRequest >= 0) info.forgetAttempt()
      info.poolRequest = this.timers.now()
    }
    this.pick.chosen(host)
    const attempt = this.spare ?? new UpstreamRequest(this)
    this.spare = null
    attempt.begin(host)
    info.noteHost(host)
    if (s.span !== null) attempt.trace = startUpstreamSpan(this, s)
    this.attempts.list.push(attempt)
    const action = this.action!
    if (action.terminateConnect && (s.isConnect || (action.terminatePost && this.headers!.method === 'POST'))) {
      connectTcp(cluster, host, attempt, info, this.pick.downstream)
      return
    }
    const serverName = autoServerName(cluster, this.headers!)
    const { downstream } = this.pick
    const { protocol, sharedState } = info
    const pool = cluster.httpPool(host, action.priority, protocol, downstream, serverName, s.upstreamAlpn, sharedState)
    const handle = pool.newStream(attempt)
    if (!attempt.done && attempt.stream === null) attempt.handle = handle
  }

  private onRequestComplete(): void {
    if (this.requestCompleteAt < 0) this.requestCompleteAt = this.timers.now()
    if (this.timeouts.global > 0 && !this.timedOut) {
      this.responseTimer ??= new TimerNode(this, RouterTimer.Response)
      if (this.responseTimer.deadline === 0) this.timers.arm(this.responseTimer, this.timeouts.global)
    }
    for (let i = 0; i < this.attempts.list.length; i++) {
      const attempt = this.attempts.list[i]!
      if (attempt.stream !== null && !attempt.perTryArmed) attempt.armPerTry(this.timeouts.perTry)
    }
    const { shadows } = this.action!
    if (shadows.length === 0 || this.body.dropped) return
    shadowRequests(shadows, this.s!, this.body.chunks, this.trailers, this.filter, this.timeouts.global)
  }

  /** True: the retry policy takes care of it. */
  tryAgain(attempt: UpstreamRequest, reason: ResetReason, timeout: boolean): boolean {
    const { retries } = this
    if (this.winner !== null || attempt.retried || retries === null || this.body.dropped) return false
    const verdict = retries.onReset(reason, this.upstreamStarted, this.filter.services)
    if (verdict !== RetryVerdict.Yes) {
      this.noteRetryLimit(verdict)
      return false
    }
    this.charges.failed(attempt.host)
    this.scheduleRetry(timeout)
    return true
  }

  private attemptFailed(attempt: UpstreamRequest, text: FailureText, transportFailure: string): void {
    const s = this.s!
    this.attempts.remove(attempt)
    if (transportFailure !== '') s.info.upstreamTransportFailure = transportFailure
    if (this.tryAgain(attempt, text.reason, false)) return
    const overflow = text.reason === ResetReason.Overflow
    if (overflow) this.charges.local(text.status)
    else this.charges.response(attempt.host, text.status, null)
    if (this.othersMayAnswer()) return
    refuseAfterFailure(this, s, text, transportFailure, this.isRetry)
  }

  /** The response broke off after its head went to the client: nothing can be said any more but the end. */
  private responseCut(text: FailureText, details: string): void {
    const s = this.s!
    // Envoy counts only those whose success it had not decided yet (grpcRqSuccessDeferred): trailers would have said.
    if (s.isGrpc) this.filter.stats.rqResetAfterResponseStarted.inc()
    s.info.setFlag(text.flag)
    s.info.responseCodeDetails = details !== '' ? details : resetDetails(text.text, '', true)
    s.resetStream()
  }

  private doRetry(): void {
    const s = this.s!
    const { timeouts, pick } = this
    this.isRetry = true
    this.attemptCount++
    s.info.upstreamAttempts = this.attemptCount
    pick.beforeRetry()
    const host = this.cluster!.pick(pick)
    if (host === null) {
      if (this.attempts.list.length === 0) refuseUnhealthy(this, s)
      return
    }
    const h = this.headers!
    const { includeRequestAttemptCount, includeIsTimeoutRetryHeader } = this.route!.virtualHost
    if (includeRequestAttemptCount) h.set('x-envoy-attempt-count', String(this.attemptCount))
    if (includeIsTimeoutRetryHeader) h.set('x-envoy-is-timeout-retry', this.retryAfterTimeout ? 'true' : 'false')
    const elapsed = this.requestCompleteAt < 0 ? 0 : this.timers.now() - this.requestCompleteAt
    timeouts.setHeaders(h, elapsed, this.hedging, !this.filter.config.suppressEnvoyHeaders)
    this.launch(host)
  }

  /** Of what the body has so far, nothing has gone or will go anywhere but to the first attempt. */
  private get sendsOnce(): boolean {
    return this.attemptCount === 1 && this.action?.shadows.length === 0
  }

  /** The body outgrew what may be kept: no retry and no shadow from here on (Envoy: retry_or_shadow_abandoned). */
  private abandonBuffer(): void {
    this.body.dropped = true
    this.cluster!.counters.retryOrShadowAbandoned.inc()
    this.endRetries()
    if (!this.attempts.waiting) this.body.clear(this.sendsOnce)
  }

  private reset(): void {
    this.body.reset(this.sendsOnce)
    this.s = null
    this.route = null
    this.action = null
    this.cluster = null
    this.headers = null
    this.trailers = null
    this.requestComplete = false
    this.headersOnly = false
    this.winner = null
    this.attemptCount = 0
    this.requestCompleteAt = -1
    this.hedging = false
    this.responseCookie = ''
    this.isRetry = false
    this.upstreamStarted = false
    this.retryAfterTimeout = false
    this.timedOut = false
    this.charges.reset()
    this.pick.reset()
  }
}

function hasEnvoyHeader(h: HeaderBlock): boolean {
  const { list } = h
  for (let i = 0; i < list.length; i += 2) {
    // `x-e` first: two characters tell nearly all others apart.
    if (list[i]!.charCodeAt(2) === 101 && list[i]!.startsWith('x-envoy-')) return true
  }
  return false
}
