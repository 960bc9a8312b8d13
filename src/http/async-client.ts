import { TimerNode, type TimerOwner } from '../base/timer.ts'
import { type CodecStream, ResetReason } from '../codec/codec.ts'
import type { HeaderBlock } from '../codec/header-block.ts'
import type { WorkerServices } from '../config/services.ts'
import { type Connection, Flow } from '../io/connection.ts'
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

/** Told once how a call ended. */
export interface CallUser {
  onCallDone(status: number, body: Uint8Array): void
  /** No whole answer in time: no cluster, no host, refused, reset, timeout, or the body was larger than it may be. */
  onCallFailed(): void
}

export interface CallOptions {
  readonly cluster: string
  /** ms for all attempts together; 0 = no limit. */
  readonly timeout: number
  /** Again after 5xx, a failed connection or a reset, this many times. */
  readonly retries: number
  readonly backoffBase: number
  readonly backoffMax: number
  readonly maxBody: number
}

const TIMER_TIMEOUT = 0
const TIMER_RETRY = 1

/**
 * One HTTP call of the data plane itself (keys, call-outs) through a cluster: its hosts, TLS, pools, limits and stats, as any
 * request of a client (Envoy: Http::AsyncClient). For short answers, which are collected.
 */
export class AsyncCall implements HttpPoolUser, PickContext, TimerOwner {
  readonly hash = null
  readonly metadataMatch = null
  readonly downstream: Connection | null = null
  readonly overrideHost = ''
  readonly maxHostSelections = 1
  readonly retryPriority = null
  readonly requestHeaders: HeaderBlock
  readonly #services: WorkerServices
  readonly #options: CallOptions
  readonly #body: Uint8Array | null
  readonly #user: CallUser
  readonly #timeout: TimerNode
  readonly #backoff: TimerNode
  #cluster: Cluster | null = null
  #host: Host | null = null
  #stream: CodecStream | null = null
  #handle: PoolHandle | null = null
  #status = 0
  #chunks: Uint8Array[] = []
  #size = 0
  #holdsRetry = false
  #attempt = 0
  #began = 0
  #over = false

  constructor(
    services: WorkerServices,
    options: CallOptions,
    head: HeaderBlock,
    body: Uint8Array | null,
    user: CallUser,
  ) {
    this.#services = services
    this.#options = options
    this.requestHeaders = head
    this.#body = body
    this.#user = user
    this.#timeout = new TimerNode(this, TIMER_TIMEOUT)
    this.#backoff = new TimerNode(this, TIMER_RETRY)
  }

