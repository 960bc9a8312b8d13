import { Flow } from '../../io/connection.ts'
import type { CodecStream, ResetReason } from '../codec.ts'
import type { HeaderBlock } from '../header-block.ts'
import type { Http2Connection } from './connection.ts'
import { ReceiveWindow, SendWindow } from './flow-window.ts'
import { DEFAULT_WINDOW } from './frames.ts'

/** One stream; pooled by its connection. Everything the codec knows about a stream is here, flat. */
export class Http2Stream implements CodecStream {
  user: unknown = null
  /** 0 on a client stream until its HEADERS are written: ids must ascend on the wire (RFC 9113 §5.1.1). */
  id = 0
  closeAfter = false
  headerBytesSent = 0
  headerBytesReceived = 0
  wireBytesSent = 0
  wireBytesReceived = 0

  readonly connection: Http2Connection
  readonly sendWindow = new SendWindow(DEFAULT_WINDOW)
  readonly receiveWindow = new ReceiveWindow(DEFAULT_WINDOW)
  /** Not in the connection's table (any more). Late calls are no-ops. */
  closed = true
  /** The owner gave the last of its message; `localEndSent`: END_STREAM is on its way. */
  localEnd = false
  localEndSent = false
  /** Nobody reads it any more: what is queued goes out, and then RST_STREAM. */
  resetAfterFlush = false
  remoteEnd = false
  /** The final head was sent or received. */
  headSent = false
  headReceived = false
  /** Client side: a response body is not counted against content-length (HEAD). */
  bodiless = false
  /** Upgrade token of an extended CONNECT (RFC 8441), which is an HTTP/1 upgrade above the codec; '' for other requests. */
  upgrade = ''
  /** Content-length of the incoming message, -1 when unknown, and the DATA bytes so far. */
  expected = -1
  received = 0
  /** ReadHold bits; while any is set, `unreturned` collects credit that the peer does not get back. */
  holds = 0
  unreturned = 0
  /** DATA that could not be sent yet. */
  queue: Uint8Array[] = []
  queueHead = 0
  bufferedBytes = 0
  trailers: HeaderBlock | null = null
  /** `bufferedBytes` when the flush timer last looked; -1 before. */
  flushMark = -1
  /** In the sender's list of streams with a queue. */
  waiting = false
  /** The owner was told to pause and waits for onWritable. */
  paused = false

  constructor(connection: Http2Connection) {
    this.connection = connection
  }

  /** Makes a pooled object a fresh stream. */
  open(id: number, user: unknown, sendWindow: number, receiveWindow: number): void {
    this.user = user
    this.id = id
    this.closeAfter = false
    this.headerBytesSent = 0
    this.headerBytesReceived = 0
    this.wireBytesSent = 0
    this.wireBytesReceived = 0
    this.sendWindow.available = sendWindow
    this.receiveWindow.reset(receiveWindow)
    this.closed = false
    this.localEnd = false
    this.localEndSent = false
    this.resetAfterFlush = false
    this.remoteEnd = false
    this.headSent = false
    this.headReceived = false
    this.bodiless = false
    this.upgrade = ''
    this.expected = -1
    this.received = 0
    this.holds = 0
    this.unreturned = 0
    this.trailers = null
    this.flushMark = -1
    this.waiting = false
    this.paused = false
  }

  encodeHeaders(h: HeaderBlock, end: boolean): void {
    if (!this.closed && !this.localEnd && !this.headSent) this.connection.encodeHeaders(this, h, end)
  }

  encode1xx(h: HeaderBlock): void {
    if (!this.closed && !this.headSent) this.connection.sender.headers(this, h, false)
  }

  encodeData(chunk: Uint8Array, end: boolean): Flow {
    if (this.closed || this.localEnd) return Flow.Continue
    return this.connection.sender.data(this, chunk, end)
  }

  encodeTrailers(t: HeaderBlock): void {
    if (!this.closed && !this.localEnd) this.connection.sender.finish(this, t)
  }

  reset(reason: ResetReason): void {
    if (!this.closed) this.connection.resetStream(this, reason)
  }

  holdReading(bit: number, hold: boolean): void {
    const holds = hold ? this.holds | bit : this.holds & ~bit
    if (holds === this.holds) return
    this.holds = holds
    if (holds === 0 && this.unreturned > 0 && !this.closed) {
      const bytes = this.unreturned
      this.unreturned = 0
      this.connection.inbound.consumed(this, bytes)
    }
  }
}
