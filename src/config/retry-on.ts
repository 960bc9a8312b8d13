/**
 * Bits of `retry_on`, `x-envoy-retry-on` and `x-envoy-retry-grpc-on`; the same numbers as `RetryOn` of routing/route.ts, which
 * this layer may not import.
 */
const TOKENS: Readonly<Record<string, number>> = {
  '5xx': 1,
  'gateway-error': 2,
  'connect-failure': 4,
  'retriable-4xx': 8,
  'refused-stream': 16,
  'retriable-status-codes': 32,
  'retriable-headers': 64,
  reset: 128,
  'reset-before-request': 256,
  'envoy-ratelimited': 512,
  'http3-post-connect-failure': 1024,
}

const GRPC_TOKENS: Readonly<Record<string, number>> = {
  cancelled: 2048,
  'deadline-exceeded': 4096,
  internal: 8192,
  'resource-exhausted': 16384,
  unavailable: 32768,
}

export interface RetryOnWords {
  readonly bits: number
  readonly unknown: readonly string[]
}

/** The configuration field: HTTP and gRPC words together. */
export function parseRetryOn(text: string): RetryOnWords {
  let bits = 0
  const unknown: string[] = []
  for (const word of words(text)) {
    const bit = own(TOKENS, word) | own(GRPC_TOKENS, word)
    if (bit === 0) unknown.push(word)
    bits |= bit
  }
  return { bits, unknown }
}

/** `x-envoy-retry-on`: HTTP words only. */
export function retryOnHeader(value: string): number {
  return sum(TOKENS, value)
}

/** `x-envoy-retry-grpc-on`: gRPC words only. */
export function retryGrpcOnHeader(value: string): number {
  return sum(GRPC_TOKENS, value)
}

function sum(table: Readonly<Record<string, number>>, value: string): number {
  let bits = 0
  for (const word of words(value)) bits |= own(table, word)
  return bits
}

function own(table: Readonly<Record<string, number>>, word: string): number {
  return Object.hasOwn(table, word) ? table[word]! : 0
}

function words(text: string): string[] {
  return text
    .split(',')
    .map(word => word.trim())
    .filter(word => word !== '')
}
