import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bootstrapClusters, telemetryAddress } from './bootstrap-clusters.ts'
import { bootstrapListeners } from './bootstrap-listeners.ts'
import { statsOptions } from './bootstrap-stats.ts'
import { boolFrom } from './go-bool.ts'
import { log } from './log.ts'
import {
  addressFamily,
  asksForWorkloads,
  discoversWorkloads,
  type Env,
  type NodeIdentity,
  usesDelta,
} from './node-identity.ts'
import type { ProxyConfig } from './proxy-config.ts'

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

/** Unlimited, as Istio writes it. */
const MAX_INT32 = 2147483647

/**
 * The Envoy bootstrap of a pod: what Istio's template (tools/packaging/common/envoy_bootstrap.json, istio 86c9f01)
 * makes of the same node and ProxyConfig. Throws AgentError when the configuration does not allow one.
 */
export function makeBootstrap(options: BootstrapOptions): Json {
  const { node, config, env } = options
  const { localhost } = addressFamily(node.addresses)
  return {
    application_log_config: { log_format: logFormat(options.logAsJson) },
    node: { id: node.id, cluster: node.cluster, locality: node.locality, metadata: node.metadata },
    layered_runtime: {
      layers: [
        { name: 'global config', static_layer: runtimeLayer(config, env) },
        { name: 'admin', admin_layer: {} },
      ],
    },
    bootstrap_extensions: bootstrapExtensions(node, env),
    ...statsOptions(node, config, env),
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
        api_type: usesDelta(node, env) ? 'DELTA_GRPC' : 'GRPC',
        set_node_on_first_message_only: true,
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds-grpc' } }],
      },
    },
    static_resources: { clusters: bootstrapClusters(options), listeners: bootstrapListeners(options) },
    overload_manager: {
      resource_monitors: [
        {
          name: 'envoy.resource_monitors.global_downstream_max_connections',
          typed_config: {
            '@type':
              'type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig',
            max_active_downstream_connections: maxConnections(config),
          },
        },
      ],
    },
    ...tracing(options),
    ...statsSinks(options),
    ...clusterManager(options),
    deferred_stat_options: { enable_deferred_creation_stats: true },
  }
}

function logFormat(json: boolean): Json {
  if (!json) return { text_format: '%Y-%m-%dT%T.%fZ\t%l\tenvoy %n %g:%#\t%v\tthread=%t' }
  return {
    json_format: {
      time: '%Y-%m-%dT%T.%fZ',
      level: '%l',
      scope: 'envoy %n',
      msg: '%j',
      caller: '%g:%#',
      thread: '%t',
    },
  }
}

function bootstrapExtensions(node: NodeIdentity, env: Env): Json[] {
  const discovery = discoversWorkloads(node, env)
  if (asksForWorkloads(node) && !discovery) log.warn('disabling metadata discovery; not supported on SotW XDS')
  const extension = (name: string, type: string, value: Json): Json => ({
    name,
    typed_config: {
      '@type': 'type.googleapis.com/udpa.type.v1.TypedStruct',
      type_url: `type.googleapis.com/${type}`,
      value,
    },
  })
  return [
    ...(discovery
      ? [extension('metadata_discovery', 'istio.workload.BootstrapExtension', { config_source: { ads: {} } })]
      : []),
    extension('envoy.bootstrap.internal_listener', 'envoy.extensions.bootstrap.internal_listener.v3.InternalListener', {
      buffer_size_kb: 64,
    }),
  ]
}

function adsSource(): Json {
  // 0s: wait for istiod for ever; a proxy that goes on without configuration serves errors.
  return { ads: {}, initial_fetch_timeout: '0s', resource_api_version: 'V3' }
}

function runtimeLayer(config: ProxyConfig, env: Env): Json {
  const layer: Json = {
    'envoy.deprecated_features:envoy.config.listener.v3.Listener.hidden_envoy_deprecated_use_original_dst': true,
    'envoy.reloadable_features.coalesce_lb_rebuilds_on_batch_update': false,
    'envoy.reloadable_features.fixed_heap_use_allocated': true,
    'envoy.reloadable_features.http_reject_path_with_fragment': false,
    're2.max_program_size.error_level': '32768',
  }
  if (env.COMPLIANCE_POLICY === 'fips-140-2') layer['envoy.reloadable_features.google_grpc_disable_tls_13'] = true
  if (!boolFrom(env, 'HTTP_STRIP_FRAGMENT_FROM_PATH_UNSAFE_IF_DISABLED', true)) {
    layer['envoy.reloadable_features.http_strip_fragment_from_path_unsafe_if_disabled'] = 'false'
  }
  for (const [key, value] of Object.entries(config.runtimeValues)) {
    if (value === '') delete layer[key]
    else layer[key] = value === 'true' ? true : value === 'false' ? false : value
  }
  return layer
}

