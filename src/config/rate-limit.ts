import { ConfigError } from '../base/errors.ts'
import type { LimitOverrideConfig, LimitUnit, RateLimitActionConfig, RateLimitConfig } from '../routing/route-config.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'
import { latin1, parseHeaderMatchers, parseQueryMatcher } from './matcher.ts'
import { checkFormat } from './substitution-format.ts'
import { defineSupport } from './support.ts'

type Proto = envoy.config.route.v3.RateLimit
type Action = envoy.config.route.v3.RateLimit_Action

const SUPPORT = defineSupport<Proto>('envoy.config.route.v3.RateLimit', {
  stage: 'yes',
  disable_key: 'yes',
  actions: 'yes',
  // Both concern a rate limit service; a token bucket has the size that is configured for it.
  limit: 'yes',
  apply_on_stream_done: 'yes',
  hits_addend: 'yes',
  x_ratelimit_option: 'yes',
})

const ACTION_SUPPORT = defineSupport<Action>('envoy.config.route.v3.RateLimit.Action', {
  source_cluster: 'yes',
  destination_cluster: 'yes',
  request_headers: 'yes',
  query_parameters: 'yes',
  remote_address: 'yes',
  generic_key: 'yes',
  header_value_match: 'yes',
  dynamic_metadata: 'yes',
  metadata: 'yes',
  extension: 'reject',
  masked_remote_address: 'yes',
  query_parameter_value_match: 'yes',
  remote_address_match: 'yes',
})

/** `rate_limits` of a route or virtual host. */
export function parseRateLimits(
  protos: readonly Proto[] | undefined,
  at: FieldPath,
  warnings: string[],
): RateLimitConfig[] {
  return (protos ?? []).map((proto, i) => parseRateLimit(proto, at.index(i), warnings))
}

/** `rate_limits` of a filter: all of them apply, so none has a stage (ratelimit_config.cc RateLimitPolicy). */
export function parseFilterRateLimits(
  protos: readonly Proto[] | undefined,
  at: FieldPath,
  warnings: string[],
): RateLimitConfig[] {
  return (protos ?? []).map((proto, i) => {
    const place = at.index(i)
    if (proto.stage !== undefined || (proto.disable_key ?? '') !== '') {
      throw new ConfigError('CONFIG_INVALID', place, "'stage' field and 'disable_key' field are not supported")
    }
    if (proto.limit !== undefined) throw new ConfigError('CONFIG_INVALID', place, "'limit' field is not supported")
    return parseRateLimit(proto, place, warnings)
  })
}

function parseRateLimit(proto: Proto, at: FieldPath, warnings: string[]): RateLimitConfig {
  SUPPORT.check(proto, at, warnings)
  const actions = at.field('actions')
  return {
    stage: proto.stage ?? 0,
    disableKey: proto.disable_key ?? '',
    onStreamDone: proto.apply_on_stream_done ?? false,
    actions: (proto.actions ?? []).map((action, i) => parseAction(action, actions.index(i), warnings)),
    limit: parseLimit(proto.limit, at.field('limit')),
    ...parseHits(proto.hits_addend, at.field('hits_addend')),
    headers:
      proto.x_ratelimit_option === 'OFF' ? false : proto.x_ratelimit_option === 'DRAFT_VERSION_03' ? true : undefined,
  }
}

function parseLimit(
  proto: envoy.config.route.v3.RateLimit_Override | undefined,
  at: FieldPath,
): LimitOverrideConfig | null {
  if (proto === undefined) return null
  const fixed = proto.rate_limit
  if (fixed !== undefined) {
    return { kind: 'fixed', requests: fixed.requests_per_unit ?? 0, unit: (fixed.unit ?? 'UNKNOWN') as LimitUnit }
  }
  const place = proto.dynamic_metadata?.metadata_key
  if (place === undefined) throw new ConfigError('CONFIG_INVALID', at, 'override_specifier: is required')
  return { kind: 'metadata', filter: place.key ?? '', path: (place.path ?? []).map(segment => segment.key ?? '') }
}

function parseHits(
  proto: envoy.config.route.v3.RateLimit_HitsAddend | undefined,
  at: FieldPath,
): Pick<RateLimitConfig, 'hits' | 'countsHits' | 'hitsFormat' | 'gives'> {
  const format = proto?.format ?? ''
  if (proto !== undefined && (format !== '') === (proto.number !== undefined)) {
    throw new ConfigError('CONFIG_INVALID', at, 'hits_addend must contain either a format or a number')
  }
  checkFormat(format, at.field('format'))
  return {
    hits: proto?.number === undefined ? 1 : Number(proto.number),
    countsHits: proto !== undefined,
    hitsFormat: format,
    gives: proto?.is_negative_hits ?? false,
  }
}

