import type { Random } from '../base/random.ts'
import type { Timers } from '../base/timer.ts'
import type { ParsedExtension } from '../config/registry.ts'
import type { Runtime } from '../config/services.ts'
import type { Connection } from '../io/connection.ts'
import { type Proxied, proxiedFor } from '../io/proxied.ts'
import { layerConfig } from '../io/transport-sockets/layers.ts'
import { UPSTREAM_PROXY_PROTOCOL } from '../io/transport-sockets/upstream-proxy-protocol.ts'
import type { StatsScope } from '../stats/stats.ts'
import type { SharedState, StreamInfo } from '../telemetry/stream-info.ts'
import type { ClusterConfig, DropOverload, TransportSocketConfig } from './cluster-config.ts'
import { ClusterStats } from './cluster-stats.ts'
import type { ClientCodecs, Connector, UpstreamConnectOptions } from './connector.ts'
import { type HostsUpdate, type MetHost, type PublishedHost, WorkerHost } from './host.ts'
import { type AlpnOverride, HostPools, PLAIN, PoolKind, type PoolVariant } from './host-pools.ts'
import { type LocalityHosts, type LocalityName, PrioritySet } from './host-set.ts'
import type { Balancer } from './load-balancing-policies/balancer.ts'
import { createBalancer } from './load-balancing-policies/create.ts'
import type { UpstreamNetworkFilter } from './network-filter.ts'
import { type EjectionRequest, OutlierMonitor } from './outlier-monitor.ts'
import { mayOverride } from './override-host.ts'
import { tcpConnect } from './pool-tcp.ts'
import { ResourceManager } from './resource-manager.ts'
import { ClusterCell, type SharedBlock, type SharedCells, type SharedPages } from './shared-state.ts'
import { matchTransportSocket } from './transport-socket-match.ts'
import {
  type Cluster,
  type Host,
  HostCell,
  type HttpPool,
  type OutlierEvent,
  type PickContext,
  type PoolHandle,
  type TcpPoolUser,
} from './upstream.ts'

/** What the clusters of a worker share. */
export interface ClusterServices {
  readonly timers: Timers
  readonly random: Random
  readonly runtime: Runtime
  /** Root scope. */
  readonly stats: StatsScope
  readonly connector: Connector
  readonly codecs: ClientCodecs
  readonly pages: SharedPages
  /** The proxy's own locality; null when its node has none. */
  readonly locality: LocalityName | null
  /** Asks main to eject a host. */
  requestEjection(r: EjectionRequest): void
  /** Tells main which hosts of an ORIGINAL_DST cluster are there now, and which are no more. */
  hostsMet(cluster: string, met: readonly MetHost[], gone: readonly string[]): void
  networkFilter(config: ParsedExtension): UpstreamNetworkFilter
  /** Hosts of the local cluster; null when there is none. */
  localHosts(): PrioritySet | null
}

const ALPN: readonly (readonly string[])[] = [['http/1.1'], ['h2'], ['h2', 'http/1.1']]
const NO_ALPN: readonly string[] = []

/** A cluster on a worker: its hosts, their pools, and the balancer over them. ORIGINAL_DST overrides how hosts are found. */
export class WorkerCluster implements Cluster {
  readonly name: string
  readonly observabilityName: string
  readonly config: ClusterConfig
  readonly stats: StatsScope
  readonly counters: ClusterStats
  readonly metadata: Readonly<Record<string, unknown>> | null
  readonly maintenanceKey: string
  readonly networkFilters: readonly UpstreamNetworkFilter[] | null
  readonly limits: ResourceManager
  protected readonly services: ClusterServices
  protected readonly cells: SharedCells
  private readonly balancer: Balancer | null
  private readonly outlier: OutlierMonitor | null
  /** By shared block: a host is the same while main keeps its block. */
  private hosts = new Map<string, WorkerHost>()
  private localities: LocalityHosts[][] = []
  private overprovisioning = 140
  private weightedPriorityHealth = false
  private drop: DropOverload | null = null
  private set: PrioritySet | null = null
  /** Value of ClusterCell.Generation the host set was built at. */
  private seen = -1
  private reportedTraffic = false
  /** Transport sockets that tell for whom their connections are; null: there are none. */
  private readonly telling: ReadonlySet<TransportSocketConfig> | null

