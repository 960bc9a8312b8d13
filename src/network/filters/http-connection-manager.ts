import { ConfigError } from '../../base/errors.ts'
import { UnderscoreAction } from '../../codec/http2/header-receiver.ts'
import { parseHttp1Options, parseHttp2Options } from '../../codec/protocol-options.ts'
import { checkTerminal, DISCOVERED, parseDiscovered } from '../../config/discovered.ts'
import type { FieldPath } from '../../config/field-path.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { findFactory, parseAny, typeNameOf } from '../../config/registry.ts'
import { parseRouteConfiguration, type RouteParseServices } from '../../config/route.ts'
import { defineSupport, unsupportedValue } from '../../config/support.ts'
import { parseTracing } from '../../config/tracing.ts'
import { ConnectionManager } from '../../http/connection-manager.ts'
import type {
  ClientCertDetails,
  EscapedSlashes,
  ForwardClientCert,
  HcmConfig,
  HttpFilterConfig,
  ServerHeaderTransformation,
  UnderscoresAction,
  UpgradeConfig,
} from '../../http/connection-manager-config.ts'
import { type HttpFilterChainSource, httpFilterChain } from '../../http/discovered-filters.ts'
import type { EarlyHeaderMutation } from '../../http/early-header-mutation/header-mutation.ts'
import type { HttpFilter } from '../../http/filter.ts'
import type { HttpFilterServices } from '../../http/filter-factory.ts'
import type { HttpConnection } from '../../http/http-connection.ts'
import { createReplyRewriter, parseLocalReply } from '../../http/local-reply-config.ts'
import type { XffDetection } from '../../http/original-ip-detection/xff.ts'
import type { CloseReason, Connection } from '../../io/connection.ts'
import { createRouteTable } from '../../routing/route-table.ts'
import { parseAccessLogs } from '../../telemetry/access-loggers/config.ts'
import { createAccessLogger } from '../../telemetry/access-loggers/create.ts'
import { sharedTracer } from '../../telemetry/tracers/shared.ts'
import { NetVerdict, type NetworkFilter, type NetworkFilterFactory } from '../filter.ts'
import type { NetworkFilterExtension, NetworkFilterServices } from '../filter-factory.ts'

type Proto = envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
type FilterProto = envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter

const support = defineSupport<Proto>(
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
  {
    codec_type: 'yes',
    stat_prefix: 'yes',
    rds: 'yes',
    route_config: 'yes',
    http_filters: 'yes',
    add_user_agent: 'yes',
    tracing: 'yes',
    common_http_protocol_options: 'yes',
    http_protocol_options: 'yes',
    http2_protocol_options: 'yes',
    http3_protocol_options: 'warn',
    server_name: 'yes',
    server_header_transformation: 'yes',
    scheme_header_transformation: 'yes',
    max_request_headers_kb: 'yes',
    stream_idle_timeout: 'yes',
    stream_flush_timeout: 'yes',
    request_timeout: 'yes',
    request_headers_timeout: 'yes',
    drain_timeout: 'yes',
    delayed_close_timeout: 'yes',
    access_log: 'yes',
    access_log_flush_interval: 'warn',
    flush_access_log_on_new_request: 'warn',
    access_log_options: 'warn',
    use_remote_address: 'yes',
    xff_num_trusted_hops: 'yes',
    internal_address_config: 'yes',
    skip_xff_append: 'yes',
    original_ip_detection_extensions: 'yes',
    early_header_mutation_extensions: 'yes',
    via: 'yes',
    generate_request_id: 'yes',
    preserve_external_request_id: 'yes',
    always_set_request_id_in_response: 'yes',
    forward_client_cert_details: 'yes',
    set_current_client_cert_details: 'yes',
    proxy_100_continue: 'yes',
    represent_ipv4_remote_address_as_ipv4_mapped_ipv6: 'warn',
    upgrade_configs: 'yes',
    normalize_path: 'yes',
    merge_slashes: 'yes',
    path_with_escaped_slashes_action: 'yes',
    request_id_extension: 'yes',
    local_reply_config: 'yes',
    strip_matching_host_port: 'yes',
    strip_any_host_port: 'yes',
    stream_error_on_invalid_http_message: 'yes',
    strip_trailing_host_dot: 'yes',
    append_x_forwarded_port: 'yes',
    add_proxy_protocol_connection_state: 'yes',
  },
)

const commonSupport = defineSupport<envoy.config.core.v3.HttpProtocolOptions>(
  'envoy.config.core.v3.HttpProtocolOptions',
  {
    idle_timeout: 'yes',
    max_connection_duration: 'yes',
    max_headers_count: 'yes',
    max_response_headers_kb: 'yes',
    max_stream_duration: 'yes',
    headers_with_underscores_action: 'yes',
    max_requests_per_connection: 'yes',
  },
)

