import { isIP } from 'node:net'
import { ConfigError } from '../../../base/errors.ts'
import type { FieldPath } from '../../../config/field-path.ts'
import type { envoy, xds } from '../../../config/gen/messages.d.ts'
import {
  type HeaderMatchConfig,
  type MetadataMatchConfig,
  parseHeaderMatcher,
  parseMetadataMatcher,
  parseStringMatcher,
  type StringMatchConfig,
} from '../../../config/matcher.ts'
import { typeNameOf } from '../../../config/registry.ts'
import { defineSupport } from '../../../config/support.ts'
import { parseTemplate } from '../../../config/uri-template.ts'

type Rules = envoy.config.rbac.v3.RBAC
type Policy = envoy.config.rbac.v3.Policy
type Permission = envoy.config.rbac.v3.Permission
type Principal = envoy.config.rbac.v3.Principal

/** Which address of the connection or request an IP rule is about. */
export type AddressSource = 'local' | 'connectionRemote' | 'directRemote' | 'remote'

/** A permission or principal: one language, as both say something about one request. */
export type ConditionConfig =
  | { readonly kind: 'any' }
  | { readonly kind: 'and' | 'or'; readonly of: readonly ConditionConfig[] }
  | { readonly kind: 'not'; readonly of: ConditionConfig }
  | { readonly kind: 'header'; readonly match: HeaderMatchConfig }
  | { readonly kind: 'path'; readonly match: StringMatchConfig }
  /** An RE2 expression over the whole path. */
  | { readonly kind: 'template'; readonly pattern: string }
  | {
      readonly kind: 'ip'
      readonly source: AddressSource
      readonly prefixes: readonly string[]
      readonly invert: boolean
    }
  /** Port of the local address in [start, end). */
  | { readonly kind: 'port'; readonly start: number; readonly end: number }
  | { readonly kind: 'metadata'; readonly match: MetadataMatchConfig; readonly ofRoute: boolean }
  | { readonly kind: 'state'; readonly key: string; readonly match: StringMatchConfig }
  | {
      readonly kind: 'stateAddress'
      readonly key: string
      readonly prefixes: readonly string[]
      readonly invert: boolean
    }
  | { readonly kind: 'serverName'; readonly match: StringMatchConfig }
  /** `match` null: any TLS connection. */
  | { readonly kind: 'authenticated'; readonly match: StringMatchConfig | null }

export interface PolicyConfig {
  readonly name: string
  readonly permissions: ConditionConfig
  readonly principals: ConditionConfig
}

/** envoy.config.rbac.v3.RBAC. */
export interface RulesConfig {
  readonly action: 'ALLOW' | 'DENY' | 'LOG'
  /** Sorted by name: the first that matches is the effective one. */
  readonly policies: readonly PolicyConfig[]
}

const rulesSupport = defineSupport<Rules>('envoy.config.rbac.v3.RBAC', {
  action: 'yes',
  policies: 'yes',
  audit_logging_options: 'reject',
})

const policySupport = defineSupport<Policy>('envoy.config.rbac.v3.Policy', {
  permissions: 'yes',
  principals: 'yes',
  condition: 'reject',
  checked_condition: 'reject',
  cel_config: 'reject',
})

const permissionSupport = defineSupport<Permission>('envoy.config.rbac.v3.Permission', {
  and_rules: 'yes',
  or_rules: 'yes',
  any: 'yes',
  header: 'yes',
  url_path: 'yes',
  destination_ip: 'yes',
  destination_port: 'yes',
  destination_port_range: 'yes',
  metadata: 'yes',
  not_rule: 'yes',
  requested_server_name: 'yes',
  matcher: 'reject',
  uri_template: 'yes',
  sourced_metadata: 'yes',
})

const principalSupport = defineSupport<Principal>('envoy.config.rbac.v3.Principal', {
  and_ids: 'yes',
  or_ids: 'yes',
  any: 'yes',
  authenticated: 'yes',
  source_ip: 'yes',
  direct_remote_ip: 'yes',
  remote_ip: 'yes',
  header: 'yes',
  url_path: 'yes',
  metadata: 'yes',
  filter_state: 'yes',
  not_id: 'yes',
  sourced_metadata: 'yes',
  custom: 'reject',
})

