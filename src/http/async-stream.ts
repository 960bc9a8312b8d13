import { TimerNode, type TimerOwner } from '../base/timer.ts'
import { type CodecStream, ResetReason } from '../codec/codec.ts'
import type { HeaderBlock } from '../codec/header-block.ts'
import type { WorkerServices } from '../config/services.ts'
import { type Connection, Flow } from '../io/connection.ts'
import type { RetryPolicy } from '../routing/route.ts'
import { autoServerName } from '../upstream/auto-sni.ts'
import { chargeResponseCode, chargeResponseTime, ResponseOrigin } from '../upstream/response-code-stats.ts'
import {
  type Cluster,
  type Host,
  type HttpPoolUser,
  OutlierEvent,
  type PickContext,
  PoolFailure,
  type PoolHandle,
} from '../upstream/upstream.ts'
import { grpcToHttpStatus } from './grpc.ts'
import { poolFailureText, resetText } from './router/reset-text.ts'
import { RetryState, RetryVerdict } from './router/retry-state.ts'
import { RequestTimeouts } from './router/timeouts.ts'

export interface AsyncStreamOptions {
  readonly cluster: string
  /** ms for all attempts together, counted from the end of the request; 0 = no limit. */
  readonly timeout: number
  /** Null = one attempt. A request that is not complete when it starts is not sent a second time once it reached a connection. */
  readonly retry: RetryPolicy | null
}

/**
 * What the owner of an AsyncStream hears: onHead, onBody*, onTrailers?, or onBroken at any point, which is the last word then.
 * The first three may end the stream by `cancel`. The head is the owner's while the stream lasts; who keeps a chunk calls `keepChunk`.
 */
export interface AsyncStreamUser {
  /** The final head; interim ones are dropped. */
  onHead(h: HeaderBlock, end: boolean): void
  onBody(chunk: Uint8Array, end: boolean): void
  onTrailers(t: HeaderBlock): void
  /**
   * There is no answer, or no end of it. `status` and `text` are what the router would tell a client: 503 `no healthy upstream`,
   * `upstream connect error or disconnect/reset before headers. reset reason: …`, 504 `upstream request timeout`. 0: the cluster
   * does not exist. -1: the answer broke off after its head.
   */
  onBroken(status: number, text: string): void
  /** What waits to be sent has shrunk below the limit again. */
  onDrained?(): void
}

const TIMER_TIMEOUT = 0
const TIMER_RETRY = 1
const TIMER_PER_TRY = 2

/**
 * One HTTP exchange of the data plane itself through a cluster: its hosts, TLS, pools, limits, retries and stats, as any request
 * of a client (Envoy: Http::AsyncStreamImpl, which is a router of its own). The stats count it as internal.
 */
export class AsyncStream implements HttpPoolUser, PickContext, TimerOwner {
  readonly hash = null
  readonly metadataMatch = null
  readonly downstream: Connection | null = null
  readonly info = null
  readonly overrideHost = ''
  readonly maxHostSelections: number
  readonly retryPriority = null
  readonly requestHeaders: HeaderBlock
  readonly #services: WorkerServices
  readonly #options: AsyncStreamOptions
  readonly #user: AsyncStreamUser
  readonly #timeout: TimerNode
  readonly #backoff: TimerNode
  readonly #perTry: TimerNode
  readonly #timeouts = new RequestTimeouts()
  readonly #retry = new RetryState()
  readonly #attempted: string[] = []
  #cluster: Cluster | null = null
  #host: Host | null = null
  #stream: CodecStream | null = null
  #handle: PoolHandle | null = null
  /** What an attempt has to send after its head: the whole body when it may be sent again, else what waits for the pool. */
  #chunks: Uint8Array[] = []
  #waiting = 0
  #bodyless = false
  /** The request is complete in `#chunks`. */
  #replayable = false
  #ended = false
  #headSeen = false
  #headSent = false
  #isRetry = false
  #blocked = false
  #began = 0
  #over = false

  constructor(services: WorkerServices, options: AsyncStreamOptions, head: HeaderBlock, user: AsyncStreamUser) {
    this.#services = services
    this.#options = options
    this.requestHeaders = head
    this.#user = user
    this.maxHostSelections = options.retry?.hostSelectionRetryMaxAttempts ?? 1
    this.#timeout = new TimerNode(this, TIMER_TIMEOUT)
    this.#backoff = new TimerNode(this, TIMER_RETRY)
    this.#perTry = new TimerNode(this, TIMER_PER_TRY)
  }

  /** Sends a whole request; null = no body. May call the user before it returns. */
  request(body: Uint8Array | null): void {
    this.#bodyless = body === null
    if (body !== null) this.#chunks.push(body)
    this.#replayable = true
    this.#ended = true
    this.#begin()
  }