const UUID_CONFIG = 'envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig'
type UuidConfig = envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig

const uuidSupport = defineSupport<UuidConfig>(UUID_CONFIG, {
  pack_trace_reason: 'yes',
  use_request_id_for_trace_sampling: 'yes',
})

/** envoy.filters.network.http_connection_manager */
export const httpConnectionManagerFactory: NetworkFilterExtension<Proto, HcmConfig> = {
  category: 'envoy.filters.network',
  name: 'envoy.filters.network.http_connection_manager',
  typeUrls: ['envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'],
  terminal: true,
  parse,
  create,
}

function parse(proto: Proto, at: FieldPath, warnings: string[]): HcmConfig {
  support.check(proto, at, warnings)
  const common = proto.common_http_protocol_options ?? {}
  commonSupport.check(common, at.field('common_http_protocol_options'), warnings)
  if (proto.codec_type === 'HTTP3') throw unsupportedValue(at.field('codec_type'), 'HTTP3', 'HTTP/3 is not supported')
  const limits = { maxHeadersKb: proto.max_request_headers_kb ?? 60, maxHeadersCount: common.max_headers_count ?? 100 }
  const underscores = (common.headers_with_underscores_action ?? 'ALLOW') as UnderscoresAction
  const streamErrors = proto.stream_error_on_invalid_http_message
  const http2 = proto.http2_protocol_options ?? {}
  const filtersAt = at.field('http_filters')
  // Accepted by the real Envoy, too, which then leaves every request without an answer.
  if ((proto.http_filters ?? []).length === 0) {
    warnings.push(`${filtersAt}: there is no filter, not even the router: requests get no answer`)
  }
  const filters = parseHttpFilters(proto.http_filters ?? [], filtersAt, warnings)
  const requestId = parseRequestIdExtension(proto, at, warnings)
  const ranges = proto.internal_address_config?.cidr_ranges ?? []
  if (proto.rds === undefined && proto.route_config === undefined) {
    throw new ConfigError(
      'CONFIG_INVALID',
      at,
      'HttpConnectionManagerValidationError: field: "route_specifier", reason: is required',
      { advice: 'set route_config or rds' },
    )
  }
  return {
    statPrefix: proto.stat_prefix ?? '',
    codecType: proto.codec_type === 'HTTP1' || proto.codec_type === 'HTTP2' ? proto.codec_type : 'AUTO',
    http1: parseHttp1Options(proto.http_protocol_options ?? {}, limits, at.field('http_protocol_options'), warnings),
    http2: {
      ...parseHttp2Options(
        streamErrors === undefined || http2.override_stream_error_on_invalid_http_message !== undefined
          ? http2
          : { ...http2, override_stream_error_on_invalid_http_message: streamErrors },
        limits,
        underscores === 'REJECT_REQUEST'
          ? UnderscoreAction.RejectRequest
          : underscores === 'DROP_HEADER'
            ? UnderscoreAction.DropHeader
            : UnderscoreAction.Allow,
        1024 * 1024,
        at.field('http2_protocol_options'),
        warnings,
      ),
      // A response that the client gives no window for does not stay longer than an idle stream.
      streamFlushTimeout: proto.stream_flush_timeout ?? proto.stream_idle_timeout ?? 300_000,
    },
    routeConfig:
      proto.route_config === undefined
        ? null
        : parseRouteConfiguration(proto.route_config, at.field('route_config'), routeParsing(warnings)),
    rdsName: proto.rds?.route_config_name ?? '',
    filters,
    upgrades: (proto.upgrade_configs ?? []).map((upgrade, i): UpgradeConfig => {
      const own = upgrade.filters ?? []
      return {
        type: (upgrade.upgrade_type ?? '').toLowerCase(),
        enabled: upgrade.enabled ?? true,
        filters:
          own.length === 0
            ? null
            : parseHttpFilters(own, at.field('upgrade_configs').index(i).field('filters'), warnings),
      }
    }),
    serverName: proto.server_name === undefined || proto.server_name === '' ? 'envoy' : proto.server_name,
    serverHeader: (proto.server_header_transformation ?? 'OVERWRITE') as ServerHeaderTransformation,
    schemeToOverwrite: proto.scheme_header_transformation?.scheme_to_overwrite ?? '',
    connectionIdleTimeout: common.idle_timeout ?? 3600_000,
    maxConnectionDuration: common.max_connection_duration ?? 0,
    maxStreamDuration: common.max_stream_duration ?? 0,
    streamIdleTimeout: proto.stream_idle_timeout ?? 300_000,
    requestTimeout: proto.request_timeout ?? 0,
    requestHeadersTimeout: proto.request_headers_timeout ?? 0,
    drainTimeout: proto.drain_timeout ?? 5000,
    delayedCloseTimeout: proto.delayed_close_timeout ?? 1000,
    maxRequestsPerConnection: common.max_requests_per_connection ?? 0,
    underscores,
    accessLogs: parseAccessLogs(proto.access_log ?? [], at.field('access_log'), warnings),
    useRemoteAddress: proto.use_remote_address ?? false,
    xffNumTrustedHops: proto.xff_num_trusted_hops ?? 0,
    skipXffAppend: proto.skip_xff_append ?? false,
    originalIpDetection: parseIpDetection(proto, at, warnings),
    earlyMutations: (proto.early_header_mutation_extensions ?? []).map((extension, i) => {
      const place = at.field('early_header_mutation_extensions').index(i).field('typed_config')
      return parseAny(extension.typed_config, 'envoy.http.early_header_mutation', extension.name ?? '', place, warnings)
    }),
    appendXForwardedPort: proto.append_x_forwarded_port ?? false,
    addProxyProtocolConnectionState: proto.add_proxy_protocol_connection_state ?? true,
    internalRanges: ranges.map(range => `${range.address_prefix ?? ''}/${range.prefix_len ?? 0}`),
    internalUnixSockets: proto.internal_address_config?.unix_sockets ?? false,
    via: proto.via ?? '',
    addUserAgent: proto.add_user_agent ?? false,
    generateRequestId: proto.generate_request_id ?? true,
    preserveExternalRequestId: proto.preserve_external_request_id ?? false,
    alwaysSetRequestIdInResponse: proto.always_set_request_id_in_response ?? false,
    packTraceReason: requestId.pack_trace_reason ?? true,
    sampleByRequestId: requestId.use_request_id_for_trace_sampling ?? true,
    tracing: proto.tracing === undefined ? null : parseTracing(proto.tracing, at.field('tracing'), warnings),
    forwardClientCert: (proto.forward_client_cert_details ?? 'SANITIZE') as ForwardClientCert,
    clientCertDetails: clientCertDetails(proto),
    proxy100Continue: proto.proxy_100_continue ?? false,
    normalizePath: proto.normalize_path ?? false,
    mergeSlashes: proto.merge_slashes ?? false,
    escapedSlashes: escapedSlashes(proto.path_with_escaped_slashes_action),
    localReply:
      proto.local_reply_config === undefined
        ? null
        : parseLocalReply(proto.local_reply_config, at.field('local_reply_config'), warnings),
    stripMatchingHostPort: proto.strip_matching_host_port ?? false,
    stripAnyHostPort: proto.strip_any_host_port ?? false,
    stripTrailingHostDot: proto.strip_trailing_host_dot ?? false,
  }
}

