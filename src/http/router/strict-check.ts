import type { HeaderBlock } from '../../codec/header-block.ts'
import { parseRetryOn, retryGrpcOnHeader } from '../../config/retry-on.ts'

/** First header of `names` whose value the router could not use (FilterUtility::StrictHeaderChecker); '' = all are fine. */
export function strictCheck(h: HeaderBlock, names: readonly string[]): string {
  for (let i = 0; i < names.length; i++) {
    const name = names[i]!
    const value = h.get(name)
    if (value !== undefined && !isUsable(name, value)) return name
  }
  return ''
}

function isUsable(name: string, value: string): boolean {
  switch (name) {
    case 'x-envoy-retry-on':
      return value.split(',').every(isHttpWord)
    case 'x-envoy-retry-grpc-on':
      return value.split(',').every(word => retryGrpcOnHeader(word) !== 0)
    default:
      return /^[0-9]{1,15}$/.test(value)
  }
}

/** Here the HTTP words only: the gRPC ones have a header of their own. */
function isHttpWord(word: string): boolean {
  return parseRetryOn(word).bits !== 0 && retryGrpcOnHeader(word) === 0
}
