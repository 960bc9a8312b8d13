import type { Log } from '../base/log.ts'
import { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { defineSupport, unsupportedValue } from '../config/support.ts'
import { asksForMore } from './downstream-limit.ts'
import { isInternalListener } from './internal-listeners.ts'
import { isWorkloadDiscovery } from './workload-discovery.ts'

const BOOTSTRAP = defineSupport<envoy.config.bootstrap.v3.Bootstrap>('envoy.config.bootstrap.v3.Bootstrap', {
  node: 'yes',
  // Of names by xdstp, which do not exist here.
  node_context_params: 'warn',
  static_resources: 'yes',
  dynamic_resources: 'yes',
  cluster_manager: 'yes',
  hds_config: 'reject',
  flags_path: 'warn',
  stats_sinks: 'yes',
  // It saves the memory of what has no traffic, which names cost here in no case (docs/differences.md, deferred-stats).
  deferred_stat_options: 'yes',
  stats_config: 'yes',
  stats_flush_interval: 'yes',
  stats_flush_on_admin: 'yes',
  stats_eviction_interval: 'yes',
  watchdog: 'warn',
  watchdogs: 'warn',
  tracing: 'yes',
  layered_runtime: 'yes',
  admin: 'yes',
  overload_manager: 'yes',
  enable_dispatcher_stats: 'warn',
  header_prefix: 'reject',
  stats_server_version_override: 'warn',
  use_tcp_for_dns_lookups: 'warn',
  dns_resolution_config: 'reject',
  typed_dns_resolver_config: 'yes',
  bootstrap_extensions: 'yes',
  fatal_actions: 'warn',
  config_sources: 'reject',
  default_config_source: 'reject',
  default_socket_interface: 'reject',
  certificate_provider_instances: 'warn',
  inline_headers: 'warn',
  perf_tracing_file_path: 'warn',
  default_regex_engine: 'yes',
  xds_delegate_extension: 'reject',
  xds_config_tracker_extension: 'warn',
  listener_manager: 'reject',
  application_log_config: 'yes',
  grpc_async_client_manager_config: 'warn',
  memory_allocator_manager: 'warn',
  enable_worker_cpu_affinity: 'warn',
})
const ADMIN = defineSupport<envoy.config.bootstrap.v3.Admin>('envoy.config.bootstrap.v3.Admin', {
  access_log: 'yes',
  access_log_path: 'yes',
  profile_path: 'yes',
  address: 'yes',
  socket_options: 'yes',
  // Its connections never count.
  ignore_global_conn_limit: 'yes',
  allow_paths: 'yes',
})
const CLUSTER_MANAGER = defineSupport<envoy.config.bootstrap.v3.ClusterManager>(
  'envoy.config.bootstrap.v3.ClusterManager',
  {
    local_cluster_name: 'yes',
    outlier_detection: 'yes',
    upstream_bind_config: 'reject',
    load_stats_config: 'warn',
    // Workers make a cluster when traffic first needs it, with or without.
    enable_deferred_cluster_creation: 'yes',
  },
)
const OUTLIER_LOG = defineSupport<envoy.config.bootstrap.v3.ClusterManager_OutlierDetection>(
  'envoy.config.bootstrap.v3.ClusterManager.OutlierDetection',
  { event_log_path: 'yes', event_service: 'warn' },
)
const DYNAMIC_RESOURCES = defineSupport<envoy.config.bootstrap.v3.Bootstrap_DynamicResources>(
  'envoy.config.bootstrap.v3.Bootstrap.DynamicResources',
  {
    lds_config: 'yes',
    lds_resources_locator: 'reject',
    cds_config: 'yes',
    cds_resources_locator: 'reject',
    ads_config: 'yes',
  },
)

const CARES = 'envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig'
const RE2 = 'envoy.extensions.regex_engines.v3.GoogleRE2'

/** Fields of a bootstrap that have no effect here: refused where traffic or security would be another, warned of otherwise. */
export function checkUnsupported(b: envoy.config.bootstrap.v3.Bootstrap, log: Log): void {
  const root = FieldPath.root()
  const warnings: string[] = []
  BOOTSTRAP.check(b, root, warnings)
  ADMIN.check(b.admin ?? {}, root.field('admin'), warnings)
  CLUSTER_MANAGER.check(b.cluster_manager ?? {}, root.field('cluster_manager'), warnings)
  const outlierLog = root.field('cluster_manager').field('outlier_detection')
  OUTLIER_LOG.check(b.cluster_manager?.outlier_detection ?? {}, outlierLog, warnings)
  DYNAMIC_RESOURCES.check(b.dynamic_resources ?? {}, root.field('dynamic_resources'), warnings)
  onlyType(b.default_regex_engine, RE2, root.field('default_regex_engine'))
  onlyType(b.typed_dns_resolver_config, CARES, root.field('typed_dns_resolver_config'))
  if (Object.keys(b.typed_dns_resolver_config?.typed_config?.message ?? {}).length > 0) {
    const at = root.field('typed_dns_resolver_config')
    throw unsupportedValue(at, 'with options', 'set typed_dns_resolver_config of the clusters instead')
  }
  if (b.overload_manager !== undefined && asksForMore(b.overload_manager)) {
    warnings.push('overload_manager: supported is only envoy.resource_monitors.global_downstream_max_connections')
  }
  for (const extension of b.bootstrap_extensions ?? []) {
    if (isInternalListener(extension) || isWorkloadDiscovery(extension)) continue
    warnings.push(`bootstrap_extensions: ${extension.name ?? ''} is not supported, it has no effect`)
  }
  for (const text of warnings) log.warning(text)
}

function onlyType(extension: envoy.config.core.v3.TypedExtensionConfig | undefined, type: string, at: FieldPath): void {
  const url = extension?.typed_config?.type_url ?? ''
  if (extension !== undefined && !url.endsWith(`/${type}`)) throw unsupportedValue(at, extension.name ?? url)
}
