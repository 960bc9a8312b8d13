import { ConfigError } from '../base/errors.ts'
import { ListPacker } from '../base/packed-values.ts'
import { elementsOf, MIN_LENGTH } from '../base/shelf.ts'
import type { JsonStruct, RouteConfig, RouteEntryConfig, VirtualHostConfig } from '../routing/route-config.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'
import { asciiLower, latin1, parseHeaderMatchers } from './matcher.ts'
import { parseRateLimits } from './rate-limit.ts'
import { parseMirrors, parseRouteAction, type VirtualHostDefaults } from './route-action.ts'
import { parseFilterOverrides, withDeprecatedCors } from './route-filters.ts'
import { parseHeaderMutations } from './route-headers.ts'
import { parseRouteMatch } from './route-match.ts'
import { parseDirectResponse, parseRedirect } from './route-reply.ts'
import { defineSupport } from './support.ts'
import { parseDecorator, parseRouteTracing } from './tracing.ts'

type Proto = envoy.config.route.v3.RouteConfiguration

/** What the parser of routes must know of the rest of the configuration. */
export interface RouteParseServices {
  /** Whether a cluster exists, for `validate_clusters`. */
  hasCluster(name: string): boolean
  /** All clusters there are, for "did you mean". */
  clusterNames?(): Iterable<string>
  /** Default of `validate_clusters`: true for route configurations inside a listener, false for RDS. */
  readonly validateClusters: boolean
  /** Texts for fields that are accepted without effect. */
  readonly warnings: string[]
}

const SUPPORT = defineSupport<Proto>('envoy.config.route.v3.RouteConfiguration', {
  name: 'yes',
  virtual_hosts: 'yes',
  internal_only_headers: 'yes',
  response_headers_to_add: 'yes',
  response_headers_to_remove: 'yes',
  request_headers_to_add: 'yes',
  request_headers_to_remove: 'yes',
  most_specific_header_mutations_wins: 'yes',
  validate_clusters: 'yes',
  max_direct_response_body_size_bytes: 'yes',
  request_mirror_policies: 'yes',
  ignore_port_in_host_matching: 'yes',
  vhost_header: 'yes',
  ignore_path_parameters_in_path_matching: 'yes',
  typed_per_filter_config: 'yes',
  metadata: 'yes',
  vhds: 'reject',
  cluster_specifier_plugins: 'reject',
  route_specifiers: 'reject',
})

const VHOST_SUPPORT = defineSupport<envoy.config.route.v3.VirtualHost>('envoy.config.route.v3.VirtualHost', {
  name: 'yes',
  domains: 'yes',
  routes: 'yes',
  require_tls: 'yes',
  virtual_clusters: 'yes',
  rate_limits: 'yes',
  request_headers_to_add: 'yes',
  request_headers_to_remove: 'yes',
  response_headers_to_add: 'yes',
  response_headers_to_remove: 'yes',
  cors: 'yes',
  typed_per_filter_config: 'yes',
  include_request_attempt_count: 'yes',
  include_attempt_count_in_response: 'yes',
  retry_policy: 'yes',
  hedge_policy: 'yes',
  include_is_timeout_retry_header: 'yes',
  per_request_buffer_limit_bytes: 'yes',
  request_body_buffer_limit: 'yes',
  request_mirror_policies: 'yes',
  metadata: 'yes',
  matcher: 'reject',
  retry_policy_typed_config: 'reject',
  route_specifiers: 'reject',
})

const ROUTE_SUPPORT = defineSupport<envoy.config.route.v3.Route>('envoy.config.route.v3.Route', {
  name: 'yes',
  match: 'yes',
  route: 'yes',
  redirect: 'yes',
  direct_response: 'yes',
  non_forwarding_action: 'yes',
  metadata: 'yes',
  decorator: 'yes',
  typed_per_filter_config: 'yes',
  request_headers_to_add: 'yes',
  request_headers_to_remove: 'yes',
  response_headers_to_add: 'yes',
  response_headers_to_remove: 'yes',
  tracing: 'yes',
  per_request_buffer_limit_bytes: 'yes',
  stat_prefix: 'yes',
  request_body_buffer_limit: 'yes',
  filter_action: 'reject',
  route_specifiers: 'reject',
})