function parseAction(proto: Action, at: FieldPath, warnings: string[]): RateLimitActionConfig {
  ACTION_SUPPORT.check(proto, at, warnings)
  if (proto.source_cluster !== undefined) return { kind: 'sourceCluster' }
  if (proto.destination_cluster !== undefined) return { kind: 'destinationCluster' }
  if (proto.remote_address !== undefined) return { kind: 'address', v4: -1, v6: -1 }
  if (proto.masked_remote_address !== undefined) {
    const { v4_prefix_mask_len: v4, v6_prefix_mask_len: v6 } = proto.masked_remote_address
    return { kind: 'address', v4: v4 ?? 32, v6: v6 ?? 128 }
  }
  if (proto.request_headers !== undefined) {
    const { header_name, descriptor_key, skip_if_absent } = proto.request_headers
    const name = (header_name ?? '').toLowerCase()
    return { kind: 'header', name, key: latin1(descriptor_key ?? ''), optional: skip_if_absent ?? false }
  }
  if (proto.query_parameters !== undefined) {
    const { query_parameter_name, descriptor_key, skip_if_absent } = proto.query_parameters
    return {
      kind: 'query',
      name: latin1(query_parameter_name ?? ''),
      key: latin1(descriptor_key ?? ''),
      optional: skip_if_absent ?? false,
    }
  }
  if (proto.generic_key !== undefined) {
    const { descriptor_key, descriptor_value, default_value } = proto.generic_key
    checkDefault(default_value, at.field('generic_key'), warnings)
    return { kind: 'constant', key: latin1(descriptor_key || 'generic_key'), value: latin1(descriptor_value ?? '') }
  }
  if (proto.header_value_match !== undefined) {
    const { descriptor_key, descriptor_value, expect_match, headers, default_value } = proto.header_value_match
    const here = at.field('header_value_match')
    checkDefault(default_value, here, warnings)
    return {
      kind: 'headerMatch',
      key: latin1(descriptor_key || 'header_match'),
      value: latin1(descriptor_value ?? ''),
      expected: expect_match ?? true,
      headers: parseHeaderMatchers(headers, here.field('headers')),
    }
  }
  if (proto.query_parameter_value_match !== undefined) {
    const here = at.field('query_parameter_value_match')
    const match = proto.query_parameter_value_match
    checkDefault(match.default_value, here, warnings)
    const query = here.field('query_parameters')
    return {
      kind: 'queryMatch',
      key: latin1(match.descriptor_key || 'query_match'),
      value: latin1(match.descriptor_value ?? ''),
      expected: match.expect_match ?? true,
      query: (match.query_parameters ?? []).map((parameter, i) => parseQueryMatcher(parameter, query.index(i))),
    }
  }
  if (proto.remote_address_match !== undefined) {
    const { descriptor_key, descriptor_value, default_value, address_matcher } = proto.remote_address_match
    checkDefault(default_value, at.field('remote_address_match'), warnings)
    return {
      kind: 'addressMatch',
      key: latin1(descriptor_key || 'remote_address_match'),
      value: latin1(descriptor_value ?? ''),
      ranges: (address_matcher?.ranges ?? []).map(range => `${range.address_prefix ?? ''}/${range.prefix_len ?? 0}`),
      invert: address_matcher?.invert_match ?? false,
    }
  }
  if (proto.dynamic_metadata !== undefined) return metadata(proto.dynamic_metadata, 'dynamic', at)
  if (proto.metadata !== undefined) {
    const source = proto.metadata.source ?? 'DYNAMIC'
    if (source !== 'DYNAMIC' && source !== 'ROUTE_ENTRY') {
      const text = `metadata of ${String(source)} is not supported in rate limit actions`
      throw new ConfigError('CONFIG_UNSUPPORTED', at.field('metadata').field('source'), text)
    }
    return metadata(proto.metadata, source === 'DYNAMIC' ? 'dynamic' : 'route', at)
  }
  throw new ConfigError('CONFIG_INVALID', at, 'action_specifier: is required')
}

/** Values are texts as they stand, unless a runtime guard of Envoy, which is off, makes formats of them: none is ever empty. */
function checkDefault(value: string | undefined, at: FieldPath, warnings: string[]): void {
  if (value !== undefined)
    warnings.push(`${at.field('default_value')}: it has no effect, as descriptor_value is no format`)
}

function metadata(
  proto: envoy.config.route.v3.RateLimit_Action_MetaData,
  source: 'dynamic' | 'route',
  at: FieldPath,
): RateLimitActionConfig {
  const { metadata_key: place } = proto
  if (place === undefined) throw new ConfigError('CONFIG_INVALID', at, 'metadata_key: value is required')
  return {
    kind: 'metadata',
    source,
    key: latin1(proto.descriptor_key ?? ''),
    filter: place.key ?? '',
    path: (place.path ?? []).map(segment => segment.key ?? ''),
    otherwise: latin1(proto.default_value ?? ''),
    optional: proto.skip_if_absent ?? false,
  }
}