/** @throws ConfigError for what a rule cannot say; a rule that is not understood must never be left out */
export function parseRules(proto: Rules, at: FieldPath, warnings: string[]): RulesConfig {
  rulesSupport.check(proto, at, warnings)
  const policies = at.field('policies')
  const names = Object.keys(proto.policies ?? {}).sort(byBytes)
  return {
    action: proto.action === 'DENY' || proto.action === 'LOG' ? proto.action : 'ALLOW',
    policies: names.map(name => parsePolicy(name, proto.policies![name]!, policies.key(name), warnings)),
  }
}

/** std::map orders by bytes. */
function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

function parsePolicy(name: string, proto: Policy, at: FieldPath, warnings: string[]): PolicyConfig {
  policySupport.check(proto, at, warnings)
  const permissions = at.field('permissions')
  const principals = at.field('principals')
  return {
    name,
    permissions: {
      kind: 'or',
      of: (proto.permissions ?? []).map((rule, i) => parsePermission(rule, permissions.index(i), warnings)),
    },
    principals: {
      kind: 'or',
      of: (proto.principals ?? []).map((id, i) => parsePrincipal(id, principals.index(i), warnings)),
    },
  }
}

function parsePermission(proto: Permission, at: FieldPath, warnings: string[]): ConditionConfig {
  permissionSupport.check(proto, at, warnings)
  const set = (name: 'and_rules' | 'or_rules'): ConditionConfig[] => {
    const rules = at.field(name).field('rules')
    return (proto[name]?.rules ?? []).map((rule, i) => parsePermission(rule, rules.index(i), warnings))
  }
  if (proto.and_rules !== undefined) return { kind: 'and', of: set('and_rules') }
  if (proto.or_rules !== undefined) return { kind: 'or', of: set('or_rules') }
  if (proto.not_rule !== undefined) {
    return { kind: 'not', of: parsePermission(proto.not_rule, at.field('not_rule'), warnings) }
  }
  if (proto.destination_ip !== undefined) return ip('local', proto.destination_ip, at.field('destination_ip'))
  if (proto.destination_port !== undefined) {
    return { kind: 'port', start: proto.destination_port, end: proto.destination_port + 1 }
  }
  if (proto.destination_port_range !== undefined) {
    return portRange(proto.destination_port_range, at.field('destination_port_range'))
  }
  if (proto.requested_server_name !== undefined) {
    const match = parseStringMatcher(proto.requested_server_name, at.field('requested_server_name'))
    return { kind: 'serverName', match }
  }
  if (proto.uri_template !== undefined) return template(proto.uri_template, at.field('uri_template'))
  return shared(proto, at)
}

function parsePrincipal(proto: Principal, at: FieldPath, warnings: string[]): ConditionConfig {
  principalSupport.check(proto, at, warnings)
  const set = (name: 'and_ids' | 'or_ids'): ConditionConfig[] => {
    const ids = at.field(name).field('ids')
    return (proto[name]?.ids ?? []).map((id, i) => parsePrincipal(id, ids.index(i), warnings))
  }
  if (proto.and_ids !== undefined) return { kind: 'and', of: set('and_ids') }
  if (proto.or_ids !== undefined) return { kind: 'or', of: set('or_ids') }
  if (proto.not_id !== undefined) return { kind: 'not', of: parsePrincipal(proto.not_id, at.field('not_id'), warnings) }
  if (proto.authenticated !== undefined) {
    const name = proto.authenticated.principal_name
    const place = at.field('authenticated').field('principal_name')
    return { kind: 'authenticated', match: name === undefined ? null : parseStringMatcher(name, place) }
  }
  if (proto.source_ip !== undefined) return ip('connectionRemote', proto.source_ip, at.field('source_ip'))
  if (proto.direct_remote_ip !== undefined) {
    return ip('directRemote', proto.direct_remote_ip, at.field('direct_remote_ip'))
  }
  if (proto.remote_ip !== undefined) return ip('remote', proto.remote_ip, at.field('remote_ip'))
  if (proto.filter_state !== undefined) return filterState(proto.filter_state, at.field('filter_state'))
  return shared(proto, at)
}

