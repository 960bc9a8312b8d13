/** Decisions as the real Envoy made them (attempt counts of live requests with these responses). */
import t from 'tap'
import { ResetReason } from '../../../src/codec/codec.ts'
import { HeaderBlock } from '../../../src/codec/header-block.ts'
import {
  backOff,
  rateLimitedBackOff,
  retryOverrides,
  wouldRetryOnHeaders,
  wouldRetryOnReset,
} from '../../../src/routing/retry.ts'
import { CompiledRetryPolicy } from '../../../src/routing/retry-policy.ts'
import { RetryOn } from '../../../src/routing/route.ts'
import { virtualHost } from '../../../src/routing/route-table.ts'
import { parse, withRoutes } from './configs.ts'
import { runtimeOf } from './runtime.ts'

function policyOf(proto: object, runtime: Readonly<Record<string, string>> = {}): CompiledRetryPolicy {
  const config = parse(withRoutes([{ match: { prefix: '/' }, route: { cluster: 'c', retry_policy: proto } }]))
  return new CompiledRetryPolicy(virtualHost(config, 0).routes[0]!.action!.retry!, runtimeOf(runtime))
}

function block(status: number, ...list: string[]): HeaderBlock {
  const h = new HeaderBlock()
  h.status = status
  h.list = list
  return h
}

function retries(policy: object | null, request: string[], status: number, ...response: string[]): boolean {
  const compiled = policy === null ? null : policyOf(policy)
  const overrides = retryOverrides(compiled, block(0, ...request))
  return overrides.numRetries > 0 && wouldRetryOnHeaders(compiled, overrides, block(status, ...response))
}

t.test('retry_on by status', t => {
  for (const code of [500, 501, 502, 503, 504, 505]) t.ok(retries({ retry_on: '5xx' }, [], code), `5xx ${code}`)
  for (const code of [409, 429, 200]) t.notOk(retries({ retry_on: '5xx' }, [], code), `5xx ${code}`)
  for (const code of [502, 503, 504]) t.ok(retries({ retry_on: 'gateway-error' }, [], code))
  t.notOk(retries({ retry_on: 'gateway-error' }, [], 500))
  t.ok(retries({ retry_on: 'retriable-4xx' }, [], 409))
  for (const code of [400, 404]) t.notOk(retries({ retry_on: 'retriable-4xx' }, [], code))
  const codes = { retry_on: 'retriable-status-codes', retriable_status_codes: [418] }
  t.ok(retries(codes, [], 418))
  t.notOk(retries(codes, [], 419))
  t.ok(retries(codes, ['x-envoy-retriable-status-codes', '419,420'], 419))
  t.ok(retries(codes, ['x-envoy-retriable-status-codes', '419,420'], 418))
  t.end()
})

t.test('retriable headers of the policy and of the request', t => {
  const policy = { retry_on: 'retriable-headers', retriable_headers: [{ name: 'x-retry', present_match: true }] }
  t.ok(retries(policy, [], 200, 'x-retry', '1'))
  t.notOk(retries(policy, [], 200, 'x-no', '1'))
  t.ok(retries(policy, ['x-envoy-retriable-header-names', 'x-no, x-b'], 200, 'x-no', '1'))
  t.ok(
    retries(
      null,
      ['x-envoy-retriable-header-names', 'x-no', 'x-envoy-retry-on', 'retriable-headers'],
      200,
      'x-no',
      '1',
    ),
  )
  t.end()
})

t.test('retriable_request_headers gates everything, also x-envoy-retry-on', t => {
  const policy = { retry_on: '5xx', retriable_request_headers: [{ name: 'x-may', present_match: true }] }
  t.notOk(retries(policy, [], 500))
  t.notOk(retries(policy, ['x-envoy-retry-on', '5xx'], 500))
  t.ok(retries(policy, ['x-may', '1'], 500))
  t.end()
})

t.test('x-envoy-ratelimited is retried only with envoy-ratelimited', t => {
  t.notOk(retries({ retry_on: '5xx' }, [], 500, 'x-envoy-ratelimited', '1'))
  t.notOk(retries({ retry_on: 'retriable-4xx' }, [], 409, 'x-envoy-ratelimited', '1'))
  t.ok(retries({ retry_on: 'envoy-ratelimited' }, [], 429, 'x-envoy-ratelimited', '1'))
  t.ok(retries({ retry_on: 'envoy-ratelimited' }, [], 200, 'x-envoy-ratelimited', '1'))
  t.notOk(retries({ retry_on: 'envoy-ratelimited' }, [], 429))
  t.end()
})

