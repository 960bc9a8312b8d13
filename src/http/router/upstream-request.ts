import { TimerNode, type TimerOwner } from '../../base/timer.ts'
import { type CodecStream, ResetReason } from '../../codec/codec.ts'
import type { HeaderBlock } from '../../codec/header-block.ts'
import { type Connection, Flow, ReadHold } from '../../io/connection.ts'
import type { Host, HttpPoolUser, PoolFailure, PoolHandle } from '../../upstream/upstream.ts'
import { addUpstreamBytes } from './attempt-facts.ts'
import { type FailureText, poolFailureText, resetText } from './reset-text.ts'
import type { RouterRequest } from './router-request.ts'
import { onMaxDuration, onPerTryTimeout } from './slow-attempts.ts'
import { onInterimHead, onResponseData, onResponseHead, onResponseTrailers } from './upstream-response.ts'
import { noteGrpcStatus, type UpstreamSpan } from './upstream-span.ts'

export const AttemptTimer = { PerTry: 0, PerTryIdle: 1, MaxDuration: 2 } as const

/** One attempt at one host (Envoy: UpstreamRequest). Its request keeps one that went well for the next. */
export class UpstreamRequest implements HttpPoolUser, TimerOwner {
  readonly request: RouterRequest
  host!: Host
  stream: CodecStream | null = null
  handle: PoolHandle | null = null
  connection: Connection | null = null
  /** Of the upstream connection; '' while there is none. */
  protocol = ''
  /** Response head seen (not 1xx). */
  headersSeen = false
  responseComplete = false
  requestSent = false
  /** Over, one way or the other: late events are ignored. */
  done = false
  /** A hedge has begun because this attempt was slow: it is not retried again. */
  retried = false
  /** Outlier detection knows of its per-try timeout already. */
  timeoutReported = false
  /** Null: the attempt has no span of its own. */
  trace: UpstreamSpan | null = null
  /** Upgrade or CONNECT that the upstream has not agreed to yet: the body waits. */
  bodyHeld = false
  private paused = false
  /** What the idle timer counts from, while there is one. */
  private lastActivity = 0
  // Made when they are armed, which most are not.
  private perTryTimer: TimerNode | null = null
  private idleTimer: TimerNode | null = null
  private durationTimer: TimerNode | null = null

  constructor(request: RouterRequest) {
    this.request = request
  }

  /** A new attempt, at `host`. */
  begin(host: Host): void {
    this.host = host
    this.connection = null
    this.protocol = ''
    this.headersSeen = false
    this.responseComplete = false
    this.requestSent = false
    this.done = false
    this.retried = false
    this.timeoutReported = false
    this.bodyHeld = false
  }

  /** True when it may begin again: request and response went through as a whole, and its stream has nothing to tell any more. */
  retire(): boolean {
    const { stream } = this
    if (stream === null || !this.isWhole || stream.user !== this) return false
    stream.user = nobody
    this.stream = null
    return true
  }

  /** It is not used again: no timer may hold it. */
  discard(): void {
    const { timers } = this.request
    if (this.perTryTimer !== null) timers.cancel(this.perTryTimer)
    if (this.idleTimer !== null) timers.cancel(this.idleTimer)
    if (this.durationTimer !== null) timers.cancel(this.durationTimer)
  }

  onPoolReady(stream: CodecStream, host: Host, connection: Connection, protocol: string): void {
    if (this.done) {
      stream.reset(ResetReason.Local)
      return
    }
    this.stream = stream
    this.handle = null
    this.host = host
    this.connection = connection
    this.protocol = protocol
    this.touch()
    this.request.onAttemptReady(this, protocol)
  }

  onPoolFailure(failure: PoolFailure, host: Host, transportFailure: string): void {
    if (this.done) return
    this.handle = null
    this.host = host
    this.finish()
    if (this.trace !== null) this.endTrace(poolFailureText(failure))
    this.request.onAttemptPoolFailure(this, failure, transportFailure)
  }

  onResponseHeaders(h: HeaderBlock, end: boolean): void {
    if (this.done) return
    this.touch()
    if (h.status < 200 && h.status !== 101) {
      onInterimHead(this.request, h)
      return
    }
    this.headersSeen = true
    if (this.trace !== null) this.noteHead(this.trace, h)
    if (end) this.complete()
    onResponseHead(this.request, this, h, end)
  }

  onResponseData(chunk: Uint8Array, end: boolean): Flow {
    if (this.done && !end) return Flow.Continue
    this.touch()
    if (end) this.complete()
    return onResponseData(this.request, this, chunk, end)
  }

  onResponseTrailers(t: HeaderBlock): void {
    if (this.done) return
    this.complete()
    if (this.trace !== null) noteGrpcStatus(this.trace, t)
    onResponseTrailers(this.request, this, t)
  }

  onUpstreamReset(why: ResetReason): void {
    if (this.done) return
    this.finish()
    if (this.trace !== null) this.endTrace(resetText(why))
    this.stream = null
    this.request.onAttemptReset(this, why)
  }

