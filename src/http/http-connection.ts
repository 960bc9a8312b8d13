import { keepSpecimen } from '../base/specimens.ts'
import { TimerNode, type TimerOwner } from '../base/timer.ts'
import { type Codec, type CodecStream, ResetReason, type StreamDecoder } from '../codec/codec.ts'
import type { HeaderBlock } from '../codec/header-block.ts'
import { Http1ServerCodec } from '../codec/http1/server.ts'
import { statusText } from '../codec/http1/status-text.ts'
import { startsWithPreface } from '../codec/http2/frames.ts'
import { Http2ServerCodec } from '../codec/http2/server.ts'
import { CloseHow, CloseReason, type Connection, Flow, ReadHold } from '../io/connection.ts'
import { UNTOLD } from '../io/proxied.ts'
import { connectionInfo } from '../telemetry/connection-info.ts'
import { ResponseFlag } from '../telemetry/stream-info.ts'
import type { ConnectionManager } from './connection-manager.ts'
import type { StreamContext } from './stream-context.ts'

const ConnectionTimer = { Idle: 0, MaxDuration: 1, Drain: 2, Head: 3 } as const

/** Downstream side of one connection: codec events in, streams out (Envoy: Http::ConnectionManagerImpl). */
export class HttpConnection implements TimerOwner {
  readonly manager: ConnectionManager
  readonly connection: Connection
  codec: Codec | null = null
  /** Streams of this connection that are not finished. */
  readonly active: StreamContext[] = []
  /** The peer has been told to go: responses carry `connection: close`, GOAWAY was sent. */
  draining = false
  /** HTTP/1: closed after the exchange that is under way. */
  closing = false
  private requests = 0
  /** A stream was reset for a violation of the protocol during this read. */
  private broken = false
  private closed = false
  private rxSeen = 0
  private txSeen = 0
  private readonly idleTimer: TimerNode
  private readonly maxDurationTimer: TimerNode
  private readonly drainTimer: TimerNode
  private readonly headTimer: TimerNode

  constructor(manager: ConnectionManager, connection: Connection) {
    this.manager = manager
    this.connection = connection
    this.idleTimer = new TimerNode(this, ConnectionTimer.Idle)
    this.maxDurationTimer = new TimerNode(this, ConnectionTimer.MaxDuration)
    this.drainTimer = new TimerNode(this, ConnectionTimer.Drain)
    this.headTimer = new TimerNode(this, ConnectionTimer.Head)
  }

  get isHttp2(): boolean {
    return this.codec !== null && this.codec.protocol === 'HTTP/2'
  }

  onConnection(): void {
    const { stats, config, services } = this.manager
    this.connection.setDelayedCloseTimeout(config.delayedCloseTimeout)
    stats.cxTotal.inc()
    stats.cxActive.inc()
    if (this.connection.encrypted) {
      stats.cxSslTotal.inc()
      stats.cxSslActive.inc()
    }
    if (!config.addProxyProtocolConnectionState) this.connection.proxied ??= UNTOLD
    if (config.connectionIdleTimeout > 0) services.timers.arm(this.idleTimer, config.connectionIdleTimeout)
    if (config.maxConnectionDuration > 0) services.timers.arm(this.maxDurationTimer, config.maxConnectionDuration)
  }

  onData(c: Connection, d: Uint8Array, end: boolean): void {
    if (this.closed) return
    const manager = this.manager
    manager.beginTurn()
    if (d.length > 0) {
      const codec = this.codec ?? this.createCodec(d)
      codec.dispatch(d, false)
      if (this.active.length === 0) this.watchHead()
    }
    this.broken = false
    // Envoy does not half-close HTTP connections: a client that ends its side is gone, its requests with it.
    if (end && !this.closed) c.close(CloseHow.Flush, CloseReason.Remote)
    manager.endTurn()
  }

  onWritable(): void {
    this.codec?.onConnectionWritable()
  }