  constructor(config: ClusterConfig, block: SharedBlock, services: ClusterServices) {
    this.config = config
    this.name = config.name
    this.observabilityName = config.observabilityName
    this.metadata = config.metadata
    this.maintenanceKey = `upstream.maintenance_mode.${config.name}`
    this.services = services
    this.stats = services.stats.scope(`cluster.${config.statsName}.`)
    this.counters = new ClusterStats(this.stats)
    this.cells = services.pages.cells(block)
    const { networkFilters } = config
    this.networkFilters = networkFilters.length === 0 ? null : networkFilters.map(f => services.networkFilter(f))
    this.telling = tellingSockets(config)
    this.limits = new ResourceManager(
      config.name,
      this.cells,
      config.circuitBreakers,
      services.runtime,
      services.timers,
    )
    this.outlier =
      config.outlierDetection === null
        ? null
        : new OutlierMonitor(config.name, config.outlierDetection, services.runtime, r => services.requestEjection(r))
    this.balancer =
      config.lb.policy.kind === 'cluster_provided'
        ? null
        : createBalancer({
            config: config.lb,
            stats: this.counters,
            random: services.random,
            runtime: services.runtime,
            timers: services.timers,
            localHosts: () => services.localHosts(),
            clusterActiveRequests: () => this.limits.activeRequests(),
          })
  }

  pick(context: PickContext): Host | null {
    if (!this.reportedTraffic) this.noteTraffic()
    if (this.cells.load(ClusterCell.Generation) !== this.seen || this.set === null) this.rebuild()
    const host =
      (context.overrideHost === '' ? null : this.override(context.overrideHost)) ?? this.balancer!.pick(context)
    if (host === null) this.counters.upstreamCxNoneHealthy.inc()
    return host
  }

  httpPool(
    host: Host,
    priority: 0 | 1,
    downstreamProtocol: string,
    downstream: Connection | null,
    serverName = '',
    alpn: AlpnOverride | null = null,
    shared: readonly SharedState[] | null = null,
  ): HttpPool {
    const h = host as WorkerHost
    const http = this.config.http
    let kind: PoolKind = PoolKind.Http1
    if (http.protocol === 'http2') kind = PoolKind.Http2
    else if (http.protocol === 'auto') kind = PoolKind.Auto
    else if (http.protocol === 'downstream' && downstreamProtocol === 'HTTP/2') kind = PoolKind.Http2
    const pools = this.poolsOf(h)
    const perDownstream = this.config.connectionPoolPerDownstreamConnection && downstream !== null
    const sni = http.autoSni ? serverName : ''
    const san = http.autoSanValidation ? serverName : ''
    const source = downstream?.upstreamSource ?? null
    const proxied = this.proxiedTo(h, downstream)
    const plain = !perDownstream && sni === '' && san === '' && source === null && proxied === null && shared === null
    if (plain) return pools.get(priority, kind, alpn)
    return pools.getVariant(priority, kind, {
      serverName: sni,
      verifyName: san,
      downstream: perDownstream ? downstream : null,
      alpn,
      source,
      proxied,
      shared,
    })
  }

  tcpConnect(host: Host, user: TcpPoolUser, info: StreamInfo, downstream: Connection | null): PoolHandle | null {
    const h = host as WorkerHost
    const source = downstream?.upstreamSource ?? null
    const { sharedState: shared } = info
    const proxied = this.proxiedTo(h, downstream)
    if (source !== null || proxied !== null || shared !== null) {
      const options = this.connectOptions(h, NO_ALPN, { ...PLAIN, source, proxied, shared })
      return tcpConnect(this, h, 0, user, options, this.services)
    }
    h.tcpOptions ??= this.connectOptions(h, NO_ALPN, PLAIN)
    return tcpConnect(this, h, 0, user, h.tcpOptions, this.services)
  }

  dropOverload(): string {
    const drop = this.drop
    if (drop === null || this.services.random.next32() % drop.denominator >= drop.numerator) return ''
    return drop.category
  }

  chargeHost(host: Host, status: number): void {
    const cells = (host as WorkerHost).cells
    cells.count(status >= 500 && status <= 599 ? HostCell.RqError : HostCell.RqSuccess)
  }

  reportOutcome(host: Host, status: number, event: OutlierEvent): void {
    this.outlier?.report(host as WorkerHost, status, event)
  }

  failHost(host: Host): void {
    if (this.config.healthChecks.length === 0) return
    const { block } = host as WorkerHost
    this.services.requestEjection({ cluster: this.name, block, kind: 'immediate_health_check_fail' })
  }

