import { GRPC_STATUS_NAMES, GrpcStatus } from '../../base/grpc-status.ts'

export interface StreamStatus {
  readonly code: number
  readonly details: string
}

const { OK, Canceled, DeadlineExceeded, Unavailable } = GrpcStatus

/** How a peer that restarts or goes looks from here: Go's sentences (of servers that tell why), then those of grpc-js. */
const GOING = [
  'client disconnected',
  'error reading from server: EOF',
  'transport is closing',
  'stream terminated by RST_STREAM with error code: NO_ERROR',
  'received prior goaway: code: NO_ERROR',
  'Connection dropped',
  'Received RST_STREAM with code 0',
  'read ECONNRESET',
]

/** Whether an end is part of normal life, such as a restart of istiod, and not worth a warning (istio pilot/pkg/grpc). */
export function isExpected({ code, details }: StreamStatus): boolean {
  if (code === OK || code === Canceled || code === DeadlineExceeded) return true
  return code === Unavailable && GOING.some(sentence => details.includes(sentence))
}

/** Go's text of a status, which people search logs for; `<nil>` for a stream that ended well. */
export function statusText({ code, details }: StreamStatus): string {
  return code === OK ? '<nil>' : `rpc error: code = ${GRPC_STATUS_NAMES[code] ?? `Code(${code})`} desc = ${details}`
}
