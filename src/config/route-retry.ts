import { ConfigError } from '../base/errors.ts'
import type { RetryPolicyConfig } from '../routing/route-config.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'
import { parseHeaderMatchers } from './matcher.ts'
import { typeNameOf, unregistered } from './registry.ts'
import { parseRetryOn } from './retry-on.ts'
import { filterMetadata } from './route.ts'
import { defineSupport } from './support.ts'

type Proto = envoy.config.route.v3.RetryPolicy

const SUPPORT = defineSupport<Proto>('envoy.config.route.v3.RetryPolicy', {
  retry_on: 'yes',
  num_retries: 'yes',
  per_try_timeout: 'yes',
  per_try_idle_timeout: 'yes',
  retry_priority: 'yes',
  retry_host_predicate: 'yes',
  host_selection_retry_max_attempts: 'yes',
  retriable_status_codes: 'yes',
  retry_back_off: 'yes',
  rate_limited_retry_back_off: 'yes',
  retriable_headers: 'yes',
  retriable_request_headers: 'yes',
  retry_options_predicates: 'reject',
  refresh_cluster_on_retry: 'warn',
})

/** Defaults and checks of source/common/router/retry_policy_impl.cc. */
export function parseRetryPolicy(proto: Proto, at: FieldPath, warnings: string[]): RetryPolicyConfig {
  SUPPORT.check(proto, at, warnings)
  const parsed = parseRetryOn(proto.retry_on ?? '')
  if (parsed.unknown.length > 0) {
    const unknown = parsed.unknown.join(',')
    warnings.push(
      `Unknown retry_on policy token(s) [${unknown}] in retry_on config '${proto.retry_on}'. These tokens will be silently ignored.`,
    )
  }
  const limited = proto.rate_limited_retry_back_off
  return {
    retryOn: parsed.bits,
    numRetries: proto.num_retries ?? 1,
    perTryTimeout: proto.per_try_timeout ?? 0,
    perTryIdleTimeout: proto.per_try_idle_timeout ?? 0,
    retriableStatusCodes: proto.retriable_status_codes ?? [],
    retriableHeaders: parseHeaderMatchers(proto.retriable_headers, at.field('retriable_headers')),
    retriableRequestHeaders: parseHeaderMatchers(
      proto.retriable_request_headers,
      at.field('retriable_request_headers'),
    ),
    ...backOff(proto, at),
    resetHeaders: (limited?.reset_headers ?? []).map(header => ({
      name: (header.name ?? '').toLowerCase(),
      format: header.format === 'UNIX_TIMESTAMP' ? ('timestamp' as const) : ('seconds' as const),
    })),
    resetMaxInterval: limited?.max_interval ?? 300_000,
    ...predicates(proto, at),
    previousPriorities: priorities(proto, at),
    hostSelectionMaxAttempts: Math.max(1, Number(proto.host_selection_retry_max_attempts ?? 1)),
  }
}

function backOff(proto: Proto, at: FieldPath): Pick<RetryPolicyConfig, 'backOffBase' | 'backOffMax'> {
  const config = proto.retry_back_off
  if (config === undefined) return { backOffBase: 0, backOffMax: 0 }
  // Envoy's back-off counts whole milliseconds, at least one.
  const base = Math.max(1, Math.trunc(config.base_interval ?? 0))
  if (config.max_interval === undefined) return { backOffBase: base, backOffMax: 0 }
  const max = Math.max(1, Math.trunc(config.max_interval))
  if (max < base) {
    const text = 'retry_policy.max_interval must greater than or equal to the base_interval'
    throw new ConfigError('CONFIG_INVALID', at.field('retry_back_off'), text)
  }
  return { backOffBase: base, backOffMax: max }
}

function predicates(
  proto: Proto,
  at: FieldPath,
): Pick<RetryPolicyConfig, 'previousHosts' | 'omitCanaryHosts' | 'omitHostMetadata'> {
  let previousHosts = false
  let omitCanaryHosts = false
  let omitHostMetadata: RetryPolicyConfig['omitHostMetadata'] = null
  const list = proto.retry_host_predicate ?? []
  for (let i = 0; i < list.length; i++) {
    const { name = '', typed_config: any } = list[i]!
    const type = typeNameOf(any)
    if (type === 'envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate') previousHosts = true
    else if (type === 'envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate')
      omitCanaryHosts = true
    else if (type === 'envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig') {
      const config = (any?.message ?? {}) as envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig
      omitHostMetadata = filterMetadata(config.metadata_match)
    } else {
      const place = at.field('retry_host_predicate').index(i).field('typed_config')
      throw unregistered('envoy.retry_host_predicates', name, type, place)
    }
  }
  return { previousHosts, omitCanaryHosts, omitHostMetadata }
}

function priorities(proto: Proto, at: FieldPath): number {
  if (proto.retry_priority === undefined) return 0
  const { name = '', typed_config: any } = proto.retry_priority
  const type = typeNameOf(any)
  if (type !== 'envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig') {
    throw unregistered('envoy.retry_priorities', name, type, at.field('retry_priority').field('typed_config'))
  }
  const config = (any?.message ?? {}) as envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig
  return Math.max(1, config.update_frequency ?? 1)
}
