import { narrowList } from '../base/list.ts'
import { TimerNode, type TimerOwner } from '../base/timer.ts'
import type { CodecStream } from '../codec/codec.ts'
import { HeaderBlock } from '../codec/header-block.ts'
import type { WorkerServices } from '../config/services.ts'
import { Flow, ReadHold } from '../io/connection.ts'
import type { Route } from '../routing/route.ts'
import type { FormatContext } from '../telemetry/format-context.ts'
import { ResponseFlag, StreamInfo } from '../telemetry/stream-info.ts'
import type { Span } from '../telemetry/tracing.ts'
import type { AlpnOverride } from '../upstream/host-pools.ts'
import type { Cluster } from '../upstream/upstream.ts'
import type { ConnectionManager } from './connection-manager.ts'
import { DecodePath } from './decode-path.ts'
import { EncodePath } from './encode-path.ts'
import { ExchangeMarks } from './exchange-marks.ts'
import type { HttpFilterChain } from './filter-chain.ts'
import type { HttpConnection } from './http-connection.ts'
import { finishLocalReply } from './local-reply.ts'

/** Told when the client cannot take more (or can again); the router holds its upstream then. */
export interface ResponseSource {
  holdUpstream(hold: boolean): void
}

const NOTHING = new Uint8Array(0)
const NO_CHUNKS: readonly Uint8Array[] = []

export const StreamTimer = { Idle: 0, Request: 1, MaxDuration: 2 } as const

/**
 * One HTTP exchange in the connection manager: the object filters get. Pooled; `generation` tells reuses apart. The request
 * runs through the filters in order, the response in reverse; at most one filter holds each direction at a time, and what
 * comes meanwhile waits in that direction's buffer.
 */
export class StreamContext extends ExchangeMarks implements FormatContext, TimerOwner {
  readonly manager: ConnectionManager
  readonly services: WorkerServices
  readonly info = new StreamInfo()
  generation = 0
  connection: HttpConnection | null = null
  /** Place in its list of streams. */
  activeAt = 0
  codecStream: CodecStream | null = null
  chain: HttpFilterChain
  requestHeaders: HeaderBlock | null = null
  requestTrailers: HeaderBlock | null = null
  responseHeaders: HeaderBlock | null = null
  responseTrailers: HeaderBlock | null = null
  localReplyBody = ''
  /** What a filter has put into the request head that no head can have, in Envoy's words: the router refuses it. */
  unsendable = ''
  /** Set by a filter that returns DataVerdict.Replace. */
  replacement: Uint8Array = NOTHING
  /** Uniform in [0, 2^53): every sampling decision of the stream uses it. */
  random = 0
  responseSource: ResponseSource | null = null
  /** Counted for x-envoy-attempt-count in the response and internal redirects. */
  internalRedirects = 0
  /** ms, 0 = none; of the route, or of a route before it. */
  idleTimeout = 0
  // Made when they are armed, which most are not.
  private idleTimer: TimerNode | null = null
  private requestTimer: TimerNode | null = null
  private maxDurationTimer: TimerNode | null = null
  private readonly slots: unknown[] = narrowList()
  /** Bit per filter: not part of this stream. */
  skipped = 0
  private routeValue: Route | null = null
  /** Cluster of the matched route; null when it is unknown or the route needs none. */
  cluster: Cluster | null = null
  /** Stands for the request in a trace; null when nothing does. */
  span: Span | null = null
  /** The name the response is to tell; '' = none. */
  operation = ''
  /** ALPN protocols that a filter wants for the upstream connection; null = as configured. */
  upstreamAlpn: AlpnOverride | null = null
  /** Bytes of the request that filters may have buffered (setDecoderBufferLimit). */
  requestBufferLimit = 0
  private readonly request: DecodePath
  private readonly response: EncodePath

  constructor(manager: ConnectionManager) {
    super()
    this.manager = manager
    this.services = manager.services
    this.requestBufferLimit = manager.bufferLimit
    this.chain = manager.chain.current()
    this.request = new DecodePath(this)
    this.response = new EncodePath(this)
  }

  /** State of the filter at `index` for this stream, made on first use. */
  slot(index: number): unknown {
    let state = this.slots[index]
    if (state === undefined) {
      const filter = this.chain.filters[index]!
      state = filter.newState === undefined ? null : filter.newState()
      this.slots[index] = state
    }
    return state
  }

  hasSlot(index: number): boolean {
    return this.slots[index] !== undefined
  }

