import { ConfigError } from '../base/errors.ts'
import type {
  CircuitBreakerThresholds,
  ClusterConfig,
  ClusterType,
  OriginalDstConfig,
  OutlierConfig,
  TcpKeepaliveConfig,
  TransportSocketConfig,
  UpstreamBindConfig,
  UpstreamHttpConfig,
} from '../upstream/cluster-config.ts'
import { dnsOfType, parseDns } from './cluster-dns.ts'
import { parseHealthChecks } from './cluster-health-checks.ts'
import { parseUpstreamHttp } from './cluster-http.ts'
import { parseLb } from './cluster-lb.ts'
import { parseAssignment, parseSocketAddress } from './endpoint.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'
import { percent } from './percent.ts'
import type { ParsedExtension } from './registry.ts'

type Cluster = envoy.config.cluster.v3.Cluster

/** Parts of a cluster that other registries own. */
export interface ClusterParser {
  /** Parses (and checks the registration of) an upstream transport socket; throws ConfigError. */
  transportSocket(proto: envoy.config.core.v3.TransportSocket, at: FieldPath): TransportSocketConfig
  /** True when the socket negotiates ALPN, which auto_config needs. */
  supportsAlpn(socket: TransportSocketConfig): boolean
  /** HttpProtocolOptions.http_filters. */
  httpFilters(
    proto: readonly envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter[],
    at: FieldPath,
  ): readonly unknown[]
  /** Cluster.filters. */
  networkFilters(proto: readonly envoy.config.cluster.v3.Filter[], at: FieldPath): readonly ParsedExtension[]
  /** Codec options of both protocols, checked; limits 0 = the codec's default. */
  protocolOptions(
    http1: envoy.config.core.v3.Http1ProtocolOptions,
    http2: envoy.config.core.v3.Http2ProtocolOptions,
    limits: { readonly maxHeadersKb: number; readonly maxHeadersCount: number },
    at: FieldPath,
  ): Pick<UpstreamHttpConfig, 'http1' | 'http2'>
  /** One warning per field that is accepted and not acted on. */
  warn(text: string): void
}

/**
 * Semantic checks and defaults of a cluster, after the generic rules. Fields Remora does not implement are rejected where
 * they decide where traffic goes or who may read it, else warned about once.
 */
export function parseCluster(proto: Cluster, at: FieldPath, parser: ClusterParser): ClusterConfig {
  const name = proto.name ?? ''
  const type = clusterType(proto, at)
  rejectUnsupported(proto, at)
  warnUnsupported(proto, parser)
  const observabilityName = proto.alt_stat_name || name
  const transportSocket = parseSocket(proto.transport_socket, at.field('transport_socket'), parser)
  const http = parseUpstreamHttp(proto, at, parser)
  if (http.protocol === 'auto' && !parser.supportsAlpn(transportSocket)) {
    throw new ConfigError(
      'CONFIG_INVALID',
      at,
      `ALPN configured for cluster ${name} which has a non-ALPN transport socket:`,
    )
  }
  const lb = parseLb(proto, type, at)
  const bind = parseBind(proto.upstream_bind_config, name, at.field('upstream_bind_config'))
  const healthChecks = parseHealthChecks(proto.health_checks ?? [], name, http, at.field('health_checks'), parser)
  return {
    name,
    observabilityName,
    statsName: sanitizeStatsName(observabilityName),
    type,
    edsServiceName: proto.eds_cluster_config?.service_name ?? '',
    connectTimeout: proto.connect_timeout ?? 5000,
    perConnectionBufferLimit: proto.per_connection_buffer_limit_bytes ?? 1024 * 1024,
    http,
    lb,
    circuitBreakers: parseCircuitBreakers(proto.circuit_breakers, at.field('circuit_breakers')),
    perHostMaxConnections: parsePerHost(proto.circuit_breakers, at.field('circuit_breakers')),
    outlierDetection: parseOutlier(proto.outlier_detection, at.field('outlier_detection'), parser),
    healthChecks,
    dns: type === 'STRICT_DNS' || type === 'LOGICAL_DNS' ? parseDns(proto, at, parser) : null,
    originalDst: type === 'ORIGINAL_DST' ? parseOriginalDst(proto.original_dst_lb_config, at) : null,
    cleanupInterval: proto.cleanup_interval ?? 5000,
    bind,
    tcpKeepalive: parseKeepalive(proto.upstream_connection_options?.tcp_keepalive),
    metadata: proto.metadata?.filter_metadata ?? null,
    networkFilters: parser.networkFilters(proto.filters ?? [], at.field('filters')),
    transportSocket,
    transportSocketMatches: (proto.transport_socket_matches ?? []).map((m, i) => ({
      name: m.name ?? '',
      match: m.match ?? {},
      transportSocket: parseSocket(m.transport_socket, at.field('transport_socket_matches').index(i), parser),
    })),
    closeConnectionsOnHostHealthFailure: proto.close_connections_on_host_health_failure ?? false,
    ignoreHealthOnHostRemoval: proto.ignore_health_on_host_removal ?? false,
    connectionPoolPerDownstreamConnection: proto.connection_pool_per_downstream_connection ?? false,
    waitForWarmOnInit: proto.wait_for_warm_on_init ?? true,
    assignment: parseClusterAssignment(proto, type, at, parser),
  }
}

