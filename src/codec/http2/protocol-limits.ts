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
  /** Frames written since the socket was last seen empty. */
  private outbound = 0
  private outboundControl = 0
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
    this.outbound++
    if (data) this.dataFramesSent++
  }

  /** PING and SETTINGS acknowledgements and RST_STREAM: frames a peer can make us send. */
  controlFrameSent(): void {
    this.outbound++
    this.outboundControl++
  }

  /** The kernel took everything that was queued. */
  socketDrained(): void {
    this.outbound = 0
    this.outboundControl = 0
  }

  outboundFlood(): string {
    if (this.outbound > this.options.maxOutboundFrames) {
      this.stats.outboundFlood.inc()
      return 'Too many frames in the outbound queue'
    }
    if (this.outboundControl > this.options.maxOutboundControlFrames) {
      this.stats.outboundControlFlood.inc()
      return 'Too many control frames in the outbound queue'
    }
    return ''
  }
}
