import type { HeaderBlock } from '../codec/header-block.ts'
import { encodeGrpcMessage, httpToGrpcStatus } from './grpc.ts'
import type { StreamContext } from './stream-context.ts'

/** A reply in the making; one per connection manager is reused. */
export class LocalReply {
  status = 0
  /** latin1 */
  body = ''
  contentType = 'text/plain'
  /** -1: derived from the status. */
  grpcStatus = -1
}

/** Runtime side of local_reply_config: may change `reply`, and `context.responseHeaders`, which holds what filters gave. */
export interface LocalReplyRewriter {
  rewrite(reply: LocalReply, context: StreamContext): void
}

/**
 * The one place that turns a decision into response headers (Envoy: Utility::prepareLocalReply). `h` holds what filters gave;
 * date and server are the connection manager's.
 */
export function finishLocalReply(reply: LocalReply, h: HeaderBlock, isGrpc: boolean): void {
  if (isGrpc) {
    h.status = 200
    h.remove('content-length')
    h.set('content-type', 'application/grpc')
    h.set('grpc-status', String(reply.grpcStatus >= 0 ? reply.grpcStatus : httpToGrpcStatus(reply.status)))
    if (reply.body !== '') h.set('grpc-message', encodeGrpcMessage(reply.body))
    return
  }
  h.status = reply.status
  if (reply.body === '') {
    h.remove('content-length')
    h.remove('content-type')
    return
  }
  h.set('content-length', String(reply.body.length))
  if (reply.contentType !== 'text/plain' || !h.has('content-type')) h.set('content-type', reply.contentType)
}
