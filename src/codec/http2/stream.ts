import { Flow } from '../../io/connection.ts'
import type { CodecStream, ResetReason } from '../codec.ts'
import type { HeaderBlock } from '../header-block.ts'
import type { Http2Connection } from './connection.ts'
import { DEFAULT_WINDOW } from './frames.ts'

/** What is so about a stream, a bit each: as fields they would be 90 bytes of every stream in flight. */
export const Mark = {
  /** Not in the connection's table (any more). Late calls are no-ops. */
  Closed: 1,
  /** The owner gave the last of its message. */
  LocalEnd: 2,
  /** END_STREAM is on its way. */
  LocalEndSent: 4,
  /** Nobody reads it any more: what is queued goes out, and then RST_STREAM. */
  ResetAfterFlush: 8,
  RemoteEnd: 16,
  /** The final head was sent or received. */
  HeadSent: 32,
  HeadReceived: 64,
  /** Client side: a response body is not counted against content-length (HEAD). */
  Bodiless: 128,
  /** In the sender's list of streams with a queue. */
  Waiting: 256,
  /** The owner was told to pause and waits for onWritable. */
  Paused: 512,
  CloseAfter: 1024,
} as const
export type Mark = (typeof Mark)[keyof typeof Mark]

/** What could not be sent yet. Streams have one from the first time that they must wait. */
export class SendQueue {
  chunks: Uint8Array[] = []
  /** Chunks before this one are gone. */
  head = 0
  bytes = 0
  trailers: HeaderBlock | null = null
  /** `bytes` when the flush timer last looked; -1 before. */
  flushMark = -1
}

/** One stream; pooled by its connection. Everything the codec knows about a stream is here, flat. */
export class Http2Stream implements CodecStream {
  user: unknown = null
  /** 0 on a client stream until its HEADERS are written: ids must ascend on the wire (RFC 9113 §5.1.1). */
  id = 0
  headerBytesSent = 0
  headerBytesReceived = 0
  wireBytesSent = 0
  wireBytesReceived = 0

  readonly connection: Http2Connection
  private marks: number = Mark.Closed
  /** `Sending` and `Receiving` of flow-window.ts. */
  sendWindow = DEFAULT_WINDOW
  receiveWindow = DEFAULT_WINDOW
  consumed = 0
  /** Upgrade token of an extended CONNECT (RFC 8441), which is an HTTP/1 upgrade above the codec; '' for other requests. */
  upgrade = ''
  /** Content-length of the incoming message, -1 when unknown, and the DATA bytes so far. */
  expected = -1
  received = 0
  /** ReadHold bits; while any is set, `unreturned` collects credit that the peer does not get back. */
  holds = 0
  unreturned = 0
  queue: SendQueue | null = null

  constructor(connection: Http2Connection) {
    this.connection = connection
  }

  /** Makes a pooled object a fresh stream. */
  open(id: number, user: unknown, sendWindow: number, receiveWindow: number): void {
    this.user = user
    this.id = id
    this.headerBytesSent = 0
    this.headerBytesReceived = 0
    this.wireBytesSent = 0
    this.wireBytesReceived = 0
    this.marks = 0
    this.sendWindow = sendWindow
    this.receiveWindow = receiveWindow
    this.consumed = 0
    this.upgrade = ''
    this.expected = -1
    this.received = 0
    this.holds = 0
    this.unreturned = 0
    this.queue = null
  }

  is(mark: Mark): boolean {
    return (this.marks & mark) !== 0
  }

  mark(mark: Mark): void {
    this.marks |= mark
  }

  unmark(mark: Mark): void {
    this.marks &= ~mark
  }

  get closeAfter(): boolean {
    return this.is(Mark.CloseAfter)
  }

  set closeAfter(value: boolean) {
    if (value) this.mark(Mark.CloseAfter)
    else this.unmark(Mark.CloseAfter)
  }

  get bufferedBytes(): number {
    return this.queue === null ? 0 : this.queue.bytes
  }

  encodeHeaders(h: HeaderBlock, end: boolean): void {
    if ((this.marks & (Mark.Closed | Mark.LocalEnd | Mark.HeadSent)) === 0) this.connection.encodeHeaders(this, h, end)
  }

  encode1xx(h: HeaderBlock): void {
    if ((this.marks & (Mark.Closed | Mark.HeadSent)) === 0) this.connection.sender.headers(this, h, false)
  }

  encodeData(chunk: Uint8Array, end: boolean): Flow {
    if ((this.marks & (Mark.Closed | Mark.LocalEnd)) !== 0) return Flow.Continue
    return this.connection.sender.data(this, chunk, end)
  }

  encodeTrailers(t: HeaderBlock): void {
    if ((this.marks & (Mark.Closed | Mark.LocalEnd)) === 0) this.connection.sender.finish(this, t)
  }

  reset(reason: ResetReason): void {
    if (!this.is(Mark.Closed)) this.connection.resetStream(this, reason)
  }

  holdReading(bit: number, hold: boolean): void {
    const holds = hold ? this.holds | bit : this.holds & ~bit
    if (holds === this.holds) return
    this.holds = holds
    if (holds === 0 && this.unreturned > 0 && !this.is(Mark.Closed)) {
      const bytes = this.unreturned
      this.unreturned = 0
      this.connection.inbound.release(this, bytes)
    }
  }
}
