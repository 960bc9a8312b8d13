import { AgentError } from './agent-error.ts'
import { addressFamily, type Env, type NodeIdentity } from './node-identity.ts'
import type { ProxyConfig } from './proxy-config.ts'
import { STATS_TAGS } from './stats-tags.ts'

export interface BootstrapOptions {
  readonly node: NodeIdentity
  readonly config: ProxyConfig
  readonly env: Env
  readonly logAsJson: boolean
  /** Empty: outlier events are not logged. */
  readonly outlierLogPath?: string
  /** Sockets of the SDS servers; undefined: no clusters for them. */
  readonly sds?: { readonly workloadSocket: string; readonly filesSocket: string | undefined }
}

type Json = Record<string, unknown>

const HCM = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
const ROUTER = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router'
const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'

/**
 * The Envoy bootstrap of a pod, after Istio's template (tools/packaging/common/envoy_bootstrap.json): same node, ports,
 * listeners, clusters and stats. Left out until something needs them: internal listeners, compression of
 * the metrics.
 */
export function makeBootstrap(options: BootstrapOptions): Json {
  const { node, config, env } = options
  const { localhost, wildcard } = addressFamily(node.addresses)
  const prometheusPort = portFrom(env, 'ENVOY_PROMETHEUS_PORT', 15090)
  const healthPort = portFrom(env, 'ENVOY_STATUS_PORT', 15021)
  return {
    application_log_config: {
      log_format: options.logAsJson
        ? {
            json_format: {
              time: '%Y-%m-%dT%T.%fZ',
              level: '%l',
              scope: 'envoy %n',
              msg: '%j',
              caller: '%g:%#',
              thread: '%t',
            },
          }
        : { text_format: '%Y-%m-%dT%T.%fZ\t%l\tenvoy %n %g:%#\t%v\tthread=%t' },
    },
    node: { id: node.id, cluster: node.cluster, locality: {}, metadata: node.metadata },
    layered_runtime: {
      layers: [
        { name: 'global config', static_layer: runtimeLayer(config) },
        { name: 'admin', admin_layer: {} },
      ],
    },
    stats_config: { use_all_default_tags: false, stats_tags: STATS_TAGS, stats_matcher: statsMatcher(config, env) },
    ...(options.outlierLogPath
      ? { cluster_manager: { outlier_detection: { event_log_path: options.outlierLogPath } } }
      : {}),
    admin: {
      access_log: [
        {
          name: 'envoy.access_loggers.file',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
            path: '/dev/null',
          },
        },
      ],
      profile_path: '/var/lib/istio/data/envoy.prof',
      address: { socket_address: { address: localhost, port_value: config.proxyAdminPort } },
    },
    dynamic_resources: {
      lds_config: adsSource(),
      cds_config: adsSource(),
      ads_config: {
        api_type: env.ISTIO_DELTA_XDS === 'false' ? 'GRPC' : 'DELTA_GRPC',
        set_node_on_first_message_only: true,
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds-grpc' } }],
      },
    },
    static_resources: {
      clusters: [
        staticCluster('prometheus_stats', localhost, config.proxyAdminPort),
        staticCluster('agent', localhost, config.statusPort),
        ...(options.sds === undefined ? [] : [sdsCluster('sds-grpc', options.sds.workloadSocket)]),
        ...(options.sds?.filesSocket === undefined ? [] : [sdsCluster('sds-files-grpc', options.sds.filesSocket)]),
        xdsCluster(config),
      ],
      listeners: [
        httpListener(wildcard, prometheusPort, 'stats', '/stats/prometheus', 'prometheus_stats'),
        httpListener(wildcard, healthPort, 'agent', '/healthz/ready', 'agent'),
      ],
    },
  }
}

export function portFrom(env: Env, variable: string, byDefault: number): number {
  const text = env[variable]
  if (text === undefined || text === '') return byDefault
  const port = Number(text)
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw new AgentError(`${variable}=${text}: expected a port between 1 and 65535`)
  }
  return port
}

function socketAddress(address: string, port: number): Json {
  return { socket_address: { protocol: 'TCP', address, port_value: port } }
}

function adsSource(): Json {
  // 0s: wait for istiod for ever; a proxy that goes on without configuration serves errors.
  return { ads: {}, initial_fetch_timeout: '0s', resource_api_version: 'V3' }
}

