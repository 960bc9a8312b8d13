import { ConfigError } from '../base/errors.ts'
import type {
  HostRewriteConfig,
  MirrorConfig,
  PathRewriteConfig,
  RouteActionConfig,
  RouteMatchConfig,
} from '../routing/route-config.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'
import { latin1, parseFraction } from './matcher.ts'
import { parseRateLimits } from './rate-limit.ts'
import { typeNameOf } from './registry.ts'
import { filterMetadata, type RouteParseServices } from './route.ts'
import { parseClusterChoice } from './route-clusters.ts'
import { parseHashPolicies } from './route-hash-policy.ts'
import { parseInternalRedirect } from './route-internal-redirect.ts'
import { parseRegexRewrite } from './route-reply.ts'
import { parseRetryPolicy } from './route-retry.ts'
import { checkFormat } from './substitution-format.ts'
import { defineSupport } from './support.ts'
import { parseTemplate, templateVariables } from './uri-template.ts'

type Action = envoy.config.route.v3.RouteAction

/** What a route takes from its virtual host when it says nothing itself. */
export interface VirtualHostDefaults {
  readonly retryPolicy: envoy.config.route.v3.RetryPolicy | undefined
  readonly retryAt: FieldPath
  readonly hedgePolicy: envoy.config.route.v3.HedgePolicy | undefined
  readonly mirrors: readonly MirrorConfig[]
  readonly requestBufferLimit: number
}

const SUPPORT = defineSupport<Action>('envoy.config.route.v3.RouteAction', {
  cluster: 'yes',
  cluster_header: 'yes',
  weighted_clusters: 'yes',
  cluster_not_found_response_code: 'yes',
  metadata_match: 'yes',
  prefix_rewrite: 'yes',
  regex_rewrite: 'yes',
  path_rewrite_policy: 'yes',
  path_rewrite: 'yes',
  host_rewrite_literal: 'yes',
  auto_host_rewrite: 'yes',
  host_rewrite_header: 'yes',
  host_rewrite_path_regex: 'yes',
  host_rewrite: 'yes',
  append_x_forwarded_host: 'yes',
  timeout: 'yes',
  idle_timeout: 'yes',
  flush_timeout: 'warn',
  retry_policy: 'yes',
  request_mirror_policies: 'yes',
  priority: 'yes',
  rate_limits: 'yes',
  include_vh_rate_limits: 'yes',
  hash_policy: 'yes',
  cors: 'yes',
  max_grpc_timeout: 'yes',
  grpc_timeout_offset: 'yes',
  upgrade_configs: 'yes',
  internal_redirect_policy: 'yes',
  internal_redirect_action: 'yes',
  max_internal_redirects: 'yes',
  hedge_policy: 'yes',
  max_stream_duration: 'yes',
  cluster_specifier_plugin: 'reject',
  inline_cluster_specifier_plugin: 'reject',
  early_data_policy: 'warn',
  retry_policy_typed_config: 'reject',
})

const NOT_FOUND: Readonly<Record<string, number>> = {
  SERVICE_UNAVAILABLE: 503,
  NOT_FOUND: 404,
  INTERNAL_SERVER_ERROR: 500,
}
const DEFAULT_TIMEOUT = 15_000