  /** The matched route; null = none. Resolved once, again after `clearRouteCache`. */
  route(): Route | null {
    // Of a request that was refused before it had headers, filters see the answer.
    if (!this.routeKnown && this.requestHeaders !== null) {
      this.routeKnown = true
      const table = this.manager.routeTable()
      this.routeValue = table === null ? null : table.route(this.requestHeaders, this.info, this.random)
      const route = this.routeValue
      this.info.routeName = route === null ? '' : route.name
      this.info.virtualHostName = route === null ? '' : route.virtualHost.name
      this.info.routeMetadata = route === null ? null : route.metadata
      this.info.virtualHostMetadata = route === null ? null : route.virtualHost.metadata
      // Known before the router: a filter that answers leaves it in the log all the same.
      const action = route === null ? null : route.action
      this.cluster =
        action === null || action.clusterName === '' ? null : this.services.clusters.get(action.clusterName)
      this.info.upstreamClusterName = this.cluster === null ? '' : this.cluster.name
      this.info.upstreamClusterStatName = this.cluster === null ? '' : this.cluster.observabilityName
      this.info.clusterMetadata = this.cluster === null ? null : this.cluster.metadata
      if (action !== null && this.decodingBegun && !this.finished)
        this.manager.onRouteChanged(this, this.requestHeaders, action)
    }
    return this.routeValue
  }

  /** No route from now on, unless there is one already: Envoy has no table yet where it refuses requests. */
  settleRoute(): void {
    this.routeKnown = true
  }

  /** A filter changed what the match depends on (Envoy: clearRouteCache). */
  clearRouteCache(): void {
    this.routeKnown = false
    this.routeValue = null
  }

  /** Runs the request head through the chain; `requestComplete` says whether anything follows. */
  startDecoding(skipped: number): void {
    this.skipped = skipped
    this.decodingBegun = true
    const shared = this.info.connection!.streamInfo
    // What network filters know of the connection holds for each of its streams.
    if (shared !== null) {
      this.info.filterState = shared.filterState
      this.info.sharedState = shared.sharedState
    }
    this.request.start()
  }

  onRequestData(chunk: Uint8Array, end: boolean): Flow {
    this.info.bytesReceived += chunk.length
    if (end) this.requestComplete = true
    if (!this.finished) this.request.data(chunk, end)
    return Flow.Continue
  }

  onRequestTrailers(trailers: HeaderBlock): void {
    this.requestComplete = true
    if (this.finished) return
    this.requestTrailers = trailers
    this.request.trailers()
  }

  /** Goes on with the request after a Stop verdict of filter `index`; a no-op when it does not hold. */
  continueDecoding(index: number): void {
    this.request.continue(index)
  }

  continueEncoding(index: number): void {
    this.response.continue(index)
  }

  /** Gives on what filter `index` took from the response with StopNoBuffer. */
  injectResponseData(index: number, chunk: Uint8Array, end: boolean): void {
    if (!this.finished) this.response.inject(index, chunk, end)
  }

  /** What filter `index` adds to the end of the request's body, from its `decodeTrailers`. */
  addRequestData(index: number, chunk: Uint8Array): void {
    if (chunk.length > 0) this.request.add(index, chunk)
  }

  /** What filter `index` adds to the end of the response's body, from its `encodeTrailers`. */
  addResponseData(index: number, chunk: Uint8Array): void {
    if (chunk.length > 0) this.response.inject(index, chunk, false)
  }

  /** Bytes of the request waiting for the filter that holds it (for filters that look at whole bodies). */
  bufferedRequest(): readonly Uint8Array[] {
    return this.request.buffer ?? NO_CHUNKS
  }

  bufferedResponse(): readonly Uint8Array[] {
    return this.response.buffer ?? NO_CHUNKS
  }

  /** Stops or resumes reading the request from the client. */
  holdRequest(hold: boolean): void {
    const stats = this.manager.stats
    if (hold) stats.pausedReading.inc()
    else stats.resumedReading.inc()
    this.codecStream?.holdReading(ReadHold.Filter, hold)
  }

