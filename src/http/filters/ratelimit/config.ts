import type { FieldPath } from '../../../config/field-path.ts'
import type { envoy } from '../../../config/gen/messages.d.ts'
import type { GrpcServiceConfig } from '../../../config/grpc-service.ts'
import { statusCode } from '../../../config/http-status.ts'
import { type FractionConfig, parseFraction } from '../../../config/matcher.ts'
import { parseFilterRateLimits } from '../../../config/rate-limit.ts'
import { parseHeadersToAdd } from '../../../config/route-headers.ts'
import { defineSupport } from '../../../config/support.ts'
import type { HeaderAddConfig, RateLimitConfig } from '../../../routing/route-config.ts'
import { DEFAULT_LIMIT_TIMEOUT, parseLimitService } from './limit-service.ts'

export type RateLimitProto = envoy.extensions.filters.http.ratelimit.v3.RateLimit
export type RateLimitPerRouteProto = envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute

const support = defineSupport<RateLimitProto>('envoy.extensions.filters.http.ratelimit.v3.RateLimit', {
  domain: 'yes',
  stage: 'yes',
  request_type: 'yes',
  timeout: 'yes',
  failure_mode_deny: 'yes',
  rate_limited_as_resource_exhausted: 'yes',
  rate_limit_service: 'yes',
  enable_x_ratelimit_headers: 'yes',
  disable_x_envoy_ratelimited_header: 'yes',
  rate_limited_status: 'yes',
  response_headers_to_add: 'yes',
  status_on_error: 'yes',
  stat_prefix: 'yes',
  filter_enabled: 'yes',
  filter_enforced: 'yes',
  failure_mode_deny_percent: 'yes',
  rate_limits: 'yes',
  metadata_namespace: 'yes',
  enable_retry_after_header: 'yes',
})
const perRouteSupport = defineSupport<RateLimitPerRouteProto>(
  'envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute',
  {
    vh_rate_limits: 'yes',
    // Envoy has no use for it either.
    override_option: 'warn',
    rate_limits: 'yes',
    domain: 'yes',
  },
)

export interface RateLimitFilterConfig {
  readonly domain: string
  readonly stage: number
  readonly requestType: 'internal' | 'external' | 'both'
  readonly service: GrpcServiceConfig
  /** Milliseconds. */
  readonly timeout: number
  /** Share of requests that fail with the service. */
  readonly failureDeny: FractionConfig
  readonly enabled: FractionConfig
  readonly enforced: FractionConfig
  /** -1 = by status. */
  readonly grpcStatus: number
  readonly status: number
  readonly statusOnError: number
  readonly limitHeaders: boolean
  readonly limitedHeader: boolean
  readonly retryAfter: boolean
  readonly responseHeaders: readonly HeaderAddConfig[]
  /** `ratelimit.` or `ratelimit.<stat_prefix>.` */
  readonly statInfix: string
  /** Instead of those of routes, when there are any. */
  readonly rateLimits: readonly RateLimitConfig[]
  readonly metadataNamespace: string
}

export interface RateLimitRouteConfig {
  readonly virtualHost: 'OVERRIDE' | 'INCLUDE' | 'IGNORE'
  /** '' = the filter's. */
  readonly domain: string
  readonly rateLimits: readonly RateLimitConfig[]
}

const RESOURCE_EXHAUSTED = 8
const ALWAYS = 100
const NAMESPACE = 'envoy.filters.http.ratelimit'

export function parseRateLimit(proto: RateLimitProto, at: FieldPath, warnings: string[]): RateLimitFilterConfig {
  support.check(proto, at, warnings)
  const { stat_prefix: statPrefix = '' } = proto
  const status = statusCode(proto.rate_limited_status)
  const statusOnError = statusCode(proto.status_on_error)
  return {
    domain: proto.domain ?? '',
    stage: proto.stage ?? 0,
    requestType: (proto.request_type || 'both') as RateLimitFilterConfig['requestType'],
    service: parseLimitService(proto.rate_limit_service, at.field('rate_limit_service'), warnings),
    timeout: proto.timeout ?? DEFAULT_LIMIT_TIMEOUT,
    failureDeny: share(proto.failure_mode_deny_percent, proto.failure_mode_deny === true ? ALWAYS : 0),
    enabled: share(proto.filter_enabled, ALWAYS, 'ratelimit.http_filter_enabled'),
    enforced: share(proto.filter_enforced, ALWAYS, 'ratelimit.http_filter_enforcing'),
    grpcStatus: proto.rate_limited_as_resource_exhausted === true ? RESOURCE_EXHAUSTED : -1,
    status: status >= 400 ? status : 429,
    statusOnError: statusOnError === 0 ? 500 : statusOnError,
    limitHeaders: proto.enable_x_ratelimit_headers === 'DRAFT_VERSION_03',
    limitedHeader: proto.disable_x_envoy_ratelimited_header !== true,
    retryAfter: proto.enable_retry_after_header ?? false,
    responseHeaders: parseHeadersToAdd(proto.response_headers_to_add, at.field('response_headers_to_add')),
    statInfix: statPrefix === '' ? 'ratelimit.' : `ratelimit.${statPrefix}.`,
    rateLimits: parseFilterRateLimits(proto.rate_limits, at.field('rate_limits'), warnings),
    metadataNamespace: proto.metadata_namespace || NAMESPACE,
  }
}

export function parseRateLimitRoute(
  proto: RateLimitPerRouteProto,
  at: FieldPath,
  warnings: string[],
): RateLimitRouteConfig {
  perRouteSupport.check(proto, at, warnings)
  return {
    virtualHost: (proto.vh_rate_limits ?? 'OVERRIDE') as RateLimitRouteConfig['virtualHost'],
    domain: proto.domain ?? '',
    rateLimits: parseFilterRateLimits(proto.rate_limits, at.field('rate_limits'), warnings),
  }
}

/** Without a field Envoy asks its runtime all the same, under a fixed key. */
function share(
  proto: envoy.config.core.v3.RuntimeFractionalPercent | undefined,
  numerator: number,
  key = '',
): FractionConfig {
  if (proto === undefined) return { key, numerator, denominator: 100 }
  return parseFraction(proto.default_value, proto.runtime_key ?? '')
}
