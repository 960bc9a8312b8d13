import { ConfigError } from '../../../base/errors.ts'
import { parseCoreRetryPolicy } from '../../../config/core-retry-policy.ts'
import type { FieldPath } from '../../../config/field-path.ts'
import type { envoy } from '../../../config/gen/messages.d.ts'
import { type GrpcServiceConfig, parseGrpcService } from '../../../config/grpc-service.ts'
import { statusCode } from '../../../config/http-status.ts'
import {
  type FractionConfig,
  latin1,
  type MetadataMatchConfig,
  parseFraction,
  parseMetadataMatcher,
  parseStringMatcher,
  type StringMatchConfig,
} from '../../../config/matcher.ts'
import { type MutationRulesConfig, parseMutationRules } from '../../../config/mutation-rules.ts'
import { parseHeadersToAdd } from '../../../config/route-headers.ts'
import { defineSupport } from '../../../config/support.ts'
import type { HeaderAddConfig, RetryPolicyConfig } from '../../../routing/route-config.ts'

export type ExtAuthzProto = envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
export type ExtAuthzPerRouteProto = envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
type CheckSettings = envoy.extensions.filters.http.ext_authz.v3.CheckSettings
type HttpServiceProto = envoy.extensions.filters.http.ext_authz.v3.HttpService
type Patterns = envoy.type.matcher.v3.ListStringMatcher

const support = defineSupport<ExtAuthzProto>('envoy.extensions.filters.http.ext_authz.v3.ExtAuthz', {
  grpc_service: 'yes',
  http_service: 'yes',
  transport_api_version: 'yes',
  failure_mode_allow: 'yes',
  failure_mode_allow_header_add: 'yes',
  with_request_body: 'yes',
  clear_route_cache: 'yes',
  status_on_error: 'yes',
  validate_mutations: 'yes',
  metadata_context_namespaces: 'yes',
  // Typed metadata is not kept here; nobody has any to send.
  typed_metadata_context_namespaces: 'warn',
  route_metadata_context_namespaces: 'yes',
  route_typed_metadata_context_namespaces: 'warn',
  filter_enabled: 'yes',
  filter_enabled_metadata: 'yes',
  deny_at_disable: 'yes',
  include_peer_certificate: 'yes',
  stat_prefix: 'yes',
  bootstrap_metadata_labels_key: 'yes',
  allowed_headers: 'yes',
  disallowed_headers: 'yes',
  include_tls_session: 'yes',
  charge_cluster_response_stats: 'yes',
  encode_raw_headers: 'yes',
  decoder_header_mutation_rules: 'yes',
  enable_dynamic_metadata_ingestion: 'yes',
  filter_metadata: 'warn',
  emit_filter_state_stats: 'warn',
  max_denied_response_body_bytes: 'yes',
  enforce_response_header_limits: 'warn',
  clear_route_cache_headers: 'yes',
  shadow_mode: 'yes',
  emit_client_span: 'warn',
})

const perRouteSupport = defineSupport<ExtAuthzPerRouteProto>(
  'envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute',
  { disabled: 'yes', check_settings: 'yes' },
)

const settingsSupport = defineSupport<CheckSettings>('envoy.extensions.filters.http.ext_authz.v3.CheckSettings', {
  context_extensions: 'yes',
  disable_request_body_buffering: 'yes',
  with_request_body: 'yes',
  grpc_service: 'yes',
  http_service: 'yes',
  emit_client_span: 'warn',
})

const httpSupport = defineSupport<HttpServiceProto>('envoy.extensions.filters.http.ext_authz.v3.HttpService', {
  server_uri: 'yes',
  path_prefix: 'yes',
  path_override: 'yes',
  authorization_request: 'yes',
  authorization_response: 'yes',
  retry_policy: 'yes',
})

/** An authorization service that is asked by an HTTP request like the client's. Times in ms. */
export interface HttpServiceConfig {
  readonly kind: 'http'
  readonly cluster: string
  readonly timeout: number
  readonly retry: RetryPolicyConfig | null
  readonly pathPrefix: string
  /** Instead of the request's path; '' = none. */
  readonly pathOverride: string
  readonly headersToAdd: readonly HeaderAddConfig[]
  readonly upstreamHeaders: readonly StringMatchConfig[]
  readonly upstreamHeadersToAppend: readonly StringMatchConfig[]
  /** Empty: all but `host`. */
  readonly clientHeaders: readonly StringMatchConfig[]
  readonly clientHeadersOnSuccess: readonly StringMatchConfig[]
  readonly metadataHeaders: readonly StringMatchConfig[]
}

export interface GrpcAuthzConfig {
  readonly kind: 'grpc'
  readonly service: GrpcServiceConfig
  readonly timeout: number
}

export type AuthzServiceConfig = HttpServiceConfig | GrpcAuthzConfig

export interface BodyConfig {
  readonly maxBytes: number
  readonly partial: boolean
}