  /** Sends the head; the body follows by `send`. May call the user before it returns. */
  open(): void {
    this.#begin()
  }

  /** Takes `chunk`, which must not change any more. Nothing happens after the end. */
  send(chunk: Uint8Array, end: boolean): void {
    if (this.#over || this.#ended) return
    this.#ended = end
    const stream = this.#stream
    if (stream === null) {
      this.#chunks.push(chunk)
      this.#waiting += chunk.length
      if (this.#waiting > this.#cluster!.config.perConnectionBufferLimit) this.#blocked = true
    } else if (stream.encodeData(chunk, end) === Flow.Pause) this.#blocked = true
    if (end) this.#armTimeout()
  }

  /** More waits to be sent than the cluster's buffer limit allows. */
  get blocked(): boolean {
    return this.#blocked
  }

  /** The user hears nothing more. */
  cancel(): void {
    if (this.#over) return
    this.#finish()
    this.#drop()
  }

  onTimer(kind: number): void {
    if (kind === TIMER_RETRY) {
      this.#try()
      return
    }
    const { counters } = this.#cluster!
    if (kind === TIMER_PER_TRY) counters.upstreamRqPerTryTimeout.inc()
    else counters.upstreamRqTimeout.inc()
    if (this.#host !== null) this.#cluster!.reportOutcome(this.#host, 504, OutlierEvent.RequestTimeout)
    this.#drop()
    if (kind === TIMER_PER_TRY && this.#again(ResetReason.Local)) return
    this.#fail(504, 'upstream request timeout')
  }

  rejectHost(host: Host): boolean {
    return this.#isRetry && this.#options.retry!.rejectHost(host, this.#attempted)
  }

  onPoolReady(stream: CodecStream, host: Host, connection: Connection): void {
    this.#handle = null
    if (this.#over) {
      stream.reset(ResetReason.Local)
      return
    }
    this.#stream = stream
    this.#host = host
    this.#headSent = true
    // The time of an attempt begins when the request is complete.
    const { perTry } = this.#timeouts
    if (perTry > 0 && this.#ended) this.#services.timers.arm(this.#perTry, perTry)
    const h = this.requestHeaders
    if (h.scheme === '') h.scheme = connection.encrypted ? 'https' : 'http'
    stream.encodeHeaders(h, this.#bodyless)
    const chunks = this.#chunks
    let flow: Flow = Flow.Continue
    for (let i = 0; i < chunks.length && this.#stream === stream; i++) {
      flow = stream.encodeData(chunks[i]!, this.#ended && i === chunks.length - 1)
    }
    if (!this.#replayable || !this.#retry.enabled) {
      this.#chunks = []
      this.#waiting = 0
    }
    this.#unblock(flow)
  }

  onPoolFailure(failure: PoolFailure, host: Host): void {
    this.#handle = null
    this.#host = host
    if (this.#over) return
    if (failure !== PoolFailure.Overflow && failure !== PoolFailure.PendingOverflow) {
      const event = failure === PoolFailure.Timeout ? OutlierEvent.ConnectTimeout : OutlierEvent.ConnectFailed
      this.#cluster!.reportOutcome(host, 0, event)
    }
    const { status, text, reason } = poolFailureText(failure)
    if (!this.#again(reason)) this.#fail(status, this.#resetBody(text))
  }

  onResponseHeaders(h: HeaderBlock, end: boolean): void {
    if (this.#over || h.status < 200) return
    const cluster = this.#cluster!
    const host = this.#host!
    this.#services.timers.cancel(this.#perTry)
    const grpcStatus = h.get('grpc-status')
    const outcome = grpcStatus === undefined ? h.status : grpcToHttpStatus(Number(grpcStatus))
    cluster.reportOutcome(host, outcome, OutlierEvent.Response)
    if (h.has('x-envoy-immediate-health-check-fail')) cluster.failHost(host)
    if (this.#replayable && this.#retry.enabled) {
      if (this.#retry.onHeaders(h, this.#services) === RetryVerdict.Yes) {
        cluster.counters.responseCodes.chargeRetry(h.status)
        cluster.chargeHost(host, 503)
        if (end) this.#stream = null
        this.#drop()
        this.#scheduleRetry()
        return
      }
      this.#retry.end()
    }
    this.#headSeen = true
    this.#charge(h.status)
    if (end) this.#complete()
    this.#user.onHead(h, end)
  }

  onResponseData(chunk: Uint8Array, end: boolean): Flow {
    if (this.#over) return Flow.Continue
    if (end) this.#complete()
    this.#user.onBody(chunk, end)
    return Flow.Continue
  }

  onResponseTrailers(t: HeaderBlock): void {
    if (this.#over) return
    const status = t.get('grpc-status')
    if (status !== undefined) {
      this.#cluster!.reportOutcome(this.#host!, grpcToHttpStatus(Number(status)), OutlierEvent.Response)
    }
    this.#complete()
    this.#user.onTrailers(t)
  }

  onUpstreamReset(why: ResetReason): void {
    this.#stream = null
    if (this.#over) return
    this.#services.timers.cancel(this.#perTry)
    this.#cluster!.reportOutcome(this.#host!, 0, OutlierEvent.RequestReset)
    const { status, text } = resetText(why)
    if (!this.#again(why)) this.#fail(status, this.#resetBody(text))
  }

  onUpstreamWritable(): void {
    this.#unblock(Flow.Continue)
  }

  #begin(): void {
    const { cluster: name, retry, timeout } = this.#options
    const cluster = this.#services.clusters.get(name)
    this.#cluster = cluster
    if (cluster === null) {
      this.#finish()
      this.#user.onBroken(0, 'Cluster not available')
      return
    }
    // Every call-out is a request to a router of its own in Envoy, and they share these names.
    this.#services.stats.counter('http.async-client.rq_total').inc()
    const h = this.requestHeaders
    this.#retry.begin(retry, h, cluster, 0, null, null)
    this.#timeouts.global = timeout
    const perTry = retry === null ? 0 : retry.perTryTimeout
    this.#timeouts.perTry = perTry >= timeout && timeout > 0 ? 0 : perTry
    this.#began = this.#services.timers.now()
    if (this.#ended) this.#armTimeout()
    this.#try()
  }

  #armTimeout(): void {
    this.#began = this.#services.timers.now()
    if (this.#options.timeout > 0) this.#services.timers.arm(this.#timeout, this.#options.timeout)
  }

  #try(): void {
    const cluster = this.#cluster!
    const host = cluster.pick(this)
    this.#host = host
    if (host === null) {
      this.#fail(503, 'no healthy upstream')
      return
    }
    this.#attempted.push(host.address.text)
    const elapsed = this.#isRetry ? this.#services.timers.now() - this.#began : 0
    this.#timeouts.setHeaders(this.requestHeaders, elapsed, false, true)
    const pool = cluster.httpPool(host, 0, 'HTTP/1.1', null, autoServerName(cluster, this.requestHeaders))
    const handle = pool.newStream(this)
    // The pool may have answered already, and a retry may have begun.
    if (handle !== null && !this.#over) this.#handle = handle
  }

  /** After an attempt without a head: another one when policy and limits allow it. */
  #again(reason: ResetReason): boolean {
    if (this.#headSeen || !this.#retry.enabled) return false
    // What waits for a connection is still there; what an attempt has sent is not.
    if (!this.#replayable && this.#headSent) return false
    if (this.#retry.onReset(reason, this.#headSent, this.#services) !== RetryVerdict.Yes) return false
    this.#cluster!.chargeHost(this.#host!, 503)
    this.#scheduleRetry()
    return true
  }

  #scheduleRetry(): void {
    this.#isRetry = true
    this.#services.timers.arm(this.#backoff, this.#retry.nextDelay(this.#services, this.#cluster!))
  }

  #resetBody(text: string): string {
    const again = this.#isRetry ? 'retried and the latest reset reason' : 'reset reason'
    return `upstream connect error or disconnect/reset before headers. ${again}: ${text}`
  }

  #complete(): void {
    // The answer is whole, the request is not: what is left of it must not be taken for something else.
    if (!this.#ended) this.#drop()
    this.#stream = null
    const ms = this.#services.timers.now() - this.#began
    chargeResponseTime(this.#cluster!, ms, ResponseOrigin.Internal, '', this.#host!.zone)
    this.#finish()
  }

  #charge(status: number): void {
    const cluster = this.#cluster!
    const host = this.#host
    chargeResponseCode(cluster, status, ResponseOrigin.Internal, '', host === null ? '' : host.zone)
    if (host !== null) cluster.chargeHost(host, status)
  }

  #fail(status: number, text: string): void {
    if (!this.#headSeen) this.#charge(status)
    this.#finish()
    this.#user.onBroken(this.#headSeen ? -1 : status, text)
  }

  #finish(): void {
    this.#over = true
    const { timers } = this.#services
    timers.cancel(this.#timeout)
    timers.cancel(this.#backoff)
    timers.cancel(this.#perTry)
    this.#retry.end()
    this.#chunks = []
  }

  #drop(): void {
    const stream = this.#stream
    const handle = this.#handle
    this.#stream = null
    this.#handle = null
    if (handle !== null) handle.cancel()
    if (stream !== null) stream.reset(ResetReason.Local)
  }

  #unblock(flow: Flow): void {
    const was = this.#blocked
    this.#blocked = flow === Flow.Pause
    if (was && !this.#blocked) this.#user.onDrained?.()
  }
}