/** Semantic checks of a route configuration, after the generic rules; texts as the real Envoy gives them. Throws ConfigError. */
export function parseRouteConfiguration(proto: Proto, at: FieldPath, services: RouteParseServices): RouteConfig {
  const hosts: VirtualHostConfig[] = []
  const { length } = elementsOf(proto, 'virtual_hosts')
  const packer = length < MIN_LENGTH ? null : new ListPacker<VirtualHostConfig>()
  const parsed = parseAround(proto, at, services, host => {
    if (packer === null) hosts.push(host)
    else packer.add(host)
  })
  return { ...parsed, virtualHosts: packer === null ? hosts : packer.finish() }
}

/** The same, for its errors. */
export function checkRouteConfiguration(proto: Proto, at: FieldPath, services: RouteParseServices): void {
  parseAround(proto, at, services, () => {})
}

function parseAround(
  proto: Proto,
  at: FieldPath,
  services: RouteParseServices,
  take: (host: VirtualHostConfig) => void,
): Omit<RouteConfig, 'virtualHosts'> {
  SUPPORT.check(proto, at, services.warnings)
  const maxBody = proto.max_direct_response_body_size_bytes ?? 4096
  const checked: RouteParseServices = {
    ...services,
    hasCluster: name => !(proto.validate_clusters ?? services.validateClusters) || services.hasCluster(name),
  }
  const mirrors = parseMirrors(proto.request_mirror_policies, at.field('request_mirror_policies'), checked)
  const hostsAt = at.field('virtual_hosts')
  const domains = new Set<string>()
  const statPrefixes = new Set<string>()
  let i = 0
  for (const vhost of elementsOf<envoy.config.route.v3.VirtualHost>(proto, 'virtual_hosts')) {
    const place = hostsAt.index(i++)
    const host = parseVirtualHost(vhost, place, checked, maxBody, mirrors)
    checkDomains(host, domains, proto.name ?? '', place)
    addStatPrefixes(statPrefixes, host)
    take(host)
  }
  return {
    name: proto.name ?? '',
    statPrefixes: [...statPrefixes],
    internalOnlyHeaders: (proto.internal_only_headers ?? []).map(name => name.toLowerCase()),
    headers: parseHeaderMutations(proto, at),
    mostSpecificWins: proto.most_specific_header_mutations_wins ?? false,
    maxDirectResponseBodySize: maxBody,
    ignorePortInHostMatching: proto.ignore_port_in_host_matching ?? false,
    vhostHeader: (proto.vhost_header ?? '').toLowerCase(),
    ignorePathParameters: proto.ignore_path_parameters_in_path_matching ?? false,
    filters: parseFilterOverrides(proto.typed_per_filter_config, at.field('typed_per_filter_config'), services),
    mirrors,
    metadata: filterMetadata(proto.metadata),
  }
}

function parseVirtualHost(
  proto: envoy.config.route.v3.VirtualHost,
  at: FieldPath,
  services: RouteParseServices,
  maxBody: number,
  routeConfigMirrors: RouteConfig['mirrors'],
): VirtualHostConfig {
  VHOST_SUPPORT.check(proto, at, services.warnings)
  const mirrors = parseMirrors(proto.request_mirror_policies, at.field('request_mirror_policies'), services)
  const defaults: VirtualHostDefaults = {
    retryPolicy: proto.retry_policy,
    retryAt: at.field('retry_policy'),
    hedgePolicy: proto.hedge_policy,
    // Envoy: the most specific level that has any wins as a whole.
    mirrors: mirrors.length > 0 ? mirrors : routeConfigMirrors,
    requestBufferLimit: bufferLimit(proto) ?? -1,
  }
  const routes = (proto.routes ?? []).map((route, i) =>
    parseRoute(route, at.field('routes').index(i), services, maxBody, defaults),
  )
  return {
    name: proto.name ?? '',
    domains: (proto.domains ?? []).map(domain => asciiLower(latin1(domain))),
    routes,
    requireTls: TLS[proto.require_tls ?? 'NONE'] ?? 'none',
    virtualClusters: (proto.virtual_clusters ?? []).map((cluster, i) => parseVirtualCluster(cluster, at, i)),
    rateLimits: parseRateLimits(proto.rate_limits, at.field('rate_limits'), services.warnings),
    headers: parseHeaderMutations(proto, at),
    filters: withDeprecatedCors(
      parseFilterOverrides(proto.typed_per_filter_config, at.field('typed_per_filter_config'), services),
      proto.cors,
      at.field('cors'),
      services,
    ),
    includeRequestAttemptCount: proto.include_request_attempt_count ?? false,
    includeAttemptCountInResponse: proto.include_attempt_count_in_response ?? false,
    includeIsTimeoutRetryHeader: proto.include_is_timeout_retry_header ?? false,
    metadata: filterMetadata(proto.metadata),
  }
}

