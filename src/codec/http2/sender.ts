import { cut } from '../../base/list.ts'
import { spendChunk } from '../../io/chunk-pool.ts'
import { type Connection, Flow } from '../../io/connection.ts'
import { HeaderBlock } from '../header-block.ts'
import type { Http2Connection } from './connection.ts'
import {
  DEFAULT_MAX_FRAME_SIZE,
  DEFAULT_WINDOW,
  Flag,
  FRAME_HEAD,
  FrameType,
  writeFrameHead,
  writeUint32,
} from './frames.ts'
import { HpackEncoder } from './hpack-encoder.ts'
import { output } from './output.ts'
import { type Http2Stream, Mark, SendQueue } from './stream.ts'

/** DATA up to this size is copied behind its frame head: cheaper than one more element in the write. */
const COPY_LIMIT = 4096

/** The sending half of a connection: HPACK, frames, flow control and the queues of streams that must wait. */
export class Sender {
  readonly encoder: HpackEncoder
  /** The connection's, `Sending` of flow-window.ts. */
  sendWindow = DEFAULT_WINDOW
  /** SETTINGS_INITIAL_WINDOW_SIZE and SETTINGS_MAX_FRAME_SIZE of the peer. */
  initialWindow = DEFAULT_WINDOW
  maxFrameSize = DEFAULT_MAX_FRAME_SIZE
  /** The socket buffer is above its high watermark: DATA stays in the streams' queues. */
  private aboveHigh = false
  /** Bytes given to the connection. */
  written = 0
  private readonly waiting: Http2Stream[] = []
  private next = 0
  private readonly highWatermark: number
  private readonly owner: Http2Connection
  private readonly connection: Connection

  constructor(owner: Http2Connection, connection: Connection, tableSize: number, highWatermark: number) {
    this.owner = owner
    this.connection = connection
    this.encoder = new HpackEncoder(tableSize)
    this.highWatermark = highWatermark
  }

  /** The output slab hands over what was serialised. */
  send(bytes: Uint8Array): void {
    this.written += bytes.length
    if (this.connection.write(bytes) === Flow.Pause) this.aboveHigh = true
  }

  /** HEADERS, with CONTINUATION where the peer's frame size demands it. */
  headers(s: Http2Stream, block: HeaderBlock, end: boolean): void {
    const bound = HpackEncoder.bound(block)
    const limit = this.maxFrameSize
    output.reserve(this, FRAME_HEAD + bound + (((bound / limit) | 0) + 1) * FRAME_HEAD)
    const bytes = output.bytes
    const head = output.at
    const length = this.encoder.encode(block, bytes, head + FRAME_HEAD) - head - FRAME_HEAD
    const flags = end ? Flag.EndStream : 0
    this.owner.limits.frameSent(false)
    let total = length + FRAME_HEAD
    if (length <= limit) writeFrameHead(bytes, head, length, FrameType.Headers, flags | Flag.EndHeaders, s.id)
    else total = this.split(bytes, head, length, flags, s.id)
    output.at = head + total
    s.headerBytesSent += total
    s.wireBytesSent += total
    if (end) this.ended(s)
  }

  data(s: Http2Stream, chunk: Uint8Array, end: boolean): Flow {
    const length = chunk.length
    if (end) s.mark(Mark.LocalEnd)
    if (
      s.bufferedBytes === 0 &&
      !s.is(Mark.Waiting) &&
      !this.aboveHigh &&
      length <= s.sendWindow &&
      length <= this.sendWindow
    ) {
      if (length > 0 || end) this.writeData(s, chunk, 0, length, end)
      if (end) {
        this.ended(s)
        return Flow.Continue
      }
      return this.flow(s)
    }
    // An empty DATA frame needs no window, but must not overtake the queue.
    s.queue ??= new SendQueue()
    if (length > 0) {
      s.queue.chunks.push(chunk)
      s.queue.bytes += length
      this.owner.stats.pendingSendBytes.add(length)
    }
    if (!s.is(Mark.Waiting) && (length > 0 || end)) {
      s.mark(Mark.Waiting)
      this.waiting.push(s)
    }
    this.pump(s, Number.MAX_SAFE_INTEGER)
    if (s.is(Mark.Closed)) return Flow.Continue
    if (end) this.owner.session.awaitFlush()
    return this.flow(s)
  }

