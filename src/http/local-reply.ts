import { HeaderBlock } from '../codec/header-block.ts'
import type { FormatContext } from '../telemetry/format-context.ts'
import { encodeGrpcMessage, httpToGrpcStatus } from './grpc.ts'

/** Parsed envoy…http_connection_manager.v3.LocalReplyConfig; filters and formats stay in the form their owners parse them to. */
export interface LocalReplyConfig {
  readonly mappers: readonly LocalReplyMapperConfig[]
  readonly bodyFormat: BodyFormatConfig | null
}

export interface LocalReplyMapperConfig {
  readonly filter: unknown
  /** 0 = unchanged. */
  readonly statusCode: number
  readonly body: string | null
  readonly bodyFormat: BodyFormatConfig | null
  readonly headersToAdd: unknown
}

export interface BodyFormatConfig {
  readonly format: unknown
  readonly contentType: string
}

/** Runtime side of local_reply_config: rewrites a local reply before it is encoded. */
export interface LocalReplyRewriter {
  rewrite(
    reply: LocalReply,
    context: FormatContext & { localReplyBody: string; responseHeaders: HeaderBlock | null },
  ): void
}

/** A reply in the making; one per worker is reused. */
export class LocalReply {
  status = 0
  body = ''
  contentType = 'text/plain'
  /** -1: derived from the status. */
  grpcStatus = -1
}

/**
 * The one place that turns a decision into response headers (Envoy: Utility::prepareLocalReply). `filterHeaders` come first and
 * in their order; date and server are the connection manager's.
 */
export function localReplyHeaders(reply: LocalReply, filterHeaders: HeaderBlock | null, isGrpc: boolean): HeaderBlock {
  const h = new HeaderBlock()
  if (filterHeaders !== null) {
    const list = filterHeaders.list
    for (let i = 0; i < list.length; i++) h.list.push(list[i]!)
  }
  if (isGrpc) {
    h.status = 200
    h.set('content-type', 'application/grpc')
    h.set('grpc-status', String(reply.grpcStatus >= 0 ? reply.grpcStatus : httpToGrpcStatus(reply.status)))
    if (reply.body !== '') h.set('grpc-message', encodeGrpcMessage(reply.body))
    return h
  }
  h.status = reply.status
  if (reply.body !== '') {
    h.set('content-length', String(Buffer.byteLength(reply.body, 'latin1')))
    h.set('content-type', reply.contentType)
  }
  return h
}
