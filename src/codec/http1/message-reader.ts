import { spendChunk } from '../../io/chunk-pool.ts'
import { HeaderBlock } from '../header-block.ts'
import { Chunk, ChunkedDecoder, Framing } from './body-parser.ts'
import { HeadParser, HeadResult } from './head-parser.ts'

/** What a side does with the messages it reads; implemented by the server and the client codec. */
export interface MessageSink {
  /** False while no further message may begin (pipelining); the reader keeps the bytes then. */
  mayBegin(): boolean
  /** A head was parsed (framing facts in `reader.head`); returns how the body is framed, and has given the head on. */
  onHead(h: HeaderBlock, bytes: number): Framing
  onBody(chunk: Uint8Array): void
  /** `trailers` is null when there were none. */
  onMessageEnd(trailers: HeaderBlock | null): void
  /** Nothing more will be read. */
  onReadError(status: number, details: string): void
}

const State = { Head: 0, Length: 1, Chunked: 2, Trailers: 3, UntilClose: 4, Dead: 5 } as const

/** A whole head usually fits; only longer ones are gathered in `partial`. */
const HEAD_SLICE = 8192
const empty = Buffer.alloc(0)

/**
 * Cuts the byte stream of one connection into messages: heads, body spans, trailers. Bytes of a message are handed on as
 * they come; only an incomplete head is copied, up to the head limit.
 */
export class MessageReader {
  readonly head: HeadParser
  private readonly sink: MessageSink
  private readonly isServer: boolean
  private readonly maxHeadBytes: number
  private readonly firstSlice: number
  /** Bytes of the current message that are neither head nor body: chunk sizes and trailers. */
  framingBytes = 0
  private readonly chunked = new ChunkedDecoder()
  private state: number = State.Head
  private remaining = 0
  /** Bytes of an incomplete head or trailer section; `partialLength` of them are used. */
  private partial: Buffer | null = null
  private partialLength = 0
  /** The partial head holds its start line, or has none to come that must be watched. */
  private lineSeen = false
  /** Bytes that came while no message may begin. */
  private waiting: Buffer = empty
  private dispatching = false

  constructor(sink: MessageSink, isServer: boolean, maxHeadersKb: number, maxHeadersCount: number) {
    this.sink = sink
    this.isServer = isServer
    this.maxHeadBytes = maxHeadersKb * 1024
    this.firstSlice = Math.min(HEAD_SLICE, this.maxHeadBytes)
    this.head = new HeadParser(maxHeadersCount)
  }

  /** Bytes kept back because no message may begin. */
  get waitingBytes(): number {
    return this.waiting.length
  }

  /** A message is being read: EOF now would cut it short. */
  get midMessage(): boolean {
    return (this.state !== State.Head && this.state !== State.Dead) || this.partialLength > 0
  }

  get untilClose(): boolean {
    return this.state === State.UntilClose
  }

  /** Stops for good; whatever comes is dropped. */
  stop(): void {
    this.state = State.Dead
    this.waiting = empty
    this.partial = null
    this.partialLength = 0
  }

  /** The rest of the connection is opaque (101, CONNECT): bytes go to onBody until the peer ends. */
  becomeRaw(): void {
    this.state = State.UntilClose
  }

  feed(chunk: Uint8Array): void {
    let bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    if (this.waiting.length > 0) {
      bytes = Buffer.concat([this.waiting, bytes])
      this.waiting = empty
    }
    // A sink that ends a message inside a callback calls resume(): the loop below goes on by itself then.
    if (this.dispatching) {
      this.waiting = bytes
      return
    }
    this.dispatching = true
    this.run(bytes)
    this.dispatching = false
  }

  /** Goes on with kept bytes once a message may begin again. */
  resume(): void {
    if (this.dispatching || this.waiting.length === 0) return
    const bytes = this.waiting
    this.waiting = empty
    this.feed(bytes)
  }

  private run(bytes: Buffer): void {
    let at = 0
    while (at < bytes.length) {
      switch (this.state) {
        case State.Head:
          if (!this.sink.mayBegin()) {
            this.waiting = at === 0 ? bytes : bytes.subarray(at)
            return
          }
          at = this.readHead(bytes, at)
          break
        case State.Length: {
          const take = Math.min(this.remaining, bytes.length - at)
          this.remaining -= take
          const span = take === bytes.length ? bytes : bytes.subarray(at, at + take)
          at += take
          this.sink.onBody(span)
          if (this.remaining === 0 && this.state === State.Length) this.finish(null)
          break
        }
        case State.Chunked:
          at = this.readChunked(bytes, at)
          break
        case State.Trailers:
          at = this.readTrailers(bytes, at)
          break
        case State.UntilClose:
          this.sink.onBody(at === 0 ? bytes : bytes.subarray(at))
          return
        default:
          return
      }
    }
  }

