import { TimerNode, type TimerOwner, type Timers } from '../../base/timer.ts'
import { ResetReason } from '../../codec/codec.ts'
import type { HeaderBlock } from '../../codec/header-block.ts'
import { type Connection, Flow } from '../../io/connection.ts'
import type { Route, RouteAction } from '../../routing/route.ts'
import { ResponseFlag } from '../../telemetry/stream-info.ts'
import { autoServerName } from '../../upstream/auto-sni.ts'
import { chargeResponseCode, chargeResponseTime } from '../../upstream/response-code-stats.ts'
import { type Cluster, type Host, OutlierEvent, type PickContext, PoolFailure } from '../../upstream/upstream.ts'
import type { RouterFilter } from '../filters/router.ts'
import { grpcToHttpStatus } from '../grpc.ts'
import type { ResponseSource, StreamContext } from '../stream-context.ts'
import { noteUpstream, noteUpstreamBytes, overloadedHeaders, responseOrigin } from './attempt-facts.ts'
import { respondDirectly } from './direct-response.ts'
import { setupInternalRedirect } from './internal-redirect.ts'
import { RequestBody } from './request-body.ts'
import { type FailureText, poolFailureText, resetDetails, resetText } from './reset-text.ts'
import { RetryState, RetryVerdict } from './retry-state.ts'
import { shadowRequest } from './shadow.ts'
import { RequestTimeouts } from './timeouts.ts'
import { UpstreamRequest } from './upstream-request.ts'

const RouterTimer = { Response: 0, BackOff: 1 } as const
const EMPTY = Buffer.alloc(0)

/** The router's state for one stream: attempts, retries, timeouts, and the way of the response back. */
export class RouterRequest implements PickContext, ResponseSource, TimerOwner {
  readonly filter: RouterFilter
  readonly timers: Timers
  readonly timeouts = new RequestTimeouts()
  private readonly retry = new RetryState()
  private s: StreamContext | null = null
  private route: Route | null = null
  private action: RouteAction | null = null
  private cluster: Cluster | null = null
  private headers: HeaderBlock | null = null
  private trailers: HeaderBlock | null = null
  private requestComplete = false
  /** The request had no body: the head ended it. */
  private headersOnly = false
  private readonly attempts: UpstreamRequest[] = []
  /** The attempt whose response the client gets. */
  private winner: UpstreamRequest | null = null
  private attemptCount = 0
  private started = 0
  private requestCompleteAt = -1
  private readonly body = new RequestBody()
  private retried = false
  private timedOutResponse = false
  private readonly responseTimer: TimerNode
  private readonly backOffTimer: TimerNode
  private responseCookie = ''
  // PickContext
  hash: bigint | null = null
  requestHeaders: HeaderBlock | null = null
  metadataMatch: Readonly<Record<string, unknown>> | null = null
  downstream: Connection | null = null
  overrideHost = ''
  maxHostSelections = 1
  priorityLoads: readonly number[] | null = null
  private readonly attemptedPriorities: number[] = []

  constructor(filter: RouterFilter) {
    this.filter = filter
    this.timers = filter.services.timers
    this.responseTimer = new TimerNode(this, RouterTimer.Response)
    this.backOffTimer = new TimerNode(this, RouterTimer.BackOff)
  }