/** ConnectionSettings, then the proxy metadata of before them, then the runtime key of before that. */
function maxConnections(config: ProxyConfig): number {
  if (config.globalDownstreamConnectionLimit > 0) return config.globalDownstreamConnectionLimit
  for (const text of [
    config.proxyMetadata.ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS,
    config.runtimeValues['overload.global_downstream_max_connections'],
  ]) {
    if (text !== undefined && /^[0-9]{1,10}$/.test(text)) return Number(text)
  }
  return MAX_INT32
}

function tracing({ node, config }: BootstrapOptions): Json {
  if (config.tracing?.tracer === undefined) return {}
  const config3 = (name: string, more: Json): Json => ({
    tracing: {
      http: {
        name: `envoy.tracers.${config.tracing?.tracer}`,
        typed_config: { '@type': `type.googleapis.com/envoy.config.trace.v3.${name}`, ...more },
      },
    },
  })
  switch (config.tracing.tracer) {
    case 'zipkin':
      return config3('ZipkinConfig', {
        collector_cluster: 'zipkin',
        collector_endpoint: '/api/v2/spans',
        collector_endpoint_version: 'HTTP_JSON',
        trace_id_128bit: true,
        shared_span_context: false,
      })
    case 'lightstep':
      return config3('LightstepConfig', {
        collector_cluster: 'lightstep',
        access_token_file: lightstepTokenFile(config),
      })
    case 'datadog':
      return config3('DatadogConfig', { collector_cluster: 'datadog_agent', service_name: node.cluster })
  }
}

function lightstepTokenFile(config: ProxyConfig): string {
  return join(config.configPath, 'lightstep_access_token.txt')
}

/** The bootstrap names a file with the token of Lightstep. `configPath` must exist. */
export function writeLightstepToken(config: ProxyConfig): void {
  if (config.tracing?.tracer === 'lightstep') writeFileSync(lightstepTokenFile(config), config.tracing.accessToken)
}

function statsSinks({ config, env }: BootstrapOptions): Json {
  const sinks: Json[] = []
  if (config.metricsService !== undefined) {
    sinks.push({
      name: 'envoy.stat_sinks.metrics_service',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.config.metrics.v3.MetricsServiceConfig',
        transport_api_version: 'V3',
        grpc_service: { envoy_grpc: { cluster_name: 'envoy_metrics_service' } },
      },
    })
  }
  if (config.statsdUdpAddress !== '') {
    sinks.push({
      name: 'envoy.stat_sinks.statsd',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.config.metrics.v3.StatsdSink',
        address: telemetryAddress('statsdUdpAddress', config.statsdUdpAddress, env.HOST_IP),
      },
    })
  }
  return sinks.length === 0 ? {} : { stats_sinks: sinks }
}

function clusterManager({ node, outlierLogPath }: BootstrapOptions): Json {
  const selfDiscovery = node.metadata.ENABLE_SELF_DISCOVERY === 'true'
  const loadStats = loadStatsConfig(node.metadata.LOAD_STATS_CONFIG_JSON)
  if (!selfDiscovery && !outlierLogPath && loadStats === undefined) return {}
  return {
    cluster_manager: {
      ...(selfDiscovery ? { local_cluster_name: 'local_cluster' } : {}),
      ...(outlierLogPath ? { outlier_detection: { event_log_path: outlierLogPath } } : {}),
      ...(loadStats === undefined ? {} : { load_stats_config: loadStats }),
      enable_deferred_cluster_creation: true,
    },
  }
}

function loadStatsConfig(json: unknown): unknown {
  if (typeof json !== 'string' || json === '') return undefined
  try {
    return JSON.parse(json)
  } catch (error) {
    log.warn(`ISTIO_META_LOAD_STATS_CONFIG_JSON is not JSON: ${(error as Error).message}`)
    return undefined
  }
}