  onUpstreamWritable(): void {
    if (!this.paused || this.done) return
    this.paused = false
    this.request.holdDownstream(false)
  }

  get takesBody(): boolean {
    return this.stream !== null && !this.bodyHeld
  }

  send(chunk: Uint8Array, end: boolean): void {
    if (this.stream === null) return
    this.touch()
    if (end) this.requestSent = true
    if (this.trace !== null) this.trace.lastTx = this.request.timers.now()
    const flow = this.stream.encodeData(chunk, end)
    if (flow === Flow.Pause && !end && !this.paused && this.stream !== null) {
      this.paused = true
      this.request.holdDownstream(true)
    }
  }

  hold(hold: boolean): void {
    if (this.stream !== null && !this.responseComplete) this.stream.holdReading(ReadHold.PeerBuffer, hold)
  }

  /** Drops the attempt: cancels the wait for a pool or resets the stream. Never calls back. */
  abort(): void {
    if (this.done && this.stream === null) return
    const stream = this.stream
    const handle = this.handle
    const open = !this.done
    if (this.trace !== null) {
      if (open && this.trace.span.sampled) this.trace.span.setTag('canceled', 'true')
      this.endTrace(null)
    }
    this.finish()
    this.discard()
    this.stream = null
    this.handle = null
    if (handle !== null) handle.cancel()
    if (stream !== null && open) stream.reset(ResetReason.Local)
  }

  /** The response ended before the request did: what is left of the request must not be sent as something else. */
  cutRequest(): void {
    const stream = this.stream
    this.stream = null
    stream?.reset(ResetReason.Local)
  }

  armPerTry(ms: number): void {
    if (ms <= 0 || this.done) return
    this.perTryTimer ??= new TimerNode(this, AttemptTimer.PerTry)
    this.request.timers.arm(this.perTryTimer, ms)
  }

  get perTryArmed(): boolean {
    return this.perTryTimer !== null && this.perTryTimer.deadline !== 0
  }

  armIdle(ms: number): void {
    if (ms <= 0 || this.done) return
    if (this.idleTimer === null) {
      this.idleTimer = new TimerNode(this, AttemptTimer.PerTryIdle)
      this.touch()
    }
    this.request.timers.arm(this.idleTimer, ms)
  }

  armMaxDuration(ms: number): void {
    if (ms <= 0 || this.done) return
    this.durationTimer ??= new TimerNode(this, AttemptTimer.MaxDuration)
    this.request.timers.arm(this.durationTimer, ms)
  }

  onTimer(kind: number): void {
    if (this.done) return
    if (kind === AttemptTimer.MaxDuration) {
      onMaxDuration(this.request, this)
      return
    }
    if (kind === AttemptTimer.PerTryIdle) {
      const limit = this.request.timeouts.perTryIdle
      const quiet = this.request.timers.now() - this.lastActivity
      if (quiet < limit) this.armIdle(limit - quiet)
      else onPerTryTimeout(this.request, this, true)
    } else onPerTryTimeout(this.request, this, false)
  }

  /** The attempt is over; `failure`: without a response. */
  endTrace(failure: FailureText | null): void {
    const trace = this.trace!
    this.trace = null
    if (failure !== null) trace.failed(failure.text, failure.flag)
    trace.end(this.request, this.host, this.protocol)
  }

  private noteHead(trace: UpstreamSpan, h: HeaderBlock): void {
    trace.status = h.status
    trace.firstRx = this.request.timers.now()
    noteGrpcStatus(trace, h)
  }

  private touch(): void {
    if (this.idleTimer !== null) this.lastActivity = this.request.timers.now()
  }

  private complete(): void {
    this.responseComplete = true
    if (this.trace !== null) this.trace.lastRx = this.request.timers.now()
    this.finish()
  }

  private finish(): void {
    if (!this.done && this.stream !== null) addUpstreamBytes(this.request.s!.info, this.stream)
    this.done = true
    // An attempt that goes on to be another one keeps its timers where they are.
    if (this.isWhole) this.suspendTimers()
    else this.discard()
    if (this.paused) {
      this.paused = false
      this.request.holdDownstream(false)
    }
  }

  private get isWhole(): boolean {
    return this.responseComplete && this.requestSent
  }

  private suspendTimers(): void {
    const { timers } = this.request
    if (this.perTryTimer !== null) timers.suspend(this.perTryTimer)
    if (this.idleTimer !== null) timers.suspend(this.idleTimer)
    if (this.durationTimer !== null) timers.suspend(this.durationTimer)
  }
}

/** User of streams whose attempt is over while their connection still deals with the end of the response. */
const nobody: HttpPoolUser = {
  onPoolReady: () => {},
  onPoolFailure: () => {},
  onResponseHeaders: () => {},
  onResponseData: () => Flow.Continue,
  onResponseTrailers: () => {},
  onUpstreamReset: () => {},
  onUpstreamWritable: () => {},
}