/** Envoy: a 0 in any field switches it off. */
function parseKeepalive(proto: envoy.config.core.v3.TcpKeepalive | undefined): TcpKeepaliveConfig | null {
  if (proto === undefined) return null
  const { keepalive_probes: probes = null, keepalive_time: time = null, keepalive_interval: interval = null } = proto
  return probes === 0 || time === 0 || interval === 0 ? null : { probes, time, interval }
}

/** Envoy's Stats::Utility::sanitizeStatsName: what a cluster name becomes inside `cluster.X.`. */
export function sanitizeStatsName(name: string): string {
  return name.replace(/^\./, '').replace(/\.$/, '').replaceAll('://', '_').replaceAll(':/', '_').replaceAll(':', '_')
}

function clusterType(proto: Cluster, at: FieldPath): ClusterType {
  const custom = proto.cluster_type
  if (custom !== undefined) {
    const url = custom.typed_config?.type_url ?? ''
    const dns = dnsOfType(url)
    if (dns !== null) return dns(custom.typed_config?.message)
    throw new ConfigError(
      'CONFIG_UNREGISTERED',
      at.field('cluster_type'),
      `Didn't find a registered cluster factory implementation for type: '${url.slice(url.lastIndexOf('/') + 1)}'`,
    )
  }
  const type = proto.type ?? 'STATIC'
  if (type === 'EDS' && proto.eds_cluster_config?.eds_config === undefined) {
    throw new ConfigError('CONFIG_INVALID', at, 'cannot create an EDS cluster without an EDS config')
  }
  if (typeof type === 'number')
    throw new ConfigError('CONFIG_INVALID', at.field('type'), `unknown cluster type ${type}`)
  return type
}

function rejectUnsupported(proto: Cluster, at: FieldPath): void {
  const refuse = (field: string, advice: string): never => {
    throw new ConfigError('CONFIG_UNSUPPORTED', at.field(field), `${field} is not supported`, { advice })
  }
  if ((proto.lb_subset_config?.subset_selectors ?? []).length > 0) {
    refuse('lb_subset_config', 'give each subset its own cluster')
  }
  if (proto.transport_socket_matcher !== undefined) refuse('transport_socket_matcher', 'use transport_socket_matches')
  if (proto.upstream_config !== undefined) {
    const url = proto.upstream_config.typed_config?.type_url ?? ''
    // The generic pools are what a cluster without upstream_config uses; only others would change traffic.
    if (!url.endsWith('.generic.v3.GenericConnectionPoolProto')) refuse('upstream_config', 'the generic pools are used')
  }
}

