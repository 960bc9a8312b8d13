import type { HeaderBlock } from '../codec/header-block.ts'
import type { StreamInfo } from './stream-info.ts'

/** What a formatter (`%OPERATOR%` text of access logs, header values, local replies) may read. Stream contexts implement it. */
export interface FormatContext {
  readonly info: StreamInfo
  /** Null when the stream has none (TCP; response not begun; no trailers). */
  readonly requestHeaders: HeaderBlock | null
  readonly responseHeaders: HeaderBlock | null
  readonly responseTrailers: HeaderBlock | null
  /** Body of the local reply being made; '' otherwise. */
  readonly localReplyBody: string
}

/** Of a connection, or of nobody. */
export function withoutStream(info: StreamInfo): FormatContext {
  return { info, requestHeaders: null, responseHeaders: null, responseTrailers: null, localReplyBody: '' }
}

/** A compiled format string. */
export interface Formatter {
  format(context: FormatContext): string
}

/** A compiled access logger with its filter; `access-loggers/*` make them. */
export interface AccessLogger {
  /** Called once per finished stream, connection (and for intermediate entries with their log type). Never throws, never blocks. */
  log(context: FormatContext, type: AccessLogType): void
}

export type AccessLogType =
  | 'NotSet'
  | 'TcpUpstreamConnected'
  | 'TcpPeriodic'
  | 'TcpConnectionEnd'
  | 'DownstreamStart'
  | 'DownstreamPeriodic'
  | 'DownstreamEnd'
  | 'UpstreamPoolReady'
  | 'UpstreamPeriodic'
  | 'UpstreamEnd'
  | 'DownstreamTunnelSuccessfullyEstablished'
