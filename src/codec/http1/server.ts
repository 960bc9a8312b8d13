import { lastMade } from '../../base/specimens.ts'
import { CloseHow, type Connection, ReadHold } from '../../io/connection.ts'
import type { Codec, CodecStream, ResetReason, StreamDecoder } from '../codec.ts'
import type { HeaderBlock } from '../header-block.ts'
import { Framing } from './body-parser.ts'
import { FieldWriter } from './field-writer.ts'
import { MessageReader, type MessageSink } from './message-reader.ts'
import { plainName, properCaseName } from './names.ts'
import { dropNominated } from './nominated-headers.ts'
import type { Http1Options } from './options.ts'
import { readTarget } from './request-target.ts'
import { statusLine } from './status-text.ts'
import { Http1Stream, type Http1StreamOwner } from './stream.ts'

/** Bytes of later requests kept while one is answered; more stay in the kernel. */
const MAX_PIPELINED = 65536

/** Server side of HTTP/1.x (RFC 9112): one request at a time, later ones wait until the response has been written. */
export class Http1ServerCodec implements Codec, MessageSink, Http1StreamOwner {
  protocol: 'HTTP/1.0' | 'HTTP/1.1' = 'HTTP/1.1'
  readonly connection: Connection
  readonly properCase: boolean
  readonly fields: FieldWriter
  readonly enableTrailers: boolean
  private readonly decoder: StreamDecoder
  private readonly options: Http1Options
  private readonly reader: MessageReader
  private stream: Http1ServerStream | null = null
  private draining = false
  private closing = false
  private peerEnded = false
  /** Received while no stream was there: what a head that is refused took. */
  private headBytes = 0

  constructor(connection: Connection, decoder: StreamDecoder, options: Http1Options) {
    this.connection = connection
    this.decoder = decoder
    this.options = options
    this.properCase = options.properCase
    this.fields = new FieldWriter(options.properCase ? properCaseName : plainName)
    this.enableTrailers = options.enableTrailers
    this.reader = new MessageReader(this, true, options.maxHeadersKb, options.maxHeadersCount)
  }

  get activeStreams(): number {
    return this.stream === null ? 0 : 1
  }

  dispatch(chunk: Uint8Array, end: boolean): void {
    if (this.stream === null) this.headBytes += chunk.length
    if (chunk.length > 0 && !this.closing) {
      this.reader.feed(chunk)
      if (this.reader.waitingBytes > MAX_PIPELINED) this.connection.holdReading(ReadHold.Pipeline, true)
    }
    if (end && !this.peerEnded) {
      this.peerEnded = true
      const s = this.stream
      if (s !== null && this.reader.untilClose && !s.readDone) {
        s.readDone = true
        this.decoder.onData(s, EMPTY, true)
      }
    }
  }

  /** A request head has begun and is not complete. */
  get inHead(): boolean {
    return this.stream === null && this.reader.midMessage
  }

  /** Gives up on an incomplete head: answered with `status` through the decoder, then closed. */
  abortHead(status: number, details: string): void {
    if (this.stream !== null) return
    this.reader.stop()
    this.onReadError(status, details)
  }

  /** As Envoy, which has a stream from the first byte of a head on: one that never ends is a request that ended early. */
  beginIncomplete(): void {
    if (!this.inHead) return
    const s = new Http1ServerStream(this, false, false, false)
    s.wireBytesReceived = this.headBytes
    this.stream = s
    this.decoder.onNewStream?.(s)
  }

  newStream(): CodecStream | null {
    return null
  }

  drain(_final: boolean): void {
    this.draining = true
    if (this.stream !== null) this.stream.closeAfter = true
    else if (!this.reader.midMessage) this.connection.close(CloseHow.FlushAndDelay)
  }

  onConnectionWritable(): void {
    if (this.stream !== null) this.decoder.onWritable(this.stream)
  }

  onConnectionClosed(why: ResetReason): void {
    this.closing = true
    this.reader.stop()
    const s = this.stream
    this.stream = null
    if (s === null || s.dead) return
    s.dead = true
    this.decoder.onReset(s, why, '')
  }