export interface ExtAuthzConfig {
  readonly service: AuthzServiceConfig
  readonly failureModeAllow: boolean
  readonly failureModeHeader: boolean
  /** Null = the body is not sent. */
  readonly body: BodyConfig | null
  readonly packAsBytes: boolean
  readonly clearRouteCache: boolean
  /** Only changes of these clear it, and of the query; empty = any change. Lower case. */
  readonly clearRouteCacheHeaders: readonly string[]
  /** Decisions are told, not enforced. */
  readonly shadow: boolean
  readonly statusOnError: number
  readonly validate: boolean
  readonly metadataNamespaces: readonly string[]
  readonly routeMetadataNamespaces: readonly string[]
  /** Null = always. */
  readonly enabled: FractionConfig | null
  readonly enabledMetadata: MetadataMatchConfig | null
  readonly denyAtDisable: { readonly value: boolean; readonly key: string }
  readonly peerCertificate: boolean
  readonly tlsSession: boolean
  readonly statPrefix: string
  readonly labelsKey: string
  /** What the service sees of the request's headers; null = all. */
  readonly allowedHeaders: readonly StringMatchConfig[] | null
  readonly disallowedHeaders: readonly StringMatchConfig[]
  readonly chargeCluster: boolean
  readonly rawHeaders: boolean
  readonly rules: MutationRulesConfig | null
  readonly ingestMetadata: boolean
  /** 0 = as long as it comes. */
  readonly maxDeniedBody: number
}

export interface ExtAuthzRouteConfig {
  readonly disabled: boolean
  readonly extensions: Readonly<Record<string, string>>
  readonly noBody: boolean
  readonly body: BodyConfig | null
  /** Instead of the filter's; null = the filter's. */
  readonly service: AuthzServiceConfig | null
}

/** What an HTTP service is told of a request in any case. */
const ALWAYS_ALLOWED = ['authorization', ':method', ':path', ':authority']
/** What a client is told of a refusal in any case. */
const CLIENT_HEADERS = [':status', 'content-length', 'www-authenticate', 'location']
const DEFAULT_TIMEOUT = 200

export function parseExtAuthz(proto: ExtAuthzProto, at: FieldPath, warnings: string[]): ExtAuthzConfig {
  support.check(proto, at, warnings)
  const { http_service: http, with_request_body: body } = proto
  const requestAllowed = http?.authorization_request?.allowed_headers
  if (proto.allowed_headers !== undefined && requestAllowed !== undefined) {
    const text = 'Invalid duplicate configuration for allowed_headers.'
    throw new ConfigError('CONFIG_DUPLICATE', at.field('allowed_headers'), text)
  }
  const service = parseService(proto, at, warnings)
  if (service === null) {
    throw new ConfigError('CONFIG_INVALID', at, 'an authorization service is required', {
      advice: 'set http_service or grpc_service',
    })
  }
  const allowedAt = requestAllowed === undefined ? at.field('allowed_headers') : at.field('http_service')
  const allowed = parsePatterns(requestAllowed ?? proto.allowed_headers, allowedAt)
  if (service.kind === 'http') allowed.push(...exact(ALWAYS_ALLOWED))
  const deny = proto.deny_at_disable
  const status = statusCode(proto.status_on_error)
  return {
    service,
    failureModeAllow: proto.failure_mode_allow ?? false,
    failureModeHeader: proto.failure_mode_allow_header_add ?? false,
    body: body === undefined ? null : parseBody(body),
    packAsBytes: body?.pack_as_bytes ?? false,
    clearRouteCache: proto.clear_route_cache ?? false,
    clearRouteCacheHeaders: (proto.clear_route_cache_headers ?? []).map(name => name.toLowerCase()),
    shadow: proto.shadow_mode ?? false,
    statusOnError: status >= 400 ? status : 403,
    validate: proto.validate_mutations ?? false,
    metadataNamespaces: proto.metadata_context_namespaces ?? [],
    routeMetadataNamespaces: proto.route_metadata_context_namespaces ?? [],
    enabled:
      proto.filter_enabled === undefined
        ? null
        : parseFraction(proto.filter_enabled.default_value, proto.filter_enabled.runtime_key ?? ''),
    enabledMetadata:
      proto.filter_enabled_metadata === undefined
        ? null
        : parseMetadataMatcher(proto.filter_enabled_metadata, at.field('filter_enabled_metadata')),
    denyAtDisable: { value: deny?.default_value ?? false, key: deny?.runtime_key ?? '' },
    peerCertificate: proto.include_peer_certificate ?? false,
    tlsSession: proto.include_tls_session ?? false,
    statPrefix: proto.stat_prefix ?? '',
    labelsKey: proto.bootstrap_metadata_labels_key ?? '',
    allowedHeaders: service.kind === 'http' || proto.allowed_headers !== undefined ? allowed : null,
    disallowedHeaders: parsePatterns(proto.disallowed_headers, at.field('disallowed_headers')),
    chargeCluster: proto.charge_cluster_response_stats ?? true,
    rawHeaders: proto.encode_raw_headers ?? false,
    rules:
      proto.decoder_header_mutation_rules === undefined
        ? null
        : parseMutationRules(proto.decoder_header_mutation_rules, at.field('decoder_header_mutation_rules'), warnings),
    ingestMetadata: proto.enable_dynamic_metadata_ingestion ?? true,
    maxDeniedBody: proto.max_denied_response_body_bytes ?? 0,
  }
}