function warnUnsupported(proto: Cluster, parser: ClusterParser): void {
  const ignored: [string, boolean][] = [
    ['preconnect_policy.predictive_preconnect_ratio', (proto.preconnect_policy?.predictive_preconnect_ratio ?? 1) > 1],
    [
      'preconnect_policy.per_upstream_preconnect_ratio',
      (proto.preconnect_policy?.per_upstream_preconnect_ratio ?? 1) > 1,
    ],
    ['lrs_report_endpoint_metrics', (proto.lrs_report_endpoint_metrics ?? []).length > 0],
    ['lrs_server', proto.lrs_server !== undefined],
    ['stats_matcher', proto.stats_matcher !== undefined],
    [
      'track_cluster_stats.timeout_budgets',
      proto.track_cluster_stats?.timeout_budgets ?? proto.track_timeout_budgets ?? false,
    ],
    ['track_cluster_stats.request_response_sizes', proto.track_cluster_stats?.request_response_sizes === true],
    ['track_cluster_stats.per_endpoint_stats', proto.track_cluster_stats?.per_endpoint_stats === true],
    ['common_lb_config.update_merge_window', (proto.common_lb_config?.update_merge_window ?? 0) > 0],
    ['per_connection_buffer_high_watermark_timeout', (proto.per_connection_buffer_high_watermark_timeout ?? 0) > 0],
    ['upstream_bind_config.freebind', proto.upstream_bind_config?.freebind === true],
    ['upstream_bind_config.socket_options', (proto.upstream_bind_config?.socket_options ?? []).length > 0],
    ['queuing_policies', proto.queuing_policies !== undefined],
    [
      'upstream_connection_options.set_local_interface_name_on_upstream_connections',
      proto.upstream_connection_options?.set_local_interface_name_on_upstream_connections === true,
    ],
    [
      'upstream_connection_options.happy_eyeballs_config',
      proto.upstream_connection_options?.happy_eyeballs_config !== undefined,
    ],
  ]
  for (const [field, set] of ignored) {
    if (set) parser.warn(`cluster '${proto.name ?? ''}': ${field} is not acted on`)
  }
}

const RAW_BUFFER: TransportSocketConfig = { name: 'envoy.transport_sockets.raw_buffer', typeUrl: '', config: null }

function parseSocket(
  proto: envoy.config.core.v3.TransportSocket | undefined,
  at: FieldPath,
  parser: ClusterParser,
): TransportSocketConfig {
  if (proto === undefined) return RAW_BUFFER
  if (proto.typed_config === undefined) {
    throw new ConfigError(
      'CONFIG_UNREGISTERED',
      at,
      `Didn't find a registered implementation for '${proto.name ?? ''}' with type URL: ''`,
    )
  }
  return parser.transportSocket(proto, at)
}

function parseClusterAssignment(proto: Cluster, type: ClusterType, at: FieldPath, parser: ClusterParser) {
  const assignment = proto.load_assignment
  if (type === 'EDS') return null
  if (type === 'ORIGINAL_DST') {
    if (assignment === undefined) return null
    throw new ConfigError('CONFIG_INVALID', at, 'ORIGINAL_DST clusters must have no load assignment configured')
  }
  if (type === 'LOGICAL_DNS') {
    const endpoints = assignment?.endpoints ?? []
    const hosts = endpoints[0]?.load_balancer_endpoints?.lb_endpoints ?? endpoints[0]?.lb_endpoints ?? []
    if (assignment === undefined)
      throw new ConfigError('CONFIG_INVALID', at, 'LOGICAL_DNS clusters must have a single host')
    if (endpoints.length !== 1 || hosts.length !== 1) {
      throw new ConfigError(
        'CONFIG_INVALID',
        at,
        'LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint',
      )
    }
  }
  return parseAssignment(assignment ?? {}, at.field('load_assignment'), {
    dns: type !== 'STATIC',
    clusterType: type,
    warn: text => parser.warn(text),
  })
}