  mayBegin(): boolean {
    return this.stream === null && !this.closing
  }

  onHead(h: HeaderBlock, bytes: number): Framing {
    const head = this.reader.head
    this.headBytes = 0
    this.protocol = head.http11 ? 'HTTP/1.1' : 'HTTP/1.0'
    // Where 1.0 is not served, its refusal (426) is a 1.1 response, as Envoy's.
    const as10 = !head.http11 && this.options.acceptHttp10
    const s = new Http1ServerStream(this, h.method === 'HEAD', h.method === 'CONNECT', as10)
    this.stream = s
    lastMade.serverStream = s
    s.headerBytesReceived = head.fieldBytes(bytes)
    s.wireBytesReceived = bytes
    // RFC 9112 §9.3: 1.1 persists unless told not to, 1.0 only when asked.
    s.closeAfter = this.draining || head.close || (!head.http11 && !head.keepAlive)
    if (!head.hasHost) {
      if (!head.http11 && this.options.acceptHttp10 && this.options.defaultHostForHttp10 !== '') {
        h.authority = this.options.defaultHostForHttp10
      } else s.hostMissing = true
    }
    if (head.contentLength >= 0 && head.chunked) {
      if (!this.options.allowChunkedLength) return this.refuse(s, 400, 'http1.content_length_and_chunked_not_allowed')
      h.remove('content-length')
    }
    let upgrade = head.hasUpgrade && head.upgradeToken
    if (head.nominates && !upgrade) {
      const host = h.authority
      if (!dropNominated(h)) return this.refuse(s, 400, 'http1.connection_header_rejected')
      if (h.authority !== host) s.hostMissing = true
    }
    const wrong = readTarget(h, this.options.allowAbsoluteUrl)
    if (wrong !== '') return this.refuse(s, 400, wrong)
    if (h.authority !== '') s.hostMissing = false
    if (h.method === 'CONNECT') {
      // RFC 9110 §9.3.6: no content; what follows belongs to the tunnel.
      if (head.chunked) return this.refuse(s, 501, 'http1.invalid_transfer_encoding')
      if (head.contentLength > 0) return this.refuse(s, 400, 'http1.body_disallowed')
      h.remove('content-length')
    }
    if (head.upgradeH2c) {
      dropH2c(h)
      upgrade = false
    }
    this.decoder.onNewStream?.(s)
    if (upgrade || h.method === 'CONNECT') {
      s.raw = true
      this.decoder.onHeaders(s, h, false)
      return Framing.UntilClose
    }
    const framing = head.chunked ? Framing.Chunked : head.contentLength > 0 ? Framing.Length : Framing.None
    s.endAtHead = framing === Framing.None
    if (s.endAtHead) s.readDone = true
    this.decoder.onHeaders(s, h, s.endAtHead)
    return framing
  }

  onBody(chunk: Uint8Array): void {
    const s = this.stream
    if (s === null || s.dead) return
    s.wireBytesReceived += chunk.length
    this.decoder.onData(s, chunk, false)
  }

  onMessageEnd(trailers: HeaderBlock | null): void {
    const s = this.stream
    if (s === null || s.dead || s.endAtHead) return
    s.readDone = true
    s.wireBytesReceived += this.reader.framingBytes
    if (trailers !== null && this.options.enableTrailers) this.decoder.onTrailers(s, trailers)
    else this.decoder.onData(s, EMPTY, true)
    this.finishIfDone(s)
  }

  onReadError(status: number, details: string): void {
    const s = this.stream ?? new Http1ServerStream(this, false, false, false)
    const begun = this.stream !== null
    if (!begun) s.wireBytesReceived = this.headBytes
    this.stream = s
    s.closeAfter = true
    if (!begun) this.decoder.onNewStream?.(s)
    this.reportError(s, status, details)
  }

  onEncodeComplete(s: Http1Stream): void {
    this.decoder.onEncodeComplete?.(s)
    this.finishIfDone(s)
  }