  /** Ends the message with trailers, after whatever is queued. */
  finish(s: Http2Stream, trailers: HeaderBlock): void {
    s.mark(Mark.LocalEnd)
    if (s.is(Mark.Waiting)) {
      const copy = new HeaderBlock()
      copy.copyFrom(trailers)
      s.queue!.trailers = copy
      this.owner.session.awaitFlush()
    } else this.trailers(s, trailers)
  }

  /** WINDOW_UPDATE or a larger initial window opened the stream. */
  streamWindowOpened(s: Http2Stream): void {
    if (!s.is(Mark.Waiting) || this.aboveHigh) return
    this.pump(s, Number.MAX_SAFE_INTEGER)
    this.wake(s)
  }

  /** WINDOW_UPDATE on stream 0, or room in the socket: one frame per stream in turn, so that none starves another. */
  pumpAll(): void {
    const waiting = this.waiting
    let stuck = 0
    while (waiting.length > 0 && stuck < waiting.length && this.sendWindow > 0 && !this.aboveHigh) {
      if (this.next >= waiting.length) this.next = 0
      const s = waiting[this.next]!
      const sent = this.pump(s, this.maxFrameSize)
      if (s.is(Mark.Waiting)) this.next++
      stuck = sent ? 0 : stuck + 1
      this.wake(s)
    }
  }

  connectionWritable(): void {
    this.aboveHigh = false
    this.pumpAll()
  }

  /** Tells a paused owner that it may go on. */
  wake(s: Http2Stream): void {
    if (!s.is(Mark.Paused) || s.is(Mark.Closed) || this.aboveHigh || s.bufferedBytes > this.highWatermark >>> 1) return
    s.unmark(Mark.Paused)
    this.owner.decoder.onWritable(s)
  }

  /**
   * Streams whose message is complete here but that made no progress since the last call go into `stalled`; true when
   * others wait, too.
   */
  findStalled(stalled: Http2Stream[]): boolean {
    let others = false
    for (let i = 0; i < this.waiting.length; i++) {
      const s = this.waiting[i]!
      if (!s.is(Mark.LocalEnd)) continue
      const queue = s.queue!
      if (queue.flushMark === queue.bytes) stalled.push(s)
      else {
        queue.flushMark = queue.bytes
        others = true
      }
    }
    return others
  }

  /** Drops what a dying stream has queued. */
  forget(s: Http2Stream): void {
    const { queue } = s
    if (queue !== null) {
      if (queue.bytes > 0) this.owner.stats.pendingSendBytes.add(-queue.bytes)
      // Emptied too: `pump` may be under way with it, when a write has found the connection dead.
      cut(queue.chunks, 0)
      queue.head = 0
      queue.bytes = 0
      queue.trailers = null
      s.queue = null
    }
    if (s.is(Mark.Waiting)) this.leave(s)
  }

  /** Frames with a four-octet payload: RST_STREAM and WINDOW_UPDATE. */
  word(type: number, stream: number, value: number): void {
    output.reserve(this, FRAME_HEAD + 4)
    const at = output.at
    writeFrameHead(output.bytes, at, 4, type, 0, stream)
    writeUint32(output.bytes, at + FRAME_HEAD, value)
    output.at = at + FRAME_HEAD + 4
  }

  private flow(s: Http2Stream): Flow {
    if (!this.aboveHigh && s.bufferedBytes <= this.highWatermark) return Flow.Continue
    s.mark(Mark.Paused)
    return Flow.Pause
  }

  private trailers(s: Http2Stream, trailers: HeaderBlock): void {
    // Empty trailers are an empty DATA frame with END_STREAM, as in Envoy.
    if (trailers.list.length > 0) {
      this.headers(s, trailers, true)
      return
    }
    this.writeData(s, EMPTY, 0, 0, true)
    this.ended(s)
  }