const TLS: Readonly<Record<string, VirtualHostConfig['requireTls']>> = {
  NONE: 'none',
  EXTERNAL_ONLY: 'external',
  ALL: 'all',
}

function parseVirtualCluster(proto: envoy.config.route.v3.VirtualCluster, at: FieldPath, i: number) {
  const place = at.field('virtual_clusters').index(i)
  if ((proto.headers ?? []).length === 0) {
    throw new ConfigError('CONFIG_INVALID', place.field('headers'), "virtual clusters must define 'headers'")
  }
  return { name: proto.name ?? '', headers: parseHeaderMatchers(proto.headers, place.field('headers')) }
}

function parseRoute(
  proto: envoy.config.route.v3.Route,
  at: FieldPath,
  services: RouteParseServices,
  maxBody: number,
  defaults: VirtualHostDefaults,
): RouteEntryConfig {
  ROUTE_SUPPORT.check(proto, at, services.warnings)
  const own: VirtualHostDefaults = {
    ...defaults,
    requestBufferLimit: bufferLimit(proto) ?? defaults.requestBufferLimit,
  }
  const match = parseRouteMatch(proto.match ?? {}, at.field('match'), services)
  return {
    name: proto.name ?? '',
    match,
    action: proto.route === undefined ? null : parseRouteAction(proto.route, match, at.field('route'), services, own),
    redirect: proto.redirect === undefined ? null : parseRedirect(proto.redirect, at.field('redirect')),
    directResponse:
      proto.direct_response === undefined
        ? null
        : parseDirectResponse(proto.direct_response, at.field('direct_response'), maxBody),
    nonForwarding: proto.non_forwarding_action !== undefined,
    metadata: filterMetadata(proto.metadata),
    headers: parseHeaderMutations(proto, at),
    filters: withDeprecatedCors(
      parseFilterOverrides(proto.typed_per_filter_config, at.field('typed_per_filter_config'), services),
      proto.route?.cors,
      at.field('route').field('cors'),
      services,
    ),
    statPrefix: proto.stat_prefix ?? '',
    tracing:
      proto.tracing === undefined ? null : parseRouteTracing(proto.tracing, at.field('tracing'), services.warnings),
    decorator:
      proto.decorator === undefined ? null : parseDecorator(proto.decorator, at.field('decorator'), services.warnings),
  }
}

/** request_body_buffer_limit replaces the deprecated per_request_buffer_limit_bytes. */
function bufferLimit(proto: {
  readonly per_request_buffer_limit_bytes?: number | undefined
  readonly request_body_buffer_limit?: number | bigint | undefined
}): number | undefined {
  const limit = proto.request_body_buffer_limit ?? proto.per_request_buffer_limit_bytes
  return limit === undefined ? undefined : Number(limit)
}

/** Every domain once per route configuration, case-insensitively; asked host by host, as Envoy does (RouteMatcher). */
function checkDomains(host: VirtualHostConfig, seen: Set<string>, name: string, at: FieldPath): void {
  for (const domain of host.domains) {
    const fresh = seen.size < seen.add(domain).size
    if (fresh) continue
    const text =
      domain === '*'
        ? `Only a single wildcard domain is permitted in route ${name}`
        : `Only unique values for domains are permitted. Duplicate entry of domain ${domain} in route ${name}`
    throw new ConfigError('CONFIG_DUPLICATE', at.field('domains'), text)
  }
}

function addStatPrefixes(prefixes: Set<string>, { name, virtualClusters, routes }: VirtualHostConfig): void {
  for (const cluster of virtualClusters) prefixes.add(`vhost.${name}.vcluster.${cluster.name}.`)
  // Requests that match none of them count there.
  if (virtualClusters.length > 0) prefixes.add(`vhost.${name}.vcluster.other.`)
  for (const { statPrefix } of routes) if (statPrefix !== '') prefixes.add(`vhost.${name}.route.${statPrefix}.`)
}

/** `filter_metadata` of any metadata; typed metadata is not read by anything here. */
export function filterMetadata(proto: envoy.config.core.v3.Metadata | undefined): JsonStruct | null {
  return proto?.filter_metadata === undefined || Object.keys(proto.filter_metadata).length === 0
    ? null
    : proto.filter_metadata
}
