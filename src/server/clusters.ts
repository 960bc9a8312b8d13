import { appendFile } from 'node:fs'
import type { Log } from '../base/log.ts'
import type { WorkerServices } from '../config/services.ts'
import type { SocketLoop } from '../io/socket-loop.ts'
import { transportLayers } from '../io/transport-sockets/layers.ts'
import type { StatsStore } from '../stats/store.ts'
import type { ClusterConfig } from '../upstream/cluster-config.ts'
import { ClusterHosts, type ClusterPublisher } from '../upstream/cluster-hosts.ts'
import type { Discovery, DiscoveryListener } from '../upstream/clusters/discovery.ts'
import { CaresResolver } from '../upstream/clusters/dns-resolver.ts'
import { EdsDiscovery } from '../upstream/clusters/eds.ts'
import { LogicalDnsDiscovery } from '../upstream/clusters/logical-dns.ts'
import { StaticDiscovery } from '../upstream/clusters/static.ts'
import { StrictDnsDiscovery } from '../upstream/clusters/strict-dns.ts'
import { BuiltinCodecs } from '../upstream/codecs.ts'
import { HealthChecker } from '../upstream/health-checkers/checker.ts'
import type { HostsUpdate, MetHost } from '../upstream/host.ts'
import { OutlierDetector } from '../upstream/outlier.ts'
import type { EjectionRequest } from '../upstream/outlier-monitor.ts'
import { circuitBreakerGauges } from '../upstream/resource-manager.ts'
import { CLUSTER_BLOCK, type SharedStateAllocator } from '../upstream/shared-state.ts'
import { WorkerConnector } from '../worker/connector.ts'
import type { PublishedCluster } from '../worker/messages.ts'
import type { Batcher } from './batcher.ts'
import type { Kept } from './kept.ts'
import { MetHosts } from './met-hosts.ts'
import { CLUSTER_STATS, UPSTREAM_TRANSPORT_STATS } from './stat-names.ts'

/** Internal listeners are on the workers: what main connects for, health checks, finds none. */
const NO_INTERNAL_LISTENERS = { bufferLimit: 0, find: () => null }

export interface ClusterStoreOptions {
  readonly allocator: SharedStateAllocator
  readonly store: StatsStore
  readonly batcher: Batcher
  readonly log: Log
  /** Main's own view of the world: timers, runtime, secrets. */
  readonly services: WorkerServices
  readonly loop: SocketLoop
  /** cluster_manager.outlier_detection.event_log_path; '' = none. */
  readonly outlierLog: string
  /** Begins to follow the endpoints of an EDS cluster; returns what ends it. */
  readonly followEndpoints: (cluster: MainCluster, eds: EdsDiscovery) => () => void
  /** Begins to follow its secrets, `ready` when they need not be waited for any more; returns what ends it. */
  readonly followSecrets: (cluster: MainCluster, ready: () => void) => () => void
  /** Forgets all stats under a prefix, on all threads. */
  readonly dropStats: (prefix: string) => void
  readonly onWarming: (count: number) => void
  /** One cluster less is waited for: it takes traffic now, or was removed. */
  readonly onSettled: () => void
}

/** A cluster on main: what is published of it, how its hosts are found, checked and ejected. */
export class MainCluster implements DiscoveryListener, ClusterPublisher {
  readonly config: ClusterConfig
  /** As configured, for /config_dump. */
  readonly kept: Kept
  readonly version: string
  readonly viaApi: boolean
  readonly hosts: ClusterHosts
  active = false
  readonly #store: ClusterStore
  readonly #discovery: Discovery | null
  readonly #checkers: HealthChecker[]
  readonly outlier: OutlierDetector | null
  /** ORIGINAL_DST: what its workers have met. */
  readonly met: MetHosts | null
  #unfollow: (() => void) | null = null
  #unfollowSecrets: (() => void) | null = null
  #unchecked = false
  #hostsKnown = false
  #secretsKnown = false

  constructor(config: ClusterConfig, kept: Kept, version: string, viaApi: boolean, store: ClusterStore) {
    this.config = config
    this.kept = kept
    this.version = version
    this.viaApi = viaApi
    this.#store = store
    const { allocator, services, store: stats, outlierLog } = store.options
    this.hosts = new ClusterHosts(config, allocator.allocate(CLUSTER_BLOCK), allocator, this, stats)
    this.met = config.type === 'ORIGINAL_DST' ? new MetHosts(stats, `cluster.${config.statsName}.`) : null
    this.#checkers = config.healthChecks.map(check => new HealthChecker(this.hosts, check, store.healthServices))
    this.outlier =
      config.outlierDetection === null
        ? null
        : new OutlierDetector(this.hosts, config.outlierDetection, {
            timers: services.timers,
            clock: services.clock,
            random: services.random,
            runtime: services.runtime,
            stats,
            logEvent: outlierLog === '' ? null : line => append(outlierLog, line, store.options.log),
          })
    for (const checker of this.#checkers) {
      this.hosts.watch(checker)
      if (this.outlier !== null) checker.onCheck = (host, healthy) => this.outlier?.onHealthCheck(host, healthy)
    }
    if (this.outlier !== null) this.hosts.watch(this.outlier)
    this.#discovery = this.#makeDiscovery()
  }

