import type { RateLimitDescriptor } from '../../../routing/rate-limit.ts'
import type { LimitStatus } from './limit-service.ts'

/**
 * X-RateLimit headers (draft-polli-ratelimit-headers-03) of the limit that has the least left, name, value, name, value …; none when
 * that one is not to be told. `otherwise`: whether those are told whose descriptor says nothing.
 */
export function limitHeaders(
  statuses: readonly LimitStatus[],
  descriptors: readonly RateLimitDescriptor[],
  otherwise: boolean,
  out: string[],
): void {
  let least: LimitStatus | null = null
  let told = false
  let policy = ''
  for (let i = 0; i < statuses.length; i++) {
    const status = statuses[i]!
    if (!status.hasLimit) continue
    const isTold = descriptors[i]?.headers ?? otherwise
    if (least === null || status.remaining < least.remaining) {
      least = status
      told = isTold
    }
    if (!isTold || status.window === 0) continue
    policy += `, ${status.requests};w=${status.window}${status.name === '' ? '' : `;name="${status.name}"`}`
  }
  if (least === null || !told) return
  out.push('x-ratelimit-limit', `${least.requests}${policy}`)
  out.push('x-ratelimit-remaining', String(least.remaining))
  out.push('x-ratelimit-reset', String(Math.floor(least.reset)))
}

/** Whole seconds until all limits that were met begin anew; 0 = none was. */
export function retryAfter(statuses: readonly LimitStatus[]): number {
  let longest = 0
  for (const { over, reset } of statuses) if (over) longest = Math.max(longest, Math.ceil(reset))
  return longest
}
