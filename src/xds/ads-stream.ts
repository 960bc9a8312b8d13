import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import { TimerNode, type TimerOwner, type Timers } from '../base/timer.ts'
import type { Counter, Gauge, StatsScope } from '../stats/stats.ts'

/** A stream of encoded messages; `grpc-transport.ts` opens real ones, tests fake ones. */
export interface XdsStream {
  send(message: Uint8Array): void
  close(): void
}

export interface XdsStreamHandler {
  onMessage(message: Uint8Array): void
  /** The stream is over, or could not be opened: gRPC status and its text. */
  onClosed(status: number, message: string): void
}

/** Opens a stream; never throws, failures come through `onClosed`, not before it has returned. */
export type OpenStream = (handler: XdsStreamHandler) => XdsStream

/** What a stream is for: the mux. Only a rate limit keeps its requests waiting. */
export interface StreamUser {
  /** A new stream: nothing said on an earlier one counts any more. */
  onStreamOpened(): void
  onMessage(message: Uint8Array): void
  onStreamLost(text: string): void
  /** A request is due. */
  hasRequest(): boolean
  /** That request, as things stand now. */
  takeRequest(): Uint8Array
  /** For the gauge pending_requests. */
  waitingRequests(): number
}

export interface AdsStreamOptions {
  readonly open: OpenStream
  /** `StreamAggregatedResources`, and the name of the cluster, for the log. */
  readonly method: string
  readonly target: string
  /** rate_limit_settings; maxTokens 0 = none. Rate in requests per second. */
  readonly maxTokens: number
  readonly fillRate: number
  /** retry_back_off, milliseconds. */
  readonly retryBase: number
  readonly retryMax: number
  readonly timers: Timers
  readonly random: Random
  /** Where `control_plane.` stands. */
  readonly stats: StatsScope
  readonly log: Log
}

const TIMER_RETRY = 0
const TIMER_TOKENS = 1
/** Statuses of a control plane that is away for the moment; Envoy is quiet about them until they last (grpc_stream.h). */
const RETRIABLE = new Set([2, 4, 8, 14])
const QUIET_MS = 30_000

/** One gRPC stream that is always there again: reconnects with back-off for ever, sends no faster than allowed. */
export class AdsStream implements TimerOwner {
  readonly #options: AdsStreamOptions
  readonly #user: StreamUser
  readonly #retryTimer = new TimerNode(this, TIMER_RETRY)
  readonly #tokenTimer = new TimerNode(this, TIMER_TOKENS)
  readonly #connected: Gauge
  readonly #pending: Gauge
  readonly #limited: Counter
  #stream: XdsStream | null = null
  #closed = false
  #interval: number
  #tokens: number
  #tokensAt: number
  #failureStatus = 0
  #failingSince = 0

  constructor(options: AdsStreamOptions, user: StreamUser) {
    this.#options = options
    this.#user = user
    this.#interval = options.retryBase
    this.#tokens = options.maxTokens
    this.#tokensAt = options.timers.now()
    this.#connected = options.stats.gauge('control_plane.connected_state')
    this.#pending = options.stats.gauge('control_plane.pending_requests')
    this.#limited = options.stats.counter('control_plane.rate_limit_enforced')
    this.#connected.set(0)
    this.#pending.set(0)
  }

  /** Requests can be queued; before and between streams they would be forgotten, the next stream asks anew for everything. */
  get available(): boolean {
    return this.#stream !== null
  }

  start(): void {
    if (this.#stream !== null || this.#closed) return
    const connection = new Connection(this)
    this.#stream = this.#options.open(connection)
    // As Envoy, which counts a stream as connected when it could be created.
    this.#connected.set(1)
    this.#pending.set(0)
    this.#user.onStreamOpened()
  }

  close(): void {
    this.#closed = true
    this.#options.timers.cancel(this.#retryTimer)
    this.#options.timers.cancel(this.#tokenTimer)
    this.#stream?.close()
    this.#stream = null
    this.#connected.set(0)
  }

  /** Sends the requests that are due, as soon as the rate limit lets them. */
  flush(): void {
    while (this.#stream !== null && this.#user.hasRequest() && this.#takeToken()) {
      this.#stream.send(this.#user.takeRequest())
    }
    this.#pending.set(this.#user.waitingRequests())
  }

  received(message: Uint8Array): void {
    if (this.#closed) return
    // A server that accepts and then says nothing keeps the back-off growing: only a message proves that it is well.
    this.#interval = this.#options.retryBase
    this.#failingSince = 0
    this.#connected.set(1)
    this.#user.onMessage(message)
  }

  lost(status: number, message: string): void {
    if (this.#closed) return
    this.#stream = null
    this.#pending.set(0)
    this.#connected.set(0)
    this.#options.timers.cancel(this.#tokenTimer)
    this.#logLoss(status, message)
    this.#user.onStreamLost(message)
    const interval = this.#interval
    this.#interval = Math.min(interval * 2, this.#options.retryMax)
    // Full jitter (backoff_strategy.cc): a fleet that lost its control plane must not come back in step.
    this.#options.timers.arm(this.#retryTimer, this.#options.random.next() % interval)
  }

  onTimer(kind: number): void {
    if (kind === TIMER_RETRY) this.start()
    else this.flush()
  }

  #takeToken(): boolean {
    const { maxTokens, fillRate, timers } = this.#options
    if (maxTokens === 0) return true
    const now = timers.now()
    this.#tokens = Math.min(maxTokens, this.#tokens + ((now - this.#tokensAt) / 1000) * fillRate)
    this.#tokensAt = now
    if (this.#tokens >= 1) {
      this.#tokens--
      return true
    }
    this.#limited.inc()
    timers.arm(this.#tokenTimer, Math.ceil(((1 - this.#tokens) / fillRate) * 1000))
    return false
  }

  /** A control plane that restarts is no event; one that stays away is (grpc_stream.h, logClose). */
  #logLoss(status: number, message: string): void {
    const { log, method, target, timers } = this.#options
    const stream = `${method} gRPC config stream to ${target}`
    if (!RETRIABLE.has(status)) {
      log.warning(`${stream} closed: ${status}, ${message}`)
      return
    }
    const now = timers.now()
    if (this.#failingSince === 0 || status !== this.#failureStatus) {
      this.#failureStatus = status
      this.#failingSince = now
      log.debug(`${stream} closed: ${status}, ${message}`)
      return
    }
    const text = `${stream} closed since ${Math.floor((now - this.#failingSince) / 1000)}s ago: ${status}, ${message}`
    if (now - this.#failingSince >= QUIET_MS) log.warning(text)
    else log.debug(text)
  }
}

/** The handler of one stream: what comes late from an earlier one is dropped. */
class Connection implements XdsStreamHandler {
  readonly #stream: AdsStream
  #over = false

  constructor(stream: AdsStream) {
    this.#stream = stream
  }

  onMessage(message: Uint8Array): void {
    if (!this.#over) this.#stream.received(message)
  }

  onClosed(status: number, message: string): void {
    if (this.#over) return
    this.#over = true
    this.#stream.lost(status, message)
  }
}