/** By `Resource`: connections, pending requests, requests, retries, connection pools (resource_manager_impl.h). */
const DEFAULT_MAX = [1024, 1024, 1024, 3, 2 ** 64] as const

function parseCircuitBreakers(
  proto: envoy.config.cluster.v3.CircuitBreakers | undefined,
  at: FieldPath,
): readonly [CircuitBreakerThresholds, CircuitBreakerThresholds] {
  const find = (priority: string): CircuitBreakerThresholds => {
    // Envoy takes the first entry of a priority.
    const t = proto?.thresholds?.find(x => (x.priority ?? 'DEFAULT') === priority)
    if (t?.retry_budget?.budget_interval !== undefined && t.retry_budget.budget_interval > 0) {
      throw new ConfigError('CONFIG_UNSUPPORTED', at, 'retry_budget.budget_interval is not supported')
    }
    return {
      max: [
        t?.max_connections ?? DEFAULT_MAX[0],
        t?.max_pending_requests ?? DEFAULT_MAX[1],
        t?.max_requests ?? DEFAULT_MAX[2],
        t?.max_retries ?? DEFAULT_MAX[3],
        t?.max_connection_pools ?? DEFAULT_MAX[4],
      ],
      trackRemaining: t?.track_remaining ?? false,
      retryBudget:
        t?.retry_budget === undefined
          ? null
          : {
              percent: percent(t.retry_budget.budget_percent, 20),
              minRetryConcurrency: t.retry_budget.min_retry_concurrency ?? 3,
            },
    }
  }
  return [find('DEFAULT'), find('HIGH')]
}

function parsePerHost(proto: envoy.config.cluster.v3.CircuitBreakers | undefined, at: FieldPath): [number, number] {
  const find = (priority: string): number => {
    const t = proto?.per_host_thresholds?.find(x => (x.priority ?? 'DEFAULT') === priority)
    if (
      t?.max_pending_requests !== undefined ||
      t?.max_requests !== undefined ||
      t?.max_retries !== undefined ||
      t?.max_connection_pools !== undefined ||
      t?.retry_budget !== undefined
    ) {
      throw new ConfigError('CONFIG_INVALID', at, 'Unsupported field in per_host_thresholds')
    }
    // Infinity does not survive JSON, which config dumps of tests go through.
    return t?.max_connections ?? 4294967295
  }
  return [find('DEFAULT'), find('HIGH')]
}

/** Defaults of outlier_detection_impl.h. */
function parseOutlier(
  p: envoy.config.cluster.v3.OutlierDetection | undefined,
  at: FieldPath,
  parser: ClusterParser,
): OutlierConfig | null {
  if (p === undefined) return null
  if ((p.monitors ?? []).length > 0) throw new ConfigError('CONFIG_UNSUPPORTED', at, 'monitors are not supported')
  if (p.detect_degraded_hosts === true) parser.warn(`${at}.detect_degraded_hosts is not acted on`)
  const baseEjectionTime = p.base_ejection_time ?? 30000
  const maxEjectionTime = p.max_ejection_time ?? Math.max(300000, baseEjectionTime)
  if (maxEjectionTime < baseEjectionTime) {
    throw new ConfigError(
      'CONFIG_INVALID',
      at,
      "outlier detector's max_ejection_time cannot be smaller than base_ejection_time",
    )
  }
  return {
    interval: p.interval ?? 10000,
    baseEjectionTime,
    maxEjectionTime,
    maxEjectionTimeJitter: p.max_ejection_time_jitter ?? 0,
    maxEjectionPercent: p.max_ejection_percent ?? 10,
    alwaysEjectOneHost: p.always_eject_one_host ?? false,
    consecutive5xx: p.consecutive_5xx ?? 5,
    enforcingConsecutive5xx: p.enforcing_consecutive_5xx ?? 100,
    consecutiveGatewayFailure: p.consecutive_gateway_failure ?? 5,
    enforcingConsecutiveGatewayFailure: p.enforcing_consecutive_gateway_failure ?? 0,
    splitExternalLocalOriginErrors: p.split_external_local_origin_errors ?? false,
    consecutiveLocalOriginFailure: p.consecutive_local_origin_failure ?? 5,
    enforcingConsecutiveLocalOriginFailure: p.enforcing_consecutive_local_origin_failure ?? 100,
    successRateMinimumHosts: p.success_rate_minimum_hosts ?? 5,
    successRateRequestVolume: p.success_rate_request_volume ?? 100,
    successRateStdevFactor: (p.success_rate_stdev_factor ?? 1900) / 1000,
    enforcingSuccessRate: p.enforcing_success_rate ?? 100,
    enforcingLocalOriginSuccessRate: p.enforcing_local_origin_success_rate ?? 100,
    failurePercentageThreshold: p.failure_percentage_threshold ?? 85,
    failurePercentageMinimumHosts: p.failure_percentage_minimum_hosts ?? 5,
    failurePercentageRequestVolume: p.failure_percentage_request_volume ?? 50,
    enforcingFailurePercentage: p.enforcing_failure_percentage ?? 0,
    enforcingFailurePercentageLocalOrigin: p.enforcing_failure_percentage_local_origin ?? 0,
    successfulActiveHealthCheckUnejectHost: p.successful_active_health_check_uneject_host ?? true,
  }
}

