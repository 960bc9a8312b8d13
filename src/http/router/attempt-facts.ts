import type { CodecStream } from '../../codec/codec.ts'
import { HeaderBlock } from '../../codec/header-block.ts'
import type { StreamInfo } from '../../telemetry/stream-info.ts'
import { ResponseOrigin } from '../../upstream/response-code-stats.ts'
import type { RouterRequest } from './router-request.ts'
import type { UpstreamRequest } from './upstream-request.ts'

/** The host and connection of an attempt, as the log of the stream names them. */
export function noteUpstream(info: StreamInfo, attempt: UpstreamRequest): void {
  info.noteHost(attempt.host)
  const { connection } = attempt
  if (connection === null) return
  // It may be that of a hedge.
  info.upstreamTransportFailure = ''
  info.upstreamLocal = connection.directLocal.text
  info.upstreamConnection = connection
  info.upstream = connection.streamInfo
}

/** Once for each attempt, when it is over: the log has the sums of all. */
export function addUpstreamBytes(info: StreamInfo, stream: CodecStream): void {
  info.upstreamHeaderBytesReceived += stream.headerBytesReceived
  info.upstreamHeaderBytesSent += stream.headerBytesSent
  info.upstreamWireBytesReceived += stream.wireBytesReceived
  info.upstreamWireBytesSent += stream.wireBytesSent
}

/** ResponseOrigin bits: who asked (x-envoy-internal) and who answered (x-envoy-upstream-canary). */
export function responseOrigin(request: HeaderBlock, response: HeaderBlock | null): number {
  let flags = 0
  if (request.get('x-envoy-internal') === 'true') flags |= ResponseOrigin.Internal
  if (response !== null && response.get('x-envoy-upstream-canary') === 'true') flags |= ResponseOrigin.Canary
  return flags
}

/**
 * What the router adds to a local reply: the attempt count, which Envoy sets without asking suppress_envoy_headers, and
 * `x-envoy-overloaded` for replies about limits. Null = nothing. The route's own mutations come with every local reply.
 */
export function localReplyHeaders(r: RouterRequest, overloaded: boolean): HeaderBlock | null {
  const h = new HeaderBlock()
  if (overloaded && !r.filter.config.suppressEnvoyHeaders) h.push('x-envoy-overloaded', 'true')
  if (r.attemptCount > 0 && r.route!.virtualHost.includeAttemptCountInResponse)
    h.set('x-envoy-attempt-count', String(r.attemptCount))
  return h.list.length === 0 ? null : h
}
