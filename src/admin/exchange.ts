import type { HeaderBlock } from '../codec/header-block.ts'
import type { Connection } from '../io/connection.ts'
import type { FormatContext } from '../telemetry/format-context.ts'
import { StreamInfo } from '../telemetry/stream-info.ts'

/** One admin request and its answer, in the form access loggers read. */
export class AdminExchange implements FormatContext {
  readonly info = new StreamInfo()
  readonly requestHeaders: HeaderBlock
  responseHeaders: HeaderBlock | null = null
  readonly responseTrailers = null
  readonly localReplyBody = ''
  readonly body: Uint8Array[] = []
  answered = false

  /** `now`: monotonic ms. */
  constructor(head: HeaderBlock, connection: Connection, now: number, protocol: string) {
    this.requestHeaders = head
    const { info } = this
    info.startWall = Date.now()
    info.start = now
    info.protocol = protocol
    info.connection = connection
  }

  /** `status` 0: no answer. */
  finish(status: number, now: number): void {
    const { info } = this
    info.responseCode = status
    info.responseCodeDetails = status === 0 ? 'downstream_remote_disconnect' : 'admin_filter_response'
    info.lastDownstreamTx = now
    info.end = now
  }
}