  onStreamReset(s: Http1Stream, _reason: ResetReason): void {
    if (this.stream !== s) return
    this.stream = null
    // HTTP/1 cannot cancel one exchange: whatever was not finished ends with the connection.
    if (!s.readDone || !s.writeDone) this.closeConnection(CloseHow.Flush)
    else this.next()
  }

  private finishIfDone(s: Http1Stream): void {
    if (!s.writeDone || this.stream !== s) return
    if (!s.readDone) {
      // The answer came before the request was read: nobody can tell where the next one begins, unless we read on.
      this.stream = null
      s.dead = true
      this.closeConnection(CloseHow.FlushAndDelay)
      return
    }
    this.stream = null
    s.dead = true
    if (s.closeAfter || (s as Http1ServerStream).raw || this.draining) {
      this.closeConnection(CloseHow.FlushAndDelay)
      return
    }
    this.next()
  }

  private next(): void {
    if (this.reader.waitingBytes > 0) this.reader.resume()
    // What held this exchange back does not hold the next one.
    this.connection.holdReading(ReadHold.Pipeline | ReadHold.PeerBuffer | ReadHold.Filter, false)
  }

  private closeConnection(how: CloseHow): void {
    this.closing = true
    this.reader.stop()
    this.connection.close(how)
  }

  private refuse(s: Http1ServerStream, status: number, details: string): Framing {
    this.reader.stop()
    s.closeAfter = true
    this.decoder.onNewStream?.(s)
    this.reportError(s, status, details)
    return Framing.None
  }

  private reportError(s: Http1ServerStream, status: number, details: string): void {
    s.readDone = true
    if (this.decoder.onProtocolError !== undefined) this.decoder.onProtocolError(s, status, details)
    else this.decoder.onConnectionError(details)
  }
}

const EMPTY = Buffer.alloc(0)

/** An exchange seen from the server. */
export class Http1ServerStream extends Http1Stream {
  /** HTTP/1.1 without Host: the connection manager answers 400. */
  hostMissing = false
  /** No body follows the request head. */
  endAtHead = false
  /** Upgrade or CONNECT: bytes are opaque once accepted. */
  raw = false
  private readonly headRequest: boolean
  private readonly connect: boolean
  private readonly http10: boolean

  constructor(owner: Http1StreamOwner, headRequest: boolean, connect: boolean, http10: boolean) {
    super(owner)
    this.headRequest = headRequest
    this.connect = connect
    this.http10 = http10
  }

  override encode1xx(h: HeaderBlock): void {
    if (this.http10) return
    const line = statusLine(h.status, false)
    this.send(`${line}${this.fieldLines(h)}\r\n`, line.length)
  }

  override encodeHeaders(h: HeaderBlock, end: boolean): void {
    const status = h.status
    const line = statusLine(status, this.http10)
    let text = line + this.owner.fields.write(h.list)
    const upgraded = status === 101 || (this.connect && status >= 200 && status < 300)
    const hasLength = h.has('content-length')
    let chunked = false
    if (upgraded || status < 200 || status === 204) {
      // RFC 9112 §6.3: no framing headers here.
    } else if (status === 304) {
      // A 304 carries the length of what was not sent, if the upstream named one.
    } else if (hasLength) {
      // Framed by what the headers say.
    } else if (end && !this.headRequest) {
      text += this.line('content-length', '0')
    } else if (this.http10) {
      this.closeAfter = true
    } else {
      chunked = true
      text += this.line('transfer-encoding', 'chunked')
    }
    if (this.raw && !upgraded) this.closeAfter = true
    this.begin(chunked, upgraded, this.headRequest || status === 204 || status === 304)
    this.send(`${text}\r\n`, line.length)
    if (end) this.complete()
  }
}

/** RFC 9113 dropped the h2c upgrade; Envoy ignores it and takes away what asked for it. */
function dropH2c(h: HeaderBlock): void {
  h.remove('upgrade')
  h.remove('http2-settings')
  const list = h.list
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] !== 'connection') continue
    const kept = list[i + 1]!.split(',')
      .filter(token => !/^\s*(upgrade|http2-settings)\s*$/i.test(token))
      .join(',')
      .trim()
    if (kept === '') h.remove('connection')
    else list[i + 1] = kept
  }
}