  onClose(c: Connection, why: CloseReason): void {
    if (this.closed) return
    this.closed = true
    const { stats, services } = this.manager
    const timers = services.timers
    timers.cancel(this.idleTimer)
    timers.cancel(this.maxDurationTimer)
    timers.cancel(this.drainTimer)
    timers.cancel(this.headTimer)
    const local = why === CloseReason.Local || why === CloseReason.IdleTimeout || why === CloseReason.ConnectTimeout
    if (!local && this.codec instanceof Http1ServerCodec) this.codec.beginIncomplete()
    stats.cxDestroy.inc()
    if (c.delayedCloseExpired === true) stats.cxDelayedCloseTimeout.inc()
    ;(local ? stats.cxDestroyLocal : stats.cxDestroyRemote).inc()
    if (this.active.length > 0) {
      stats.cxDestroyActiveRq.inc()
      ;(local ? stats.cxDestroyLocalActiveRq : stats.cxDestroyRemoteActiveRq).inc()
    }
    stats.cxActive.dec()
    if (c.encrypted) stats.cxSslActive.dec()
    if (this.codec !== null) {
      ;(this.isHttp2 ? stats.cxHttp2Active : stats.cxHttp1Active).dec()
      this.codec.onConnectionClosed(ResetReason.ConnectionTermination)
    }
    // Streams the codec does not know any more (their response was written) end here too.
    for (let i = this.active.length - 1; i >= 0; i--) this.abandon(this.active[i]!, local)
    stats.cxLengthMs.record(timers.now() - c.startTime)
    this.countBytes()
    if (this.codec !== null) keepSpecimen(this.codec.constructor, this)
  }

  /** Announces the end, so that a request on its way is still answered; after drain_timeout the connection closes. */
  startDrain(): void {
    if (this.draining || this.closed) return
    this.draining = true
    if (this.isHttp2) this.codec!.drain(false)
    this.manager.services.timers.arm(this.drainTimer, this.manager.config.drainTimeout)
  }

  onTimer(kind: number): void {
    const { stats, config } = this.manager
    switch (kind) {
      case ConnectionTimer.Idle:
        if (this.active.length > 0) return
        stats.cxIdleTimeout.inc()
        if (this.codec === null) this.connection.close(CloseHow.Flush, CloseReason.Local)
        else this.startDrain()
        break
      case ConnectionTimer.MaxDuration:
        stats.cxMaxDurationReached.inc()
        if (this.codec === null) this.connection.close(CloseHow.Flush, CloseReason.Local)
        else this.startDrain()
        break
      case ConnectionTimer.Drain:
        this.closing = true
        this.codec!.drain(true)
        if (this.active.length === 0) this.connection.close(CloseHow.FlushAndDelay, CloseReason.Local)
        break
      case ConnectionTimer.Head:
        if (this.codec instanceof Http1ServerCodec && this.active.length === 0) {
          const late = config.requestHeadersTimeout > 0
          if (late) stats.rqHeaderTimeout.inc()
          else stats.rqIdleTimeout.inc()
          this.codec.abortHead(408, late ? 'request_header_timeout' : 'stream_idle_timeout')
        }
        break
    }
  }

  onNewStream(s: CodecStream): void {
    const { stats, config, services } = this.manager
    const context = this.manager.acquire()
    const info = context.info
    s.user = context
    context.connection = this
    context.codecStream = s
    context.random = services.random.next()
    const now = services.timers.now()
    info.start = now
    info.startWall = this.manager.wall(now)
    info.connection = this.connection
    info.protocol = this.codec!.protocol
    info.filterChainName = this.manager.filterChainName
    info.listenerName = this.manager.listenerName
    info.listenerMetadata = this.manager.listenerMetadata
    info.filterChainMetadata = this.manager.filterChainMetadata
    info.lastActivity = now
    context.activeAt = this.active.length
    this.active.push(context)
    stats.rqTotal.inc()
    ;(this.isHttp2 ? stats.rqHttp2 : stats.rqHttp1).inc()
    stats.rqActive.inc()
    if (this.active.length === 1) {
      services.timers.suspend(this.idleTimer)
      services.timers.suspend(this.headTimer)
    }
    this.requests++
    if (config.maxRequestsPerConnection > 0 && this.requests >= config.maxRequestsPerConnection && !this.draining) {
      stats.cxMaxRequestsReached.inc()
      if (this.isHttp2) this.startDrain()
      else this.draining = this.closing = true
    }
  }

  onHeaders(s: CodecStream, h: HeaderBlock, end: boolean): void {
    const context = s.user as StreamContext
    context.info.protocol = this.codec!.protocol
    this.manager.onRequestHeaders(context, h, end)
  }

