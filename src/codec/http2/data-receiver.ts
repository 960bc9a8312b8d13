import { ResetReason } from '../codec.ts'
import type { ClosedStreams } from './closed-streams.ts'
import type { Http2Connection } from './connection.ts'
import { consume, receive } from './flow-window.ts'
import { DEFAULT_WINDOW, ErrorCode, FRAME_HEAD, FrameType } from './frames.ts'
import { INVALID_MESSAGE } from './header-receiver.ts'
import { type Http2Stream, Mark } from './stream.ts'

/** Envoy's details when a stream ends by a frame that broke a rule of the stream, not of the message. */
const REMOTE_RESET = 'http2.remote_reset'

/** DATA from the peer: states, content-length and flow control of streams and connection (RFC 9113 §6.1, §6.9, §8.1.1). */
export class DataReceiver {
  /** The connection's, `Receiving` of flow-window.ts. */
  receiveWindow: number
  consumed = 0
  private readonly windowSize: number
  /** The stream of the frame being read; null when its bytes are dropped. */
  private dataStream: Http2Stream | null = null
  private dataId = 0
  private dataEnd = false
  private readonly owner: Http2Connection
  private readonly closedStreams: ClosedStreams

  constructor(owner: Http2Connection, windowSize: number, closedStreams: ClosedStreams) {
    this.owner = owner
    this.closedStreams = closedStreams
    this.windowSize = Math.max(DEFAULT_WINDOW, windowSize)
    this.receiveWindow = this.windowSize
  }

  /** A DATA frame of `length` octets, `padding` of them no data, for `s`; undefined when the stream is not open. */
  begin(s: Http2Stream | undefined, id: number, endStream: boolean, length: number, padding: number): void {
    this.dataStream = null
    this.dataId = id
    this.dataEnd = endStream
    const owner = this.owner
    if (s === undefined && !owner.wasOpened(id)) {
      owner.fail(ErrorCode.ProtocolError, 'DATA: stream in idle')
      return
    }
    if (!receive(this, length)) {
      owner.fail(ErrorCode.FlowControlError, 'connection window exceeded')
      return
    }
    if (s === undefined) {
      if (this.closedStreams.wasResetByUs(id)) this.giveBack(length)
      else if (this.closedStreams.overflowed && !this.closedStreams.has(id)) {
        this.giveBack(length)
        owner.writeReset(id, ErrorCode.StreamClosed)
      } else owner.fail(ErrorCode.StreamClosed, 'DATA on a closed stream')
      return
    }
    s.wireBytesReceived += length + FRAME_HEAD
    if (s.is(Mark.RemoteEnd)) {
      this.giveBack(length)
      owner.kill(s, ErrorCode.StreamClosed, ResetReason.Protocol, REMOTE_RESET)
    } else if (!receive(s, length)) {
      this.giveBack(length)
      owner.kill(s, ErrorCode.FlowControlError, ResetReason.Protocol, REMOTE_RESET)
    } else if (!s.is(Mark.HeadReceived)) {
      // RFC 9113 §8.1: no content before the final head.
      this.giveBack(length)
      owner.kill(s, ErrorCode.ProtocolError, ResetReason.Protocol, INVALID_MESSAGE)
    } else {
      s.received += length - padding
      if (s.expected >= 0 && (s.received > s.expected || (endStream && s.received !== s.expected))) {
        // §8.1.1; a stream error even where other malformed messages end the connection, as in Envoy.
        this.giveBack(length)
        owner.kill(s, ErrorCode.ProtocolError, ResetReason.Protocol, REMOTE_RESET)
        return
      }
      this.dataStream = s
      if (padding > 0) this.release(s, padding)
    }
  }

  piece(piece: Uint8Array, last: boolean): void {
    const s = this.dataStream
    if (s === null) return
    const id = this.dataId
    if (s.id !== id || s.is(Mark.Closed)) {
      // It died between two pieces of one frame.
      this.giveBack(piece.length)
      return
    }
    const end = last && this.dataEnd
    if (piece.length === 0 && !end) return
    if (end) s.mark(Mark.RemoteEnd)
    this.owner.decoder.onData(s, piece, end)
    if (s.id !== id || s.is(Mark.Closed)) this.giveBack(piece.length)
    else {
      this.release(s, piece.length)
      if (end) this.owner.remoteEnded(s, id)
    }
  }

  /** The owner is done with `bytes` of `s`, or keeps them back by a read hold (RFC 9113 §6.9). */
  release(s: Http2Stream, bytes: number): void {
    if (s.holds !== 0) {
      s.unreturned += bytes
      return
    }
    this.giveBack(bytes)
    if (s.is(Mark.RemoteEnd) || this.owner.failed) return
    const increment = consume(s, bytes, this.owner.options.initialStreamWindowSize)
    if (increment > 0) this.owner.sender.word(FrameType.WindowUpdate, s.id, increment)
  }

  giveBack(bytes: number): void {
    const increment = consume(this, bytes, this.windowSize)
    if (increment > 0 && !this.owner.failed) this.owner.sender.word(FrameType.WindowUpdate, 0, increment)
  }
}
