import { ConfigError } from '../../../base/errors.ts'
import { readDataSource } from '../../../config/data-source.ts'
import type { FieldPath } from '../../../config/field-path.ts'
import type { envoy } from '../../../config/gen/messages.d.ts'
import { parseStringMatcher, type StringMatchConfig } from '../../../config/matcher.ts'
import { parseRouteMatch } from '../../../config/route-match.ts'
import { defineSupport } from '../../../config/support.ts'
import type { RouteMatchConfig } from '../../../routing/route-config.ts'
import { type FetchConfig, parseFetch } from './fetch-config.ts'
import { Jwks } from './jwks.ts'
import { JwtStatus, statusText } from './status.ts'

type Proto = envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
type Provider = envoy.extensions.filters.http.jwt_authn.v3.JwtProvider
type Requirement = envoy.extensions.filters.http.jwt_authn.v3.JwtRequirement
type PerRoute = envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig

export interface ProviderConfig {
  readonly name: string
  /** '' = tokens of any issuer. */
  readonly issuer: string
  readonly audiences: readonly string[]
  readonly subjects: StringMatchConfig | null
  /** Seconds that a token may still live; null = any time, Infinity = it must end some time. */
  readonly maxLifetime: number | null
  /** JSON text; '' = remote keys. */
  readonly localJwks: string
  readonly remote: FetchConfig | null
  readonly forward: boolean
  readonly fromHeaders: readonly { readonly name: string; readonly prefix: string }[]
  readonly fromParams: readonly string[]
  readonly fromCookies: readonly string[]
  readonly payloadHeader: string
  readonly padPayloadHeader: boolean
  readonly payloadInMetadata: string
  readonly spaceDelimitedClaims: readonly string[]
  readonly headerInMetadata: string
  readonly failedStatusInMetadata: string
  /** Seconds. */
  readonly clockSkew: number
  /** Verified tokens that are remembered; 0 = none. */
  readonly cacheSize: number
  readonly cacheMaxToken: number
  readonly claimToHeaders: readonly { readonly header: string; readonly path: readonly string[] }[]
  readonly clearRouteCache: boolean
}

export type RequirementConfig =
  | { readonly kind: 'provider'; readonly provider: string; readonly audiences: readonly string[] }
  | { readonly kind: 'any' | 'all'; readonly of: readonly RequirementConfig[] }
  | { readonly kind: 'allowMissing' | 'allowFailed' }
  | { readonly kind: 'none' }

export interface JwtAuthnConfig {
  readonly providers: readonly ProviderConfig[]
  readonly rules: readonly { readonly match: RouteMatchConfig; readonly requires: RequirementConfig | null }[]
  readonly stateKey: string
  readonly stateRules: Readonly<Record<string, RequirementConfig>>
  readonly named: Readonly<Record<string, RequirementConfig>>
  readonly bypassCorsPreflight: boolean
  readonly stripFailureResponse: boolean
  readonly statPrefix: string
}

/** typed_per_filter_config: `disabled`, or the name of a requirement. */
export interface PerRouteJwtConfig {
  readonly disabled: boolean
  readonly requirement: string
}

const PACKAGE = 'envoy.extensions.filters.http.jwt_authn.v3'

const support = defineSupport<Proto>(`${PACKAGE}.JwtAuthentication`, {
  providers: 'yes',
  rules: 'yes',
  filter_state_rules: 'yes',
  bypass_cors_preflight: 'yes',
  requirement_map: 'yes',
  strip_failure_response: 'yes',
  stat_prefix: 'yes',
})

const providerSupport = defineSupport<Provider>(`${PACKAGE}.JwtProvider`, {
  issuer: 'yes',
  audiences: 'yes',
  subjects: 'yes',
  require_expiration: 'yes',
  max_lifetime: 'yes',
  remote_jwks: 'yes',
  local_jwks: 'yes',
  forward: 'yes',
  from_headers: 'yes',
  from_params: 'yes',
  from_cookies: 'yes',
  forward_payload_header: 'yes',
  pad_forward_payload_header: 'yes',
  payload_in_metadata: 'yes',
  normalize_payload_in_metadata: 'yes',
  header_in_metadata: 'yes',
  failed_status_in_metadata: 'yes',
  clock_skew_seconds: 'yes',
  jwt_cache_config: 'yes',
  claim_to_headers: 'yes',
  clear_route_cache: 'yes',
})

