import { HeaderBlock } from '../../codec/header-block.ts'
import type { StreamInfo } from '../../telemetry/stream-info.ts'
import { ResponseOrigin } from '../../upstream/response-code-stats.ts'
import type { UpstreamRequest } from './upstream-request.ts'

/** The host and connection of an attempt, as the log of the stream names them. */
export function noteUpstream(info: StreamInfo, attempt: UpstreamRequest): void {
  const host = attempt.host
  info.upstreamHost = host.address.text
  info.upstreamHostName = host.hostname
  info.hostMetadata = host.metadata
  const connection = attempt.connection
  if (connection === null) return
  info.upstreamLocal = connection.directLocal.text
  info.upstreamConnectionId = connection.id
  info.upstreamTls = connection.tls
}

export function noteUpstreamBytes(info: StreamInfo, attempt: UpstreamRequest): void {
  const stream = attempt.stream
  if (stream === null) return
  info.upstreamHeaderBytesReceived = stream.headerBytesReceived
  info.upstreamHeaderBytesSent = stream.headerBytesSent
  info.upstreamWireBytesReceived = stream.wireBytesReceived
  info.upstreamWireBytesSent = stream.wireBytesSent
}

/** ResponseOrigin bits: who asked (x-envoy-internal) and who answered (x-envoy-upstream-canary). */
export function responseOrigin(request: HeaderBlock, response: HeaderBlock | null): number {
  let flags = 0
  if (request.get('x-envoy-internal') === 'true') flags |= ResponseOrigin.Internal
  if (response !== null && response.get('x-envoy-upstream-canary') === 'true') flags |= ResponseOrigin.Canary
  return flags
}

/** `x-envoy-overloaded: true` of replies about limits; null when the router hides such headers. */
export function overloadedHeaders(suppress: boolean): HeaderBlock | null {
  if (suppress) return null
  const h = new HeaderBlock()
  h.push('x-envoy-overloaded', 'true')
  return h
}
