/**
 * Names of the response flags by bit (`ResponseFlag` of stream-info.ts), as %RESPONSE_FLAGS% and %RESPONSE_FLAGS_LONG% print them
 * (source/common/stream_info/utility.h CORE_RESPONSE_FLAGS).
 */
export const RESPONSE_FLAGS: readonly (readonly [short: string, long: string])[] = [
  ['LH', 'FailedLocalHealthCheck'],
  ['UH', 'NoHealthyUpstream'],
  ['UT', 'UpstreamRequestTimeout'],
  ['LR', 'LocalReset'],
  ['UR', 'UpstreamRemoteReset'],
  ['UF', 'UpstreamConnectionFailure'],
  ['UC', 'UpstreamConnectionTermination'],
  ['UO', 'UpstreamOverflow'],
  ['NR', 'NoRouteFound'],
  ['DI', 'DelayInjected'],
  ['FI', 'FaultInjected'],
  ['RL', 'RateLimited'],
  ['UAEX', 'UnauthorizedExternalService'],
  ['RLSE', 'RateLimitServiceError'],
  ['DC', 'DownstreamConnectionTermination'],
  ['URX', 'UpstreamRetryLimitExceeded'],
  ['SI', 'StreamIdleTimeout'],
  ['IH', 'InvalidEnvoyRequestHeaders'],
  ['DPE', 'DownstreamProtocolError'],
  ['UMSDR', 'UpstreamMaxStreamDurationReached'],
  ['RFCF', 'ResponseFromCacheFilter'],
  ['NFCF', 'NoFilterConfigFound'],
  ['DT', 'DurationTimeout'],
  ['UPE', 'UpstreamProtocolError'],
  ['NC', 'NoClusterFound'],
  ['OM', 'OverloadManagerTerminated'],
  ['DF', 'DnsResolutionFailed'],
  ['DO', 'DropOverload'],
  ['DR', 'DownstreamRemoteReset'],
  ['UDO', 'UnconditionalDropOverload'],
]

/** Names joined by commas in the order they were set (`StreamInfo.flagOrder`); '-' when none is. Few combinations occur, so each is made once. */
export function responseFlagNames(order: number, long: boolean): string {
  if (order === 0) return '-'
  const cache = long ? longNames : shortNames
  const hit = cache.get(order)
  if (hit !== undefined) return hit
  let text = ''
  for (let rest = order; rest > 0; rest = Math.floor(rest / 32)) {
    const name = RESPONSE_FLAGS[(rest % 32) - 1]?.[long ? 1 : 0] ?? ''
    text = text === '' ? name : `${name},${text}`
  }
  if (cache.size < MAX_CACHED) cache.set(order, text)
  return text
}

const shortNames = new Map<number, string>()
const longNames = new Map<number, string>()
const MAX_CACHED = 1024
