import { SLAB_CHUNK, spendChunk } from '../../io/chunk-pool.ts'
import { DEFAULT_MAX_FRAME_SIZE, ErrorCode, Flag, FRAME_HEAD, FrameType, PREFACE, readUint32 } from './frames.ts'

/** Receives whole frames; header blocks assembled, DATA in pieces as they come. */
export interface FrameHandler {
  /** Set after a connection error: nothing more is delivered. */
  readonly failed: boolean
  /** A DATA frame begins; `length` is the whole payload, which flow control counts (§6.9.1), `padding` what is not data. */
  onDataBegin(stream: number, endStream: boolean, length: number, padding: number): void
  onDataPiece(piece: Uint8Array, last: boolean): void
  /** A header block lies in `from[start, end)`; `wireBytes` counts frame heads too. */
  onHeaderBlock(stream: number, endStream: boolean, from: Buffer, start: number, end: number, wireBytes: number): void
  /** For flood accounting: a HEADERS, CONTINUATION or DATA frame. False ends the parsing. */
  onPayloadFrame(stream: number, empty: boolean, endStream: boolean): boolean
  /** PRIORITY says that the stream depends on itself (RFC 7540 §5.3.1). */
  onSelfDependency(stream: number): void
  /** The same in HEADERS, whose block follows: it must be decoded, and refused. */
  onSelfDependentHeaders(): void
  onPriority(stream: number): void
  onRstStream(stream: number, code: number): void
  onSettings(ack: boolean, from: Buffer, start: number, end: number): void
  onPing(ack: boolean, from: Buffer, start: number): void
  onGoAway(last: number, code: number): void
  onWindowUpdate(stream: number, increment: number): void
  onStreamFrameSizeError(stream: number): void
  /** `message` goes into the GOAWAY: nghttp2's words where they are known. */
  onFrameError(code: ErrorCode, message: string): void
  onBadPreface(): void
  onUndecodable(id: number): void
}

const EMPTY = Buffer.alloc(0)

/**
 * Cuts a byte stream into frames. Frames that lie whole in a chunk are handled in place; only a frame other than DATA that
 * crosses chunks is copied, at most one (16 KiB) per connection. Header blocks are bounded in bytes and in frames.
 */
export class FrameReader {
  private readonly handler: FrameHandler
  private readonly maxBlock: number
  private readonly maxContinuations: number
  private prefaceLeft: number
  private settingsSeen = false
  private readonly head = Buffer.alloc(FRAME_HEAD)
  private headFill = 0
  private length = 0
  private type = 0
  private flags = 0
  private stream = 0
  /** Payload of a frame that crosses chunks. */
  private partial: Buffer | null = null
  private partialFill = 0
  private padKnown = true
  private dataLeft = 0
  private padLeft = 0
  /** Header block under assembly. */
  private blockStream = 0
  private blockEndStream = false
  private block: Buffer = EMPTY
  private blockFill = 0
  private blockFrames = 0

  constructor(handler: FrameHandler, expectPreface: boolean, maxBlock: number) {
    this.handler = handler
    this.prefaceLeft = expectPreface ? PREFACE.length : 0
    this.maxBlock = maxBlock
    // A peer may cut a block as it likes, but below 1 KiB per frame it only wastes our time (CVE-2024-27316 and kin).
    this.maxContinuations = 8 + (maxBlock >> 10)
  }

  feed(chunk: Buffer): void {
    const handler = this.handler
    const end = chunk.length
    let at = this.prefaceLeft === 0 ? 0 : this.preface(chunk)
    let data = 0
    while (at < end && !handler.failed) {
      if (this.dataLeft > 0) {
        const take = Math.min(this.dataLeft, end - at)
        const piece = take === end ? chunk : chunk.subarray(at, at + take)
        this.dataLeft -= take
        at += take
        data += take
        handler.onDataPiece(piece, this.dataLeft === 0)
      } else if (this.padLeft > 0) {
        const take = Math.min(this.padLeft, end - at)
        this.padLeft -= take
        at += take
      } else if (!this.padKnown) this.beginPadded(chunk[at++]!)
      else if (this.partial !== null) {
        const take = Math.min(this.length - this.partialFill, end - at)
        chunk.copy(this.partial, this.partialFill, at, at + take)
        this.partialFill += take
        at += take
        if (this.partialFill === this.length) {
          const whole = this.partial
          this.partial = null
          this.frame(whole, 0, this.length)
        }
      } else {
        at = this.begin(chunk, at, end)
      }
    }
    if (end > SLAB_CHUNK) spendChunk(chunk, end - data)
  }

