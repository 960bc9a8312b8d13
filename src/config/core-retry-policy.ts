import { ConfigError } from '../base/errors.ts'
import type { RetryPolicyConfig } from '../routing/route-config.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'
import { parseRetryOn } from './retry-on.ts'
import { defineSupport } from './support.ts'

type Proto = envoy.config.core.v3.RetryPolicy

const SUPPORT = defineSupport<Proto>('envoy.config.core.v3.RetryPolicy', {
  retry_back_off: 'yes',
  num_retries: 'yes',
  retry_on: 'yes',
  retry_priority: 'reject',
  retry_host_predicate: 'reject',
  host_selection_retry_max_attempts: 'reject',
})

const BASE = 1000

/**
 * envoy.config.core.v3.RetryPolicy of call-outs as the route policy they are sent with (Http::Utility::convertCoreToRouteRetryPolicy):
 * an attempt may take as long as the longest back-off. With `retryOn` the caller says what is retried, else the policy does.
 */
export function parseCoreRetryPolicy(
  proto: Proto | undefined,
  retryOn: string,
  at: FieldPath,
  warnings: string[],
): RetryPolicyConfig | null {
  if (proto === undefined) return null
  SUPPORT.check(proto, at, warnings)
  const base = proto.retry_back_off?.base_interval ?? BASE
  const max = proto.retry_back_off?.max_interval ?? 10 * base
  if (max < base) {
    const text = 'max_interval must be greater than or equal to the base_interval'
    throw new ConfigError('CONFIG_INVALID', at.field('retry_back_off'), text)
  }
  if (retryOn !== '' && proto.retry_on !== undefined) {
    const text = "field 'retry_on' of envoy.config.core.v3.RetryPolicy has no effect here"
    throw new ConfigError('CONFIG_UNSUPPORTED', at.field('retry_on'), text, { advice: `it is always ${retryOn}` })
  }
  return {
    retryOn: parseRetryOn(retryOn === '' ? (proto.retry_on ?? '') : retryOn).bits,
    numRetries: proto.num_retries ?? 1,
    perTryTimeout: Math.trunc(max),
    perTryIdleTimeout: 0,
    retriableStatusCodes: [],
    retriableHeaders: [],
    retriableRequestHeaders: [],
    backOffBase: Math.max(1, Math.trunc(base)),
    backOffMax: Math.max(1, Math.trunc(max)),
    resetHeaders: [],
    resetMaxInterval: 300_000,
    previousHosts: false,
    omitCanaryHosts: false,
    omitHostMetadata: null,
    previousPriorities: 0,
    hostSelectionMaxAttempts: 1,
  }
}
