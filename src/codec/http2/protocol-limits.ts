import type { Http2Options } from './options.ts'
import type { Http2Stats } from './stats.ts'

/**
 * Flood limits of one connection, Envoy's ProtocolConstraints. A method that returns a text asks for the connection to be
 * ended; the text is Envoy's status message.
 */
export class ProtocolLimits {
  openedStreams = 0
  private emptyFrames = 0
  private priorityFrames = 0
  private windowUpdates = 0
  private dataFramesSent = 0
  /** Frames written ever, and how many of them have surely left: those before `base`. */
  private frames = 0
  private control = 0
  private baseFrames = 0
  private baseControl = 0
  /** State at some byte position of the output; it becomes the base once the socket took that byte. */
  private markBytes = 0
  private markFrames = 0
  private markControl = 0
  /** The base is where the socket was empty, not merely some position behind. */
  private exact = true
  private readonly options: Http2Options
  private readonly stats: Http2Stats

  constructor(options: Http2Options, stats: Http2Stats) {
    this.options = options
    this.stats = stats
  }

  /** HEADERS, CONTINUATION and DATA. */
  inboundPayload(empty: boolean, endStream: boolean): string {
    if (!empty || endStream) {
      this.emptyFrames = 0
      return ''
    }
    if (++this.emptyFrames <= this.options.maxConsecutiveInboundFramesWithEmptyPayload) return ''
    this.stats.inboundEmptyFramesFlood.inc()
    return 'Too many consecutive frames with an empty payload'
  }

  inboundPriority(): string {
    const limit = this.options.maxInboundPriorityFramesPerStream * (1 + this.openedStreams)
    if (++this.priorityFrames <= limit) return ''
    this.stats.inboundPriorityFramesFlood.inc()
    return 'Too many PRIORITY frames'
  }

  inboundWindowUpdate(): string {
    const perData = this.options.maxInboundWindowUpdateFramesPerDataFrameSent
    const limit = 5 + 2 * (this.openedStreams + perData * this.dataFramesSent)
    if (++this.windowUpdates <= limit) return ''
    this.stats.inboundWindowUpdateFramesFlood.inc()
    return 'Too many WINDOW_UPDATE frames'
  }

  frameSent(data: boolean): void {
    this.frames++
    if (data) this.dataFramesSent++
  }

  /** PING and SETTINGS acknowledgements and RST_STREAM: frames a peer can make us send. */
  controlFrameSent(): void {
    this.frames++
    this.control++
  }

  /** Of `written` bytes ever, `buffered` have not left yet. Sockets tell bytes, not frames; so marks stand between. */
  progress(written: number, buffered: number): void {
    if (buffered > 0 && written - buffered < this.markBytes) return
    this.exact = buffered === 0
    this.baseFrames = this.exact ? this.frames : this.markFrames
    this.baseControl = this.exact ? this.control : this.markControl
    this.markBytes = written
    this.markFrames = this.frames
    this.markControl = this.control
  }

  outboundFlood(): string {
    // Behind an inexact base may lie as many frames again that have left already.
    const slack = this.exact ? 1 : 2
    if (this.frames - this.baseFrames > this.options.maxOutboundFrames * slack) {
      this.stats.outboundFlood.inc()
      return 'Too many frames in the outbound queue'
    }
    if (this.control - this.baseControl > this.options.maxOutboundControlFrames * slack) {
      this.stats.outboundControlFlood.inc()
      return 'Too many control frames in the outbound queue'
    }
    return ''
  }
}
