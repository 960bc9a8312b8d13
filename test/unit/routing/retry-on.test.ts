import t from 'tap'
import { parseRetryOn, retryGrpcOnHeader, retryOnHeader } from '../../../src/config/retry-on.ts'
import { RetryOn } from '../../../src/routing/route.ts'

t.test('the words of the configuration are the bits of RetryOn, blanks around them do not count', t => {
  t.same(parseRetryOn('5xx, reset ,gateway-error'), {
    bits: RetryOn.FiveXx | RetryOn.Reset | RetryOn.GatewayError,
    unknown: [],
  })
  t.same(parseRetryOn('cancelled,deadline-exceeded,internal,resource-exhausted,unavailable'), {
    bits:
      RetryOn.GrpcCancelled |
      RetryOn.GrpcDeadlineExceeded |
      RetryOn.GrpcInternal |
      RetryOn.GrpcResourceExhausted |
      RetryOn.GrpcUnavailable,
    unknown: [],
  })
  t.equal(
    parseRetryOn('connect-failure,retriable-4xx,refused-stream,retriable-status-codes,retriable-headers').bits,
    RetryOn.ConnectFailure |
      RetryOn.Retriable4xx |
      RetryOn.RefusedStream |
      RetryOn.RetriableStatusCodes |
      RetryOn.RetriableHeaders,
  )
  t.equal(
    parseRetryOn('reset-before-request,envoy-ratelimited,http3-post-connect-failure').bits,
    RetryOn.ResetBeforeRequest | RetryOn.EnvoyRatelimited | RetryOn.Http3PostConnectFailure,
  )
  t.end()
})

t.test('unknown words are told, not fatal', t => {
  t.same(parseRetryOn('nope,5xx').unknown, ['nope'])
  t.end()
})

t.test('x-envoy-retry-on takes HTTP words, x-envoy-retry-grpc-on gRPC words', t => {
  t.equal(retryOnHeader('5xx,cancelled'), RetryOn.FiveXx)
  t.equal(retryGrpcOnHeader('5xx,cancelled'), RetryOn.GrpcCancelled)
  t.equal(retryOnHeader('constructor'), 0)
  t.end()
})
