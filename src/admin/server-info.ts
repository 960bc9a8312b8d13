import { LEVEL_NAMES } from '../base/log.ts'
import { HOT_RESTART_VERSION, VERSION_TEXT } from '../base/version.ts'
import { printJson } from '../config/json-writer.ts'
import { type ServerState, STATE_NAMES } from '../server/state.ts'
import { type AdminHandler, JSON_TYPE } from './handler.ts'

/** The flags as /server_info shows them; `EnvoyOptions` of src/cmd/options.ts has all of these. */
export interface ShownOptions {
  readonly baseId: number
  readonly concurrency: number
  readonly configPath: string
  readonly configYaml: string
  readonly allowUnknownStaticFields: boolean
  readonly adminAddressPath: string
  readonly localAddressIpVersion: string
  readonly logLevel: number
  readonly componentLogLevelText: string
  readonly logFormat: string
  readonly logPath: string
  readonly serviceCluster: string
  readonly serviceNode: string
  readonly serviceZone: string
  readonly fileFlushInterval: number
  readonly drainTime: number
  readonly parentShutdownTime: number
  readonly mode: string
  readonly disableHotRestart: boolean
  readonly restartEpoch: number
  readonly rejectUnknownDynamicFields: boolean
  readonly logFormatEscaped: boolean
  readonly disabledExtensions: readonly string[]
  readonly ignoreUnknownDynamicFields: boolean
  readonly useDynamicBaseId: boolean
  readonly baseIdPath: string
  readonly drainStrategy: string
  readonly statsTags: readonly (readonly [string, string])[]
  readonly skipDeprecatedLogs: boolean
  readonly fileFlushMinSizeKb: number
}

export interface ServerInfoSource {
  state(): ServerState
  /** Seconds. */
  uptime(): number
  readonly options: ShownOptions
  /** envoy.config.core.v3.Node as JSON with all default fields, user agent and extensions included. */
  node(): object
}

export function serverInfoHandler(source: ServerInfoSource): AdminHandler {
  return {
    path: '/server_info',
    help: 'print server version/status information',
    mutates: false,
    handle: () => ({ status: 200, contentType: JSON_TYPE, body: `${printJson(info(source))}\n` }),
  }
}

function info(source: ServerInfoSource): object {
  const o = source.options
  const uptime = `${Math.floor(source.uptime())}s`
  return {
    // istioctl, dashboards and start-up scripts cut this text into its five parts and read the second. It names the Envoy whose
    // behaviour this is, as `envoy --version` does; the extensions in `node` say what is really there.
    version: VERSION_TEXT,
    state: STATE_NAMES[source.state()],
    uptime_current_epoch: uptime,
    uptime_all_epochs: uptime,
    hot_restart_version: o.disableHotRestart ? 'disabled' : HOT_RESTART_VERSION,
    command_line_options: {
      base_id: `${o.baseId}`,
      concurrency: o.concurrency,
      config_path: o.configPath,
      config_yaml: o.configYaml,
      allow_unknown_static_fields: o.allowUnknownStaticFields,
      admin_address_path: o.adminAddressPath,
      local_address_ip_version: o.localAddressIpVersion,
      log_level: LEVEL_NAMES[o.logLevel],
      component_log_level: o.componentLogLevelText,
      log_format: o.logFormat,
      log_path: o.logPath,
      service_cluster: o.serviceCluster,
      service_node: o.serviceNode,
      service_zone: o.serviceZone,
      file_flush_interval: seconds(o.fileFlushInterval),
      drain_time: `${o.drainTime}s`,
      parent_shutdown_time: `${o.parentShutdownTime}s`,
      mode: o.mode === 'serve' ? 'Serve' : o.mode === 'validate' ? 'Validate' : 'InitOnly',
      disable_hot_restart: o.disableHotRestart,
      enable_mutex_tracing: false,
      restart_epoch: o.restartEpoch,
      cpuset_threads: false,
      reject_unknown_dynamic_fields: o.rejectUnknownDynamicFields,
      log_format_escaped: o.logFormatEscaped,
      disabled_extensions: o.disabledExtensions,
      ignore_unknown_dynamic_fields: o.ignoreUnknownDynamicFields,
      use_dynamic_base_id: o.useDynamicBaseId,
      base_id_path: o.baseIdPath,
      drain_strategy: o.drainStrategy === 'gradual' ? 'Gradual' : 'Immediate',
      enable_fine_grain_logging: false,
      socket_path: '@envoy_domain_socket',
      socket_mode: 0,
      enable_core_dump: false,
      stats_tag: o.statsTags.map(([name, value]) => `${name}:${value}`),
      skip_hot_restart_on_no_parent: false,
      skip_hot_restart_parent_stats: false,
      skip_deprecated_logs: o.skipDeprecatedLogs,
      // As Envoy: the flag is not copied into the message.
      file_flush_min_size: 0,
      log_stacktrace_single_entry: false,
    },
    node: source.node(),
    hot_restart_initializing: false,
  }
}

/** Protobuf JSON of a Duration: 0, 3, 6 or 9 fraction digits. */
function seconds(ms: number): string {
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${(ms / 1000).toFixed(3)}s`
}
