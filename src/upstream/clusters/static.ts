import type { ClusterHosts } from '../cluster-hosts.ts'
import type { Discovery, DiscoveryListener } from './discovery.ts'

/** STATIC: the hosts of load_assignment, once. */
export class StaticDiscovery implements Discovery {
  ready = false
  private readonly hosts: ClusterHosts
  private readonly listener: DiscoveryListener

  constructor(hosts: ClusterHosts, listener: DiscoveryListener) {
    this.hosts = hosts
    this.listener = listener
  }

  start(): void {
    const assignment = this.hosts.config.assignment
    if (assignment !== null) this.hosts.update(assignment)
    this.ready = true
    this.listener.onReady()
  }

  stop(): void {}
}