export function parseExtAuthzRoute(
  proto: ExtAuthzPerRouteProto,
  at: FieldPath,
  warnings: string[],
): ExtAuthzRouteConfig {
  perRouteSupport.check(proto, at, warnings)
  const settings = proto.check_settings ?? {}
  const place = at.field('check_settings')
  settingsSupport.check(settings, place, warnings)
  if (settings.disable_request_body_buffering === true && settings.with_request_body !== undefined) {
    const text =
      'Invalid configuration for check_settings. Only one of disable_request_body_buffering or with_request_body can be set.'
    throw new ConfigError('CONFIG_INVALID', place, text)
  }
  return {
    disabled: proto.disabled ?? false,
    extensions: settings.context_extensions ?? {},
    noBody: settings.disable_request_body_buffering ?? false,
    body: settings.with_request_body === undefined ? null : parseBody(settings.with_request_body),
    service: parseService(settings, place, warnings),
  }
}

function parseBody(proto: envoy.extensions.filters.http.ext_authz.v3.BufferSettings): BodyConfig {
  return { maxBytes: proto.max_request_bytes ?? 0, partial: proto.allow_partial_message ?? false }
}

function parseService(
  proto: Pick<CheckSettings, 'grpc_service' | 'http_service'>,
  at: FieldPath,
  warnings: string[],
): AuthzServiceConfig | null {
  if (proto.http_service !== undefined) return parseHttpService(proto.http_service, at.field('http_service'), warnings)
  if (proto.grpc_service === undefined) return null
  const service = parseGrpcService(proto.grpc_service, at.field('grpc_service'), warnings)
  return { kind: 'grpc', service, timeout: service.timeout < 0 ? DEFAULT_TIMEOUT : service.timeout }
}

function parseHttpService(proto: HttpServiceProto, at: FieldPath, warnings: string[]): HttpServiceConfig {
  httpSupport.check(proto, at, warnings)
  const { path_prefix: prefix = '', path_override: override = '' } = proto
  if (prefix !== '' && !prefix.startsWith('/')) {
    throw new ConfigError('CONFIG_INVALID', at.field('path_prefix'), 'path_prefix should start with "/".')
  }
  if (override !== '' && !override.startsWith('/')) {
    throw new ConfigError('CONFIG_INVALID', at.field('path_override'), 'path_override should start with "/".')
  }
  if (prefix !== '' && override !== '') {
    const text = 'Only one of path_prefix or path_override may be set, not both.'
    throw new ConfigError('CONFIG_INVALID', at.field('path_override'), text)
  }
  const { authorization_request: request = {}, authorization_response: response = {} } = proto
  const requestAt = at.field('authorization_request')
  const responseAt = at.field('authorization_response')
  const client = parsePatterns(response.allowed_client_headers, responseAt.field('allowed_client_headers'))
  if (client.length > 0) client.push(...exact(CLIENT_HEADERS))
  return {
    kind: 'http',
    cluster: proto.server_uri?.cluster ?? '',
    timeout: proto.server_uri?.timeout ?? DEFAULT_TIMEOUT,
    retry: parseCoreRetryPolicy(proto.retry_policy, '', at.field('retry_policy'), warnings),
    pathPrefix: latin1(prefix),
    pathOverride: latin1(override),
    headersToAdd: parseHeadersToAdd(
      (request.headers_to_add ?? []).map(header => ({ header, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' as const })),
      requestAt.field('headers_to_add'),
    ),
    upstreamHeaders: parsePatterns(response.allowed_upstream_headers, responseAt.field('allowed_upstream_headers')),
    upstreamHeadersToAppend: parsePatterns(
      response.allowed_upstream_headers_to_append,
      responseAt.field('allowed_upstream_headers_to_append'),
    ),
    clientHeaders: client,
    clientHeadersOnSuccess: parsePatterns(
      response.allowed_client_headers_on_success,
      responseAt.field('allowed_client_headers_on_success'),
    ),
    metadataHeaders: parsePatterns(
      response.dynamic_metadata_from_headers,
      responseAt.field('dynamic_metadata_from_headers'),
    ),
  }
}

function parsePatterns(proto: Patterns | undefined, at: FieldPath): StringMatchConfig[] {
  const place = at.field('patterns')
  return (proto?.patterns ?? []).map((pattern, i) => parseStringMatcher(pattern, place.index(i)))
}

function exact(names: readonly string[]): StringMatchConfig[] {
  return names.map(text => ({ kind: 'exact', text, ignoreCase: false }))
}