  begin(s: StreamContext, h: HeaderBlock, end: boolean): void {
    const filter = this.filter
    const info = s.info
    this.s = s
    this.headers = h
    this.requestHeaders = h
    this.downstream = info.connection
    this.requestComplete = end
    this.headersOnly = end
    this.started = this.timers.now()
    if (end) this.requestCompleteAt = this.started
    filter.stats.rqTotal.inc()
    const route = s.route()
    if (route === null) {
      filter.stats.noRoute.inc()
      info.setFlag(ResponseFlag.NoRouteFound)
      s.sendLocalReply(404, '', 'route_not_found')
      return
    }
    this.route = route
    if (route.redirect !== null || route.directResponse !== null) {
      respondDirectly(s, route, h, filter)
      return
    }
    const action = route.action
    if (action === null) {
      filter.stats.noRoute.inc()
      info.setFlag(ResponseFlag.NoRouteFound)
      s.sendLocalReply(404, '', 'route_not_found')
      return
    }
    this.action = action
    const clusterName = action.clusterName
    info.upstreamClusterName = clusterName
    const cluster = clusterName === '' ? null : filter.services.clusters.get(clusterName)
    if (cluster === null) {
      filter.stats.noCluster.inc()
      info.setFlag(ResponseFlag.NoClusterFound)
      s.sendLocalReply(action.clusterNotFoundCode, '', 'cluster_not_found')
      return
    }
    this.cluster = cluster
    info.upstreamClusterStatName = cluster.observabilityName
    info.clusterMetadata = cluster.metadata
    info.virtualClusterName = route.virtualHost.virtualCluster(h) ?? ''
    if (filter.inMaintenance(cluster.name, s.random)) {
      info.setFlag(ResponseFlag.UpstreamOverflow)
      cluster.counters.upstreamRqMaintenanceMode.inc()
      this.chargeLocal(503)
      s.sendLocalReply(
        503,
        'maintenance mode',
        'maintenance_mode',
        overloadedHeaders(this.filter.config.suppressEnvoyHeaders),
      )
      return
    }
    this.attemptCount = 1
    info.upstreamAttempts = 1
    const hashed = action.hash(h, info)
    if (hashed !== null) {
      this.hash = hashed.hash
      this.responseCookie = hashed.responseCookie
    }
    this.metadataMatch = action.metadataMatch
    const host = cluster.pick(this)
    if (host === null) {
      this.noHealthyUpstream()
      return
    }
    this.timeouts.resolve(h, action, s.isGrpc, filter.config.respectExpectedRqTimeout)
    this.retry.begin(action.retry, h, cluster, action.priority, this.timeouts.global)
    this.maxHostSelections = action.retry === null ? 1 : action.retry.hostSelectionRetryMaxAttempts
    const hedging = this.hedging(h)
    if (!filter.config.suppressEnvoyHeaders) this.timeouts.setExpected(h, 0, hedging)
    if (route.virtualHost.includeRequestAttemptCount) h.set('x-envoy-attempt-count', '1')
    route.mutateRequest(h, s)
    action.rewrite(h, s, host.hostname)
    this.body.keep = this.retry.enabled || action.shadows.length > 0
    s.responseSource = this
    this.launch(host)
    if (end && this.s !== null) this.onRequestComplete()
  }

  onData(chunk: Uint8Array, end: boolean): void {
    const s = this.s!
    const body = this.body
    if (body.retained && body.bytes + chunk.length > this.bufferLimit()) this.abandonBuffer()
    if (body.retained) body.push(chunk)
    else if (this.waitingAttempt()) {
      body.push(chunk)
      if (body.bytes > s.manager.bufferLimit) this.holdDownstream(true)
    }
    if (end) this.requestComplete = true
    for (let i = 0; i < this.attempts.length; i++) {
      const attempt = this.attempts[i]!
      if (attempt.stream !== null && !attempt.requestSent) attempt.send(chunk, end)
    }
    if (end && this.s !== null) this.onRequestComplete()
  }

  onTrailers(t: HeaderBlock): void {
    this.trailers = t
    this.requestComplete = true
    for (let i = 0; i < this.attempts.length; i++) {
      const attempt = this.attempts[i]!
      if (attempt.stream !== null && !attempt.requestSent) {
        attempt.requestSent = true
        attempt.stream.encodeTrailers(t)
      }
    }
    if (this.s !== null) this.onRequestComplete()
  }

