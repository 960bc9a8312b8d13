import type { Timers } from '../../base/timer.ts'
import type { Connection } from '../../io/connection.ts'
import { type Codec, type CodecStream, ResetReason, type StreamDecoder } from '../codec.ts'
import type { HeaderBlock } from '../header-block.ts'
import { BlockMemo } from './block-memo.ts'
import { ClosedStreams } from './closed-streams.ts'
import { DataReceiver } from './data-receiver.ts'
import { shift } from './flow-window.ts'
import { type FrameHandler, FrameReader } from './frame-reader.ts'
import { ErrorCode, FRAME_HEAD, FrameType } from './frames.ts'
import {
  type BlockKind,
  HEADERS_TOO_LARGE,
  HeaderReceiver,
  INVALID_FIELD,
  INVALID_MESSAGE,
  UNDERSCORE,
} from './header-receiver.ts'
import { HpackDecoder } from './hpack-decoder.ts'
import type { Http2Options } from './options.ts'
import { output } from './output.ts'
import { ProtocolLimits } from './protocol-limits.ts'
import { Sender } from './sender.ts'
import { Session } from './session.ts'
import { type Http2Stats, noHttp2Stats } from './stats.ts'
import { Http2Stream, Mark } from './stream.ts'
import { StreamTable } from './stream-table.ts'

/** Streams kept for later by a connection: what a client usually has open at once, and what many of them make of an upstream connection. */
const SERVER_POOL = 128
const CLIENT_POOL = 1024
const EMPTY_FLOOD = 'http2.inbound_empty_frames_flood'
const REMOTE_RESET = 'http2.remote_reset'
const REMOTE_REFUSED = 'http2.remote_refuse'
/** Envoy's details of every stream that goes down with a connection on which the peer broke the protocol. */
const CODEC_ERROR = 'codec_error:The_user_callback_function_failed'

/** What both sides of HTTP/2 share: the stream table, frames in, life and death of streams and of the connection. */
export abstract class Http2Connection implements Codec, FrameHandler {
  readonly protocol = 'HTTP/2'
  abstract readonly isClient: boolean
  failed = false
  readonly decoder: StreamDecoder
  readonly options: Http2Options
  readonly stats: Http2Stats
  readonly hpack = new HpackDecoder()
  readonly limits: ProtocolLimits
  readonly sender: Sender
  readonly session: Session
  readonly inbound: DataReceiver
  protected readonly streams = new StreamTable<Http2Stream>()
  protected readonly receiver: HeaderReceiver
  protected readonly closedStreams = new ClosedStreams()
  /** Highest stream id begun, by the peer (server) or by us (client). */
  protected lastId = 0
  private readonly connection: Connection
  private readonly reader: FrameReader
  private readonly memo: BlockMemo
  private readonly pool: Http2Stream[] = []
  private selfDependent = false

  constructor(
    connection: Connection,
    decoder: StreamDecoder,
    options: Http2Options,
    timers: Timers,
    stats: Http2Stats = noHttp2Stats,
    client = false,
  ) {
    this.connection = connection
    this.decoder = decoder
    this.options = options
    this.stats = stats
    const maxBytes = options.maxHeadersKb * 1024
    const underscores = options.headersWithUnderscoresAction
    this.receiver = new HeaderReceiver(maxBytes, options.maxHeadersCount, underscores, options.allowConnect)
    this.memo = new BlockMemo()
    this.limits = new ProtocolLimits(options, stats)
    this.sender = new Sender(this, connection, options.hpackTableSize, options.streamBufferLimit)
    // A compressed block is hardly ever larger than the list it stands for; 4 KiB allow for an odd encoder.
    this.reader = new FrameReader(this, !client, maxBytes + 4096)
    this.session = new Session(this, options, timers)
    this.inbound = new DataReceiver(this, options.initialConnectionWindowSize, this.closedStreams)
    stats.connections.inc()
    this.session.start(client)
  }

  get activeStreams(): number {
    return this.streams.size
  }