  private preface(chunk: Buffer): number {
    const done = PREFACE.length - this.prefaceLeft
    const take = Math.min(this.prefaceLeft, chunk.length)
    for (let i = 0; i < take; i++) {
      if (chunk[i] !== PREFACE[done + i]) {
        this.handler.onBadPreface()
        return chunk.length
      }
    }
    this.prefaceLeft -= take
    return take
  }

  /** Reads a frame head at `at`, and the payload when it is all there; returns where to go on. */
  private begin(chunk: Buffer, start: number, end: number): number {
    let at = start
    let from = chunk
    let head = at
    if (this.headFill > 0 || end - at < FRAME_HEAD) {
      const take = Math.min(FRAME_HEAD - this.headFill, end - at)
      chunk.copy(this.head, this.headFill, at, at + take)
      this.headFill += take
      at += take
      if (this.headFill < FRAME_HEAD) return at
      this.headFill = 0
      from = this.head
      head = 0
    } else at += FRAME_HEAD
    const length = (from[head]! << 16) | (from[head + 1]! << 8) | from[head + 2]!
    const type = from[head + 3]!
    this.length = length
    this.type = type
    this.flags = from[head + 4]!
    this.stream = readUint32(from, head + 5) & 0x7fffffff
    if (!this.admissible(length, type)) return end
    if (type === FrameType.Data) {
      this.beginData(length)
      return at
    }
    if (end - at >= length) {
      this.frame(chunk, at, at + length)
      return at + length
    }
    this.partial = Buffer.allocUnsafeSlow(length)
    this.partialFill = 0
    return at
  }

  private admissible(length: number, type: number): boolean {
    const handler = this.handler
    if (length > DEFAULT_MAX_FRAME_SIZE) {
      handler.onFrameError(ErrorCode.FrameSizeError, 'too large frame size')
      return false
    }
    if (!this.settingsSeen) {
      // RFC 9113 §3.4: the preface ends with a SETTINGS frame, which is not an acknowledgement.
      if (type !== FrameType.Settings || (this.flags & Flag.Ack) !== 0) {
        handler.onFrameError(ErrorCode.ProtocolError, 'SETTINGS expected')
        return false
      }
      this.settingsSeen = true
    }
    if (this.blockStream !== 0 && (type !== FrameType.Continuation || this.stream !== this.blockStream)) {
      handler.onFrameError(ErrorCode.ProtocolError, 'CONTINUATION expected')
      return false
    }
    return true
  }

  private beginData(length: number): void {
    if (this.stream === 0) this.handler.onFrameError(ErrorCode.ProtocolError, 'DATA: stream_id == 0')
    else if ((this.flags & Flag.Padded) === 0) this.startData(length, 0)
    else if (length === 0) this.handler.onFrameError(ErrorCode.FrameSizeError, 'padding missing')
    else this.padKnown = false
  }

  private beginPadded(padding: number): void {
    this.padKnown = true
    if (padding >= this.length) this.handler.onFrameError(ErrorCode.ProtocolError, 'too much padding')
    else this.startData(this.length - 1 - padding, padding)
  }

  private startData(bytes: number, padding: number): void {
    const endStream = (this.flags & Flag.EndStream) !== 0
    if (!this.handler.onPayloadFrame(this.stream, bytes === 0, endStream)) return
    this.dataLeft = bytes
    this.padLeft = padding
    this.handler.onDataBegin(this.stream, endStream, this.length, this.length - bytes)
    if (bytes === 0) this.handler.onDataPiece(EMPTY, true)
  }