export function parseRouteAction(
  proto: Action,
  match: RouteMatchConfig,
  at: FieldPath,
  services: RouteParseServices,
  defaults: VirtualHostDefaults,
): RouteActionConfig {
  if (proto.cluster_specifier_plugin !== undefined) {
    const text = `Unknown cluster specifier plugin name: ${proto.cluster_specifier_plugin} is used in the route`
    throw new ConfigError('CONFIG_REFERENCE', at.field('cluster_specifier_plugin'), text)
  }
  SUPPORT.check(proto, at, services.warnings)
  const mirrors = parseMirrors(proto.request_mirror_policies, at.field('request_mirror_policies'), services)
  const retry = proto.retry_policy ?? defaults.retryPolicy
  const retryAt = proto.retry_policy === undefined ? defaults.retryAt : at.field('retry_policy')
  const hedge = proto.hedge_policy ?? defaults.hedgePolicy
  if (hedge !== undefined && ((hedge.initial_requests ?? 1) > 1 || hedge.additional_request_chance !== undefined)) {
    // Envoy reads both and acts on neither ("not implemented" in its API docs).
    services.warnings.push(`${at.field('hedge_policy')}: only hedge_on_per_try_timeout has an effect, as in Envoy`)
  }
  const duration = proto.max_stream_duration
  return {
    cluster: parseClusterChoice(proto, at, services),
    clusterNotFoundCode: NOT_FOUND[proto.cluster_not_found_response_code ?? 'SERVICE_UNAVAILABLE'] ?? 503,
    metadataMatch: filterMetadata(proto.metadata_match),
    pathRewrite: parsePathRewrite(proto, match, at),
    hostRewrite: parseHostRewrite(proto, at),
    appendXForwardedHost: proto.append_x_forwarded_host ?? false,
    timeout: proto.timeout ?? DEFAULT_TIMEOUT,
    idleTimeout: proto.idle_timeout ?? -1,
    retry: retry === undefined ? null : parseRetryPolicy(retry, retryAt, services.warnings),
    mirrors: mirrors.length > 0 ? mirrors : defaults.mirrors,
    priority: proto.priority === 'HIGH' ? 1 : 0,
    rateLimits: parseRateLimits(proto.rate_limits, at.field('rate_limits'), services.warnings),
    includeVirtualHostRateLimits: proto.include_vh_rate_limits ?? false,
    hashPolicies: parseHashPolicies(proto.hash_policy, at.field('hash_policy')),
    maxGrpcTimeout: proto.max_grpc_timeout ?? -1,
    grpcTimeoutOffset: proto.grpc_timeout_offset ?? 0,
    maxStreamDuration: duration?.max_stream_duration ?? -1,
    grpcTimeoutHeaderMax: duration?.grpc_timeout_header_max ?? -1,
    grpcTimeoutHeaderOffset: duration?.grpc_timeout_header_offset ?? 0,
    ...parseUpgrades(proto, at.field('upgrade_configs')),
    internalRedirect: parseInternalRedirect(proto, at, services.warnings),
    hedge: hedge === undefined ? null : { hedgeOnPerTryTimeout: hedge.hedge_on_per_try_timeout ?? false },
    requestBufferLimit: defaults.requestBufferLimit,
  }
}

export function parseMirrors(
  protos: readonly envoy.config.route.v3.RouteAction_RequestMirrorPolicy[] | undefined,
  at: FieldPath,
  services: RouteParseServices,
): MirrorConfig[] {
  return (protos ?? []).map((proto, i) => {
    const place = at.index(i)
    const cluster = proto.cluster ?? ''
    const header = proto.cluster_header ?? ''
    if (cluster !== '' && header !== '') {
      const text = `Only one of cluster '${cluster}' or cluster_header '${header}' in request mirror policy can be specified`
      throw new ConfigError('CONFIG_INVALID', place, text)
    }
    if (cluster === '' && header === '') {
      const text = 'Exactly one of cluster or cluster_header in request mirror policy need to be specified'
      throw new ConfigError('CONFIG_INVALID', place, text)
    }
    if (cluster !== '' && !services.hasCluster(cluster)) {
      throw new ConfigError('CONFIG_REFERENCE', place.field('cluster'), `route: unknown shadow cluster '${cluster}'`)
    }
    if ((proto.request_headers_mutations ?? []).length > 0) {
      const text = 'request_headers_mutations of a mirror policy are not supported yet'
      throw new ConfigError('CONFIG_UNSUPPORTED', place.field('request_headers_mutations'), text)
    }
    const always = { numerator: 100, denominator: 100 }
    const fraction = parseFraction(proto.runtime_fraction?.default_value, proto.runtime_fraction?.runtime_key, always)
    return {
      cluster,
      clusterHeader: header.toLowerCase(),
      fraction,
      traceSampled: proto.trace_sampled,
      disableHostSuffix: proto.disable_shadow_host_suffix_append ?? false,
      hostRewriteLiteral: latin1(proto.host_rewrite_literal ?? ''),
    }
  })
}

function parsePathRewrite(proto: Action, match: RouteMatchConfig, at: FieldPath): PathRewriteConfig | null {
  const prefix = proto.prefix_rewrite ?? ''
  const format = proto.path_rewrite ?? ''
  const set = [prefix !== '', format !== '', proto.regex_rewrite !== undefined, proto.path_rewrite_policy !== undefined]
  if (set.filter(Boolean).length > 1) {
    const text = 'Specify only one of prefix_rewrite, regex_rewrite or path_rewrite_policy'
    throw new ConfigError('CONFIG_INVALID', at, text)
  }
  if (prefix !== '') return { kind: 'prefix', text: latin1(prefix) }
  if (proto.regex_rewrite !== undefined) {
    return { kind: 'regex', rewrite: parseRegexRewrite(proto.regex_rewrite, at.field('regex_rewrite')) }
  }
  if (format !== '') {
    checkFormat(format, at.field('path_rewrite'), [], 'Failed to create path rewrite formatter: INVALID_ARGUMENT: ')
    return { kind: 'format', text: format }
  }
  return proto.path_rewrite_policy === undefined ? null : parseTemplateRewrite(proto.path_rewrite_policy, match, at)
}

