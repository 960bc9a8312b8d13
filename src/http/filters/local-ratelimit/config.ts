import { ConfigError } from '../../../base/errors.ts'
import { nextBucketNumber, type TokenBucketConfig } from '../../../base/token-bucket.ts'
import type { FieldPath } from '../../../config/field-path.ts'
import type { envoy } from '../../../config/gen/messages.d.ts'
import { statusCode } from '../../../config/http-status.ts'
import { localCluster } from '../../../config/local-cluster.ts'
import { type FractionConfig, latin1, parseFraction } from '../../../config/matcher.ts'
import { parseFilterRateLimits } from '../../../config/rate-limit.ts'
import { parseHeadersToAdd } from '../../../config/route-headers.ts'
import { defineSupport } from '../../../config/support.ts'
import { parseTokenBucket } from '../../../config/token-bucket.ts'
import type { HeaderAddConfig, RateLimitConfig } from '../../../routing/route-config.ts'

export type LocalRateLimitProto = envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
type DescriptorProto = envoy.extensions.common.ratelimit.v3.LocalRateLimitDescriptor

const support = defineSupport<LocalRateLimitProto>('envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit', {
  stat_prefix: 'yes',
  status: 'yes',
  token_bucket: 'yes',
  filter_enabled: 'yes',
  filter_enforced: 'yes',
  request_headers_to_add_when_not_enforced: 'yes',
  response_headers_to_add: 'yes',
  descriptors: 'yes',
  stage: 'yes',
  local_rate_limit_per_downstream_connection: 'yes',
  local_cluster_rate_limit: 'yes',
  enable_x_ratelimit_headers: 'yes',
  vh_rate_limits: 'yes',
  always_consume_default_token_bucket: 'yes',
  rate_limited_as_resource_exhausted: 'yes',
  rate_limits: 'yes',
  max_dynamic_descriptors: 'yes',
  enable_retry_after_header: 'yes',
})

/** What the limiter of one configuration is made of. */
export interface LimiterConfig {
  /** Names its bucket; those of descriptors are named under numbers of their own. */
  readonly number: number
  /** Null: there is none, and only descriptors limit. */
  readonly bucket: TokenBucketConfig | null
  readonly descriptors: readonly LimitDescriptorConfig[]
  readonly maxDynamic: number
  /** Also of requests that a descriptor has let pass. */
  readonly alwaysDefault: boolean
}

export interface LimitDescriptorConfig {
  readonly number: number
  /** Key, value, key, value …; latin1. '' as value = any. */
  readonly entries: readonly string[]
  readonly any: boolean
  readonly bucket: TokenBucketConfig
  readonly shadow: boolean
}

export interface LocalRateLimitConfig {
  readonly statPrefix: string
  readonly status: number
  /** -1 = by status. */
  readonly grpcStatus: number
  readonly limiter: LimiterConfig
  readonly perConnection: boolean
  /** The members of the proxy's own cluster share the tokens. */
  readonly perCluster: boolean
  /** Null = never. */
  readonly enabled: FractionConfig | null
  readonly enforced: FractionConfig | null
  readonly requestHeaders: readonly HeaderAddConfig[]
  readonly responseHeaders: readonly HeaderAddConfig[]
  readonly stage: number
  readonly limitHeaders: boolean
  readonly retryAfter: boolean
  readonly virtualHost: 'OVERRIDE' | 'INCLUDE' | 'IGNORE'
  /** Instead of those of the route, when there are any. */
  readonly rateLimits: readonly RateLimitConfig[]
}

