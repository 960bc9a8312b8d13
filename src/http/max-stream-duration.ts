import type { HeaderBlock } from '../codec/header-block.ts'
import type { RouteAction } from '../routing/route.ts'
import { grpcTimeout, setGrpcTimeout } from './grpc.ts'

/**
 * ms a stream may last, 0 = for ever: max_stream_duration of the route, else of the connection manager, or grpc-timeout within
 * grpc_timeout_header_max. The upstream of a gRPC request is told the outcome in grpc-timeout
 * (ConnectionManagerImpl::ActiveStream::refreshDurationTimeout).
 */
export function maxStreamDuration(
  h: HeaderBlock,
  action: RouteAction | null,
  isGrpc: boolean,
  otherwise: number,
): number {
  if (action === null) return otherwise
  const { grpcTimeoutHeaderMax, grpcTimeoutHeaderOffset } = action
  const ofRoute = action.maxStreamDuration
  const asked = grpcTimeoutHeaderMax < 0 ? -1 : grpcTimeout(h)
  let limit = asked
  if (asked < 0) {
    limit = ofRoute >= 0 ? ofRoute : otherwise
    if (limit === 0) return 0
  } else {
    if (grpcTimeoutHeaderMax > 0 && limit > grpcTimeoutHeaderMax) limit = grpcTimeoutHeaderMax
    if (limit > 0 && grpcTimeoutHeaderOffset > 0) limit = Math.max(0, limit - grpcTimeoutHeaderOffset)
  }
  if (isGrpc && (ofRoute >= 0 || grpcTimeoutHeaderMax >= 0)) setGrpcTimeout(h, limit)
  // Envoy ends a stream without time at once; the wheel's shortest wait does the same.
  return Math.max(1, limit)
}
