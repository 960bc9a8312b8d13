import type { Timers } from '../../base/timer.ts'
import type { Connection } from '../../io/connection.ts'
import { type CodecStream, ResetReason, type StreamDecoder } from '../codec.ts'
import type { HeaderBlock } from '../header-block.ts'
import { Http2Connection } from './connection.ts'
import { ErrorCode, MAX_STREAM_ID } from './frames.ts'
import { BlockKind, INVALID_MESSAGE } from './header-receiver.ts'
import type { Http2Options } from './options.ts'
import type { Http2Stats } from './stats.ts'
import { type Http2Stream, Mark } from './stream.ts'

/** Upstream side: we begin streams. */
export class Http2ClientCodec extends Http2Connection {
  readonly isClient = true
  /** Streams that have no id yet. */
  private readonly unsent: Http2Stream[] = []

  constructor(
    connection: Connection,
    decoder: StreamDecoder,
    options: Http2Options,
    timers: Timers,
    stats?: Http2Stats,
  ) {
    super(connection, decoder, options, timers, stats, true)
  }

  override get activeStreams(): number {
    return this.streams.size + this.unsent.length
  }

  /** Streams the peer and the configuration allow at once; for the connection pool. */
  get concurrencyLimit(): number {
    return Math.min(this.options.maxConcurrentStreams, this.session.maxConcurrentStreams)
  }

  newStream(user: unknown): CodecStream | null {
    if (this.failed || this.session.goAwayReceived || this.activeStreams >= this.concurrencyLimit) return null
    if (this.lastId + 2 * this.unsent.length >= MAX_STREAM_ID - 2) return null
    this.session.beforeStream()
    const s = this.open(0, user)
    this.unsent.push(s)
    return s
  }

  /** A client has no peer-begun streams to refuse; GOAWAY tells the server that we leave. */
  drain(final: boolean): void {
    if (!this.failed && final) this.session.drain(true, 0)
  }

  encodeHeaders(s: Http2Stream, h: HeaderBlock, end: boolean): void {
    const id = this.lastId === 0 ? 1 : this.lastId + 2
    this.lastId = id
    this.forgetUnsent(s)
    s.id = id
    s.mark(Mark.HeadSent)
    if (h.method === 'HEAD') s.mark(Mark.Bodiless)
    s.sendWindow = this.sender.initialWindow
    this.streams.add(s)
    this.limits.openedStreams++
    if (h.method === 'CONNECT' && h.protocol === '' && (h.path !== '' || h.scheme !== '')) {
      // RFC 9113 §8.5: a plain CONNECT has neither; Envoy's codec drops them too.
      const { path, scheme } = h
      h.path = ''
      h.scheme = ''
      this.sender.headers(s, h, end)
      h.path = path
      h.scheme = scheme
    } else if (isUpgrade(h)) this.sendExtendedConnect(s, h, end)
    else this.sender.headers(s, h, end)
  }

  /** RFC 8441: an HTTP/1 upgrade becomes CONNECT with `:protocol` (Envoy: transformUpgradeRequestFromH1toH2). */
  private sendExtendedConnect(s: Http2Stream, h: HeaderBlock, end: boolean): void {
    const method = h.method
    s.upgrade = h.get('upgrade')!
    h.method = 'CONNECT'
    h.protocol = s.upgrade
    this.sender.headers(s, h, end)
    h.method = method
    h.protocol = ''
  }

  onHeaderBlock(id: number, end: boolean, from: Buffer, start: number, stop: number, wireBytes: number): void {
    const s = this.streams.get(id)
    const trailers = s?.is(Mark.HeadReceived) === true
    if (!this.decodeBlock(id, trailers ? BlockKind.Trailers : BlockKind.Response, from, start, stop, wireBytes)) return
    if (s === undefined) {
      if (this.wasOpened(id)) this.headersOnClosed(id)
      else this.fail(ErrorCode.ProtocolError, 'HEADERS: stream in idle')
      return
    }
    s.wireBytesReceived += wireBytes
    s.headerBytesReceived += wireBytes
    if (s.is(Mark.RemoteEnd)) this.kill(s, ErrorCode.StreamClosed, ResetReason.Protocol, 'http2.remote_reset')
    else if (trailers) this.onTrailers(s, end)
    else this.head(s, id, end)
  }

  private head(s: Http2Stream, id: number, end: boolean): void {
    const receiver = this.receiver
    const block = receiver.block
    const interim = block.status < 200
    if (receiver.error !== '' || (interim && end)) {
      this.refuseBlock(s, receiver.error === '' ? INVALID_MESSAGE : receiver.error)
      return
    }
    if (!interim) {
      s.mark(Mark.HeadReceived)
      const { status } = block
      const length = receiver.contentLength
      // RFC 9113 §8.1.1: a length describes a body that is not sent here, and none may come.
      s.expected = status === 204 || status === 304 || s.is(Mark.Bodiless) ? 0 : length
      // RFC 9110 §8.6: a 204 has no length; Envoy takes away a zero and refuses others.
      if (status === 204 && length === 0) block.remove('content-length')
      if ((end && s.expected > 0) || (status === 204 && length > 0)) {
        this.refuseBlock(s, INVALID_MESSAGE)
        return
      }
      if (end) s.mark(Mark.RemoteEnd)
      if (s.upgrade !== '' && block.status === 200) {
        block.status = 101
        block.list.push('upgrade', s.upgrade, 'connection', 'upgrade')
      }
    }
    this.decoder.onHeaders(s, block, end)
    if (end) this.remoteEnded(s, id)
  }

  protected override detach(s: Http2Stream, resetByUs: boolean): void {
    if (s.id === 0) this.forgetUnsent(s)
    super.detach(s, resetByUs)
  }

  protected override resetAll(why: ResetReason, details: string): void {
    super.resetAll(why, details)
    while (this.unsent.length > 0) this.notifyReset(this.unsent[0]!, why, details, false)
  }

  private forgetUnsent(s: Http2Stream): void {
    // Nearly always the only one, and the last.
    if (this.unsent[this.unsent.length - 1] === s) this.unsent.pop()
    else this.unsent.splice(this.unsent.indexOf(s), 1)
  }

  protected resetCode(_s: Http2Stream, reason: ResetReason): ErrorCode {
    switch (reason) {
      case ResetReason.LocalRefused:
        return ErrorCode.RefusedStream
      case ResetReason.ConnectError:
        return ErrorCode.ConnectError
      case ResetReason.Protocol:
        return ErrorCode.ProtocolError
      default:
        // Not CANCEL: Envoy 1.40 ends an abandoned upstream request, complete or not, with INTERNAL_ERROR.
        return ErrorCode.InternalError
    }
  }

  wasOpened(id: number): boolean {
    return (id & 1) === 1 && id <= this.lastId
  }
}

function isUpgrade(h: HeaderBlock): boolean {
  if (!h.has('upgrade')) return false
  const connection = h.get('connection')
  return connection !== undefined && /(^|,)\s*upgrade\s*(,|$)/i.test(connection)
}