function parseOriginalDst(
  p: envoy.config.cluster.v3.Cluster_OriginalDstLbConfig | undefined,
  at: FieldPath,
): OriginalDstConfig {
  const { use_http_header: byHeader = false, http_header_name: header = '', metadata_key: key } = p ?? {}
  if (!byHeader && header !== '') {
    const text =
      `ORIGINAL_DST cluster: invalid config http_header_name=${header} and use_http_header is false. ` +
      'Set use_http_header to true if http_header_name is desired.'
    throw new ConfigError('CONFIG_INVALID', at.field('original_dst_lb_config').field('http_header_name'), text)
  }
  return {
    metadata: key === undefined ? null : { name: key.key ?? '', path: (key.path ?? []).map(step => step.key ?? '') },
    httpHeaderName: byHeader ? (header || 'x-envoy-original-dst-host').toLowerCase() : '',
    portOverride: p?.upstream_port_override ?? 0,
  }
}

function parseBind(
  p: envoy.config.core.v3.BindConfig | undefined,
  cluster: string,
  at: FieldPath,
): UpstreamBindConfig | null {
  if (p === undefined) return null
  if (p.local_address_selector !== undefined) {
    throw new ConfigError('CONFIG_UNSUPPORTED', at, 'local_address_selector is not supported')
  }
  const bad = (text: string): never => {
    throw new ConfigError('CONFIG_INVALID', at, `Cluster ${cluster}'s upstream binding config has ${text}`)
  }
  const extras = [
    ...(p.extra_source_addresses ?? []).map(x => x.address ?? {}),
    ...(p.additional_source_addresses ?? []),
  ]
  if (p.source_address === undefined && extras.length > 0) {
    bad(
      'extra/additional source addresses but no source_address. Extra/additional addresses cannot be specified if source_address is not set.',
    )
  }
  if (extras.length > 1) {
    bad(
      "more than one extra/additional source addresses. Only one extra/additional source can be supported in BindConfig's extra_source_addresses/additional_source_addresses field",
    )
  }
  const address = p.source_address === undefined ? null : parseSocketAddress(p.source_address, at)
  const extraAddress = extras[0] === undefined ? null : parseSocketAddress(extras[0], at)
  if (address !== null && extraAddress !== null && address.ip.includes(':') === extraAddress.ip.includes(':')) {
    bad(
      "two same IP version source addresses. Only two different IP version source addresses can be supported in BindConfig's source_address and extra_source_addresses/additional_source_addresses fields",
    )
  }
  return {
    address,
    extraAddress,
  }
}
