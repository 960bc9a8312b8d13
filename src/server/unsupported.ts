import { ConfigError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { asksForMore } from './downstream-limit.ts'
import { unknownBootstrapExtensions } from './internal-listeners.ts'

/** Fields of a bootstrap that are not there yet: refused where traffic or security would be another, warned of otherwise. */
export function checkUnsupported(b: envoy.config.bootstrap.v3.Bootstrap, log: Log): void {
  const root = FieldPath.root()
  const refuse = (field: string, what: string): never => {
    throw new ConfigError('CONFIG_UNSUPPORTED', root.field(field), `${what} is not supported`, {
      advice: 'remove it; docs/support-matrix.md lists what is supported',
    })
  }
  if (b.hds_config !== undefined) refuse('hds_config', 'the health discovery service')
  if (b.xds_delegate_extension !== undefined) refuse('xds_delegate_extension', 'an xDS delegate')
  const { load_stats_config } = b.cluster_manager ?? {}
  if (load_stats_config !== undefined) {
    log.warning('cluster_manager.load_stats_config: not supported, no load is reported')
  }
  if (b.overload_manager !== undefined && asksForMore(b.overload_manager)) {
    const text = 'overload_manager: supported is only envoy.resource_monitors.global_downstream_max_connections'
    log.warning(text)
  }
  for (const name of unknownBootstrapExtensions(b)) {
    log.warning(`bootstrap_extensions: ${name} is not supported, it has no effect`)
  }
  for (const field of [
    'fatal_actions',
    'watchdogs',
    'watchdog',
    'flags_path',
    'enable_dispatcher_stats',
    'memory_allocator_manager',
    'use_tcp_for_dns_lookups',
    'certificate_provider_instances',
    'inline_headers',
    'perf_tracing_file_path',
    'xds_config_tracker_extension',
  ] as const) {
    const value = b[field]
    if (value === undefined || (Array.isArray(value) && value.length === 0)) continue
    log.warning(`${field}: not supported, it has no effect`)
  }
}
