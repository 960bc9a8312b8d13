import type { HealthStatus } from './cluster-config.ts'
import type { WorkerHost } from './host.ts'
import { HostHealth } from './upstream.ts'

/** Whether an override (stateful session) may name this host: its status must be one of `allowed` (override_host_status). */
export function mayOverride(host: WorkerHost, allowed: readonly HealthStatus[]): boolean {
  return allowed.includes(statusOf(host))
}

function statusOf(host: WorkerHost): HealthStatus {
  const flags = host.flags()
  if ((flags & HostHealth.EdsDraining) !== 0) return 'DRAINING'
  const failed = HostHealth.FailedActive | HostHealth.FailedOutlier | HostHealth.FailedEds
  if ((flags & failed) !== 0) {
    return host.healthStatus === 'TIMEOUT' || (flags & HostHealth.ActiveTimeout) !== 0 ? 'TIMEOUT' : 'UNHEALTHY'
  }
  if ((flags & (HostHealth.DegradedActive | HostHealth.DegradedEds)) !== 0) return 'DEGRADED'
  return host.healthStatus === 'HEALTHY' ? 'HEALTHY' : 'UNKNOWN'
}
