import { ConfigError } from '../../base/errors.ts'
import type { FieldPath } from '../../config/field-path.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { filterMetadata } from '../../config/route.ts'
import { parseHeadersToAdd } from '../../config/route-headers.ts'
import { checkFormat } from '../../config/substitution-format.ts'
import { defineSupport, unsupportedValue } from '../../config/support.ts'
import { parseAccessLogs } from '../../telemetry/access-loggers/config.ts'
import { createAccessLogger } from '../../telemetry/access-loggers/create.ts'
import type { NetworkFilterFactory } from '../filter.ts'
import type { NetworkFilterExtension, NetworkFilterServices } from '../filter-factory.ts'
import { TcpProxy } from '../tcp-proxy.ts'
import type { TcpProxyConfig, TunnelConfig, WeightedClusterConfig } from '../tcp-proxy-config.ts'

type Proto = envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
type TunnelProto = envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy_TunnelingConfig

const support = defineSupport<Proto>('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy', {
  stat_prefix: 'yes',
  cluster: 'yes',
  weighted_clusters: 'yes',
  metadata_match: 'yes',
  idle_timeout: 'yes',
  access_log: 'yes',
  max_connect_attempts: 'yes',
  backoff_options: 'yes',
  hash_policy: 'yes',
  max_downstream_connection_duration: 'yes',
  max_downstream_connection_duration_jitter_percentage: 'yes',
  upstream_connect_mode: 'yes',
  access_log_flush_interval: 'warn',
  flush_access_log_on_connected: 'warn',
  access_log_options: 'warn',
  on_demand: 'reject',
  tunneling_config: 'yes',
  proxy_protocol_tlvs: 'reject',
  downstream_idle_timeout: 'reject',
  upstream_idle_timeout: 'reject',
  max_early_data_bytes: 'reject',
})

const tunnelSupport = defineSupport<TunnelProto>(
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig',
  {
    hostname: 'yes',
    use_post: 'yes',
    headers_to_add: 'yes',
    propagate_response_headers: 'yes',
    post_path: 'yes',
    propagate_response_trailers: 'yes',
    // Only for logs and traces.
    request_id_extension: 'warn',
    request_id_header: 'warn',
    request_id_metadata_key: 'warn',
    formatters: 'reject',
  },
)

/** idle_timeout when it is not set: one hour. */
const DEFAULT_IDLE = 3_600_000

/** envoy.filters.network.tcp_proxy */
export const tcpProxyFactory: NetworkFilterExtension<Proto, TcpProxyConfig> = {
  category: 'envoy.filters.network',
  name: 'envoy.filters.network.tcp_proxy',
  typeUrls: ['envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy'],
  terminal: true,
  parse,
  create: (config: TcpProxyConfig, services: NetworkFilterServices): NetworkFilterFactory =>
    new TcpProxy(
      config,
      services,
      config.accessLogs.map(log => createAccessLogger(log, services)),
    ),
}

function parse(proto: Proto, at: FieldPath, warnings: string[]): TcpProxyConfig {
  support.check(proto, at, warnings)
  const mode = proto.upstream_connect_mode ?? 'IMMEDIATE'
  if (mode !== 'IMMEDIATE' && mode !== 0) throw unsupportedValue(at.field('upstream_connect_mode'), String(mode))
  const clusters = parseClusters(proto, at)
  const hash = proto.hash_policy?.[0]
  if (hash !== undefined && hash.source_ip === undefined) {
    throw unsupportedValue(at.field('hash_policy').index(0), 'filter_state')
  }
  const backoff = proto.backoff_options
  const base = backoff?.base_interval ?? 0
  return {
    statPrefix: proto.stat_prefix ?? '',
    clusters,
    totalWeight: clusters.reduce((sum, c) => sum + c.weight, 0),
    metadataMatch: filterMetadata(proto.metadata_match),
    idleTimeout: proto.idle_timeout ?? DEFAULT_IDLE,
    maxConnectAttempts: proto.max_connect_attempts ?? 1,
    backoff: backoff === undefined ? null : { base, max: backoff.max_interval ?? base * 10 },
    hashSourceIp: hash?.source_ip !== undefined,
    maxConnectionDuration: proto.max_downstream_connection_duration ?? 0,
    durationJitter: proto.max_downstream_connection_duration_jitter_percentage?.value ?? 0,
    tunnel:
      proto.tunneling_config === undefined
        ? null
        : parseTunnel(proto.tunneling_config, at.field('tunneling_config'), warnings),
    accessLogs: parseAccessLogs(proto.access_log ?? [], at.field('access_log'), warnings),
  }
}

function parseTunnel(proto: TunnelProto, at: FieldPath, warnings: string[]): TunnelConfig {
  tunnelSupport.check(proto, at, warnings)
  const { hostname = '', use_post: usePost = false, post_path: postPath = '' } = proto
  checkFormat(hostname, at.field('hostname'))
  if (!usePost && postPath !== '') {
    const text = "Can't set a post path when POST method isn't used"
    throw new ConfigError('CONFIG_INVALID', at.field('post_path'), text, { advice: 'set use_post' })
  }
  return {
    hostname,
    usePost,
    postPath: postPath === '' ? '/' : postPath,
    headersToAdd: parseHeadersToAdd(proto.headers_to_add, at.field('headers_to_add')),
    propagateResponseHeaders: proto.propagate_response_headers ?? false,
    propagateResponseTrailers: proto.propagate_response_trailers ?? false,
  }
}

function parseClusters(proto: Proto, at: FieldPath): readonly WeightedClusterConfig[] {
  if (proto.weighted_clusters === undefined) {
    if (proto.cluster !== undefined) return [{ name: proto.cluster, weight: 1, metadataMatch: null }]
    throw new ConfigError('CONFIG_CONSTRAINT', at, 'field: "cluster_specifier", reason: is required', {
      advice: 'set cluster or weighted_clusters',
    })
  }
  const own = filterMetadata(proto.metadata_match)
  return (proto.weighted_clusters.clusters ?? []).map(c => {
    const match = filterMetadata(c.metadata_match)
    return {
      name: c.name ?? '',
      weight: c.weight ?? 0,
      // What the entry says goes over what the filter says.
      metadataMatch: match === null ? null : { ...own, ...match },
    }
  })
}