  private readHead(bytes: Buffer, at: number): number {
    if (this.partialLength > 0) return this.gather(bytes, at)
    if (this.isServer && (bytes[at] === 13 || bytes[at] === 10)) {
      // RFC 9112 §2.2: ignore empty lines before the request line.
      let next = at + 1
      while (next < bytes.length && (bytes[next] === 13 || bytes[next] === 10)) next++
      return next
    }
    const h = new HeaderBlock()
    const text = bytes.latin1Slice(at, Math.min(bytes.length, at + this.firstSlice))
    const end = this.isServer ? this.head.parseRequest(text, 0, h) : this.head.parseResponse(text, 0, h)
    if (end >= 0) {
      if (end > this.maxHeadBytes) {
        this.fail(431, 'http1.headers_too_large')
        return bytes.length
      }
      spendChunk(bytes, end)
      this.begin(h, end)
      return at + end
    }
    if (end === HeadResult.Error) {
      this.fail(this.head.status, this.head.details)
      return bytes.length
    }
    return this.gather(bytes, at)
  }

  private begin(h: HeaderBlock, headBytes: number): void {
    h.wireBytes = headBytes
    this.framingBytes = 0
    const framing = this.sink.onHead(h, headBytes)
    if (this.state !== State.Head) return
    switch (framing) {
      case Framing.None:
        this.finish(null)
        break
      case Framing.Length:
        this.remaining = this.head.contentLength
        this.state = State.Length
        break
      case Framing.Chunked:
        this.chunked.begin()
        this.state = State.Chunked
        break
      case Framing.UntilClose:
        this.state = State.UntilClose
        break
    }
  }

  /**
   * Collects an incomplete head or trailer section, never more than the limit. It is looked at again only when new bytes
   * can change the verdict, so slow peers cost little.
   */
  private gather(bytes: Buffer, at: number): number {
    const from = this.partialLength
    const take = Math.min(bytes.length - at, this.maxHeadBytes - from)
    const total = from + take
    if (this.partial === null) {
      this.partial = Buffer.allocUnsafe(Math.min(this.maxHeadBytes, Math.max(1024, take * 2)))
      this.lineSeen = this.state === State.Trailers || !this.isServer
    } else if (total > this.partial.length) {
      const grown = Buffer.allocUnsafe(Math.min(this.maxHeadBytes, Math.max(total, this.partial.length * 2)))
      this.partial.copy(grown, 0, 0, from)
      this.partial = grown
    }
    bytes.copy(this.partial, from, at, at + take)
    this.partialLength = total
    const full = total === this.maxHeadBytes
    if (!this.decides(this.partial, from, total) && !full) return at + take
    const text = this.partial.latin1Slice(0, total)
    const trailers = this.state === State.Trailers
    const h = new HeaderBlock()
    const parsed = trailers
      ? this.head.parseTrailers(text, h)
      : this.isServer
        ? this.head.parseRequest(text, 0, h)
        : this.head.parseResponse(text, 0, h)
    if (parsed === HeadResult.Incomplete && !full) return at + take
    if (parsed < 0) {
      if (parsed === HeadResult.Error) this.fail(this.head.status, this.head.details)
      else this.fail(431, 'http1.headers_too_large')
      return bytes.length
    }
    this.partialLength = 0
    this.partial = null
    const next = at + (parsed - from)
    if (trailers) {
      this.framingBytes += parsed
      this.finish(h)
    } else this.begin(h, parsed)
    return next
  }

  /** True when [from, to) ends a line, or spoils the head: control characters in the start line, a line of CR and more. */
  private decides(bytes: Buffer, from: number, to: number): boolean {
    for (let i = from; i < to; i++) {
      const byte = bytes[i]!
      if (byte === 10) {
        this.lineSeen = true
        return true
      }
      if (!this.lineSeen && (byte < 32 || byte === 127) && byte !== 13) return true
      if (i > 0 && bytes[i - 1] === 13 && (i === 1 || bytes[i - 2] === 10)) return true
    }
    return false
  }

  private readChunked(bytes: Buffer, start: number): number {
    const decoder = this.chunked
    let at = start
    while (at < bytes.length && this.state === State.Chunked) {
      const step = decoder.next(bytes, at)
      const framing = decoder.to - at - (step === Chunk.Data ? decoder.to - decoder.from : 0)
      this.framingBytes += framing
      if (framing > 0) spendChunk(bytes, framing)
      at = decoder.to
      if (step === Chunk.Data) {
        this.sink.onBody(bytes.subarray(decoder.from, decoder.to))
      } else if (step === Chunk.Last) {
        this.state = State.Trailers
        return at
      } else if (step === Chunk.Error) {
        this.fail(400, 'http1.codec_error')
        return bytes.length
      } else return at
    }
    return at
  }

  private readTrailers(bytes: Buffer, at: number): number {
    if (this.partialLength === 0 && bytes[at] === 13 && bytes[at + 1] === 10) {
      this.framingBytes += 2
      this.finish(null)
      return at + 2
    }
    return this.gather(bytes, at)
  }

  private finish(trailers: HeaderBlock | null): void {
    this.state = State.Head
    this.sink.onMessageEnd(trailers !== null && trailers.list.length > 0 ? trailers : null)
  }

  private fail(status: number, details: string): void {
    this.stop()
    this.sink.onReadError(status, details)
  }
}