  /**
   * Answers without an upstream. `filterHeaders` come first in the response; `body` is latin1; `grpcStatus` -1 = by status.
   * `replaces`: filterHeaders take the place of what the route gives under their names.
   * After the response has begun the stream is reset instead.
   */
  sendLocalReply(
    status: number,
    body: string,
    details: string,
    filterHeaders: HeaderBlock | null = null,
    grpcStatus = -1,
    contentType = 'text/plain',
    replaces = false,
  ): void {
    if (this.finished) return
    this.request.abort()
    this.info.responseCodeDetails = details
    if (this.responseStarted || this.responseHeaders !== null) {
      this.resetStream()
      return
    }
    const reply = this.manager.reply
    reply.status = status
    reply.body = body
    reply.grpcStatus = grpcStatus
    reply.contentType = contentType
    this.localReplyBody = body
    const h = new HeaderBlock()
    h.status = status
    // Envoy: finalizeResponseHeaders of the route holds for local replies too, once the filter chain is there.
    if (this.decodingBegun && this.routeValue !== null && this.routeValue.action !== null)
      this.routeValue.mutateResponse(h, this)
    if (filterHeaders !== null) {
      if (replaces) for (let i = 0; i < filterHeaders.list.length; i += 2) h.remove(filterHeaders.list[i]!)
      h.copyFields(filterHeaders)
    }
    if (this.manager.replyRewriter !== null) {
      this.responseHeaders = h
      this.info.responseCode = status
      this.manager.replyRewriter.rewrite(reply, this)
      this.responseHeaders = null
    }
    const text = reply.body
    // A log line that is no part of the reply does not know its body.
    this.localReplyBody = ''
    // A bad request may be a message out of step: Envoy reads nothing after it.
    const connection = this.connection!
    if (status === 400 && !connection.isHttp2 && !this.manager.config.http1.keepOnBadRequest)
      this.codecStream!.closeAfter = true
    finishLocalReply(reply, h, this.isGrpc)
    const bodiless = text === '' || this.isGrpc || this.isHead
    this.encodeHeaders(h, bodiless)
    if (!bodiless && !this.finished) this.encodeData(Buffer.from(text, 'latin1'), true)
  }

  /** The answer comes before any filter saw the request; they see the answer, all that are not `skipped` (bits). */
  answerAtOnce(skipped: number): void {
    this.skipped = skipped
  }

  /** A redirect made by the connection manager itself. */
  redirectTo(status: number, location: string, details: string): void {
    const h = new HeaderBlock()
    h.push('location', location)
    this.sendLocalReply(status, '', details, h)
  }

  /** The response head, from the router or a local reply. The chain owns `h` from here. */
  encodeHeaders(h: HeaderBlock, end: boolean): void {
    if (this.finished) return
    this.responseHeaders = h
    this.info.lastActivity = this.services.timers.now()
    this.response.headers(h, end)
  }

  encodeData(chunk: Uint8Array, end: boolean): Flow {
    if (this.finished) return Flow.Continue
    this.info.lastActivity = this.services.timers.now()
    return this.response.data(chunk, end)
  }

  encodeTrailers(trailers: HeaderBlock): void {
    if (this.finished) return
    this.responseTrailers = trailers
    this.response.trailers()
  }

  /** An interim response from upstream; 100 and 103 are not passed on unless proxy_100_continue says so. */
  encode1xx(h: HeaderBlock): void {
    if (this.finished || this.responseStarted) return
    const { tracing } = this.manager
    if (tracing !== null) tracing.charge(this)
    this.codecStream!.encode1xx(h)
  }

  /** Ends the exchange towards the client without a (complete) response. */
  resetStream(): void {
    if (this.finished) return
    // Envoy's ActiveStream::onResetStream counts resets of both sides as received.
    this.manager.stats.rqTxReset.inc()
    this.manager.stats.rqRxReset.inc()
    this.connection!.resetStream(this)
  }

  armIdle(ms: number): void {
    this.idleTimer ??= new TimerNode(this, StreamTimer.Idle)
    this.services.timers.arm(this.idleTimer, ms)
  }

  setIdleTimeout(ms: number): void {
    this.idleTimeout = ms
    if (ms > 0) this.armIdle(ms)
    else if (this.idleTimer !== null) this.services.timers.cancel(this.idleTimer)
  }

  armRequestTimeout(ms: number): void {
    this.requestTimer ??= new TimerNode(this, StreamTimer.Request)
    this.services.timers.arm(this.requestTimer, ms)
  }

  cancelRequestTimeout(): void {
    if (this.requestTimer !== null) this.services.timers.cancel(this.requestTimer)
  }

  armMaxDuration(ms: number): void {
    this.maxDurationTimer ??= new TimerNode(this, StreamTimer.MaxDuration)
    this.services.timers.arm(this.maxDurationTimer, ms)
  }

  cancelMaxDuration(): void {
    if (this.maxDurationTimer !== null) this.services.timers.cancel(this.maxDurationTimer)
  }

