import type { envoy } from '../config/gen/messages.d.ts'
import type { StatTemplate } from '../stats/store.ts'

type OverloadManager = envoy.config.overload.v3.OverloadManager

const MONITOR = 'envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig'

/** max_active_downstream_connections of the overload manager's resource monitor; 0 = there is none. */
export function maxDownstreamConnections(manager: OverloadManager | undefined): number {
  const monitor = manager?.resource_monitors?.find(m => m.typed_config?.type_url.endsWith(MONITOR))
  const config = monitor?.typed_config?.message as
    | envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig
    | undefined
  return Number(config?.max_active_downstream_connections ?? 0)
}

/** Whether the overload manager is asked for anything besides that. */
export function asksForMore(manager: OverloadManager): boolean {
  const { resource_monitors = [], actions = [], loadshed_points = [], buffer_factory_config } = manager
  if (actions.length > 0 || loadshed_points.length > 0 || buffer_factory_config !== undefined) return true
  return resource_monitors.some(m => m.typed_config?.type_url.endsWith(MONITOR) !== true)
}

/** Under `overload.envoy.resource_monitors.global_downstream_max_connections.`, when it is configured. */
export const MONITOR_STATS: StatTemplate = { counters: ['failed_updates'], gauges: ['pressure'], histograms: [] }