  private ended(s: Http2Stream): void {
    s.mark(Mark.LocalEnd)
    s.mark(Mark.LocalEndSent)
    this.owner.localEnded(s)
  }

  /** Sends up to `budget` bytes of the queue; true when something went out. */
  private pump(s: Http2Stream, budget: number): boolean {
    const queue = s.queue!
    const { chunks } = queue
    let left = budget
    let sent = false
    while (queue.head < chunks.length && left > 0 && !this.aboveHigh) {
      const room = Math.min(s.sendWindow, this.sendWindow, left)
      if (room <= 0) break
      const chunk = chunks[queue.head]!
      const take = Math.min(room, chunk.length)
      const last = take === chunk.length && queue.head === chunks.length - 1
      // What is sent is let go at once: a stream that always has more than its window takes may live for days.
      if (take === chunk.length) chunks[queue.head++] = EMPTY
      else chunks[queue.head] = chunk.subarray(take)
      queue.bytes -= take
      left -= take
      this.owner.stats.pendingSendBytes.add(-take)
      this.writeData(s, chunk, 0, take, last && s.is(Mark.LocalEnd) && queue.trailers === null)
      sent = true
    }
    if (queue.head < chunks.length) {
      if (queue.head >= 64) {
        chunks.splice(0, queue.head)
        queue.head = 0
      }
      return sent
    }
    if (s.is(Mark.Closed)) return sent
    cut(chunks, 0)
    queue.head = 0
    this.leave(s)
    if (s.is(Mark.LocalEnd)) {
      const { trailers } = queue
      queue.trailers = null
      if (trailers !== null) this.trailers(s, trailers)
      else {
        if (!sent) this.writeData(s, EMPTY, 0, 0, true)
        this.ended(s)
      }
      return true
    }
    return sent
  }

  private leave(s: Http2Stream): void {
    s.unmark(Mark.Waiting)
    const index = this.waiting.indexOf(s)
    if (index < 0) return
    this.waiting.splice(index, 1)
    if (index < this.next) this.next--
  }

  private writeData(s: Http2Stream, chunk: Uint8Array, from: number, length: number, end: boolean): void {
    this.sendWindow -= length
    s.sendWindow -= length
    let at = from
    const stop = from + length
    do {
      const size = Math.min(this.maxFrameSize, stop - at)
      const flags = end && at + size === stop ? Flag.EndStream : 0
      const copy = size <= COPY_LIMIT
      output.reserve(this, FRAME_HEAD + (copy ? size : 0))
      writeFrameHead(output.bytes, output.at, size, FrameType.Data, flags, s.id)
      output.at += FRAME_HEAD
      this.owner.limits.frameSent(true)
      s.wireBytesSent += FRAME_HEAD + size
      const piece = size === chunk.length ? chunk : chunk.subarray(at, at + size)
      if (copy) {
        output.bytes.set(piece, output.at)
        output.at += size
        spendChunk(piece, size)
      } else {
        output.flushOf(this)
        this.send(piece)
      }
      at += size
    } while (at < stop)
  }

  /** Cuts an encoded block of `length` octets behind the head at `at` into frames, moving the pieces from the back. */
  private split(bytes: Buffer, at: number, length: number, flags: number, stream: number): number {
    const limit = this.maxFrameSize
    const pieces = Math.ceil(length / limit)
    const body = at + FRAME_HEAD
    for (let i = pieces - 1; i >= 0; i--) {
      const start = body + i * limit
      const size = Math.min(limit, length - i * limit)
      const to = start + i * FRAME_HEAD
      if (i > 0) bytes.copyWithin(to, start, start + size)
      const type = i === 0 ? FrameType.Headers : FrameType.Continuation
      const endHeaders = i === pieces - 1 ? Flag.EndHeaders : 0
      writeFrameHead(bytes, to - FRAME_HEAD, size, type, (i === 0 ? flags : 0) | endHeaders, stream)
      this.owner.limits.frameSent(false)
    }
    return length + pieces * FRAME_HEAD
  }
}

const EMPTY = new Uint8Array(0)
