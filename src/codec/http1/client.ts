import { lastMade } from '../../base/specimens.ts'
import { CloseHow, type Connection, ReadHold } from '../../io/connection.ts'
import { type Codec, type CodecStream, ResetReason, type StreamDecoder } from '../codec.ts'
import type { HeaderBlock } from '../header-block.ts'
import { Framing } from './body-parser.ts'
import { FieldWriter } from './field-writer.ts'
import { MessageReader, type MessageSink } from './message-reader.ts'
import { plainName, properCaseName } from './names.ts'
import type { Http1Options } from './options.ts'
import { StartWriter } from './start-writer.ts'
import { Http1Stream, type Http1StreamOwner } from './stream.ts'

const EMPTY = Buffer.alloc(0)

/** Client side of HTTP/1.1: one request at a time, no pipelining (as Envoy's pool). */
export class Http1ClientCodec implements Codec, MessageSink, Http1StreamOwner {
  protocol: 'HTTP/1.0' | 'HTTP/1.1' = 'HTTP/1.1'
  readonly connection: Connection
  readonly properCase: boolean
  readonly start: StartWriter
  readonly fields: FieldWriter
  readonly enableTrailers: boolean
  /** The connection may not be used again after the current exchange (`connection: close`, HTTP/1.0, read-until-close, errors). */
  shouldClose = false
  private readonly decoder: StreamDecoder
  private readonly options: Http1Options
  private readonly reader: MessageReader
  private stream: Http1ClientStream | null = null
  private broken = false

  constructor(connection: Connection, decoder: StreamDecoder, options: Http1Options) {
    this.connection = connection
    this.decoder = decoder
    this.options = options
    this.properCase = options.properCase
    this.start = new StartWriter(options.properCase ? 'Host' : 'host')
    this.fields = new FieldWriter(options.properCase ? properCaseName : plainName)
    this.enableTrailers = options.enableTrailers
    this.reader = new MessageReader(this, false, options.maxHeadersKb, options.maxHeadersCount)
  }

  get activeStreams(): number {
    return this.stream === null ? 0 : 1
  }

  newStream(user: unknown): CodecStream | null {
    if (this.stream !== null || this.shouldClose || this.broken) return null
    const s = new Http1ClientStream(this)
    s.user = user
    this.stream = s
    lastMade.clientStream = s
    return s
  }

  dispatch(chunk: Uint8Array, end: boolean): void {
    const s = this.stream
    if (chunk.length > 0 && !this.broken) {
      if (s === null) {
        // Bytes nobody asked for: a response without a request desynchronises the connection.
        this.shouldClose = true
        this.broken = true
        this.decoder.onConnectionError('http1.codec_error')
        return
      }
      s.wireBytesReceived += chunk.length
      this.reader.feed(chunk)
      if (this.stream === null && this.reader.waitingBytes > 0 && !this.broken) {
        // The same, sent right behind the response: kept, they would be taken for the next request's answer.
        this.shouldClose = true
        this.broken = true
        this.reader.stop()
        this.decoder.onConnectionError('http1.codec_error')
        return
      }
    }
    if (end && !this.broken) {
      this.shouldClose = true
      const current = this.stream
      if (current !== null && this.reader.untilClose) this.endMessage(current, null)
    }
  }

  drain(_final: boolean): void {
    this.shouldClose = true
  }

  onConnectionWritable(): void {
    if (this.stream !== null) this.decoder.onWritable(this.stream)
  }

  /** A peer that closes inside a body broke the protocol; before the head it terminated the connection. */
  onConnectionClosed(why: ResetReason): void {
    this.shouldClose = true
    this.broken = true
    const s = this.stream
    this.stream = null
    const cutShort = this.reader.midMessage
    this.reader.stop()
    if (s === null || s.dead) return
    s.dead = true
    const reason = why === ResetReason.ConnectionTermination && cutShort ? ResetReason.Protocol : why
    this.decoder.onReset(s, reason, '')
  }

  mayBegin(): boolean {
    return this.stream !== null && !this.stream.readDone
  }