t.test('gRPC words look at grpc-status in the response headers, whatever the request was', t => {
  const policy = { retry_on: 'cancelled,unavailable,resource-exhausted,deadline-exceeded,internal' }
  for (const status of ['1', '4', '8', '13', '14']) t.ok(retries(policy, [], 200, 'grpc-status', status))
  for (const status of ['0', '2']) t.notOk(retries(policy, [], 200, 'grpc-status', status))
  t.ok(retries(null, ['x-envoy-retry-grpc-on', 'unavailable'], 200, 'grpc-status', '14'))
  t.notOk(retries(null, ['x-envoy-retry-on', 'cancelled'], 200, 'grpc-status', '1'))
  t.end()
})

t.test('request headers add to the policy; x-envoy-max-retries replaces its count', t => {
  const count = (policy: object | null, ...headers: string[]): number =>
    retryOverrides(policy === null ? null : policyOf(policy), block(0, ...headers)).numRetries
  t.ok(retries(null, ['x-envoy-retry-on', 'cancelled,nope,5xx'], 500))
  t.ok(retries({ retry_on: 'connect-failure' }, ['x-envoy-retry-on', '5xx'], 500))
  t.notOk(retries(null, [], 500))
  t.equal(count(null, 'x-envoy-retry-on', '5xx'), 1)
  t.equal(count(null, 'x-envoy-retry-on', '5xx', 'x-envoy-max-retries', '3'), 3)
  t.equal(count({ retry_on: '5xx', num_retries: 0 }, 'x-envoy-max-retries', '2'), 2)
  t.equal(count({ retry_on: '5xx' }, 'x-envoy-max-retries', '0'), 0)
  t.equal(count({ retry_on: '5xx' }, 'x-envoy-max-retries', 'x'), 1)
  t.end()
})

t.test('resets', t => {
  t.ok(wouldRetryOnReset(RetryOn.FiveXx, ResetReason.Remote, true))
  t.notOk(wouldRetryOnReset(RetryOn.FiveXx, ResetReason.Overflow, false))
  t.ok(wouldRetryOnReset(RetryOn.ConnectFailure, ResetReason.ConnectionFailure, false))
  t.notOk(wouldRetryOnReset(RetryOn.ConnectFailure, ResetReason.Remote, false))
  t.ok(wouldRetryOnReset(RetryOn.RefusedStream, ResetReason.RemoteRefused, false))
  t.ok(wouldRetryOnReset(RetryOn.ResetBeforeRequest, ResetReason.Remote, false))
  t.notOk(wouldRetryOnReset(RetryOn.ResetBeforeRequest, ResetReason.Remote, true))
  t.notOk(wouldRetryOnReset(RetryOn.Retriable4xx, ResetReason.Remote, false))
  t.end()
})

t.test('back-off: full jitter below 2^(n-1) × base, at most max', t => {
  for (let random = 0; random < 1000; random += 7) {
    t.ok(backOff(25, 250, 1, random) < 25)
    t.ok(backOff(25, 250, 3, random) < 100)
    t.ok(backOff(25, 250, 30, random) < 250)
  }
  t.equal(backOff(25, 250, 3, 99), 99)
  const policy = policyOf({ retry_on: '5xx' })
  t.same([policy.backOffBase, policy.backOffMax], [25, 250], 'defaults')
  const other = policyOf({ retry_on: '5xx' }, { 'upstream.base_retry_backoff_ms': '10' })
  t.same([other.backOffBase, other.backOffMax], [10, 100], 'base by runtime')
  const own = policyOf({ retry_on: '5xx', retry_back_off: { base_interval: 5, max_interval: 20 } })
  t.same([own.backOffBase, own.backOffMax], [5, 20])
  t.end()
})

t.test('rate-limited back-off: reset headers in seconds or as a time, within max_interval', t => {
  const policy = policyOf({
    retry_on: '5xx',
    rate_limited_retry_back_off: {
      reset_headers: [
        { name: 'Retry-After', format: 'SECONDS' },
        { name: 'x-reset', format: 'UNIX_TIMESTAMP' },
      ],
      max_interval: 60_000,
    },
  })
  t.equal(policy.rateLimitedDelay(block(500, 'retry-after', '2'), 0), 2000)
  t.equal(policy.rateLimitedDelay(block(500, 'retry-after', '61'), 0), -1)
  t.equal(policy.rateLimitedDelay(block(500, 'retry-after', 'soon', 'x-reset', '110'), 100_500), 10_000)
  t.equal(policy.rateLimitedDelay(block(500, 'x-reset', '90'), 100_000), -1, 'in the past')
  t.equal(policy.rateLimitedDelay(block(500), 0), -1)
  for (let random = 0; random < 3000; random += 100) {
    const delay = rateLimitedBackOff(1000, random)
    t.ok(delay >= 1000 && delay < 1500)
  }
  t.end()
})