export function parseLocalRateLimit(
  proto: LocalRateLimitProto,
  at: FieldPath,
  warnings: string[],
): LocalRateLimitConfig {
  support.check(proto, at, warnings)
  const rateLimits = parseFilterRateLimits(proto.rate_limits, at.field('rate_limits'), warnings)
  const status = statusCode(proto.status)
  return {
    statPrefix: proto.stat_prefix ?? '',
    status: status >= 400 ? status : 429,
    grpcStatus: proto.rate_limited_as_resource_exhausted === true ? RESOURCE_EXHAUSTED : -1,
    limiter: {
      number: nextBucketNumber(),
      bucket:
        proto.token_bucket === undefined
          ? null
          : parseTokenBucket(proto.token_bucket, at.field('token_bucket'), 'local rate limit'),
      descriptors: parseDescriptors(proto.descriptors ?? [], at.field('descriptors')),
      maxDynamic: proto.max_dynamic_descriptors ?? 20,
      alwaysDefault: proto.always_consume_default_token_bucket ?? true,
    },
    perConnection: proto.local_rate_limit_per_downstream_connection ?? false,
    perCluster: sharesTokens(proto, at),
    enabled: fraction(proto.filter_enabled),
    enforced: fraction(proto.filter_enforced),
    requestHeaders: parseHeadersToAdd(
      proto.request_headers_to_add_when_not_enforced,
      at.field('request_headers_to_add_when_not_enforced'),
    ),
    responseHeaders: parseHeadersToAdd(proto.response_headers_to_add, at.field('response_headers_to_add')),
    stage: proto.stage ?? 0,
    limitHeaders: proto.enable_x_ratelimit_headers === 'DRAFT_VERSION_03',
    retryAfter: proto.enable_retry_after_header ?? false,
    virtualHost: (proto.vh_rate_limits ?? 'OVERRIDE') as LocalRateLimitConfig['virtualHost'],
    rateLimits,
  }
}

/** A route without a bucket of its own would have no limit at all. */
export function parseLocalRateLimitOverride(
  proto: LocalRateLimitProto,
  at: FieldPath,
  warnings: string[],
): LocalRateLimitConfig {
  if (proto.token_bucket === undefined) {
    throw new ConfigError(
      'CONFIG_INVALID',
      at.field('token_bucket'),
      'local rate limit token bucket must be set for per filter configs',
    )
  }
  return parseLocalRateLimit(proto, at, warnings)
}

const RESOURCE_EXHAUSTED = 8

function sharesTokens(proto: LocalRateLimitProto, at: FieldPath): boolean {
  if (proto.local_cluster_rate_limit === undefined) return false
  const refuse = (what: string, advice: string): never => {
    const text = `local_cluster_rate_limit is set ${what}`
    throw new ConfigError('CONFIG_INVALID', at.field('local_cluster_rate_limit'), text, { advice })
  }
  if (proto.local_rate_limit_per_downstream_connection === true) {
    refuse('and local_rate_limit_per_downstream_connection is set to true', 'set one of the two')
  }
  if (localCluster.name === '') {
    refuse(
      'but no local cluster name is present',
      'name the cluster of this proxy in cluster_manager.local_cluster_name',
    )
  }
  return true
}

function fraction(proto: envoy.config.core.v3.RuntimeFractionalPercent | undefined): FractionConfig | null {
  return proto === undefined ? null : parseFraction(proto.default_value, proto.runtime_key ?? '')
}

function parseDescriptors(protos: readonly DescriptorProto[], at: FieldPath): LimitDescriptorConfig[] {
  const seen = new Set<string>()
  return protos.map((proto, i) => {
    const place = at.index(i)
    const entries = (proto.entries ?? []).flatMap(entry => [latin1(entry.key ?? ''), latin1(entry.value ?? '')])
    const key = entries.join('\0')
    if (seen.has(key)) {
      const text = (proto.entries ?? []).map(entry => `${entry.key ?? ''}=${entry.value ?? ''}`).join(', ')
      throw new ConfigError('CONFIG_DUPLICATE', place, `duplicate descriptor in the local rate descriptor: ${text}`)
    }
    seen.add(key)
    return {
      number: nextBucketNumber(),
      entries,
      any: (proto.entries ?? []).some(entry => (entry.value ?? '') === ''),
      bucket: parseTokenBucket(proto.token_bucket ?? {}, place.field('token_bucket'), 'local rate limit descriptor'),
      shadow: proto.shadow_mode ?? false,
    }
  })
}
