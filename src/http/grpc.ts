import type { HeaderBlock } from '../codec/header-block.ts'

/** `application/grpc` or `application/grpc+proto` …, not `application/grpc-web` (Envoy: Grpc::Common::hasGrpcContentType). */
export function hasGrpcContentType(h: HeaderBlock): boolean {
  const type = h.get('content-type')
  if (type === undefined || !type.startsWith('application/grpc')) return false
  const next = type.charCodeAt(16)
  // NaN: exactly `application/grpc`; '+' and ';' begin a suffix or parameters.
  return Number.isNaN(next) || next === 43 || next === 59
}

/** A request is gRPC when its content type is and it is no CONNECT. */
export function isGrpcRequest(h: HeaderBlock): boolean {
  return h.path !== '' && hasGrpcContentType(h)
}

/** HTTP status → grpc-status of a local reply (Grpc::Utility::httpToGrpcStatus). */
export function httpToGrpcStatus(status: number): number {
  switch (status) {
    case 400:
      return 13
    case 401:
      return 16
    case 403:
      return 7
    case 404:
      return 12
    case 429:
    case 502:
    case 503:
    case 504:
      return 14
    default:
      return 2
  }
}

/** Percent-encodes a grpc-message: everything outside 0x20–0x7e and `%` (gRPC HTTP/2 mapping, "Status-Message"). */
export function encodeGrpcMessage(message: string): string {
  let out = ''
  for (let i = 0; i < message.length; i++) {
    const code = message.charCodeAt(i)
    if (code >= 0x20 && code <= 0x7e && code !== 0x25) out += message[i]
    else out += `%${code.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return out
}

/** `grpc-timeout` (`100m`, `5S`) in ms; -1 when absent or malformed (gRPC HTTP/2 mapping: at most 8 digits). */
export function grpcTimeout(h: HeaderBlock): number {
  const value = h.get('grpc-timeout')
  if (value === undefined) return -1
  const match = /^([0-9]{1,8})([HMSmun])$/.exec(value)
  if (match === null) return -1
  const amount = Number(match[1])
  switch (match[2]) {
    case 'H':
      return amount * 3600000
    case 'M':
      return amount * 60000
    case 'S':
      return amount * 1000
    case 'm':
      return amount
    case 'u':
      return Math.ceil(amount / 1000)
    default:
      return Math.ceil(amount / 1000000)
  }
}

/** Sets `grpc-timeout` to `ms`, in the finest unit that fits in 8 digits (Grpc::Common::toGrpcTimeout). */
export function setGrpcTimeout(h: HeaderBlock, ms: number): void {
  let amount = ms
  let unit = 'm'
  if (amount > MAX_GRPC_TIMEOUT) {
    amount = Math.floor(amount / 1000)
    unit = 'S'
  }
  for (const next of ['M', 'H']) {
    if (amount <= MAX_GRPC_TIMEOUT) break
    amount = Math.floor(amount / 60)
    unit = next
  }
  h.set('grpc-timeout', `${Math.min(amount, MAX_GRPC_TIMEOUT)}${unit}`)
}

const MAX_GRPC_TIMEOUT = 99999999

/** grpc-status → HTTP status, for retries and outlier detection (Grpc::Utility::grpcToHttpStatus). */
export function grpcToHttpStatus(status: number): number {
  switch (status) {
    case 0:
      return 200
    case 1:
      return 499
    case 3:
    case 9:
    case 11:
      return 400
    case 4:
      return 504
    case 5:
      return 404
    case 6:
    case 10:
      return 409
    case 7:
      return 403
    case 8:
      return 429
    case 12:
      return 501
    case 14:
      return 503
    case 16:
      return 401
    default:
      return 500
  }
}