function staticCluster(name: string, address: string, port: number): Json {
  return {
    name,
    alt_stat_name: `${name};`,
    type: 'STATIC',
    connect_timeout: '0.250s',
    lb_policy: 'ROUND_ROBIN',
    load_assignment: assignment(name, socketAddress(address, port)),
  }
}

/** A server of secrets on a Unix socket. */
function sdsCluster(name: string, path: string): Json {
  return {
    name,
    alt_stat_name: `${name};`,
    type: 'STATIC',
    typed_extension_protocol_options: {
      [HTTP_OPTIONS]: {
        '@type': `type.googleapis.com/${HTTP_OPTIONS}`,
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
    connect_timeout: '1s',
    lb_policy: 'ROUND_ROBIN',
    load_assignment: assignment(name, { pipe: { path } }),
  }
}

function assignment(name: string, address: Json): Json {
  return { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] }
}

/** The agent's relay. */
function xdsCluster(config: ProxyConfig): Json {
  const unlimited = { max_connections: 100000, max_pending_requests: 100000, max_requests: 100000 }
  return {
    name: 'xds-grpc',
    alt_stat_name: 'xds-grpc;',
    type: 'STATIC',
    connect_timeout: '1s',
    lb_policy: 'ROUND_ROBIN',
    load_assignment: assignment('xds-grpc', { pipe: { path: `${config.configPath}/XDS` } }),
    circuit_breakers: {
      thresholds: [
        { priority: 'DEFAULT', ...unlimited },
        { priority: 'HIGH', ...unlimited },
      ],
    },
    upstream_connection_options: { tcp_keepalive: { keepalive_time: 300 } },
    max_requests_per_connection: 1,
    typed_extension_protocol_options: {
      [HTTP_OPTIONS]: {
        '@type': `type.googleapis.com/${HTTP_OPTIONS}`,
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
  }
}

function runtimeLayer(config: ProxyConfig): Json {
  const layer: Json = {
    'envoy.deprecated_features:envoy.config.listener.v3.Listener.hidden_envoy_deprecated_use_original_dst': true,
    'envoy.reloadable_features.coalesce_lb_rebuilds_on_batch_update': false,
    'envoy.reloadable_features.fixed_heap_use_allocated': true,
    'envoy.reloadable_features.http_reject_path_with_fragment': false,
    're2.max_program_size.error_level': '32768',
  }
  for (const [key, value] of Object.entries(config.runtimeValues)) {
    if (value === '') delete layer[key]
    else layer[key] = value === 'true' ? true : value === 'false' ? false : value
  }
  return layer
}

function statsMatcher(config: ProxyConfig, env: Env): Json {
  const prefixes = ['reporter=', 'cluster_manager', 'listener_manager', 'server', 'cluster.xds-grpc', 'wasm']
  const suffixes = ['rbac.allowed', 'rbac.denied', 'shadow_allowed', 'shadow_denied']
  // The count of open connections is what EXIT_ON_ZERO_ACTIVE_CONNECTIONS waits for.
  if (env.EXIT_ON_ZERO_ACTIVE_CONNECTIONS === 'true') suffixes.push('downstream_cx_active')
  const extra = config.statsInclusion
  return {
    inclusion_list: {
      patterns: [
        ...[...prefixes, ...extra.prefixes].map(prefix => ({ prefix })),
        ...[...suffixes, ...extra.suffixes].map(suffix => ({ suffix })),
        ...['vhost\\..*\\.route\\..*', ...extra.regexps].map(regex => ({ safe_regex: { regex } })),
        { prefix: 'component' },
        { prefix: 'istio' },
      ],
    },
  }
}

function httpListener(address: string, port: number, statPrefix: string, prefix: string, cluster: string): Json {
  return {
    name: `${address}_${port}`,
    address: socketAddress(address, port),
    ignore_global_conn_limit: true,
    bypass_overload_manager: true,
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type': HCM,
              codec_type: 'AUTO',
              stat_prefix: statPrefix,
              route_config: {
                virtual_hosts: [
                  { name: 'backend', domains: ['*'], routes: [{ match: { prefix }, route: { cluster } }] },
                ],
              },
              http_filters: [{ name: 'envoy.filters.http.router', typed_config: { '@type': ROUTER } }],
            },
          },
        ],
      },
    ],
  }
}