function parseIpDetection(proto: Proto, at: FieldPath, warnings: string[]): XffDetection[] {
  const extensions = proto.original_ip_detection_extensions ?? []
  const place = at.field('original_ip_detection_extensions')
  if (extensions.length > 0 && (proto.use_remote_address === true || (proto.xff_num_trusted_hops ?? 0) > 0)) {
    const other = proto.use_remote_address === true ? 'use_remote_address' : 'xff_num_trusted_hops'
    const text = `Original IP detection extensions and ${other} may not be mixed`
    throw new ConfigError('CONFIG_INVALID', place, text, { advice: `remove ${other}` })
  }
  return extensions.map((extension, i) => {
    const at = place.index(i).field('typed_config')
    const category = 'envoy.http.original_ip_detection'
    return parseAny(extension.typed_config, category, extension.name ?? '', at, warnings).config as XffDetection
  })
}

/** Cluster names are checked by the configuration store, which knows them all. */
function routeParsing(warnings: string[]): RouteParseServices {
  return { warnings, validateClusters: false, hasCluster: () => true }
}

function parseHttpFilters(protos: readonly FilterProto[], at: FieldPath, warnings: string[]): HttpFilterConfig[] {
  const out: HttpFilterConfig[] = []
  for (let i = 0; i < protos.length; i++) {
    const proto = protos[i]!
    const place = at.index(i)
    const name = proto.name ?? ''
    const last = i === protos.length - 1
    const disabled = proto.disabled ?? false
    if (proto.config_discovery !== undefined) {
      const here = place.field('config_discovery')
      const discovered = parseDiscovered(proto.config_discovery, 'envoy.filters.http', name, last, here, warnings)
      out.push({ name, factory: DISCOVERED, config: null, disabled, discovered })
      continue
    }
    if (proto.is_optional === true && findFactory('envoy.filters.http', typeOf(proto)) === null) {
      warnings.push(`${place}: optional HTTP filter '${name}' is not known and left out`)
      continue
    }
    const parsed = parseAny(proto.typed_config, 'envoy.filters.http', name, place.field('typed_config'), warnings)
    checkTerminal('envoy.filters.http', name, parsed.typeUrl, last, place)
    out.push({ name, factory: parsed.typeUrl, config: parsed.config, disabled, discovered: null })
  }
  if (out.length > 30)
    throw new ConfigError('CONFIG_UNSUPPORTED', at, `${out.length} HTTP filters in one chain`, {
      advice: 'a chain holds at most 30 filters',
    })
  return out
}

