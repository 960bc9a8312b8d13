import type { MainCluster } from '../server/clusters.ts'
import type { MetHosts, SharedMetHost } from '../server/met-hosts.ts'
import type { Server } from '../server/server.ts'
import type { HostsUpdate, PublishedHost } from '../upstream/host.ts'
import { HostCell } from '../upstream/upstream.ts'
import type { ClusterFact, HostFact, HostStats } from './clusters.ts'
import type { EndpointsFact, LocalityFact } from './config-dump-sections.ts'

/** Active clusters of the server, for /clusters. */
export function clusterFacts(server: Server): ClusterFact[] {
  return [...server.resources.clusters.active.values()].map(cluster => clusterFact(server, cluster))
}

/** Their hosts as assignments, for /config_dump?include_eds. */
export function endpointFacts(server: Server): EndpointsFact[] {
  return [...server.resources.clusters.active.values()].map(cluster => {
    const { config } = cluster
    const update = cluster.hosts.current()
    return {
      name: config.edsServiceName || config.name,
      isStatic: !cluster.viaApi,
      localities: cluster.met === null ? localityFacts(server, update) : metLocalities(cluster.met),
      overprovisioningFactor: update.overprovisioningFactor,
      dropOverloads: update.dropOverloads,
    }
  })
}

function localityFacts(server: Server, { localities }: HostsUpdate): LocalityFact[] {
  return localities.map(l => ({
    ...l,
    hosts: l.hosts.map(host => ({ ...host, flags: flagsOf(server, host) })),
  }))
}

/** Hosts that belong to no locality are one locality each in Envoy's dump. */
function metLocalities(met: MetHosts): LocalityFact[] {
  return met.all().map(host => ({ ...metFact(host), weight: null, hosts: [{ ...metFact(host), metadata: null }] }))
}

function clusterFact(server: Server, cluster: MainCluster): ClusterFact {
  const { config, viaApi } = cluster
  const [low, high] = config.circuitBreakers
  return {
    name: config.name,
    observabilityName: config.observabilityName,
    addedViaApi: viaApi,
    edsServiceName: config.edsServiceName,
    successRates: cluster.outlier === null ? null : cluster.outlier.averages,
    limits: [low.max, high.max],
    hosts: cluster.met === null ? hostFacts(server, cluster, cluster.hosts.current()) : cluster.met.all().map(metFact),
  }
}

function hostFacts(server: Server, cluster: MainCluster, update: HostsUpdate): HostFact[] {
  const facts: HostFact[] = []
  for (const locality of [...update.localities].sort((a, b) => a.priority - b.priority)) {
    for (const host of locality.hosts) {
      const main = cluster.outlier === null ? null : cluster.hosts.find(host.block)
      const record = main === null ? undefined : cluster.outlier?.record(main)
      facts.push({
        address: host.address,
        hostname: host.hostname,
        flags: flagsOf(server, host),
        weight: host.weight,
        region: host.region,
        zone: host.zone,
        subZone: host.subZone,
        priority: host.priority,
        canary: isCanary(host),
        stats: hostStats(server, cluster.config.name, host),
        successRate: record?.successRate ?? -1,
        localOriginSuccessRate: record?.localOriginSuccessRate ?? -1,
      })
    }
  }
  return facts
}

/** A host that workers found by themselves. */
function metFact(host: SharedMetHost): HostFact {
  return {
    address: host.address,
    hostname: host.hostname,
    flags: 0,
    weight: 1,
    region: '',
    zone: '',
    subZone: '',
    priority: 0,
    canary: false,
    stats: statsOf(
      cell => host.gauge(cell),
      cell => host.counter(cell),
    ),
    successRate: -1,
    localOriginSuccessRate: -1,
  }
}

function flagsOf(server: Server, host: PublishedHost): number {
  return server.allocator.cells(host.block).load(HostCell.Health)
}

/** Endpoint metadata `envoy.lb: {canary: true}`. */
function isCanary(host: PublishedHost): boolean {
  return (host.metadata?.['envoy.lb'] as { canary?: unknown } | undefined)?.canary === true
}

/** Of the workers, and of main's own streams to a control plane. */
function hostStats(server: Server, cluster: string, { block, address }: PublishedHost): HostStats {
  const { allocator } = server
  const cells = allocator.cells(block)
  const stats = statsOf(
    cell => cells.load(cell),
    cell => allocator.counter(block, cell),
  )
  const own = server.resources.subscriptions?.hostTraffic(cluster, address.text)
  if (own === undefined) return stats
  return {
    ...stats,
    cx_active: stats.cx_active + own.cxActive,
    cx_connect_fail: stats.cx_connect_fail + own.cxConnectFail,
    cx_total: stats.cx_total + own.cxTotal,
    rq_active: stats.rq_active + own.rqActive,
    rq_error: stats.rq_error + own.rqError,
    rq_success: stats.rq_success + own.rqSuccess,
    rq_total: stats.rq_total + own.rqTotal,
  }
}

function statsOf(gauge: (cell: number) => number, counter: (cell: number) => number): HostStats {
  return {
    cx_active: gauge(HostCell.ActiveConnections),
    cx_connect_fail: counter(HostCell.CxConnectFail),
    cx_total: counter(HostCell.CxTotal),
    rq_active: gauge(HostCell.ActiveRequests),
    rq_error: counter(HostCell.RqError),
    // Pending requests belong to a pool of one worker and are counted per cluster only.
    rq_pending_active: 0,
    rq_success: counter(HostCell.RqSuccess),
    rq_timeout: counter(HostCell.RqTimeout),
    rq_total: counter(HostCell.RqTotal),
  }
}