  /** May call the user before it returns. */
  start(): void {
    if (this.#options.timeout > 0) this.#services.timers.arm(this.#timeout, this.#options.timeout)
    this.#try()
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
    const cluster = this.#cluster
    if (cluster !== null) {
      cluster.counters.upstreamRqTimeout.inc()
      if (this.#host !== null) cluster.reportOutcome(this.#host, 504, OutlierEvent.RequestTimeout)
    }
    this.#drop()
    this.#fail()
  }

  rejectHost(): boolean {
    return false
  }

  onPoolReady(stream: CodecStream, host: Host): void {
    this.#handle = null
    if (this.#over) {
      stream.reset(ResetReason.Local)
      return
    }
    this.#stream = stream
    this.#host = host
    const body = this.#body
    stream.encodeHeaders(this.requestHeaders, body === null)
    if (body !== null && this.#stream !== null) stream.encodeData(body, true)
  }

  onPoolFailure(failure: PoolFailure, host: Host): void {
    this.#handle = null
    this.#host = host
    if (this.#over) return
    if (failure !== PoolFailure.Overflow && failure !== PoolFailure.PendingOverflow) {
      this.#cluster!.reportOutcome(host, 503, OutlierEvent.ConnectFailed)
    }
    this.#attemptFailed()
  }

  onResponseHeaders(h: HeaderBlock, end: boolean): void {
    if (this.#over || h.status < 200) return
    this.#status = h.status
    if (end) this.#complete()
  }

  onResponseData(chunk: Uint8Array, end: boolean): Flow {
    if (this.#over || this.#stream === null) return Flow.Continue
    this.#size += chunk.length
    if (this.#size > this.#options.maxBody) {
      this.#drop()
      this.#fail()
      return Flow.Continue
    }
    if (chunk.length > 0) this.#chunks.push(chunk)
    if (end) this.#complete()
    return Flow.Continue
  }

  onResponseTrailers(): void {
    if (!this.#over) this.#complete()
  }

  onUpstreamReset(): void {
    this.#stream = null
    if (this.#over) return
    this.#cluster!.reportOutcome(this.#host!, 503, OutlierEvent.RequestReset)
    this.#attemptFailed()
  }

  onUpstreamWritable(): void {}

  #try(): void {
    const cluster = this.#services.clusters.get(this.#options.cluster)
    this.#cluster = cluster
    this.#began = this.#services.timers.now()
    this.#attempt++
    this.#status = 0
    this.#chunks = []
    this.#size = 0
    if (cluster === null) {
      this.#fail()
      return
    }
    const host = cluster.pick(this)
    this.#host = host
    if (host === null) {
      cluster.counters.upstreamCxNoneHealthy.inc()
      this.#charge(503)
      this.#fail()
      return
    }
    const pool = cluster.httpPool(host, 0, 'HTTP/1.1', null, autoServerName(cluster, this.requestHeaders))
    const handle = pool.newStream(this)
    // The pool may have answered already, and a retry may have begun.
    if (handle !== null && !this.#over) this.#handle = handle
  }

  /** No response head. */
  #attemptFailed(): void {
    if (this.#again(false)) return
    this.#charge(503)
    this.#fail()
  }

  #complete(): void {
    this.#stream = null
    const cluster = this.#cluster!
    const host = this.#host!
    cluster.reportOutcome(host, this.#status, OutlierEvent.Response)
    if (this.#status >= 500 && this.#again(true)) return
    if (this.#attempt > 1 && this.#status < 500) cluster.counters.upstreamRqRetrySuccess.inc()
    this.#charge(this.#status)
    chargeResponseTime(cluster, this.#services.timers.now() - this.#began, ResponseOrigin.Internal, '', host.zone)
    this.#finish()
    this.#user.onCallDone(this.#status, this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks))
  }

  /** After a failed attempt: another one when policy and retry budget allow it. */
  #again(hadHead: boolean): boolean {
    const { counters, limits } = this.#cluster!
    const { retries, backoffBase, backoffMax } = this.#options
    this.#giveRetry()
    if (retries === 0) return false
    if (this.#attempt > retries) {
      counters.upstreamRqRetryLimitExceeded.inc()
      return false
    }
    if (!limits.tryTakeRetry(0)) {
      counters.upstreamRqRetryOverflow.inc()
      return false
    }
    this.#holdsRetry = true
    counters.upstreamRqRetry.inc()
    counters.upstreamRqRetryBackoffExponential.inc()
    if (hadHead) counters.responseCodes.chargeRetry(this.#status)
    this.#cluster!.chargeHost(this.#host!, 503)
    // JitteredExponentialBackOffStrategy: uniform in [0, base · 2^(n−1)), bounded by max.
    const window = Math.min(backoffMax, backoffBase * 2 ** Math.min(this.#attempt - 1, 30))
    this.#services.timers.arm(this.#backoff, this.#services.random.next32() % Math.max(1, Math.floor(window)))
    return true
  }

  #giveRetry(): void {
    if (!this.#holdsRetry) return
    this.#holdsRetry = false
    this.#cluster!.limits.giveRetry(0)
  }

  #charge(status: number): void {
    const cluster = this.#cluster!
    const host = this.#host
    chargeResponseCode(cluster, status, ResponseOrigin.Internal, '', host === null ? '' : host.zone)
    if (host !== null) cluster.chargeHost(host, status)
  }

  #fail(): void {
    this.#finish()
    this.#user.onCallFailed()
  }

  #finish(): void {
    this.#over = true
    this.#services.timers.cancel(this.#timeout)
    this.#services.timers.cancel(this.#backoff)
    this.#giveRetry()
  }

  #drop(): void {
    const stream = this.#stream
    const handle = this.#handle
    this.#stream = null
    this.#handle = null
    if (handle !== null) handle.cancel()
    if (stream !== null) stream.reset(ResetReason.Local)
  }
}