  onHead(h: HeaderBlock, bytes: number): Framing {
    const s = this.stream!
    const head = this.reader.head
    const status = h.status
    this.protocol = head.http11 ? 'HTTP/1.1' : 'HTTP/1.0'
    s.headerBytesReceived += head.fieldBytes(bytes)
    // RFC 9112 §6.1, RFC 9110 §8.6: such responses have no body to frame. One that does is out of step.
    if (status < 200 || status === 204) {
      if (head.chunked) return this.fail('http1.transfer_encoding_not_allowed')
      if (head.contentLength > 0) return this.fail('http1.body_disallowed')
    }
    if (status < 200 && status !== 101) {
      s.interim = true
      this.decoder.onHeaders(s, h, false)
      return Framing.None
    }
    s.interim = false
    if (head.close || (!head.http11 && !head.keepAlive)) this.shouldClose = true
    if (head.contentLength >= 0 && head.chunked) {
      if (!this.options.allowChunkedLength) return this.fail('http1.content_length_and_chunked_not_allowed')
      h.remove('content-length')
    }
    if (status === 101 || (s.connect && status >= 200 && status < 300)) {
      if (status === 101 && !s.upgrade) return this.fail('http1.unexpected_switching_protocols')
      s.raw = true
      this.shouldClose = true
      this.decoder.onHeaders(s, h, false)
      return Framing.UntilClose
    }
    if (s.headRequest || status === 204 || status === 304) return this.headOnly(s, h)
    if (head.chunked) {
      this.decoder.onHeaders(s, h, false)
      return Framing.Chunked
    }
    if (head.contentLength === 0) return this.headOnly(s, h)
    this.decoder.onHeaders(s, h, false)
    if (head.contentLength > 0) return Framing.Length
    this.shouldClose = true
    return Framing.UntilClose
  }

  onBody(chunk: Uint8Array): void {
    const s = this.stream
    if (s === null || s.dead) return
    this.decoder.onData(s, chunk, false)
  }

  onMessageEnd(trailers: HeaderBlock | null): void {
    const s = this.stream
    if (s === null || s.dead || s.interim) return
    this.endMessage(s, trailers)
  }

  onReadError(_status: number, details: string): void {
    this.fail(details)
  }

  onEncodeComplete(s: Http1Stream): void {
    this.decoder.onEncodeComplete?.(s)
    this.release(s)
  }

  onStreamReset(s: Http1Stream, _reason: ResetReason): void {
    if (this.stream !== s) return
    this.stream = null
    this.shouldClose = true
    this.broken = true
    this.reader.stop()
    this.connection.close(CloseHow.NoFlush)
  }

  private headOnly(s: Http1ClientStream, h: HeaderBlock): Framing {
    s.endAtHead = true
    s.readDone = true
    this.release(s)
    this.decoder.onHeaders(s, h, true)
    return Framing.None
  }

  private endMessage(s: Http1ClientStream, trailers: HeaderBlock | null): void {
    if (s.endAtHead) return
    s.readDone = true
    this.release(s)
    if (trailers !== null && this.options.enableTrailers) this.decoder.onTrailers(s, trailers)
    else this.decoder.onData(s, EMPTY, true)
  }

  /** The exchange is over for the codec once both messages are complete: the next may begin. */
  private release(s: Http1Stream): void {
    if (!s.readDone) return
    // The answer came before the request was sent: the rest of the request would be read as the next one.
    if (!s.writeDone) this.shouldClose = true
    if (this.stream === s) this.stream = null
    // Whoever held the response back with its last bytes does not hold the next one.
    this.connection.holdReading(ReadHold.PeerBuffer | ReadHold.Filter, false)
  }

  private fail(details: string): Framing {
    const s = this.stream
    this.shouldClose = true
    this.broken = true
    this.stream = null
    this.reader.stop()
    if (s !== null && !s.dead) {
      s.dead = true
      this.decoder.onReset(s, ResetReason.Protocol, details)
    }
    this.decoder.onConnectionError(details)
    return Framing.None
  }
}

/** Methods whose requests say nothing about a body they do not have (RFC 9110 §8.6). */
function isBodiless(method: string): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'DELETE' || method === 'CONNECT' || method === 'TRACE'
}

/** An exchange seen from the client. */
export class Http1ClientStream extends Http1Stream {
  headRequest = false
  connect = false
  upgrade = false
  /** The head read last was 1xx: the real one is still to come. */
  interim = false
  endAtHead = false
  raw = false

  override encode1xx(_h: HeaderBlock): void {
    // Requests have no interim heads.
  }

  override encodeHeaders(h: HeaderBlock, end: boolean): void {
    const method = h.method
    this.headRequest = method === 'HEAD'
    this.connect = method === 'CONNECT'
    this.upgrade = h.has('upgrade')
    const target = this.connect ? h.authority : h.path
    const { start } = this.owner as Http1ClientCodec
    let text = start.write(method, target, h.authority) + this.owner.fields.write(h.list)
    let chunked = false
    if (!h.has('content-length') && !this.connect && !this.upgrade) {
      if (!end) {
        chunked = true
        text += this.line('transfer-encoding', 'chunked')
      } else if (!isBodiless(method)) text += this.line('content-length', '0')
    }
    this.begin(chunked, this.connect || this.upgrade, false)
    // Method, target, two blanks, the version and the end of the line.
    this.send(`${text}\r\n`, method.length + target.length + 12)
    if (end) this.complete()
  }
}
