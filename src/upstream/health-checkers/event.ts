import { isPipe } from '../../io/address.ts'
import type { MainHost } from '../cluster-hosts.ts'
import type { HealthChecker } from './checker.ts'

/** One line of event_log_path: envoy.data.core.v3.HealthCheckEvent as Envoy prints it, primitive fields included. */
export function healthEvent(checker: HealthChecker, host: MainHost, name: string, body: object): string {
  const address = host.config.address
  return JSON.stringify({
    health_checker_type: checker.config.checker.kind.toUpperCase(),
    host: isPipe(address)
      ? { pipe: { path: address.ip, mode: 0 } }
      : {
          socket_address: {
            protocol: 'TCP',
            address: address.ip,
            port_value: address.port,
            resolver_name: '',
            ipv4_compat: false,
            network_namespace_filepath: '',
          },
        },
    cluster_name: checker.hosts.config.name,
    timestamp: new Date(checker.services.clock.wall()).toISOString(),
    [name]: body,
    locality: { region: host.config.region, zone: host.config.zone, sub_zone: host.config.subZone },
  })
}