function parseTemplateRewrite(
  proto: envoy.config.core.v3.TypedExtensionConfig,
  match: RouteMatchConfig,
  at: FieldPath,
): PathRewriteConfig {
  const place = at.field('path_rewrite_policy').field('typed_config')
  const type = typeNameOf(proto.typed_config)
  if (type !== 'envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig') {
    const text = `Didn't find a registered implementation for '${proto.name ?? ''}' with type URL: '${type}'`
    throw new ConfigError('CONFIG_UNREGISTERED', place, text)
  }
  if (match.kind !== 'template') {
    const text =
      'unable to use envoy.path.rewrite.uri_template.uri_template_rewriter extension without ' +
      'envoy.path.match.uri_template.uri_template_matcher extension'
    throw new ConfigError('CONFIG_INVALID', place, text)
  }
  const config = (proto.typed_config?.message ??
    {}) as envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig
  const rewrite = config.path_template_rewrite ?? ''
  const template = parseTemplate(match.text)
  const known = typeof template === 'string' ? [] : template.variables
  if (templateVariables(rewrite).some(name => !known.includes(name))) {
    const text = `mismatch between variables in path_match_policy ${match.text} and path_rewrite_policy ${rewrite}`
    throw new ConfigError('CONFIG_INVALID', place, text)
  }
  return { kind: 'template', text: rewrite }
}

function parseHostRewrite(proto: Action, at: FieldPath): HostRewriteConfig | null {
  if (proto.host_rewrite_literal !== undefined) {
    return proto.host_rewrite_literal === '' ? null : { kind: 'literal', text: latin1(proto.host_rewrite_literal) }
  }
  if (proto.auto_host_rewrite !== undefined) return proto.auto_host_rewrite ? { kind: 'auto' } : null
  if (proto.host_rewrite_header !== undefined) return { kind: 'header', name: proto.host_rewrite_header.toLowerCase() }
  if (proto.host_rewrite_path_regex !== undefined) {
    const place = at.field('host_rewrite_path_regex')
    return { kind: 'pathRegex', rewrite: parseRegexRewrite(proto.host_rewrite_path_regex, place) }
  }
  if (proto.host_rewrite === undefined || proto.host_rewrite === '') return null
  checkFormat(
    proto.host_rewrite,
    at.field('host_rewrite'),
    [],
    'Failed to create host rewrite formatter: INVALID_ARGUMENT: ',
  )
  return { kind: 'format', text: proto.host_rewrite }
}

function parseUpgrades(
  proto: Action,
  at: FieldPath,
): Pick<RouteActionConfig, 'upgrades' | 'terminateConnect' | 'terminatePost'> {
  const upgrades: Record<string, boolean> = {}
  let terminateConnect = false
  let terminatePost = false
  const configs = proto.upgrade_configs ?? []
  for (let i = 0; i < configs.length; i++) {
    const config = configs[i]!
    const type = config.upgrade_type ?? ''
    const lower = type.toLowerCase()
    if (lower in upgrades) throw new ConfigError('CONFIG_DUPLICATE', at.index(i), `Duplicate upgrade ${type}`)
    upgrades[lower] = config.enabled ?? true
    const tunnel = config.connect_config
    // Only a CONNECT that has a connect_config is terminated; without one it is forwarded.
    if (lower === 'connect') {
      terminateConnect = tunnel !== undefined && checkTunnel(tunnel, at.index(i).field('connect_config'))
      terminatePost = tunnel?.allow_post ?? false
    } else if (lower === 'connect-udp') {
      throw new ConfigError('CONFIG_UNSUPPORTED', at.index(i), 'CONNECT-UDP is not supported yet')
    } else if (tunnel !== undefined) {
      throw new ConfigError('CONFIG_INVALID', at.index(i), `Non-CONNECT upgrade type ${type} has ConnectConfig`)
    }
  }
  return { upgrades: configs.length === 0 ? null : upgrades, terminateConnect, terminatePost }
}

function checkTunnel(tunnel: envoy.config.route.v3.RouteAction_UpgradeConfig_ConnectConfig, at: FieldPath): true {
  if (tunnel.proxy_protocol_config !== undefined) {
    const place = at.field('proxy_protocol_config')
    throw new ConfigError('CONFIG_UNSUPPORTED', place, 'a PROXY header in front of a tunnel is not supported', {
      advice: 'remove it',
    })
  }
  return true
}
