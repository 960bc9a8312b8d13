import type { Connection } from '../io/connection.ts'
import { type AccessLogger, withoutStream } from '../telemetry/format-context.ts'
import { ResponseFlag, StreamInfo } from '../telemetry/stream-info.ts'

/** access_log of a listener: one line per connection, those that found no filter chain too. */
export class ListenerLog {
  readonly #loggers: readonly AccessLogger[]
  readonly #name: string

  constructor(loggers: readonly AccessLogger[], listener: string) {
    this.#loggers = loggers
    this.#name = listener
  }

  get active(): boolean {
    return this.#loggers.length > 0
  }

  /** `details` '' or `filter_chain_not_found`. */
  refused(connection: Connection, now: number, details: string): void {
    const info = infoOf(connection, now)
    info.responseCodeDetails = details
    if (details !== '') info.setFlag(ResponseFlag.NoRouteFound)
    this.#write(info)
  }

  ended(connection: Connection, now: number, chain: string, timedOut: boolean): void {
    const info = infoOf(connection, now)
    info.filterChainName = chain
    info.bytesReceived = connection.bytesReceived
    info.bytesSent = connection.bytesSent
    if (timedOut) info.connectionTerminationDetails = 'transport socket timeout was reached'
    this.#write(info)
  }

  #write(info: StreamInfo): void {
    info.listenerName = this.#name
    const context = withoutStream(info)
    // Envoy gives its listeners' lines no type.
    for (const logger of this.#loggers) logger.log(context, 'NotSet')
  }
}

/** What tcp_proxy and its like found out about the connection is the listener's to log, too: in Envoy it is one object. */
function infoOf(connection: Connection, now: number): StreamInfo {
  const info = connection.streamInfo ?? new StreamInfo()
  info.connection = connection
  info.start = connection.startTime
  info.startWall = Date.now() - (now - connection.startTime)
  info.end = now
  info.downstreamTransportFailure = connection.transportFailure || connection.inspectorFailure
  return info
}