function typeOf(proto: FilterProto): string {
  const url = proto.typed_config?.type_url ?? ''
  return url.slice(url.lastIndexOf('/') + 1)
}

/** The UUID extension is the only one there is. */
function parseRequestIdExtension(proto: Proto, at: FieldPath, warnings: string[]): UuidConfig {
  const any = proto.request_id_extension?.typed_config
  if (any === undefined) return {}
  const place = at.field('request_id_extension').field('typed_config')
  if (typeNameOf(any) !== UUID_CONFIG) {
    throw unsupportedValue(at.field('request_id_extension'), any.type_url, 'only the UUID extension is supported')
  }
  const config = (any.message ?? {}) as UuidConfig
  uuidSupport.check(config, place, warnings)
  return config
}

function clientCertDetails(proto: Proto): ClientCertDetails {
  const details = proto.set_current_client_cert_details ?? {}
  return {
    subject: details.subject ?? false,
    cert: details.cert ?? false,
    chain: details.chain ?? false,
    dns: details.dns ?? false,
    uri: details.uri ?? false,
  }
}

function escapedSlashes(action: Proto['path_with_escaped_slashes_action']): EscapedSlashes {
  return action === 'REJECT_REQUEST' || action === 'UNESCAPE_AND_REDIRECT' || action === 'UNESCAPE_AND_FORWARD'
    ? action
    : 'KEEP_UNCHANGED'
}

function create(config: HcmConfig, services: NetworkFilterServices): NetworkFilterFactory {
  const httpServices: HttpFilterServices = Object.create(services, {
    httpPrefix: { value: `http.${config.statPrefix}.`, enumerable: true },
  })
  const make = (filter: HttpFilterConfig): HttpFilter =>
    findFactory('envoy.filters.http', filter.factory)!.create(filter.config as never, httpServices) as HttpFilter
  const build = (filters: readonly HttpFilterConfig[]): HttpFilterChainSource =>
    httpFilterChain(filters, make, services.extensions)
  const upgradeChains = new Map<string, HttpFilterChainSource>()
  for (const upgrade of config.upgrades)
    if (upgrade.filters !== null) upgradeChains.set(upgrade.type, build(upgrade.filters))
  const own = config.routeConfig === null ? null : createRouteTable(config.routeConfig, services)
  const { rdsName } = config
  const manager = new ConnectionManager(config, {
    services,
    chain: build(config.filters),
    upgradeChains,
    routeTable: own === null ? () => services.routes.get(rdsName) : () => own,
    accessLoggers: config.accessLogs.map(log => createAccessLogger(log, services)),
    earlyMutations: config.earlyMutations.map(
      ({ category, typeUrl, config }) =>
        findFactory(category, typeUrl)!.create(config as never, services) as EarlyHeaderMutation,
    ),
    replyRewriter: config.localReply === null ? null : createReplyRewriter(config.localReply, services),
    tracer: config.tracing === null ? null : sharedTracer(config.tracing.provider, services),
    trafficDirection: services.trafficDirection,
    listenerName: services.listenerName,
    drainDecision: services.drainDecision,
    listenerAddress: services.listenerAddress,
    filterChainName: services.filterChainName,
    listenerMetadata: services.listenerMetadata,
    filterChainMetadata: services.filterChainMetadata,
    localAddress: services.localAddress,
    bufferLimit: services.bufferLimit,
  })
  return { newInstance: connection => new HttpConnectionFilter(manager.newConnection(connection)) }
}

/** The connection manager of one connection as the terminal network filter: it keeps every byte. */
class HttpConnectionFilter implements NetworkFilter {
  private readonly http: HttpConnection

  constructor(http: HttpConnection) {
    this.http = http
    // Counted even if a filter before this one refuses it.
    http.onConnection()
  }
  onConnection(): NetVerdict {
    return NetVerdict.Continue
  }
  onData(c: Connection, d: Uint8Array, end: boolean): NetVerdict {
    this.http.onData(c, d, end)
    return NetVerdict.Stop
  }
  onWritable(): void {
    this.http.onWritable()
  }
  onClose(c: Connection, why: CloseReason): void {
    this.http.onClose(c, why)
  }
}
