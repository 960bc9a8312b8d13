import type { HeaderBlock } from '../codec/header-block.ts'
import { latin1 } from '../config/matcher.ts'
import { responseFlagNames } from '../telemetry/response-flags.ts'
import type { StreamInfo } from '../telemetry/stream-info.ts'
import type { Span } from '../telemetry/tracing.ts'
import { isGrpcRequest } from './grpc.ts'
import type { StreamContext } from './stream-context.ts'

/** Tags of the span of a whole request, in Envoy's order (HttpTracerUtility::finalizeDownstreamSpan). */
export function tagRequestSpan(span: Span, context: StreamContext, maxPath: number): void {
  const { info, requestHeaders: h } = context
  if (h !== null) {
    if (info.requestId !== '') span.setTag('guid:x-request-id', info.requestId)
    span.setTag('http.url', url(h, maxPath))
    span.setTag('http.method', h.method)
    span.setTag('downstream_cluster', orDash(h, 'x-envoy-downstream-service-cluster'))
    span.setTag('user_agent', orDash(h, 'user-agent'))
    span.setTag('http.protocol', info.protocol)
    span.setTag('peer.address', info.connection!.directRemote.ip)
    tagIfThere(span, 'guid:x-client-trace-id', h, 'x-client-trace-id')
    if (isGrpcRequest(h)) {
      span.setTag('grpc.path', h.path)
      span.setTag('grpc.authority', h.authority)
      tagIfThere(span, 'grpc.content_type', h, 'content-type')
      tagIfThere(span, 'grpc.timeout', h, 'grpc-timeout')
    }
  }
  span.setTag('request_size', String(info.bytesReceived))
  span.setTag('response_size', String(info.bytesSent))
  span.setTag('component', 'proxy')
  if (info.upstreamClusterName !== '') {
    span.setTag('upstream_cluster', latin1(info.upstreamClusterName))
    span.setTag('upstream_cluster.name', latin1(info.upstreamClusterStatName))
  }
  tagStatus(span, info.responseCode, info.flagOrder)
  const { responseHeaders, responseTrailers } = context
  if (responseTrailers?.has('grpc-status') === true) tagGrpcStatus(span, responseTrailers)
  else if (responseHeaders?.has('grpc-status') === true) tagGrpcStatus(span, responseHeaders)
  tagError(span, info.responseCode)
}

/** What every span of the proxy says of its end. */
export function tagStatus(span: Span, status: number, flagOrder: number): void {
  span.setTag('http.status_code', String(status))
  span.setTag('response_flags', responseFlagNames(flagOrder, false))
}

export function tagError(span: Span, status: number): void {
  if (status === 0 || status >= 500) span.setTag('error', 'true')
}

/** `h` has a grpc-status. Only what is the server's fault is an error: a client may ask for what is not there. */
export function tagGrpcStatus(span: Span, h: HeaderBlock): void {
  tagIfThere(span, 'grpc.status_code', h, 'grpc-status')
  tagIfThere(span, 'grpc.message', h, 'grpc-message')
  switch (h.get('grpc-status')) {
    case '2': // UNKNOWN
    case '4': // DEADLINE_EXCEEDED
    case '8': // RESOURCE_EXHAUSTED
    case '12': // UNIMPLEMENTED
    case '13': // INTERNAL
    case '14': // UNAVAILABLE
    case '15': // DATA_LOSS
      span.setTag('error', 'true')
  }
}

/** `verbose`: when bytes came and went, as annotations. `downstream`: also those of the client's side. */
export function logTimes(span: Span, info: StreamInfo, downstream: boolean): void {
  if (downstream) logTime(span, info.lastDownstreamRx, 'last_downstream_rx_byte_received')
  logTime(span, info.firstUpstreamTx, 'first_upstream_tx_byte_sent')
  logTime(span, info.lastUpstreamTx, 'last_upstream_tx_byte_sent')
  logTime(span, info.firstUpstreamRx, 'first_upstream_rx_byte_received')
  logTime(span, info.lastUpstreamRx, 'last_upstream_rx_byte_received')
  if (!downstream) return
  logTime(span, info.firstDownstreamTx, 'first_downstream_tx_byte_sent')
  logTime(span, info.lastDownstreamTx, 'last_downstream_tx_byte_sent')
}

/** `at` -1: it never came to that. */
export function logTime(span: Span, at: number, event: string): void {
  if (at >= 0) span.log(at, event)
}

function url(h: HeaderBlock, maxPath: number): string {
  if (h.path === '') return ''
  const path = h.get('x-envoy-original-path') ?? h.path
  return `${h.get('x-forwarded-proto') ?? ''}://${h.authority}${path.length > maxPath ? path.slice(0, maxPath) : path}`
}

function orDash(h: HeaderBlock, name: string): string {
  return h.get(name) ?? '-'
}

function tagIfThere(span: Span, tag: string, h: HeaderBlock, name: string): void {
  const value = h.get(name)
  if (value !== undefined) span.setTag(tag, value)
}
