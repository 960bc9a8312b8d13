import { GRPC_STATUS_NAMES } from '../../base/grpc-status.ts'

export interface StreamStatus {
  readonly code: number
  readonly details: string
}

export const OK = 0
export const CANCELLED = 1
export const INTERNAL = 13
export const UNAVAILABLE = 14
const DEADLINE_EXCEEDED = 4

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
  if (code === OK || code === CANCELLED || code === DEADLINE_EXCEEDED) return true
  return code === UNAVAILABLE && GOING.some(sentence => details.includes(sentence))
}

/** Go's text of a status, which people search logs for; `<nil>` for a stream that ended well. */
export function statusText({ code, details }: StreamStatus): string {
  return code === OK ? '<nil>' : `rpc error: code = ${GRPC_STATUS_NAMES[code] ?? `Code(${code})`} desc = ${details}`
}