  onStreamData(s: CodecStream, chunk: Uint8Array, end: boolean): Flow {
    const context = s.user as StreamContext | null
    if (context === null || context.finished) return Flow.Continue
    const now = this.manager.services.timers.now()
    context.info.lastActivity = now
    if (end) this.requestEnded(context, now)
    return context.onRequestData(chunk, end)
  }

  onTrailers(s: CodecStream, t: HeaderBlock): void {
    const context = s.user as StreamContext | null
    if (context === null || context.finished) return
    const now = this.manager.services.timers.now()
    context.info.lastActivity = now
    this.requestEnded(context, now)
    context.onRequestTrailers(t)
  }

  onReset(s: CodecStream, why: ResetReason, details: string): void {
    const context = s.user as StreamContext | null
    if (context === null || context.finished) return
    this.manager.stats.rqRxReset.inc()
    const info = context.info
    if (why === ResetReason.ConnectionTermination || why === ResetReason.ConnectionFailure) {
      context.markDownstreamTermination('downstream_remote_disconnect')
    } else if (why === ResetReason.Protocol || why === ResetReason.Overload) {
      this.broken = true
      info.setFlag(ResponseFlag.DownstreamProtocolError)
      if (info.responseCodeDetails === '' || info.responseCodeDetails === 'via_upstream')
        info.responseCodeDetails = details
    } else {
      info.setFlag(ResponseFlag.DownstreamRemoteReset)
      if (info.responseCodeDetails === '' || info.responseCodeDetails === 'via_upstream') {
        info.responseCodeDetails = details !== '' ? details : 'http2.remote_reset'
      }
    }
    this.finish(context)
  }

  onWritableStream(s: CodecStream): void {
    const context = s.user as StreamContext | null
    if (context !== null && !context.finished) context.responseSource?.holdUpstream(false)
  }

  onProtocolError(s: CodecStream, status: number, details: string): void {
    const context = s.user as StreamContext
    context.info.protocol = this.codec!.protocol
    if (status === 408) {
      const body = details === 'stream_idle_timeout' ? 'stream timeout' : 'request header timeout'
      if (details === 'stream_idle_timeout') context.info.setFlag(ResponseFlag.StreamIdleTimeout)
      this.manager.refuse(context, status, body, details)
      return
    }
    this.manager.stats.cxProtocolError.inc()
    context.info.setFlag(ResponseFlag.DownstreamProtocolError)
    connectionInfo(this.connection).setFlag(ResponseFlag.DownstreamProtocolError)
    this.manager.refuse(context, status, statusText(status), details)
  }

  onConnectionError(_details: string): void {
    const { stats } = this.manager
    stats.cxProtocolError.inc()
    connectionInfo(this.connection).setFlag(ResponseFlag.DownstreamProtocolError)
    if (this.broken) {
      // The codec has ended its streams before; Envoy still counts them as alive.
      stats.cxDestroyActiveRq.inc()
      stats.cxDestroyLocalActiveRq.inc()
    }
    this.connection.close(CloseHow.FlushAndDelay, CloseReason.Local)
  }

  /** The response has been handed to the codec as a whole. */
  onResponseWritten(context: StreamContext): void {
    // ActiveStream::onResetStream counts resets of both sides here.
    if (!context.requestComplete) this.manager.stats.rqRxReset.inc()
    if (!context.requestComplete && this.isHttp2) {
      // RFC 9113 §8.1: the rest of the request is of no interest any more.
      this.finish(context, true)
      return
    }
    this.finish(context)
  }

  resetStream(context: StreamContext): void {
    this.finish(context, true)
  }

  private finish(context: StreamContext, reset = false): void {
    if (context.finished) return
    context.finished = true
    const { stats, services } = this.manager
    const info = context.info
    const s = context.codecStream!
    // The codec may keep the stream: queued DATA waits for window. The context is somebody else's by then.
    s.user = null
    const now = services.timers.now()
    info.end = now
    if (context.responseComplete) info.lastDownstreamTx = now
    info.downstreamHeaderBytesReceived = s.headerBytesReceived
    info.downstreamHeaderBytesSent = s.headerBytesSent
    info.downstreamWireBytesReceived = s.wireBytesReceived
    info.downstreamWireBytesSent = s.wireBytesSent
    const last = this.active.pop()!
    if (last !== context) {
      this.active[context.activeAt] = last
      last.activeAt = context.activeAt
    }
    context.destroyFilters()
    if (reset) s.reset(ResetReason.Local)
    stats.rqActive.dec()
    stats.rqTime.record(now - info.start)
    if (context.isUpgrade) stats.cxUpgradesActive.dec()
    this.manager.log(context)
    if (this.manager.tracing !== null) this.manager.tracing.finish(context)
    this.countBytes()
    if (this.active.length === 0 && !this.closed) this.becomeIdle()
    this.manager.release(context)
  }