  /** A whole frame other than DATA. */
  private frame(from: Buffer, start: number, end: number): void {
    const handler = this.handler
    const stream = this.stream
    const length = end - start
    switch (this.type) {
      case FrameType.Headers:
        this.headers(from, start, end)
        return
      case FrameType.Continuation:
        this.continuation(from, start, end)
        return
      case FrameType.Priority:
        if (stream === 0) handler.onFrameError(ErrorCode.ProtocolError, 'PRIORITY on stream 0')
        else if (length !== 5) handler.onStreamFrameSizeError(stream)
        else if ((readUint32(from, start) & 0x7fffffff) === stream) handler.onSelfDependency(stream)
        else handler.onPriority(stream)
        return
      case FrameType.RstStream:
        if (stream === 0) handler.onFrameError(ErrorCode.ProtocolError, 'RST_STREAM on stream 0')
        else if (length !== 4) handler.onFrameError(ErrorCode.FrameSizeError, 'RST_STREAM length')
        else handler.onRstStream(stream, readUint32(from, start))
        return
      case FrameType.Settings: {
        const ack = (this.flags & Flag.Ack) !== 0
        if (stream !== 0) handler.onFrameError(ErrorCode.ProtocolError, 'SETTINGS on a stream')
        else if (length % 6 !== 0 || (ack && length !== 0)) {
          handler.onFrameError(ErrorCode.FrameSizeError, '')
        } else handler.onSettings(ack, from, start, end)
        return
      }
      case FrameType.PushPromise:
        // We never allow push (§8.4), and servers must not receive it.
        handler.onFrameError(ErrorCode.ProtocolError, 'PUSH_PROMISE')
        return
      case FrameType.Ping:
        if (stream !== 0) handler.onFrameError(ErrorCode.ProtocolError, 'PING on a stream')
        else if (length !== 8) handler.onFrameError(ErrorCode.FrameSizeError, 'PING length')
        else handler.onPing((this.flags & Flag.Ack) !== 0, from, start)
        return
      case FrameType.GoAway:
        if (stream !== 0) handler.onFrameError(ErrorCode.ProtocolError, 'GOAWAY on a stream')
        else if (length < 8) handler.onFrameError(ErrorCode.FrameSizeError, 'GOAWAY length')
        else handler.onGoAway(readUint32(from, start) & 0x7fffffff, readUint32(from, start + 4))
        return
      case FrameType.WindowUpdate:
        if (length !== 4) handler.onFrameError(ErrorCode.FrameSizeError, 'WINDOW_UPDATE length')
        else handler.onWindowUpdate(stream, readUint32(from, start) & 0x7fffffff)
        return
      default:
      // §5.5: unknown frame types are ignored.
    }
  }

  private headers(from: Buffer, start: number, end: number): void {
    const handler = this.handler
    const stream = this.stream
    const flags = this.flags
    if (stream === 0) {
      handler.onFrameError(ErrorCode.ProtocolError, 'HEADERS on stream 0')
      return
    }
    const endStream = (flags & Flag.EndStream) !== 0
    let at = start
    let stop = end
    if ((flags & Flag.Padded) !== 0) {
      if (at === end) {
        handler.onFrameError(ErrorCode.FrameSizeError, 'padding missing')
        return
      }
      stop -= from[at++]!
    }
    let dependsOn = -1
    if ((flags & Flag.Priority) !== 0) {
      if (stop - at >= 5) dependsOn = readUint32(from, at) & 0x7fffffff
      at += 5
    }
    if (stop < at) {
      handler.onFrameError(ErrorCode.ProtocolError, 'too much padding')
      return
    }
    if (!handler.onPayloadFrame(stream, stop === at, endStream)) return
    if (dependsOn === stream) handler.onSelfDependentHeaders()
    if ((flags & Flag.EndHeaders) !== 0) {
      handler.onHeaderBlock(stream, endStream, from, at, stop, end - start + FRAME_HEAD)
    } else {
      this.blockStream = stream
      this.blockEndStream = endStream
      this.blockFrames = 0
      this.blockFill = 0
      this.block = Buffer.allocUnsafeSlow(2 * DEFAULT_MAX_FRAME_SIZE)
      this.append(from, at, stop)
    }
  }

  private continuation(from: Buffer, start: number, end: number): void {
    const handler = this.handler
    const stream = this.blockStream
    if (stream === 0) {
      handler.onFrameError(ErrorCode.ProtocolError, 'CONTINUATION without HEADERS')
      return
    }
    if (!handler.onPayloadFrame(stream, start === end, this.blockEndStream)) return
    if (++this.blockFrames > this.maxContinuations) {
      handler.onFrameError(ErrorCode.EnhanceYourCalm, 'too many CONTINUATION frames')
      return
    }
    if (!this.append(from, start, end)) return
    if ((this.flags & Flag.EndHeaders) === 0) return
    const block = this.block
    this.block = EMPTY
    this.blockStream = 0
    const wire = this.blockFill + FRAME_HEAD * (1 + this.blockFrames)
    handler.onHeaderBlock(stream, this.blockEndStream, block, 0, this.blockFill, wire)
  }

  private append(from: Buffer, start: number, end: number): boolean {
    const fill = this.blockFill + end - start
    if (fill > this.maxBlock) {
      this.handler.onUndecodable(this.blockStream)
      return false
    }
    if (fill > this.block.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(fill, this.block.length * 2))
      this.block.copy(larger, 0, 0, this.blockFill)
      this.block = larger
    }
    from.copy(this.block, this.blockFill, start, end)
    this.blockFill = fill
    return true
  }
}
