import type { CodecStream, StreamDecoder } from '../../codec/codec.ts'
import type { HeaderBlock } from '../../codec/header-block.ts'
import { CloseHow, CloseReason, type Connection, type ConnectionHandler, Flow } from '../../io/connection.ts'
import type { Http1Codec, Http2Codec } from '../connector.ts'
import type { HealthChecker } from './checker.ts'
import type { HealthCheckSession } from './session.ts'

/** What an exchange reports; exactly one of `onDone` and `onBroken` per request. */
export interface ExchangeUser {
  onHead(h: HeaderBlock): void
  onBody(chunk: Uint8Array): void
  /** The answer is complete. `trailers` null when there were none. */
  onDone(trailers: HeaderBlock | null): void
  /** No (whole) answer: refused, closed, reset. */
  onBroken(): void
}

/** One connection to a host for HTTP and gRPC checks, kept between checks when `reuse_connection` says so. */
export class HttpExchange implements StreamDecoder {
  private readonly checker: HealthChecker
  private readonly session: HealthCheckSession
  private readonly user: ExchangeUser
  private readonly isHttp2: boolean
  private connection: Connection | null = null
  private codec: Http1Codec | Http2Codec | null = null
  private stream: CodecStream | null = null
  private head: HeaderBlock | null = null
  private body: Uint8Array | null = null
  /** A request was made and nothing reported yet. */
  private waiting = false
  private draining = false

  constructor(checker: HealthChecker, session: HealthCheckSession, user: ExchangeUser, isHttp2: boolean) {
    this.checker = checker
    this.session = session
    this.user = user
    this.isHttp2 = isHttp2
  }

  request(head: HeaderBlock, body: Uint8Array | null): void {
    this.head = head
    this.body = body
    this.waiting = true
    if (this.codec !== null) {
      this.send()
      return
    }
    const host = this.session.host
    const options = this.checker.connectOptions(host, this.isHttp2 ? ['h2'] : ['http/1.1'])
    this.connection = this.checker.services.connector.connect(this.checker.address(host), options, new Link(this))
  }

  /** Ends the request, if any, without a report, and the connection. */
  close(): void {
    const c = this.connection
    this.waiting = false
    this.stream = null
    this.connection = null
    this.codec = null
    this.draining = false
    if (c !== null && !c.closed) c.close(CloseHow.NoFlush, CloseReason.Local)
  }

  // Connection events, by way of Link

  onConnected(c: Connection): void {
    if (c !== this.connection) return
    const owner = { config: this.checker.hosts.config, stats: this.checker.stats }
    const { codecs } = this.checker.services
    this.codec = this.isHttp2 ? codecs.http2(c, this, owner) : codecs.http1(c, this, owner)
    if (this.waiting) this.send()
  }

  onBytes(c: Connection, chunk: Uint8Array, end: boolean): void {
    if (c !== this.connection) return
    this.codec?.dispatch(chunk, end)
    if (end && c === this.connection) this.broken()
  }

  onConnectionWritable(): void {
    this.codec?.onConnectionWritable()
  }

  onGone(c: Connection): void {
    if (c === this.connection) this.broken()
  }

  // Stream events

  onHeaders(s: CodecStream, h: HeaderBlock, end: boolean): void {
    if (s !== this.stream || h.status < 200) return
    this.user.onHead(h)
    if (end) this.done(null)
  }

  onData(s: CodecStream, chunk: Uint8Array, end: boolean): Flow {
    if (s !== this.stream) return Flow.Continue
    if (chunk.length > 0) this.user.onBody(chunk)
    if (end) this.done(null)
    return Flow.Continue
  }

  onTrailers(s: CodecStream, t: HeaderBlock): void {
    if (s === this.stream) this.done(t)
  }

  onReset(s: CodecStream): void {
    if (s === this.stream) this.broken()
  }

  onWritable(): void {}

  onGoAway(): void {
    this.draining = true
    if (this.stream === null) this.close()
  }

  onConnectionError(): void {
    this.broken()
  }

  private send(): void {
    const s = this.codec!.newStream(this)
    if (s === null) {
      this.broken()
      return
    }
    this.stream = s
    s.encodeHeaders(this.head!, this.body === null)
    if (this.body !== null) s.encodeData(this.body, true)
  }

  private done(trailers: HeaderBlock | null): void {
    const codec = this.codec
    const used = this.draining || (codec !== null && 'shouldClose' in codec && codec.shouldClose)
    this.stream = null
    this.waiting = false
    if (used || !this.checker.config.reuseConnection) this.close()
    this.user.onDone(trailers)
  }

  private broken(): void {
    const failed = this.waiting
    this.close()
    // An idle connection that ends says nothing about the host.
    if (failed) this.user.onBroken()
  }
}

class Link implements ConnectionHandler {
  private readonly exchange: HttpExchange
  constructor(exchange: HttpExchange) {
    this.exchange = exchange
  }

  onConnected(c: Connection): void {
    this.exchange.onConnected(c)
  }

  onData(c: Connection, chunk: Uint8Array, end: boolean): void {
    this.exchange.onBytes(c, chunk, end)
  }

  onWritable(): void {
    this.exchange.onConnectionWritable()
  }

  onClose(c: Connection): void {
    this.exchange.onGone(c)
  }
}