/** What permissions and principals have in common. */
function shared(proto: Permission | Principal, at: FieldPath): ConditionConfig {
  if (proto.header !== undefined) return { kind: 'header', match: parseHeaderMatcher(proto.header, at.field('header')) }
  if (proto.url_path !== undefined) {
    const place = at.field('url_path').field('path')
    return { kind: 'path', match: parseStringMatcher(proto.url_path.path ?? {}, place) }
  }
  if (proto.metadata !== undefined) {
    return { kind: 'metadata', match: parseMetadataMatcher(proto.metadata, at.field('metadata')), ofRoute: false }
  }
  if (proto.sourced_metadata !== undefined) {
    const { metadata_matcher, metadata_source } = proto.sourced_metadata
    const match = parseMetadataMatcher(metadata_matcher ?? {}, at.field('sourced_metadata').field('metadata_matcher'))
    return { kind: 'metadata', match, ofRoute: metadata_source === 'ROUTE' }
  }
  if (proto.any !== undefined) return { kind: 'any' }
  throw new ConfigError('CONFIG_INVALID', at, 'field: "rule", reason: is required')
}

function ip(source: AddressSource, range: envoy.config.core.v3.CidrRange, at: FieldPath): ConditionConfig {
  return { kind: 'ip', source, prefixes: [prefixOf(range, at)], invert: false }
}

function prefixOf(range: envoy.config.core.v3.CidrRange | xds.core.v3.CidrRange, at: FieldPath): string {
  const address = range.address_prefix ?? ''
  const family = isIP(address)
  if (family === 0) {
    throw new ConfigError('CONFIG_INVALID', at.field('address_prefix'), `malformed IP address: ${address}`)
  }
  // A longer prefix than the family has is cut, as CidrRange::create does.
  return `${address}/${Math.min(range.prefix_len ?? 0, family === 4 ? 32 : 128)}`
}

function portRange(range: envoy.type.v3.Int32Range, at: FieldPath): ConditionConfig {
  const start = range.start ?? 0
  const end = range.end ?? 0
  if (start < 0 || start > 65536) throw invalid(at, `range start ${start} is out of bounds`)
  if (end < 0 || end > 65536) throw invalid(at, `range end ${end} is out of bounds`)
  if (start >= end) throw invalid(at, `range start ${start} cannot be greater or equal than range end ${end}`)
  return { kind: 'port', start, end }
}

function template(proto: envoy.config.core.v3.TypedExtensionConfig, at: FieldPath): ConditionConfig {
  const type = typeNameOf(proto.typed_config)
  if (type !== 'envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig') {
    const text = `Didn't find a registered implementation for '${proto.name ?? ''}' with type URL: '${type}'`
    throw new ConfigError('CONFIG_UNREGISTERED', at.field('typed_config'), text)
  }
  const config = proto.typed_config?.message as envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig
  const text = config?.path_template ?? ''
  const parsed = parseTemplate(text)
  if (typeof parsed === 'string') {
    throw invalid(at.field('typed_config'), `path_match_policy.path_template ${text} is invalid: ${parsed}`)
  }
  return { kind: 'template', pattern: parsed.pattern }
}

function filterState(proto: envoy.type.matcher.v3.FilterStateMatcher, at: FieldPath): ConditionConfig {
  const key = proto.key ?? ''
  if (proto.address_match !== undefined) {
    const ranges = at.field('address_match').field('ranges')
    const prefixes = (proto.address_match.ranges ?? []).map((range, i) => prefixOf(range, ranges.index(i)))
    return { kind: 'stateAddress', key, prefixes, invert: proto.address_match.invert_match ?? false }
  }
  return { kind: 'state', key, match: parseStringMatcher(proto.string_match ?? {}, at.field('string_match')) }
}

function invalid(at: FieldPath, text: string): ConfigError {
  return new ConfigError('CONFIG_INVALID', at, text)
}