  /** Main published the hosts anew. */
  onHosts(update: HostsUpdate): void {
    const before = this.hosts
    const next = new Map<string, WorkerHost>()
    const localities: LocalityHosts[][] = []
    let added = false
    for (const l of update.localities) {
      const hosts: WorkerHost[] = []
      for (const p of l.hosts) {
        const key = `${p.block.page}:${p.block.base}`
        let h = next.get(key) ?? before.get(key)
        if (h === undefined) {
          h = this.newHost(p)
          added = true
        } else {
          h.update(p)
        }
        next.set(key, h)
        hosts.push(h)
      }
      while (localities.length <= l.priority) localities.push([])
      localities[l.priority]!.push({ region: l.region, zone: l.zone, subZone: l.subZone, weight: l.weight, hosts })
    }
    this.hosts = next
    this.localities = localities
    this.overprovisioning = update.overprovisioningFactor
    this.weightedPriorityHealth = update.weightedPriorityHealth
    this.drop = update.dropOverloads[0] ?? null
    this.set = null
    let removed = false
    for (const [key, h] of before) {
      if (next.has(key)) continue
      removed = true
      h.pools?.drain()
    }
    if (this.config.lb.closeConnectionsOnHostSetChange && (added || removed)) {
      // Hashing would keep old connections busy with keys that moved: start over.
      for (const h of next.values()) h.pools?.drain()
    }
  }

  /**
   * Main changed health flags. The pools of a host that failed begin anew, as another path to it may do better; TCP connections
   * only close if the cluster wants that (ClusterManagerImpl::onHostHealthFailure).
   */
  onHealthChange(): void {
    for (const h of this.hosts.values()) {
      if (!h.failsAnew()) continue
      h.pools?.drain()
      if (this.config.closeConnectionsOnHostHealthFailure) h.closeTcp()
    }
  }

  /** The cluster was removed or replaced: streams in flight go on, connections close after them. */
  drain(): void {
    for (const h of this.hosts.values()) h.pools?.drain()
  }

  /** The hosts by health now; for the local cluster and tests. */
  prioritySet(): PrioritySet {
    if (this.cells.load(ClusterCell.Generation) !== this.seen || this.set === null) this.rebuild()
    return this.set!
  }

  protected newHost(p: PublishedHost): WorkerHost {
    return new WorkerHost(this, p, this.services.pages.cells(p.block))
  }

  /** Tells main's health checkers that this cluster is in use. */
  protected noteTraffic(): void {
    this.reportedTraffic = true
    this.cells.store(ClusterCell.Traffic, 1)
  }

  private rebuild(): void {
    // Read before the flags: a change in between is seen by the next pick.
    this.seen = this.cells.load(ClusterCell.Generation)
    this.set = PrioritySet.build(
      this.localities,
      this.overprovisioning,
      this.weightedPriorityHealth,
      this.services.locality,
    )
    this.balancer?.update(this.set)
  }

  private override(text: string): WorkerHost | null {
    for (const h of this.hosts.values()) {
      if (h.address.text === text) return mayOverride(h, this.config.lb.overrideHostStatus) ? h : null
    }
    return null
  }

  private proxiedTo(h: WorkerHost, downstream: Connection | null): Proxied | null {
    const { telling } = this
    if (telling === null || !telling.has(matchTransportSocket(this.config, h.metadata).socket)) return null
    return proxiedFor(downstream)
  }

  private poolsOf(h: WorkerHost): HostPools {
    h.pools ??= new HostPools(this, h, this.services, (kind, variant) => {
      const { alpn } = variant
      return this.connectOptions(h, alpn === null ? ALPN[kind]! : alpn.protocols, variant)
    })
    return h.pools
  }

  private connectOptions(
    h: WorkerHost,
    alpn: readonly string[],
    { serverName, verifyName, alpn: override, source, proxied, shared }: PoolVariant,
  ): UpstreamConnectOptions {
    const config = this.config
    return {
      connectTimeout: config.connectTimeout,
      bufferLimit: config.perConnectionBufferLimit,
      bind: config.bind,
      original: source,
      tcpKeepalive: config.tcpKeepalive,
      stats: this.stats,
      transportSocket: matchTransportSocket(config, h.metadata).socket,
      hostname: h.hostname,
      serverName,
      verifyName,
      alpn,
      alpnOverrides: override !== null,
      host: h,
      proxied,
      shared,
    }
  }
}

function tellingSockets({ transportSocket, transportSocketMatches }: ClusterConfig): Set<TransportSocketConfig> | null {
  const sockets = [transportSocket, ...transportSocketMatches.map(match => match.transportSocket)]
  const telling = sockets.filter(socket => layerConfig(socket, UPSTREAM_PROXY_PROTOCOL) !== undefined)
  return telling.length === 0 ? null : new Set(telling)
}