  dispatch(chunk: Uint8Array, _end: boolean): void {
    if (this.failed || chunk.length === 0) return
    output.enter()
    try {
      this.limits.progress(this.sender.written, this.connection.bufferedBytes)
      this.session.arrived()
      this.reader.feed(Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
      if (!this.failed) {
        const flood = this.limits.outboundFlood()
        if (flood !== '') this.flooded(flood)
      }
    } finally {
      output.leave()
    }
  }

  abstract newStream(user: unknown): CodecStream | null
  abstract drain(final: boolean): void
  abstract encodeHeaders(s: Http2Stream, h: HeaderBlock, end: boolean): void
  /** Decodes and routes a block; `s` is null when the stream is not open. */
  abstract onHeaderBlock(id: number, end: boolean, from: Buffer, start: number, stop: number, wireBytes: number): void
  protected abstract resetCode(s: Http2Stream, reason: ResetReason): ErrorCode
  /** True when the peer may have begun this stream, or we did: it is not idle (RFC 9113 §5.1). */
  abstract wasOpened(id: number): boolean

  onConnectionWritable(): void {
    if (this.failed) return
    this.limits.progress(this.sender.written, this.connection.bufferedBytes)
    this.sender.connectionWritable()
    for (const s of this.streams.snapshot()) this.sender.wake(s)
  }

  onConnectionClosed(why: ResetReason): void {
    this.failed = true
    this.session.close()
    output.drop(this.sender)
    this.resetAll(why, '')
  }

  // === streams ===

  protected open(id: number, user: unknown): Http2Stream {
    const s = this.pool.pop() ?? new Http2Stream(this)
    s.open(id, user, this.sender.initialWindow, this.options.initialStreamWindowSize)
    this.stats.streamsActive.inc()
    return s
  }

  protected release(s: Http2Stream, resetByUs: boolean): void {
    if (s.is(Mark.Closed)) return
    this.detach(s, resetByUs)
    this.recycle(s)
  }

  private recycle(s: Http2Stream): void {
    s.user = null
    if (this.pool.length < (this.isClient ? CLIENT_POOL : SERVER_POOL)) this.pool.push(s)
  }

  /** Takes `s` out of the table; from here on calls on it do nothing. */
  protected detach(s: Http2Stream, resetByUs: boolean): void {
    s.mark(Mark.Closed)
    this.stats.streamsActive.dec()
    this.sender.forget(s)
    if (s.id !== 0) {
      this.streams.delete(s)
      this.closedStreams.add(s.id, resetByUs)
    }
    // Credit that a read hold kept back would be lost to the connection window for ever.
    if (s.unreturned > 0) this.inbound.giveBack(s.unreturned)
    s.unreturned = 0
  }

  /** END_STREAM of `s` was serialised. */
  localEnded(s: Http2Stream): void {
    const id = s.id
    this.decoder.onEncodeComplete?.(s)
    if (s.id !== id) return
    if (s.is(Mark.RemoteEnd)) this.release(s, false)
    else if (s.is(Mark.ResetAfterFlush)) {
      this.writeReset(id, ErrorCode.NoError)
      this.release(s, true)
    }
  }

  remoteEnded(s: Http2Stream, id: number): void {
    if (s.id === id && !s.is(Mark.Closed) && s.is(Mark.LocalEndSent)) this.release(s, false)
  }

  resetStream(s: Http2Stream, reason: ResetReason): void {
    // RFC 9113 §8.1: what is left of a request can be refused once the response is out as a whole, which may wait for window. Envoy
    // only tries, and cuts the response off. A CONNECT always ends so: its client speaks for as long as it is spoken to.
    if (!this.isClient && reason === ResetReason.Local && s.is(Mark.LocalEnd) && !s.is(Mark.LocalEndSent)) {
      s.mark(Mark.ResetAfterFlush)
      return
    }
    if (s.id !== 0) this.writeReset(s.id, this.resetCode(s, reason))
    this.release(s, true)
  }

  /** Ends `s` from this side and tells its owner. */
  kill(s: Http2Stream, code: ErrorCode, why: ResetReason, details: string): void {
    this.writeReset(s.id, code)
    this.notifyReset(s, why, details, true)
  }

  protected notifyReset(s: Http2Stream, why: ResetReason, details: string, resetByUs: boolean): void {
    if (s.is(Mark.Closed)) return
    this.detach(s, resetByUs)
    this.decoder.onReset(s, why, details)
    this.recycle(s)
  }

  writeReset(id: number, code: ErrorCode): void {
    if (this.failed) return
    this.sender.word(FrameType.RstStream, id, code)
    this.limits.controlFrameSent()
    this.stats.txReset.inc()
  }

  protected resetAll(why: ResetReason, details: string): void {
    for (const s of this.streams.snapshot()) this.notifyReset(s, why, details, false)
  }

  // === errors ===

  /** Connection error (RFC 9113 §5.4.1): GOAWAY, then every stream dies, then the owner closes. */
  fail(code: ErrorCode, message: string): void {
    this.end(code, message, CODEC_ERROR)
  }

  /**
   * A connection error without GOAWAY: Envoy only closes after a malformed message and after what its callbacks refuse. RFC
   * 9113 §5.4.1 has the GOAWAY as SHOULD.
   */
  abandon(message: string): void {
    if (this.failed) return
    this.failed = true
    this.session.close()
    this.resetAll(ResetReason.Protocol, CODEC_ERROR)
    output.flushOf(this.sender)
    this.decoder.onConnectionError(message)
  }

  /** The peer does not speak HTTP/2: nothing is said to it, not even SETTINGS (RFC 9113 §3.4 lets the GOAWAY out). */
  onBadPreface(): void {
    output.drop(this.sender)
    this.abandon('bad connection preface')
  }

  /** A keepalive PING was not answered: the peer is gone, so no GOAWAY. */
  timedOut(details: string): void {
    this.failed = true
    this.session.close()
    this.resetAll(ResetReason.ConnectionTermination, details)
    this.decoder.onConnectionError(details)
  }

  /** The peer gives no window to a message that is complete on our side. */
  flushTimedOut(s: Http2Stream): void {
    this.stats.txFlushTimeout.inc()
    this.kill(s, ErrorCode.InternalError, ResetReason.Local, '')
  }

  onFrameError(code: ErrorCode, message: string): void {
    this.fail(code, message)
  }

  private flooded(message: string): void {
    this.end(ErrorCode.EnhanceYourCalm, message, `codec_error:${message.replaceAll(' ', '_')}`)
  }

  private end(code: ErrorCode, message: string, details: string, debug = message): void {
    if (this.failed) return
    this.session.goAway(this.isClient ? 0 : this.lastId, code, debug)
    this.failed = true
    this.session.close()
    this.resetAll(ResetReason.Protocol, details)
    output.flushOf(this.sender)
    this.decoder.onConnectionError(message)
  }

  // === header blocks ===

  /** Decodes a block into `receiver`; false when the connection failed. */
  protected decodeBlock(
    id: number,
    kind: BlockKind,
    from: Buffer,
    start: number,
    stop: number,
    wireBytes: number,
  ): boolean {
    const receiver = this.receiver
    if (!this.memo.recall(this.hpack, kind, from, start, stop, receiver)) {
      receiver.begin(kind)
      if (!this.hpack.decode(from, start, stop, receiver)) {
        this.onUndecodable(id)
        return false
      }
      receiver.finish()
      this.memo.keep(this.hpack, kind, from, start, stop, receiver)
    }
    receiver.block.wireBytes = wireBytes
    if (this.selfDependent) {
      this.selfDependent = false
      if (receiver.error === '') receiver.error = INVALID_MESSAGE
    }
    if (receiver.droppedUnderscores > 0) this.stats.droppedHeadersWithUnderscores.add(receiver.droppedUnderscores)
    return true
  }

  /** A block of `id` that cannot be decoded, or not without unbounded work: the dynamic table is lost with it. */
  onUndecodable(id: number): void {
    this.announce(id)
    // The code and the silence about the reason are Envoy's, also for blocks that are too large.
    this.end(ErrorCode.CompressionError, 'header block', CODEC_ERROR, '')
  }

  /** Server: the owner hears of a request even when its head cannot be read. */
  protected announce(_id: number): void {}

  /** A malformed or oversized block on `s`. */
  protected refuseBlock(s: Http2Stream, details: string): void {
    if (details === INVALID_FIELD || details === INVALID_MESSAGE) {
      this.stats.rxMessagingError.inc()
      if (this.options.streamErrorOnInvalidHttpMessaging) {
        this.kill(s, ErrorCode.ProtocolError, ResetReason.Protocol, details)
        return
      }
      this.notifyReset(s, ResetReason.Protocol, details, true)
      this.abandon(details)
      return
    }
    if (details === HEADERS_TOO_LARGE) this.stats.headerListSizeTooLarge.inc()
    else if (details === UNDERSCORE) this.stats.requestsRejectedWithUnderscoresInHeaders.inc()
    else this.stats.headerOverflow.inc()
    // Envoy answers limits with RST_STREAM INTERNAL_ERROR, not 431, and its log shows flag DR.
    this.kill(s, ErrorCode.InternalError, ResetReason.Remote, details)
  }

  protected onTrailers(s: Http2Stream, end: boolean): void {
    const id = s.id
    const error = this.receiver.error
    if (error !== '' || !end) {
      // RFC 9113 §8.1: trailers end the message.
      this.refuseBlock(s, error === '' ? INVALID_MESSAGE : error)
      return
    }
    // Envoy only counts those of requests.
    if (!this.isClient) this.stats.trailers.inc()
    if (s.expected >= 0 && s.received !== s.expected) {
      this.kill(s, ErrorCode.ProtocolError, ResetReason.Protocol, REMOTE_RESET)
      return
    }
    s.mark(Mark.RemoteEnd)
    this.decoder.onTrailers(s, this.receiver.block)
    this.remoteEnded(s, id)
  }

  /** HEADERS on a stream that is not open any more: decoded already, now judged (RFC 9113 §5.1). */
  protected headersOnClosed(id: number): void {
    this.stats.headersCbNoStream.inc()
    if (this.closedStreams.wasResetByUs(id)) return
    if (this.closedStreams.has(id)) this.fail(ErrorCode.StreamClosed, 'HEADERS on a closed stream')
    else if (this.closedStreams.overflowed && this.wasOpened(id)) this.writeReset(id, ErrorCode.StreamClosed)
    else this.fail(ErrorCode.ProtocolError, 'HEADERS: stream id not ascending')
  }

  // === DATA ===

  onPayloadFrame(stream: number, empty: boolean, endStream: boolean): boolean {
    const flood = this.limits.inboundPayload(empty, endStream)
    if (flood === '') return true
    const s = this.streams.get(stream)
    if (s !== undefined) this.notifyReset(s, ResetReason.Protocol, EMPTY_FLOOD, true)
    this.flooded(flood)
    return false
  }

  onDataBegin(id: number, endStream: boolean, length: number, padding: number): void {
    this.inbound.begin(this.streams.get(id), id, endStream, length, padding)
  }

  onDataPiece(piece: Uint8Array, last: boolean): void {
    this.inbound.piece(piece, last)
  }

  // === other frames ===

  onSelfDependency(id: number): void {
    const s = this.streams.get(id)
    if (s !== undefined) this.kill(s, ErrorCode.ProtocolError, ResetReason.Protocol, REMOTE_RESET)
    else if (!this.wasOpened(id)) this.fail(ErrorCode.ProtocolError, 'stream depends on itself')
  }

  onSelfDependentHeaders(): void {
    this.selfDependent = true
  }

  onStreamFrameSizeError(id: number): void {
    const s = this.streams.get(id)
    if (s !== undefined) this.kill(s, ErrorCode.FrameSizeError, ResetReason.Protocol, REMOTE_RESET)
    else this.fail(ErrorCode.FrameSizeError, 'PRIORITY length')
  }

  onPriority(_id: number): void {
    const flood = this.limits.inboundPriority()
    if (flood !== '') this.flooded(flood)
  }

  onRstStream(id: number, code: number): void {
    const s = this.streams.get(id)
    if (s === undefined) {
      if (!this.wasOpened(id)) this.fail(ErrorCode.ProtocolError, 'RST_STREAM: stream in idle')
      return
    }
    this.stats.rxReset.inc()
    s.wireBytesReceived += FRAME_HEAD + 4
    this.peerReset(s)
    if (code === ErrorCode.RefusedStream) this.notifyReset(s, ResetReason.RemoteRefused, REMOTE_REFUSED, false)
    else if (code === ErrorCode.ConnectError) this.notifyReset(s, ResetReason.ConnectError, REMOTE_RESET, false)
    else this.notifyReset(s, ResetReason.Remote, REMOTE_RESET, false)
  }

  /** For the server's count of streams that were reset early. */
  protected peerReset(_s: Http2Stream): void {}

  onSettings(ack: boolean, from: Buffer, start: number, end: number): void {
    this.session.onSettings(ack, from, start, end)
  }

  onPing(ack: boolean, from: Buffer, start: number): void {
    this.session.onPing(ack, from, start)
  }

  onGoAway(last: number, _code: number): void {
    this.session.goAwayReceived = true
    this.decoder.onGoAway?.()
    if (!this.isClient) return
    // §6.8: streams above `last` were not processed and may be sent again elsewhere.
    for (const s of this.streams.snapshot()) {
      if (s.id > last) this.notifyReset(s, ResetReason.RemoteRefused, REMOTE_REFUSED, false)
    }
  }

  onWindowUpdate(id: number, increment: number): void {
    const flood = this.limits.inboundWindowUpdate()
    if (flood !== '') {
      this.flooded(flood)
      return
    }
    const s = id === 0 ? undefined : this.streams.get(id)
    if (id !== 0 && s === undefined) {
      if (!this.wasOpened(id)) this.fail(ErrorCode.ProtocolError, 'WINDOW_UPDATE: stream in idle')
    } else if (increment === 0) {
      if (s === undefined) this.fail(ErrorCode.ProtocolError, 'WINDOW_UPDATE of 0')
      else this.kill(s, ErrorCode.ProtocolError, ResetReason.Protocol, REMOTE_RESET)
    } else if (s === undefined) {
      if (shift(this.sender, increment)) this.sender.pumpAll()
      // RFC 9113 §6.9.1 asks for the GOAWAY, which Envoy leaves out.
      else this.fail(ErrorCode.FlowControlError, 'connection window overflow')
    } else if (shift(s, increment)) this.sender.streamWindowOpened(s)
    else this.kill(s, ErrorCode.FlowControlError, ResetReason.Protocol, REMOTE_RESET)
  }

  /** SETTINGS_INITIAL_WINDOW_SIZE (§6.9.2): all open streams move by the difference. False: overflow. */
  changeInitialWindow(size: number): boolean {
    const delta = size - this.sender.initialWindow
    this.sender.initialWindow = size
    for (const s of this.streams.snapshot()) {
      if (!shift(s, delta)) return false
    }
    return true
  }
}
