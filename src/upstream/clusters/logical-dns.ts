import type { Random } from '../../base/random.ts'
import type { Timers } from '../../base/timer.ts'
import { makeAddress } from '../../config/endpoint.ts'
import type { StatsScope } from '../../stats/stats.ts'
import type { ClusterHosts } from '../cluster-hosts.ts'
import type { Discovery, DiscoveryListener } from './discovery.ts'
import { type DnsResolver, DnsStats, DnsTarget } from './dns-target.ts'

/**
 * LOGICAL_DNS: one host, whose address is the first that the name resolves to now. Connections to former addresses are not
 * closed: the old host drains, as its exchanges end.
 */
export class LogicalDnsDiscovery implements Discovery {
  ready = false
  private readonly hosts: ClusterHosts
  private readonly listener: DiscoveryListener
  private readonly stats: DnsStats
  private readonly target: DnsTarget

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
    const name = hosts.config.assignment!.localities[0]!.hosts[0]!.address.ip
    this.target = new DnsTarget(name, hosts.config.dns!, resolver, timers, random, this.stats, ips =>
      this.onAnswer(ips),
    )
  }

  start(): void {
    this.target.start()
  }

  stop(): void {
    this.target.stop()
  }

  private onAnswer(ips: readonly string[] | null): void {
    const first = ips?.[0]
    // No address: the last one is kept, as in Envoy.
    if (first !== undefined) {
      const assignment = this.hosts.config.assignment!
      const locality = assignment.localities[0]!
      const endpoint = locality.hosts[0]!
      const host = {
        ...endpoint,
        address: makeAddress(first, endpoint.address.port),
        hostname: endpoint.hostname === '' ? endpoint.address.ip : endpoint.hostname,
      }
      if (!this.hosts.update({ ...assignment, localities: [{ ...locality, hosts: [host] }] }))
        this.stats.noRebuild.inc()
    }
    if (this.ready) return
    this.ready = true
    this.listener.onReady()
  }
}
