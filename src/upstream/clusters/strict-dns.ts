import type { Random } from '../../base/random.ts'
import type { Timers } from '../../base/timer.ts'
import { makeAddress } from '../../config/endpoint.ts'
import type { StatsScope } from '../../stats/stats.ts'
import type { AssignmentConfig, HostConfig } from '../cluster-config.ts'
import type { ClusterHosts } from '../cluster-hosts.ts'
import type { Discovery, DiscoveryListener } from './discovery.ts'
import { type DnsResolver, DnsStats, DnsTarget } from './dns-target.ts'

/** STRICT_DNS: every address a name resolves to is a host. Each endpoint of load_assignment has its own schedule. */
export class StrictDnsDiscovery implements Discovery {
  ready = false
  private readonly hosts: ClusterHosts
  private readonly listener: DiscoveryListener
  private readonly stats: DnsStats
  private readonly targets: { target: DnsTarget; endpoint: HostConfig; ips: readonly string[]; answered: boolean }[] =
    []

  constructor(
    hosts: ClusterHosts,
    listener: DiscoveryListener,
    resolver: DnsResolver,
    timers: Timers,
    random: Random,
    stats: StatsScope,
  ) {
    this.hosts = hosts
    this.listener = listener
    this.stats = new DnsStats(stats.scope(`cluster.${hosts.config.statsName}.`))
    const config = hosts.config
    for (const l of config.assignment!.localities) {
      for (const endpoint of l.hosts) {
        const entry = { endpoint, ips: [] as readonly string[], answered: false, target: null as unknown as DnsTarget }
        entry.target = new DnsTarget(endpoint.address.ip, config.dns!, resolver, timers, random, this.stats, ips => {
          if (ips !== null) entry.ips = ips
          entry.answered = true
          if (ips !== null) this.publish()
          this.checkReady()
        })
        this.targets.push(entry)
      }
    }
  }

  start(): void {
    for (const t of this.targets) t.target.start()
    this.checkReady()
  }

  stop(): void {
    for (const t of this.targets) t.target.stop()
  }

  private publish(): void {
    const config = this.hosts.config.assignment!
    const assignment: AssignmentConfig = {
      ...config,
      localities: config.localities.map(l => ({ ...l, hosts: l.hosts.flatMap(e => this.resolved(e)) })),
    }
    if (!this.hosts.update(assignment)) this.stats.noRebuild.inc()
  }

  private resolved(endpoint: HostConfig): HostConfig[] {
    const target = this.targets.find(t => t.endpoint === endpoint)!
    return target.ips.map(ip => ({
      ...endpoint,
      address: makeAddress(ip, endpoint.address.port),
      hostname: endpoint.hostname === '' ? endpoint.address.ip : endpoint.hostname,
    }))
  }

  private checkReady(): void {
    if (this.ready || !this.targets.every(t => t.answered)) return
    this.ready = true
    this.listener.onReady()
  }
}
