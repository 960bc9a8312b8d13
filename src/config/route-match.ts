import { ConfigError } from '../base/errors.ts'
import type { FilterStateMatchConfig, RouteMatchConfig } from '../routing/route-config.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'
import {
  latin1,
  parseCookieMatcher,
  parseFraction,
  parseHeaderMatchers,
  parseMetadataMatcher,
  parseQueryMatcher,
  parseRegex,
  parseStringMatcher,
} from './matcher.ts'
import { typeNameOf } from './registry.ts'
import type { RouteParseServices } from './route.ts'
import { defineSupport } from './support.ts'
import { parseTemplate } from './uri-template.ts'

type Match = envoy.config.route.v3.RouteMatch

const SUPPORT = defineSupport<Match>('envoy.config.route.v3.RouteMatch', {
  prefix: 'yes',
  path: 'yes',
  safe_regex: 'yes',
  connect_matcher: 'yes',
  path_separated_prefix: 'yes',
  path_match_policy: 'yes',
  case_sensitive: 'yes',
  runtime_fraction: 'yes',
  headers: 'yes',
  query_parameters: 'yes',
  grpc: 'yes',
  tls_context: 'yes',
  dynamic_metadata: 'yes',
  filter_state: 'yes',
  cookies: 'yes',
})

export function parseRouteMatch(proto: Match, at: FieldPath, services: RouteParseServices): RouteMatchConfig {
  SUPPORT.check(proto, at, services.warnings)
  const { runtime_fraction: fraction, tls_context: tls } = proto
  return {
    ...path(proto, at),
    caseSensitive: proto.case_sensitive ?? true,
    fraction: fraction === undefined ? null : parseFraction(fraction.default_value, fraction.runtime_key),
    headers: parseHeaderMatchers(proto.headers, at.field('headers')),
    query: (proto.query_parameters ?? []).map((q, i) => parseQueryMatcher(q, at.field('query_parameters').index(i))),
    cookies: (proto.cookies ?? []).map((c, i) => parseCookieMatcher(c, at.field('cookies').index(i))),
    grpc: proto.grpc !== undefined,
    tls: tls === undefined ? null : { presented: tls.presented ?? null, validated: tls.validated ?? null },
    dynamicMetadata: (proto.dynamic_metadata ?? []).map((m, i) =>
      parseMetadataMatcher(m, at.field('dynamic_metadata').index(i)),
    ),
    filterState: (proto.filter_state ?? []).map((m, i) => filterState(m, at.field('filter_state').index(i))),
  }
}

function path(proto: Match, at: FieldPath): Pick<RouteMatchConfig, 'kind' | 'text'> {
  if (proto.prefix !== undefined) return { kind: 'prefix', text: latin1(proto.prefix) }
  if (proto.path !== undefined) return { kind: 'path', text: latin1(proto.path) }
  if (proto.safe_regex !== undefined) {
    return { kind: 'regex', text: parseRegex(proto.safe_regex, at.field('safe_regex')) }
  }
  if (proto.path_separated_prefix !== undefined) return { kind: 'separated', text: latin1(proto.path_separated_prefix) }
  if (proto.connect_matcher !== undefined) return { kind: 'connect', text: '' }
  const any = proto.path_match_policy?.typed_config
  const place = at.field('path_match_policy').field('typed_config')
  if (typeNameOf(any) !== 'envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig') {
    const text = `Didn't find a registered implementation for '${proto.path_match_policy?.name ?? ''}' with type URL: '${typeNameOf(any)}'`
    throw new ConfigError('CONFIG_UNREGISTERED', place, text)
  }
  const config = (any?.message ?? {}) as envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig
  const text = config.path_template ?? ''
  const parsed = parseTemplate(text)
  if (typeof parsed === 'string') {
    throw new ConfigError('CONFIG_INVALID', place, `path_match_policy.path_template ${text} is invalid: ${parsed}`)
  }
  return { kind: 'template', text }
}

function filterState(proto: envoy.type.matcher.v3.FilterStateMatcher, at: FieldPath): FilterStateMatchConfig {
  if (proto.string_match === undefined) {
    throw new ConfigError('CONFIG_UNSUPPORTED', at, 'only string_match of a filter state matcher is supported')
  }
  return { key: proto.key ?? '', match: parseStringMatcher(proto.string_match, at.field('string_match')) }
}