  /** Health checkers, in the order of the configuration, for /clusters. */
  get checkers(): readonly HealthChecker[] {
    return this.#checkers
  }

  start(): void {
    this.#unfollowSecrets = this.#store.options.followSecrets(this, () => {
      this.#secretsKnown = true
      this.#warmed()
    })
    if (this.#discovery === null) {
      this.onReady()
      return
    }
    this.#discovery.start()
    // Only names are waited for: endpoints of an EDS cluster always are (startPreInit of the DNS clusters).
    const byName = this.config.type === 'STRICT_DNS' || this.config.type === 'LOGICAL_DNS'
    if (byName && !this.config.waitForWarmOnInit) this.onReady()
    if (this.#discovery instanceof EdsDiscovery) {
      this.#unfollow = this.#store.options.followEndpoints(this, this.#discovery)
    }
  }

  /** Hosts are known or not waited for. Once: hosts may come later. */
  onReady(): void {
    if (this.#hostsKnown) return
    this.#hostsKnown = true
    this.#warmed()
  }

  /** With hosts and secrets (ClusterImplBase::onPreInitComplete) health checks begin, and their first round must be over, too. */
  #warmed(): void {
    if (!this.#hostsKnown || !this.#secretsKnown) return
    this.outlier?.start()
    if (this.#checkers.length === 0 || this.hosts.hosts().length === 0) {
      for (const checker of this.#checkers) checker.start()
      this.#store.activate(this)
      return
    }
    let left = this.#checkers.length
    this.#unchecked = true
    for (const checker of this.#checkers) {
      checker.onAllChecked = () => {
        if (--left > 0 || !this.#unchecked) return
        this.#unchecked = false
        this.#store.activate(this)
      }
      checker.start()
    }
  }

  published(): PublishedCluster {
    const { config, version, hosts } = this
    return { name: config.name, version, config, block: hosts.block, hosts: hosts.current() }
  }

  /** Updates of a cluster that still warms wait with it. */
  publish(name: string, update: HostsUpdate): void {
    if (this.active) this.#store.options.batcher.hosts(name, update)
  }

  healthChanged(name: string): void {
    if (this.active) this.#store.options.batcher.health(name)
  }

  failPassively(request: EjectionRequest): void {
    const host = this.hosts.find(request.block)
    if (host !== null) for (const checker of this.#checkers) checker.failPassively(host)
  }

  /** Gone or replaced. */
  stop(): void {
    this.active = false
    this.#unfollow?.()
    this.#unfollowSecrets?.()
    this.#discovery?.stop()
    for (const checker of this.#checkers) checker.stop()
    this.outlier?.stop()
    this.hosts.remove()
  }

  #makeDiscovery(): Discovery | null {
    const { services, store } = this.#store.options
    const { timers, random } = services
    switch (this.config.type) {
      case 'STATIC':
        return new StaticDiscovery(this.hosts, this)
      case 'EDS':
        return new EdsDiscovery(this.hosts, this, timers, store)
      case 'STRICT_DNS':
        return new StrictDnsDiscovery(this.hosts, this, new CaresResolver(this.config.dns!), timers, random, store)
      case 'LOGICAL_DNS':
        return new LogicalDnsDiscovery(this.hosts, this, new CaresResolver(this.config.dns!), timers, random, store)
      case 'ORIGINAL_DST':
        return null
    }
  }
}

/** All clusters: active ones serve, a new version warms beside the old one and replaces it when its hosts are known. */
export class ClusterStore {
  readonly options: ClusterStoreOptions
  readonly healthServices: ConstructorParameters<typeof HealthChecker>[2]
  readonly #active = new Map<string, MainCluster>()
  readonly #warming = new Map<string, MainCluster>()
  /** Circuit-breaker gauges some request has needed: `<cluster>.<name>`. */
  readonly #touched = new Set<string>()
  /** Stat names of clusters that have such gauges. */
  readonly #measured = new Set<string>()

  constructor(options: ClusterStoreOptions) {
    this.options = options
    const { services, store, log } = options
    this.healthServices = {
      timers: services.timers,
      clock: services.clock,
      random: services.random,
      runtime: services.runtime,
      connector: new WorkerConnector(options.loop, services, NO_INTERNAL_LISTENERS),
      codecs: new BuiltinCodecs(services.timers),
      stats: store,
      logEvent: (path, line) => append(path, line, log),
    }
  }

  get active(): ReadonlyMap<string, MainCluster> {
    return this.#active
  }

  get warming(): ReadonlyMap<string, MainCluster> {
    return this.#warming
  }

  names(): Iterable<string> {
    return new Set([...this.#active.keys(), ...this.#warming.keys()])
  }

  has(name: string): boolean {
    return this.#active.has(name) || this.#warming.has(name)
  }

  get(name: string): MainCluster | undefined {
    return this.#warming.get(name) ?? this.#active.get(name)
  }

  /** Takes a parsed cluster over; `start` it when its time has come. */
  add(config: ClusterConfig, kept: Kept, version: string, viaApi: boolean): MainCluster {
    const known = this.has(config.name)
    const cluster = new MainCluster(config, kept, version, viaApi, this)
    this.#warming.get(config.name)?.stop()
    this.#warming.set(config.name, cluster)
    this.#countUpdate(known)
    const prefix = `cluster.${config.statsName}.`
    this.options.store.declare(prefix, CLUSTER_STATS)
    // Envoy writes it at once; nothing else ever does.
    this.options.store.scope(prefix).gauge('warming_state').set(0)
    const matches = config.transportSocketMatches
    for (const socket of [config.transportSocket, ...matches.map(match => match.transportSocket)])
      for (const { typeUrl } of transportLayers(socket)) {
        const template = UPSTREAM_TRANSPORT_STATS.get(typeUrl)
        if (template !== undefined) this.options.store.declare(prefix, template)
      }
    const counters = matches.map(match => `${match.name}.total_match_count`)
    this.options.store.declare(prefix, { counters, gauges: [], histograms: [] })
    this.#count()
    return cluster
  }

  /** Envoy counts an update before it looks whether it can take it (addOrUpdateCluster). */
  countRefused(name: string): void {
    this.#countUpdate(this.has(name))
  }

  activate(cluster: MainCluster): void {
    const name = cluster.config.name
    if (this.#warming.get(name) !== cluster) return
    this.#warming.delete(name)
    const before = this.#active.get(name)
    this.#active.set(name, cluster)
    cluster.active = true
    this.options.batcher.cluster(cluster)
    before?.stop()
    this.#count()
    this.options.onSettled()
  }

  /** False: there is none, or it is static. */
  remove(name: string): boolean {
    const cluster = this.get(name)
    if (cluster?.viaApi !== true) return false
    const { statsName } = cluster.config
    const warming = this.#warming.get(name)
    const active = this.#active.get(name)
    this.#warming.delete(name)
    this.#active.delete(name)
    warming?.stop()
    if (active !== undefined) {
      active.stop()
      this.options.batcher.removeCluster(name)
    }
    if (!this.#isCounted(statsName)) {
      this.options.dropStats(`cluster.${statsName}.`)
      this.#measured.delete(statsName)
      for (const key of this.#touched) if (key.startsWith(`${statsName}.circuit_breakers.`)) this.#touched.delete(key)
    }
    this.options.store.counter('cluster_manager.cluster_removed').inc()
    this.#count()
    if (warming !== undefined) this.options.onSettled()
    return true
  }

  /** Clusters may have one alt_stat_name. */
  #isCounted(statsName: string): boolean {
    for (const { config } of this.#active.values()) if (config.statsName === statsName) return true
    for (const { config } of this.#warming.values()) if (config.statsName === statsName) return true
    return false
  }

  /** `circuit_breakers.*`: computed from the shared cells when somebody looks. */
  refreshGauges(): void {
    for (const { config, hosts } of this.#active.values()) {
      const { store } = this.options
      // Of ten thousand clusters few have traffic, and this runs every few seconds. An older version may have left values to correct.
      const remaining = config.circuitBreakers.some(limits => limits.trackRemaining)
      if (!remaining && !hosts.hasTraffic() && !this.#measured.has(config.statsName)) continue
      this.#measured.add(config.statsName)
      const prefix = `cluster.${config.statsName}.`
      circuitBreakerGauges(hosts.cells, config.circuitBreakers, (name, value, touched) => {
        // What no request has touched stays unused in Envoy, and out of /stats?usedonly.
        const key = `${config.statsName}.${name}`
        if (touched) this.#touched.add(key)
        if (!this.#touched.has(key)) return
        if (typeof value === 'bigint') store.exactGauge(prefix + name, value)
        else store.gauge(prefix + name).set(value)
      })
    }
  }

  onHostsMet(worker: number, name: string, met: readonly MetHost[], gone: readonly string[]): void {
    this.#active.get(name)?.met?.update(worker, met, gone)
  }

  onWorkerDied(worker: number): void {
    for (const cluster of this.#active.values()) cluster.met?.forget(worker)
  }

  onEjection(request: EjectionRequest): void {
    const cluster = this.#active.get(request.cluster)
    if (request.kind === 'immediate_health_check_fail') cluster?.failPassively(request)
    else cluster?.outlier?.onRequest(request)
  }

  #countUpdate(known: boolean): void {
    this.options.store.counter(`cluster_manager.cluster_${known ? 'modified' : 'added'}`).inc()
  }

  #count(): void {
    const scope = this.options.store.scope('cluster_manager.')
    scope.gauge('active_clusters').set(this.#active.size)
    scope.gauge('warming_clusters').set(this.#warming.size)
    this.options.onWarming(this.#warming.size)
  }
}

function append(path: string, line: string, log: Log): void {
  appendFile(path, line.endsWith('\n') ? line : `${line}\n`, error => {
    if (error !== null) log.warning(`cannot write ${path}: ${error.message}`)
  })
}
