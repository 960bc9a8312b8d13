import t from 'tap'
import { FieldPath } from '../../../src/config/field-path.ts'
import { parseRateLimits } from '../../../src/config/rate-limit.ts'
import { parseRateLimit } from '../../../src/http/filters/ratelimit/config.ts'
import { limitHeaders, retryAfter } from '../../../src/http/filters/ratelimit/limit-headers.ts'
import type { LimitStatus } from '../../../src/http/filters/ratelimit/limit-service.ts'
import { RateLimit, type RateLimitSubject } from '../../../src/routing/rate-limit.ts'

const status = (over: Partial<LimitStatus>): LimitStatus => ({
  over: false,
  hasLimit: true,
  requests: 1,
  window: 60,
  name: '',
  remaining: 0,
  reset: 0,
  ...over,
})

t.test('x-ratelimit headers tell of the limit with the least left; of equals it is the first', async t => {
  const out: string[] = []
  limitHeaders([status({ requests: 5, remaining: 2 }), status({ requests: 7, remaining: 2, window: 0 })], [], true, out)
  t.same(out, ['x-ratelimit-limit', '5, 5;w=60', 'x-ratelimit-remaining', '2', 'x-ratelimit-reset', '0'])
  const none: string[] = []
  limitHeaders([status({ hasLimit: false })], [], true, none)
  limitHeaders([status({})], [], false, none)
  t.same(none, [])
})

t.test('retry-after is the longest wait of the limits that were met, in whole seconds', async t => {
  t.equal(retryAfter([status({ over: true, reset: 1.2 }), status({ over: true, reset: 0.1 }), status({ reset: 9 })]), 2)
  t.equal(retryAfter([status({ reset: 9 })]), 0)
})

t.test('a limit may come from dynamic metadata, and counts only as a whole', async t => {
  const at = FieldPath.root()
  const key = { key: 'ns', path: [{ key: 'limit' }] }
  const [config] = parseRateLimits(
    [{ actions: [{ generic_key: { descriptor_value: 'v' } }], limit: { dynamic_metadata: { metadata_key: key } } }],
    at,
    [],
  )
  const limit = new RateLimit(config!)
  const of = (value: unknown) =>
    limit.descriptor({ info: { dynamicMetadata: { ns: { limit: value } } } } as unknown as RateLimitSubject, '', false)
      ?.limit
  t.same(of({ requests_per_unit: 42, unit: 'HOUR' }), { requests: 42, unit: 3 })
  t.equal(of({ requests_per_unit: 42 }), null)
  t.equal(of({ requests_per_unit: '42', unit: 'HOUR' }), null)
  t.equal(of({ requests_per_unit: 42, unit: 'WEEK' }), null, 'no unit of the request')
  t.equal(of(undefined), null)
})

t.test('a filter without a service is refused', async t => {
  t.throws(() => parseRateLimit({ domain: 'd' }, FieldPath.root(), []), /a rate limit service is required/)
})