  /** The stream is over: whatever is under way is dropped. */
  end(): void {
    this.timers.cancel(this.responseTimer)
    this.timers.cancel(this.backOffTimer)
    const attempts = this.attempts
    for (let i = 0; i < attempts.length; i++) {
      const attempt = attempts[i]!
      noteUpstreamBytes(this.s!.info, attempt)
      attempt.abort()
    }
    this.retry.end()
    this.reset()
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

  rejectHost(host: Host): boolean {
    const policy = this.action!.retry
    if (policy === null || this.attemptCount < 2) return false
    return policy.rejectHost(host, this.s!.info.upstreamHostsAttempted)
  }

  onTimer(kind: number): void {
    if (this.s === null) return
    if (kind === RouterTimer.BackOff) this.doRetry()
    else this.onResponseTimeout()
  }

  onAttemptReady(attempt: UpstreamRequest, protocol: string): void {
    const s = this.s!
    const info = s.info
    const now = this.timers.now()
    noteUpstream(this.s!.info, attempt)
    info.upstreamProtocol = protocol
    if (info.firstUpstreamTx < 0) info.firstUpstreamTx = now
    const stream = attempt.stream!
    const bodyless = this.headersOnly
    if (bodyless) attempt.requestSent = true
    stream.encodeHeaders(this.headers!, bodyless)
    if (bodyless || attempt.stream === null) {
      info.lastUpstreamTx = now
      return
    }
    const chunks = this.body.chunks
    for (let i = 0; i < chunks.length; i++) {
      if (attempt.stream === null || attempt.done) return
      attempt.send(chunks[i]!, this.requestComplete && this.trailers === null && i === chunks.length - 1)
    }
    if (this.requestComplete && !attempt.requestSent && attempt.stream !== null) {
      attempt.requestSent = true
      if (this.trailers !== null) stream.encodeTrailers(this.trailers)
      else stream.encodeData(EMPTY, true)
    }
    if (!this.body.retained) {
      if (this.body.bytes > s.manager.bufferLimit) this.holdDownstream(false)
      this.body.clear()
    }
    info.lastUpstreamTx = now
  }

  onAttemptPoolFailure(attempt: UpstreamRequest, failure: PoolFailure, transportFailure: string): void {
    const text = poolFailureText(failure)
    const cluster = this.cluster!
    if (failure !== PoolFailure.Overflow) {
      cluster.reportOutcome(
        attempt.host,
        0,
        failure === PoolFailure.Timeout ? OutlierEvent.ConnectTimeout : OutlierEvent.ConnectFailed,
      )
    }
    const reason =
      failure === PoolFailure.Overflow
        ? ResetReason.Overflow
        : failure === PoolFailure.Timeout
          ? ResetReason.ConnectionTimeout
          : ResetReason.ConnectionFailure
    noteUpstream(this.s!.info, attempt)
    this.attemptFailed(attempt, text, reason, transportFailure, false)
  }

  onAttemptReset(attempt: UpstreamRequest, why: ResetReason, details: string): void {
    const cluster = this.cluster!
    cluster.reportOutcome(attempt.host, 0, OutlierEvent.RequestReset)
    if (this.winner === attempt) {
      this.responseCut(resetText(why), '')
      return
    }
    this.attemptFailed(
      attempt,
      resetText(why),
      why,
      why === ResetReason.Protocol ? '' : details,
      attempt.requestSent || attempt.stream !== null,
    )
  }

  onAttemptInterim(_attempt: UpstreamRequest, h: HeaderBlock): void {
    // 100 was answered by us already; other interim heads only pass where the operator asked for them.
    if (h.status === 100 && this.s!.manager.config.proxy100Continue) this.s!.encode1xx(h)
  }

  onAttemptHeaders(attempt: UpstreamRequest, h: HeaderBlock, end: boolean): void {
    const s = this.s!
    const cluster = this.cluster!
    const action = this.action!
    const info = s.info
    const now = this.timers.now()
    if (info.firstUpstreamRx < 0) info.firstUpstreamRx = now
    const grpcStatus = s.isGrpc ? h.get('grpc-status') : undefined
    const outcome = grpcStatus === undefined ? h.status : grpcToHttpStatus(Number(grpcStatus))
    cluster.reportOutcome(attempt.host, outcome, OutlierEvent.Response)
    if (this.winner === null && this.retry.enabled && !this.body.dropped) {
      const verdict = this.retry.onHeaders(h, outcome, s.isGrpc, this.requestHeaders!, this.filter.services)
      if (verdict === RetryVerdict.Yes) {
        this.charge(attempt, h.status, h)
        this.dropAttempt(attempt)
        this.scheduleRetry(h)
        return
      }
      this.noteRetryLimit(verdict)
    }
    const policy = action.internalRedirect
    if (
      policy !== null &&
      policy.redirectResponseCodes.includes(h.status) &&
      this.requestComplete &&
      !this.body.dropped
    ) {
      if (setupInternalRedirect(s, this.headers!, h, policy, this.route!, this.filter)) {
        cluster.counters.upstreamInternalRedirectSucceededTotal.inc()
        this.charge(attempt, h.status, h)
        this.dropAttempt(attempt)
        this.restart()
        return
      }
      cluster.counters.upstreamInternalRedirectFailedTotal.inc()
    }
    if (this.retried && h.status < 500) cluster.counters.upstreamRqRetrySuccess.inc()
    this.dropOthers(attempt)
    this.winner = attempt
    noteUpstream(this.s!.info, attempt)
    this.charge(attempt, h.status, h)
    if (end) info.lastUpstreamRx = now
    if (!this.filter.config.suppressEnvoyHeaders) {
      if (this.requestCompleteAt >= 0)
        h.set('x-envoy-upstream-service-time', String(Math.max(0, Math.floor(now - this.requestCompleteAt))))
    }
    if (this.route!.virtualHost.includeAttemptCountInResponse) h.set('x-envoy-attempt-count', String(this.attemptCount))
    if (this.responseCookie !== '') h.push('set-cookie', this.responseCookie)
    info.responseCodeDetails = 'via_upstream'
    noteUpstreamBytes(this.s!.info, attempt)
    s.responseHeaders = h
    this.route!.mutateResponse(h, s)
    if (end) this.onResponseComplete(attempt)
    s.encodeHeaders(h, end)
  }

  onAttemptData(attempt: UpstreamRequest, chunk: Uint8Array, end: boolean): Flow {
    if (this.winner !== attempt || this.s === null) return Flow.Continue
    const s = this.s
    if (end) {
      s.info.lastUpstreamRx = this.timers.now()
      this.onResponseComplete(attempt)
    }
    const flow = s.encodeData(chunk, end)
    if (flow === Flow.Pause && !end && this.winner === attempt) this.holdUpstream(true)
    return flow
  }

  onAttemptTrailers(attempt: UpstreamRequest, t: HeaderBlock): void {
    if (this.winner !== attempt || this.s === null) return
    const s = this.s
    s.info.lastUpstreamRx = this.timers.now()
    if (s.isGrpc) {
      const status = t.get('grpc-status')
      if (status !== undefined)
        this.cluster!.reportOutcome(attempt.host, grpcToHttpStatus(Number(status)), OutlierEvent.Response)
    }
    this.onResponseComplete(attempt)
    s.encodeTrailers(t)
  }

  onPerTryTimeout(attempt: UpstreamRequest, idle: boolean): void {
    const cluster = this.cluster!
    ;(idle ? cluster.counters.upstreamRqPerTryIdleTimeout : cluster.counters.upstreamRqPerTryTimeout).inc()
    if (!idle && !attempt.hedged && this.action!.hedge?.hedgeOnPerTryTimeout === true && this.winner === null) {
      attempt.hedged = true
      if (this.retry.onHedge(this.filter.services) === RetryVerdict.Yes) {
        this.scheduleRetry(null)
        return
      }
    }
    cluster.reportOutcome(attempt.host, 504, OutlierEvent.RequestTimeout)
    noteUpstream(this.s!.info, attempt)
    const wasWinner = this.winner === attempt
    this.dropAttempt(attempt)
    if (wasWinner) {
      this.responseCut(
        { text: '', status: 504, flag: ResponseFlag.UpstreamRequestTimeout },
        idle ? 'upstream_per_try_idle_timeout' : 'upstream_per_try_timeout',
      )
      return
    }
    if (this.retry.enabled && !this.body.dropped) {
      const verdict = this.retry.onReset(ResetReason.Local, true, this.filter.services)
      if (verdict === RetryVerdict.Yes) {
        this.scheduleRetry(null)
        return
      }
      this.noteRetryLimit(verdict)
    }
    if (this.attempts.length > 0) return
    this.timeoutReply(idle ? 'upstream_per_try_idle_timeout' : 'upstream_per_try_timeout')
  }

  private launch(host: Host): void {
    const s = this.s!
    const cluster = this.cluster!
    s.info.upstreamHostsAttempted.push(host.address.text)
    this.attemptedPriorities.push(host.priority)
    const attempt = new UpstreamRequest(this, host, this.timers.now())
    this.attempts.push(attempt)
    const serverName = autoServerName(cluster, this.headers!)
    const pool = cluster.httpPool(host, this.action!.priority, s.info.protocol, this.downstream, serverName)
    const handle = pool.newStream(attempt)
    if (!attempt.done && attempt.stream === null) attempt.handle = handle
    if (this.requestComplete && !attempt.done) {
      attempt.armPerTry(this.timeouts.perTry)
    }
    if (!attempt.done) attempt.armIdle(this.timeouts.perTryIdle)
  }

  private onRequestComplete(): void {
    if (this.requestCompleteAt < 0) this.requestCompleteAt = this.timers.now()
    if (this.timeouts.global > 0 && this.responseTimer.deadline === 0 && !this.timedOutResponse) {
      this.timers.arm(this.responseTimer, this.timeouts.global)
    }
    for (let i = 0; i < this.attempts.length; i++) {
      const attempt = this.attempts[i]!
      if (attempt.perTryTimer.deadline === 0) attempt.armPerTry(this.timeouts.perTry)
    }
    const shadows = this.action!.shadows
    if (shadows.length > 0 && !this.body.dropped) {
      for (let i = 0; i < shadows.length; i++)
        shadowRequest(
          shadows[i]!,
          this.s!,
          this.headers!,
          this.body.chunks,
          this.trailers,
          this.filter,
          this.timeouts.global,
        )
    }
  }

  private attemptFailed(
    attempt: UpstreamRequest,
    text: FailureText,
    reason: ResetReason,
    transportFailure: string,
    requestStarted: boolean,
  ): void {
    const s = this.s!
    this.removeAttempt(attempt)
    if (transportFailure !== '') s.info.upstreamTransportFailure = transportFailure
    if (this.retry.enabled && !this.body.dropped) {
      const verdict = this.retry.onReset(reason, requestStarted, this.filter.services)
      if (verdict === RetryVerdict.Yes) {
        this.charge(attempt, text.status, null)
        this.scheduleRetry(null)
        return
      }
      this.noteRetryLimit(verdict)
    }
    if (this.attempts.length > 0 || this.backOffTimer.deadline !== 0) return
    s.info.setFlag(text.flag)
    if (text.flag === ResponseFlag.UpstreamOverflow) this.chargeLocal(text.status)
    else this.charge(attempt, text.status, null)
    const again = this.retried ? 'retried and the latest reset reason' : 'reset reason'
    s.sendLocalReply(
      text.status,
      `upstream connect error or disconnect/reset before headers. ${again}: ${text.text}`,
      resetDetails(text.text, transportFailure, false),
      text.flag === ResponseFlag.UpstreamOverflow ? overloadedHeaders(this.filter.config.suppressEnvoyHeaders) : null,
    )
  }

  /** The response broke off after its head went to the client: nothing can be said any more but the end. */
  private responseCut(text: FailureText, details: string): void {
    const s = this.s!
    this.filter.stats.rqResetAfterResponseStarted.inc()
    s.info.setFlag(text.flag)
    s.info.responseCodeDetails = details !== '' ? details : resetDetails(text.text, '', true)
    s.resetStream()
  }

  private onResponseTimeout(): void {
    const s = this.s!
    const cluster = this.cluster!
    this.timedOutResponse = true
    cluster.counters.upstreamRqTimeout.inc()
    for (let i = this.attempts.length - 1; i >= 0; i--) {
      const attempt = this.attempts[i]!
      cluster.reportOutcome(attempt.host, 504, OutlierEvent.RequestTimeout)
      noteUpstream(this.s!.info, attempt)
      if (this.winner !== attempt) this.dropAttempt(attempt)
    }
    this.timers.cancel(this.backOffTimer)
    if (this.winner !== null) {
      this.responseCut({ text: '', status: 504, flag: ResponseFlag.UpstreamRequestTimeout }, 'response_timeout')
      return
    }
    s.info.setFlag(ResponseFlag.UpstreamRequestTimeout)
    this.chargeTimeout()
    s.sendLocalReply(504, 'upstream request timeout', 'response_timeout')
  }

  private timeoutReply(details: string): void {
    const s = this.s!
    s.info.setFlag(ResponseFlag.UpstreamRequestTimeout)
    this.chargeTimeout()
    s.sendLocalReply(504, 'upstream request timeout', details)
  }

  private chargeTimeout(): void {
    this.chargeLocal(504)
  }

  private noHealthyUpstream(): void {
    const s = this.s!
    s.info.setFlag(ResponseFlag.NoHealthyUpstream)
    this.chargeLocal(503)
    s.sendLocalReply(503, 'no healthy upstream', 'no_healthy_upstream')
  }

  private scheduleRetry(h: HeaderBlock | null): void {
    this.retried = true
    this.timers.arm(this.backOffTimer, this.retry.nextDelay(h, this.filter.services, this.cluster!))
  }

  private doRetry(): void {
    const s = this.s!
    const cluster = this.cluster!
    this.retry.retryBegins()
    this.attemptCount++
    s.info.upstreamAttempts = this.attemptCount
    this.priorityLoads = this.action!.retry?.priorityLoads(this.attemptedPriorities) ?? null
    const host = cluster.pick(this)
    if (host === null) {
      if (this.attempts.length === 0) this.noHealthyUpstream()
      return
    }
    const h = this.headers!
    if (this.route!.virtualHost.includeRequestAttemptCount) h.set('x-envoy-attempt-count', String(this.attemptCount))
    if (!this.filter.config.suppressEnvoyHeaders)
      this.timeouts.setExpected(h, this.timers.now() - this.started, this.hedging(h))
    this.launch(host)
  }

  /** Internal redirect: the same stream once more through the filter chain, with a router request of its own. */
  private restart(): void {
    const s = this.s!
    s.recreate()
  }

  private onResponseComplete(attempt: UpstreamRequest): void {
    this.timers.cancel(this.responseTimer)
    noteUpstreamBytes(this.s!.info, attempt)
    if (!this.requestComplete) attempt.cutRequest()
    this.removeAttempt(attempt)
    this.retry.end()
    const cluster = this.cluster!
    if (this.requestCompleteAt >= 0) {
      const fromZone = this.filter.services.node.zone
      chargeResponseTime(
        cluster,
        this.timers.now() - this.requestCompleteAt,
        responseOrigin(this.requestHeaders!, null),
        fromZone,
        attempt.host.zone,
      )
    }
  }

  private dropAttempt(attempt: UpstreamRequest): void {
    this.removeAttempt(attempt)
    attempt.abort()
  }

  private dropOthers(keep: UpstreamRequest): void {
    for (let i = this.attempts.length - 1; i >= 0; i--) {
      const attempt = this.attempts[i]!
      if (attempt === keep) continue
      this.dropAttempt(attempt)
    }
    this.timers.cancel(this.backOffTimer)
  }

  private removeAttempt(attempt: UpstreamRequest): void {
    const at = this.attempts.indexOf(attempt)
    if (at >= 0) this.attempts.splice(at, 1)
  }

  private waitingAttempt(): boolean {
    for (let i = 0; i < this.attempts.length; i++) if (this.attempts[i]!.stream === null) return true
    return false
  }

  /** The body outgrew what may be kept: no retry and no shadow from here on (Envoy: retry_or_shadow_abandoned). */
  private abandonBuffer(): void {
    this.body.dropped = true
    this.cluster!.counters.retryOrShadowAbandoned.inc()
    this.retry.disable()
    if (!this.waitingAttempt()) this.body.clear()
  }

  private bufferLimit(): number {
    const limit = this.action!.requestBufferLimit
    return limit < 0 ? this.s!.manager.bufferLimit : limit
  }

  private hedging(_h: HeaderBlock): boolean {
    return this.action!.hedge?.hedgeOnPerTryTimeout === true
  }

  private noteRetryLimit(verdict: RetryVerdict): void {
    const info = this.s!.info
    if (verdict === RetryVerdict.NoOverflow) info.setFlag(ResponseFlag.UpstreamOverflow)
    else if (verdict === RetryVerdict.NoLimitExceeded) info.setFlag(ResponseFlag.UpstreamRetryLimitExceeded)
  }

  private charge(attempt: UpstreamRequest, status: number, h: HeaderBlock | null): void {
    chargeResponseCode(
      this.cluster!,
      status,
      responseOrigin(this.requestHeaders!, h),
      this.filter.services.node.zone,
      attempt.host.zone,
    )
    this.cluster!.chargeHost(attempt.host, status)
    this.filter.chargeRoute(this.route!, this.s!.info.virtualClusterName, status)
  }

  private chargeLocal(status: number): void {
    chargeResponseCode(this.cluster!, status, responseOrigin(this.requestHeaders!, null))
    this.filter.chargeRoute(this.route!, this.s!.info.virtualClusterName, status)
  }

  private reset(): void {
    this.s = null
    this.route = null
    this.action = null
    this.cluster = null
    this.headers = null
    this.trailers = null
    this.requestComplete = false
    this.headersOnly = false
    this.attempts.length = 0
    this.winner = null
    this.attemptCount = 0
    this.requestCompleteAt = -1
    this.body.reset()
    this.retried = false
    this.timedOutResponse = false
    this.responseCookie = ''
    this.hash = null
    this.requestHeaders = null
    this.metadataMatch = null
    this.downstream = null
    this.overrideHost = ''
    this.maxHostSelections = 1
    this.priorityLoads = null
    this.attemptedPriorities.length = 0
  }
}