const requirementSupport = defineSupport<Requirement>(`${PACKAGE}.JwtRequirement`, {
  provider_name: 'yes',
  provider_and_audiences: 'yes',
  requires_any: 'yes',
  requires_all: 'yes',
  allow_missing_or_failed: 'yes',
  allow_missing: 'yes',
  extract_only_without_validation: 'reject',
})

const perRouteSupport = defineSupport<PerRoute>(`${PACKAGE}.PerRouteConfig`, {
  disabled: 'yes',
  requirement_name: 'yes',
})

export function parseJwtAuthn(proto: Proto, at: FieldPath, warnings: string[]): JwtAuthnConfig {
  support.check(proto, at, warnings)
  const providersAt = at.field('providers')
  const providers = Object.entries(proto.providers ?? {}).map(([name, provider]) =>
    parseProvider(name, provider, providersAt.key(name), warnings),
  )
  const requirement = (r: Requirement, place: FieldPath) => parseRequirement(r, providers, place, warnings)
  const requirements = (map: Readonly<Record<string, Requirement>> | undefined, place: FieldPath) =>
    Object.fromEntries(Object.entries(map ?? {}).map(([name, r]) => [name, requirement(r, place.key(name))]))
  const named = requirements(proto.requirement_map, at.field('requirement_map'))
  const rulesAt = at.field('rules')
  const rules = (proto.rules ?? []).map((rule, i) => {
    const place = rulesAt.index(i)
    let requires: RequirementConfig | null = null
    if (rule.requires !== undefined) requires = requirement(rule.requires, place.field('requires'))
    else if (rule.requirement_name !== undefined) {
      requires = Object.hasOwn(named, rule.requirement_name) ? named[rule.requirement_name]! : null
      if (requires === null) {
        const text = wrongName(rule.requirement_name, Object.keys(named))
        throw new ConfigError('CONFIG_REFERENCE', place.field('requirement_name'), text)
      }
    }
    return { match: parseMatch(rule.match ?? {}, place.field('match'), warnings), requires }
  })
  const state = proto.filter_state_rules
  return {
    providers,
    rules,
    stateKey: state?.name ?? '',
    stateRules: requirements(state?.requires, at.field('filter_state_rules').field('requires')),
    named,
    bypassCorsPreflight: proto.bypass_cors_preflight ?? false,
    stripFailureResponse: proto.strip_failure_response ?? false,
    statPrefix: proto.stat_prefix ?? '',
  }
}

export function parsePerRoute(proto: PerRoute, at: FieldPath, warnings: string[]): PerRouteJwtConfig {
  perRouteSupport.check(proto, at, warnings)
  return { disabled: proto.disabled ?? false, requirement: proto.requirement_name ?? '' }
}

/** Also the response of a route that names a requirement which is not there. */
export function wrongName(name: string, names: readonly string[]): string {
  return `Wrong requirement_name: ${name}. It should be one of [${[...names].sort().join(',')}]`
}

/** Envoy looks at path, headers and query of these matches and at nothing else: whoever sets more is told so. */
function parseMatch(proto: envoy.config.route.v3.RouteMatch, at: FieldPath, warnings: string[]): RouteMatchConfig {
  for (const field of [
    'runtime_fraction',
    'grpc',
    'tls_context',
    'dynamic_metadata',
    'filter_state',
    'cookies',
  ] as const) {
    if (proto[field] !== undefined) {
      const text = `field '${field}' has no meaning for JWT rules`
      throw new ConfigError('CONFIG_UNSUPPORTED', at.field(field), text)
    }
  }
  return parseRouteMatch(proto, at, { warnings, validateClusters: false, hasCluster: () => true })
}