  onTimer(kind: number): void {
    this.manager.onStreamTimer(this, kind)
  }

  /** Tears down filters and timers; called once by the connection when the stream is over. */
  destroyFilters(): void {
    const timers = this.services.timers
    if (this.idleTimer !== null) timers.suspend(this.idleTimer)
    if (this.requestTimer !== null) timers.suspend(this.requestTimer)
    if (this.maxDurationTimer !== null) timers.suspend(this.maxDurationTimer)
    const bits = this.chain.destroys & ~this.skipped
    if (bits === 0) return
    const filters = this.chain.filters
    for (let i = 0; i < filters.length; i++) if ((bits >> i) & 1) filters[i]!.onDestroy!(this)
  }

  /** It is not used again: no timer may hold it. */
  discard(): void {
    const timers = this.services.timers
    if (this.idleTimer !== null) timers.cancel(this.idleTimer)
    if (this.requestTimer !== null) timers.cancel(this.requestTimer)
    if (this.maxDurationTimer !== null) timers.cancel(this.maxDurationTimer)
  }

  recycle(): void {
    this.generation++
    this.info.reset()
    this.resetMarks()
    this.connection = null
    this.codecStream = null
    this.requestHeaders = null
    this.requestTrailers = null
    this.responseHeaders = null
    this.responseTrailers = null
    this.localReplyBody = ''
    this.replacement = NOTHING
    this.unsendable = ''
    this.random = 0
    this.responseSource = null
    this.internalRedirects = 0
    this.skipped = 0
    this.routeValue = null
    this.idleTimeout = 0
    this.cluster = null
    this.span = null
    this.operation = ''
    this.upstreamAlpn = null
    this.requestBufferLimit = this.manager.bufferLimit
    this.request.reset()
    this.response.reset()
    while (this.slots.length > 0) this.slots.pop()
  }

  /** The internal redirect of the router: the same stream runs through the chain once more with new headers. */
  recreate(status: number, body: readonly Uint8Array[], trailers: HeaderBlock | null): void {
    const { info } = this
    // Envoy begins a new stream, so the first one is logged as over. Bytes that are sent again count again.
    info.responseCode = status
    info.responseCodeDetails = 'internal_redirect'
    this.manager.log(this)
    const { tracing } = this.manager
    if (tracing !== null) tracing.restart(this)
    info.restart()
    const bits = this.chain.destroys & ~this.skipped
    const filters = this.chain.filters
    for (let i = 0; i < filters.length; i++) if ((bits >> i) & 1) filters[i]!.onDestroy!(this)
    while (this.slots.length > 0) this.slots.pop()
    this.responseHeaders = null
    this.responseSource = null
    this.clearRouteCache()
    this.setIdleTimeout(this.manager.config.streamIdleTimeout)
    if (tracing !== null) tracing.start(this, this.requestHeaders!, this.route())
    this.requestTrailers = null
    this.requestComplete = body.length === 0 && trailers === null
    this.request.start()
    for (let i = 0; i < body.length && !this.finished; i++)
      this.onRequestData(body[i]!, trailers === null && i === body.length - 1)
    if (trailers !== null && !this.finished) this.onRequestTrailers(trailers)
  }

  /** End of the encoder chain: the codec. */
  writeHeaders(h: HeaderBlock, end: boolean): void {
    const info = this.info
    info.responseCode = h.status
    this.responseStarted = true
    this.manager.finalizeResponse(this, h)
    if (info.firstDownstreamTx < 0) info.firstDownstreamTx = this.services.timers.now()
    if (end) this.responseComplete = true
    this.codecStream!.encodeHeaders(h, end)
    if (end) this.connection!.onResponseWritten(this)
  }

  writeData(chunk: Uint8Array, end: boolean): Flow {
    this.info.bytesSent += chunk.length
    if (end) this.responseComplete = true
    const flow = this.codecStream!.encodeData(chunk, end)
    if (end) {
      this.connection!.onResponseWritten(this)
      return Flow.Continue
    }
    return flow
  }

  writeTrailers(): void {
    this.responseComplete = true
    this.codecStream!.encodeTrailers(this.responseTrailers!)
    this.connection!.onResponseWritten(this)
  }

  /** Marks the stream with what a lost client means, unless something else already explains its end. */
  markDownstreamTermination(details: string): void {
    this.info.setFlag(ResponseFlag.DownstreamConnectionTermination)
    if (this.info.responseCodeDetails === '' || this.info.responseCodeDetails === 'via_upstream')
      this.info.responseCodeDetails = details
  }
}
