import type { Timers } from '../../base/timer.ts'
import type { Connection } from '../../io/connection.ts'
import { type CodecStream, ResetReason, type StreamDecoder } from '../codec.ts'
import type { HeaderBlock } from '../header-block.ts'
import { Http2Connection } from './connection.ts'
import { ErrorCode } from './frames.ts'
import { BlockKind, INVALID_MESSAGE } from './header-receiver.ts'
import type { Http2Options } from './options.ts'
import { output } from './output.ts'
import type { Http2Stats } from './stats.ts'
import { type Http2Stream, Mark } from './stream.ts'

/** Envoy's runtime default `overload.premature_reset_total_stream_count`. */
const PREMATURE_RESET_STREAMS = 500

/** Downstream side: the peer begins streams. */
export class Http2ServerCodec extends Http2Connection {
  readonly isClient = false
  private early = 0

  constructor(
    connection: Connection,
    decoder: StreamDecoder,
    options: Http2Options,
    timers: Timers,
    stats?: Http2Stats,
  ) {
    super(connection, decoder, options, timers, stats, false)
  }

  newStream(_user: unknown): CodecStream | null {
    return null
  }

  drain(final: boolean): void {
    if (this.failed) return
    this.session.drain(final, this.lastId)
    // The owner may close the connection right after the final GOAWAY.
    if (final) output.flushOf(this.sender)
  }

  encodeHeaders(s: Http2Stream, h: HeaderBlock, end: boolean): void {
    s.mark(Mark.HeadSent)
    if (s.upgrade === '' || h.status !== 101) {
      this.sender.headers(s, h, end)
      return
    }
    // RFC 8441 §5: 200 is what 101 says in HTTP/1; connection and upgrade are not sent anyway.
    h.status = 200
    this.sender.headers(s, h, end)
    h.status = 101
  }

  onHeaderBlock(id: number, end: boolean, from: Buffer, start: number, stop: number, wireBytes: number): void {
    const known = this.streams.get(id)
    const trailers = known?.is(Mark.HeadReceived) === true
    if (!this.decodeBlock(id, trailers ? BlockKind.Trailers : BlockKind.Request, from, start, stop, wireBytes)) return
    if (known !== undefined) {
      known.wireBytesReceived += wireBytes
      known.headerBytesReceived += wireBytes
      if (known.is(Mark.RemoteEnd)) this.kill(known, ErrorCode.StreamClosed, ResetReason.Protocol, 'http2.remote_reset')
      else this.onTrailers(known, end)
      return
    }
    // RFC 9113 §5.1.1: clients use odd, ascending ids.
    if ((id & 1) === 0) {
      this.abandon('even stream id')
      return
    }
    if (id <= this.lastId) {
      this.headersOnClosed(id)
      return
    }
    this.lastId = id
    if (id > this.session.lastAllowed || this.streams.size >= this.options.maxConcurrentStreams) {
      this.stats.streamRefusedErrors.inc()
      this.closedStreams.add(id, true)
      this.writeReset(id, ErrorCode.RefusedStream)
      return
    }
    this.begin(id, end, wireBytes)
  }

  private begin(id: number, end: boolean, wireBytes: number): void {
    const receiver = this.receiver
    const s = this.open(id, null)
    this.streams.add(s)
    s.wireBytesReceived = wireBytes
    s.headerBytesReceived = wireBytes
    s.mark(Mark.HeadReceived)
    this.limits.openedStreams++
    this.decoder.onNewStream?.(s)
    if (receiver.error !== '') {
      this.refuseBlock(s, receiver.error)
      return
    }
    s.expected = receiver.contentLength
    if (end && s.expected > 0) {
      this.refuseBlock(s, INVALID_MESSAGE)
      return
    }
    if (end) s.mark(Mark.RemoteEnd)
    const { block } = receiver
    if (block.protocol !== '') {
      s.upgrade = block.protocol
      asUpgrade(block)
    }
    this.decoder.onHeaders(s, block, end)
    if (end) this.remoteEnded(s, id)
  }

  protected override announce(id: number): void {
    if (this.streams.has(id) || (id & 1) === 0 || id <= this.lastId) return
    this.lastId = id
    const s = this.open(id, null)
    this.streams.add(s)
    this.decoder.onNewStream?.(s)
  }

  /**
   * Rapid reset (CVE-2023-44487): more than half of the streams reset before they were answered, as Envoy's connection
   * manager counts it.
   */
  protected override peerReset(s: Http2Stream): void {
    if (!s.is(Mark.HeadSent)) this.early++
    const opened = this.limits.openedStreams
    const base = Math.max(opened, PREMATURE_RESET_STREAMS)
    if (this.early * 2 > base) this.fail(ErrorCode.EnhanceYourCalm, 'too_many_premature_resets')
  }

  protected resetCode(s: Http2Stream, reason: ResetReason): ErrorCode {
    switch (reason) {
      case ResetReason.LocalRefused:
        return ErrorCode.RefusedStream
      case ResetReason.ConnectError:
        return ErrorCode.ConnectError
      case ResetReason.Protocol:
        return ErrorCode.ProtocolError
      default:
        // RFC 9113 §8.1: NO_ERROR after a complete response asks the client to stop its request without harm.
        return s.is(Mark.LocalEndSent) ? ErrorCode.NoError : ErrorCode.InternalError
    }
  }

  wasOpened(id: number): boolean {
    return (id & 1) === 1 && id <= this.lastId
  }
}

/** An extended CONNECT as HTTP/1 would have asked (Envoy: Utility::transformUpgradeRequestFromH2toH1). */
function asUpgrade(h: HeaderBlock): void {
  h.method = 'GET'
  h.list.push('upgrade', h.protocol, 'connection', 'upgrade')
  h.protocol = ''
}