function parseProvider(name: string, proto: Provider, at: FieldPath, warnings: string[]): ProviderConfig {
  providerSupport.check(proto, at, warnings)
  const local = proto.local_jwks === undefined ? null : readDataSource(proto.local_jwks, at.field('local_jwks'))
  const localJwks = local === null ? '' : Buffer.from(local).toString('utf8')
  const status = localJwks === '' ? JwtStatus.Ok : new Jwks(localJwks).status
  if (status !== JwtStatus.Ok) {
    const text = `Provider '${name}' in jwt_authn config has invalid local jwks: ${statusText(status)}`
    throw new ConfigError('CONFIG_INVALID', at.field('local_jwks'), text)
  }
  const cache = proto.jwt_cache_config
  const lifetime = proto.max_lifetime === undefined ? null : proto.max_lifetime / 1000
  return {
    name,
    issuer: proto.issuer ?? '',
    audiences: proto.audiences ?? [],
    subjects: proto.subjects === undefined ? null : parseStringMatcher(proto.subjects, at.field('subjects')),
    maxLifetime: lifetime ?? (proto.require_expiration === true ? Number.POSITIVE_INFINITY : null),
    localJwks,
    remote:
      proto.remote_jwks === undefined ? null : parseFetch(name, proto.remote_jwks, at.field('remote_jwks'), warnings),
    forward: proto.forward ?? false,
    fromHeaders: (proto.from_headers ?? []).map(h => ({
      name: (h.name ?? '').toLowerCase(),
      prefix: h.value_prefix ?? '',
    })),
    fromParams: proto.from_params ?? [],
    fromCookies: proto.from_cookies ?? [],
    payloadHeader: (proto.forward_payload_header ?? '').toLowerCase(),
    padPayloadHeader: proto.pad_forward_payload_header ?? false,
    payloadInMetadata: proto.payload_in_metadata ?? '',
    spaceDelimitedClaims: proto.normalize_payload_in_metadata?.space_delimited_claims ?? [],
    headerInMetadata: proto.header_in_metadata ?? '',
    failedStatusInMetadata: proto.failed_status_in_metadata ?? '',
    clockSkew: (proto.clock_skew_seconds ?? 0) > 0 ? proto.clock_skew_seconds! : 60,
    cacheSize: cache === undefined ? 0 : (cache.jwt_cache_size ?? 0) > 0 ? cache.jwt_cache_size! : 100,
    cacheMaxToken: (cache?.jwt_max_token_size ?? 0) > 0 ? cache!.jwt_max_token_size! : 4096,
    claimToHeaders: (proto.claim_to_headers ?? []).map(c => ({
      header: (c.header_name ?? '').toLowerCase(),
      path: claimPath(c),
    })),
    clearRouteCache: proto.clear_route_cache ?? false,
  }
}

/** Dots of claim_name step into objects; claim_path says the steps one by one. */
function claimPath(c: envoy.extensions.filters.http.jwt_authn.v3.JwtClaimToHeader): string[] {
  if (c.claim_path !== undefined && c.claim_path.length > 0) return c.claim_path.map(segment => segment.key ?? '')
  return (c.claim_name ?? '').split('.')
}

function parseRequirement(
  proto: Requirement,
  providers: readonly ProviderConfig[],
  at: FieldPath,
  warnings: string[],
): RequirementConfig {
  requirementSupport.check(proto, at, warnings)
  const list = (name: 'requires_any' | 'requires_all'): RequirementConfig[] => {
    const place = at.field(name).field('requirements')
    return (proto[name]?.requirements ?? []).map((r, i) => parseRequirement(r, providers, place.index(i), warnings))
  }
  if (proto.requires_any !== undefined) return { kind: 'any', of: list('requires_any') }
  if (proto.requires_all !== undefined) return { kind: 'all', of: list('requires_all') }
  if (proto.allow_missing_or_failed !== undefined) return { kind: 'allowFailed' }
  if (proto.allow_missing !== undefined) return { kind: 'allowMissing' }
  const both = proto.provider_and_audiences
  const provider = proto.provider_name ?? both?.provider_name
  if (provider === undefined) return { kind: 'none' }
  if (!providers.some(p => p.name === provider)) {
    throw new ConfigError('CONFIG_REFERENCE', at, `Required provider ['${provider}'] is not configured.`)
  }
  return { kind: 'provider', provider, audiences: both?.audiences ?? [] }
}
