import { ConfigError } from '../base/errors.ts'
import type { TokenBucketConfig } from '../base/token-bucket.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'

/** A bucket of a local rate limit. `what`: as Envoy's texts call it. @throws ConfigError when it fills more often than every 50 ms */
export function parseTokenBucket(proto: envoy.type.v3.TokenBucket, at: FieldPath, what: string): TokenBucketConfig {
  const bucket = { max: proto.max_tokens ?? 0, perFill: proto.tokens_per_fill ?? 1, interval: proto.fill_interval ?? 0 }
  // A bucket for no token never gives one, however often it is filled.
  if (bucket.max > 0 && bucket.interval < 50) {
    throw new ConfigError('CONFIG_INVALID', at, `${what} token bucket fill timer must be >= 50ms`)
  }
  return bucket
}