  private becomeIdle(): void {
    const { config, services } = this.manager
    if (config.connectionIdleTimeout > 0 && !this.draining)
      services.timers.arm(this.idleTimer, config.connectionIdleTimeout)
    if (this.closing && !this.isHttp2) this.codec!.drain(true)
  }

  private abandon(context: StreamContext, local: boolean): void {
    if (context.finished) return
    if (local) {
      if (context.info.responseCodeDetails === '') context.info.responseCodeDetails = 'downstream_local_disconnect'
      context.info.setFlag(ResponseFlag.DownstreamConnectionTermination)
    } else context.markDownstreamTermination('downstream_remote_disconnect')
    this.finish(context)
  }

  private requestEnded(context: StreamContext, now: number): void {
    context.info.lastDownstreamRx = now
    context.cancelRequestTimeout()
  }

  private createCodec(first: Uint8Array): Codec {
    const { config, stats, services } = this.manager
    const alpn = this.connection.tls === null ? '' : this.connection.tls.alpn
    const http2 =
      config.codecType === 'HTTP2' ||
      (config.codecType === 'AUTO' && (alpn === 'h2' || (alpn === '' && startsWithPreface(first))))
    if (http2) {
      this.codec = new Http2ServerCodec(
        this.connection,
        new StreamEvents(this),
        config.http2,
        services.timers,
        this.manager.http2Stats,
      )
      stats.cxHttp2Total.inc()
      stats.cxHttp2Active.inc()
    } else {
      this.codec = new Http1ServerCodec(this.connection, new StreamEvents(this), config.http1)
      stats.cxHttp1Total.inc()
      stats.cxHttp1Active.inc()
    }
    return this.codec
  }

  /** request_headers_timeout, and the stream idle timeout before it: a head that never ends must not hold a connection. */
  private watchHead(): void {
    const { config, services } = this.manager
    if (this.headTimer.deadline !== 0 || this.closed || !(this.codec instanceof Http1ServerCodec) || !this.codec.inHead)
      return
    const limit = config.requestHeadersTimeout > 0 ? config.requestHeadersTimeout : config.streamIdleTimeout
    if (limit > 0) services.timers.arm(this.headTimer, limit)
  }

  private countBytes(): void {
    const c = this.connection
    const { stats } = this.manager
    stats.cxRxBytes.add(c.bytesReceived - this.rxSeen)
    stats.cxTxBytes.add(c.bytesSent - this.txSeen)
    this.rxSeen = c.bytesReceived
    this.txSeen = c.bytesSent
  }

  /** Holds the request of one stream while its upstream cannot take more. */
  holdRequest(context: StreamContext, hold: boolean): void {
    if (!context.finished) context.codecStream!.holdReading(ReadHold.PeerBuffer, hold)
  }
}

/** Connection events and StreamDecoder both have onData and onWritable; the codec talks to this face of the connection. */
class StreamEvents implements StreamDecoder {
  private readonly connection: HttpConnection

  constructor(connection: HttpConnection) {
    this.connection = connection
  }

  onNewStream(s: CodecStream): void {
    this.connection.onNewStream(s)
  }
  onHeaders(s: CodecStream, h: HeaderBlock, end: boolean): void {
    this.connection.onHeaders(s, h, end)
  }
  onData(s: CodecStream, chunk: Uint8Array, end: boolean): Flow {
    return this.connection.onStreamData(s, chunk, end)
  }
  onTrailers(s: CodecStream, t: HeaderBlock): void {
    this.connection.onTrailers(s, t)
  }
  onReset(s: CodecStream, why: ResetReason, details: string): void {
    this.connection.onReset(s, why, details)
  }
  onWritable(s: CodecStream): void {
    this.connection.onWritableStream(s)
  }
  onProtocolError(s: CodecStream, status: number, details: string): void {
    this.connection.onProtocolError(s, status, details)
  }
  onConnectionError(details: string): void {
    this.connection.onConnectionError(details)
  }
}
