import { ConfigError } from '../base/errors.ts'
import type { Loggers } from '../base/log.ts'
import { elementsOf, MIN_LENGTH } from '../base/shelf.ts'
import type { Timers } from '../base/timer.ts'
import { WarningDigest } from '../base/warning-digest.ts'
import { type ClusterParser, parseCluster } from '../config/cluster.ts'
import { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { checkRouteConfiguration, parseRouteConfiguration, type RouteParseServices } from '../config/route.ts'
import type { NodeInfo, Runtime } from '../config/services.ts'
import type { SocketLoop } from '../io/socket-loop.ts'
import type { TransportLayer } from '../io/transport-sockets/layers.ts'
import type { ListenerConfig } from '../listener/listener-config.ts'
import type { RouteConfig } from '../routing/route-config.ts'
import type { StatsStore } from '../stats/store.ts'
import type { ClusterConfig } from '../upstream/cluster-config.ts'
import type { EdsDiscovery } from '../upstream/clusters/eds.ts'
import type { MetHost } from '../upstream/host.ts'
import type { EjectionRequest } from '../upstream/outlier-monitor.ts'
import type { SharedStateAllocator } from '../upstream/shared-state.ts'
import type { ConfigBatch, Published, PublishedListener } from '../worker/messages.ts'
import type { HostTraffic } from '../xds/control-plane-traffic.ts'
import { Batcher, publishedOf } from './batcher.ts'
import { CertificateExpiry } from './certificate-expiry.ts'
import { clusterParser } from './cluster-parser.ts'
import { ClusterStore, type MainCluster } from './clusters.ts'
import { DynamicFacts } from './dynamic-facts.ts'
import type { EnvoyOptions } from './envoy-options.ts'
import type { InitManager } from './init-manager.ts'
import { internalListenerBuffer } from './internal-listeners.ts'
import { keptElement } from './kept.ts'
import { ListenerShareStore } from './listener-shares.ts'
import { ListenerManager, type MainListener, placedConnectionManagersOf } from './listeners.ts'
import { mainServices } from './main-services.ts'
import { PartSharer } from './part-sharer.ts'
import { type ConfigChange, packed, publish } from './publisher.ts'
import { declareRouteStats } from './route-stat-names.ts'
import { SecretStore } from './secrets.ts'
import { shelveConfiguration } from './shelve-configuration.ts'
import { checkTracerCluster } from './tracer-clusters.ts'
import type { WorkerPool } from './workers.ts'
import { WorkloadDiscovery } from './workload-discovery.ts'

type Bootstrap = envoy.config.bootstrap.v3.Bootstrap
type RouteProto = envoy.config.route.v3.RouteConfiguration

export interface ResourceContext {
  readonly bootstrap: Bootstrap
  readonly options: EnvoyOptions
  readonly loggers: Loggers
  readonly store: StatsStore
  readonly allocator: SharedStateAllocator
  readonly init: InitManager
  readonly node: NodeInfo
  readonly pool: WorkerPool
  readonly timers: Timers
  readonly loop: SocketLoop
  readonly runtime: Runtime
  /** To all workers, once they serve. */
  broadcast(batch: ConfigChange): void
}

/** What the subscriptions do for the resources. `NoSubscriptions` until there is a dynamic configuration. */
export interface Subscriptions {
  /** What main's own streams to a host of a control plane's cluster count; `address` as /clusters prints it. */
  hostTraffic(cluster: string, address: string): HostTraffic | undefined
  /** Throws ConfigError when the route configuration cannot be followed. */
  checkRoutes(source: envoy.config.core.v3.ConfigSource, at: FieldPath): void
  /** Throws ConfigError when a secret that the listener or cluster refers to cannot be followed. */
  checkSecrets(message: object, at: FieldPath): void
  /** The same for filters that are discovered. */
  checkExtensions(listener: ListenerConfig, at: FieldPath): void
  /** Opens the stream. Endpoints and secrets asked for until the returned function is called go into one request. */
  begin(): () => void
  /** The same for routes. */
  holdRoutes(): () => void
  /** Follows the secrets of a cluster; `ready` when all have arrived or timed out. Returns what ends it. */
  cluster(cluster: MainCluster, ready: () => void): () => void
  /** Follows the endpoints of an EDS cluster; returns what ends it. */
  endpoints(cluster: MainCluster, eds: EdsDiscovery): () => void
  /** How many clusters warm, after the first round. */
  warming(count: number): void
  /** A listener needs these route configurations and secrets from now on; `ready` when all have arrived or timed out. */
  listener(listener: MainListener, ready: () => void): void
  /** A version of a listener is gone: drained, or it never became active. */
  forget(listener: MainListener): void
  /** The layers of the runtime that are discovered; `ready` when all have arrived or timed out. */
  startRuntime(ready: () => void): void
  /** CDS; `ready` after the first answer (or its time-out) and when its clusters are warm. */
  startClusters(ready: () => void): void
  /** LDS. */
  startListeners(ready: () => void): void
}

/** All resources of the process, static and dynamic, and the order in which they come into effect. */
export class ResourceManager {
  readonly listeners: ListenerManager
  readonly clusters: ClusterStore
  readonly secrets: SecretStore
  readonly batcher: Batcher
  readonly dynamic = new DynamicFacts()
  readonly parser: ClusterParser
  readonly workloads: WorkloadDiscovery
  subscriptions: Subscriptions | null = null
  readonly #context: ResourceContext
  readonly #warnings: WarningDigest
  readonly #clusterWarnings: WarningDigest
  readonly #shares: ListenerShareStore
  readonly #routes = new Map<string, Published>()
  readonly #extensions = new Map<string, Published>()
  readonly #expiry = new CertificateExpiry()
  #staticListeners: MainListener[] = []
  /** While many static clusters are read, until workers have them. */
  #sharer: PartSharer | null = null
  #onClustersReady: (() => void) | null = null
  /** The first round of clusters is over; listeners may still wait. */
  #clustersInitialized = false

  constructor(context: ResourceContext) {
    this.#context = context
    const { loggers, store, options } = context
    this.#warnings = new WarningDigest(loggers.get('config'))
    this.#clusterWarnings = new WarningDigest(loggers.get('upstream'))
    this.parser = clusterParser(text => this.#clusterWarnings.add(text))
    this.batcher = new Batcher(batch => context.broadcast(batch))
    this.secrets = new SecretStore(this.batcher)
    this.workloads = new WorkloadDiscovery(this.batcher, loggers.get('config'), store)
    this.clusters = new ClusterStore({
      allocator: context.allocator,
      store,
      batcher: this.batcher,
      log: loggers.get('upstream'),
      loop: context.loop,
      services: mainServices({ ...context, secrets: this.secrets, concurrency: options.concurrency }),
      outlierLog: context.bootstrap.cluster_manager?.outlier_detection?.event_log_path ?? '',
      followEndpoints: (cluster, eds) => this.#followEndpoints(cluster, eds),
      followSecrets: (cluster, ready) => this.#followSecrets(cluster, ready),
      // Ahead of the batch: who makes the cluster anew, or another under its name, must make its stats anew.
      dropStats: prefix => {
        store.drop(prefix)
        context.pool.broadcast({ type: 'drop-stats', prefix })
      },
      onWarming: count => {
        if (this.#clustersInitialized) this.subscriptions?.warming(count)
      },
      onSettled: () => this.#checkClusters(),
    })
    this.#shares = new ListenerShareStore(context.allocator, options.concurrency)
    this.listeners = new ListenerManager({
      concurrency: options.concurrency,
      store,
      log: loggers.get('config'),
      warn: text => this.#warnings.add(text),
      shares: this.#shares,
      internalListeners: internalListenerBuffer(context.bootstrap) !== null,
      workersServe: () => context.pool.serving,
      publish: (listener, kept) => this.#publishListener(listener, kept),
      withdraw: name => context.broadcast({ removedListeners: [name] }),
      timers: context.timers,
      drainTime: options.drainTime * 1000,
      gone: listener => this.subscriptions?.forget(listener),
    })
  }

  hasCluster(name: string): boolean {
    return this.clusters.has(name)
  }

  /** Reads the static configuration. Throws ConfigError. */
  configure(): void {
    try {
      this.#configure()
    } finally {
      // What is wrong may end the process.
      this.#warnings.flush()
      this.#clusterWarnings.flush()
    }
  }

  #configure(): void {
    const { bootstrap, loggers } = this.#context
    const config = loggers.get('config')
    const statics = bootstrap.static_resources ?? {}
    const at = FieldPath.root().field('static_resources')
    const secrets = statics.secrets ?? []
    config.info(`loading ${secrets.length} static secret(s)`)
    for (const [i, proto] of secrets.entries()) {
      this.secrets.put(this.secrets.parse(proto, at.field('secrets').index(i), ''))
    }
    const clusters = elementsOf<envoy.config.cluster.v3.Cluster>(statics, 'clusters')
    const loaded = Date.now()
    config.info(`loading ${clusters.length} cluster(s)`)
    if (clusters.length >= MIN_LENGTH) this.#sharer = new PartSharer()
    let i = 0
    for (const proto of clusters) {
      const place = at.field('clusters').index(i)
      const parsed = this.parseCluster(proto, place)
      this.#sharer?.share(parsed)
      if (this.clusters.has(parsed.name)) {
        throw new ConfigError('CONFIG_DUPLICATE', place, `cluster manager: duplicate cluster '${parsed.name}'`)
      }
      this.clusters.add(parsed, keptElement(statics, 'clusters', i, loaded), '', false)
      i++
    }
    const local = bootstrap.cluster_manager?.local_cluster_name ?? ''
    if (local !== '' && !this.clusters.has(local)) {
      throw new ConfigError(
        'CONFIG_REFERENCE',
        FieldPath.root().field('cluster_manager').field('local_cluster_name'),
        `local cluster '${local}' must be defined`,
      )
    }
    const listeners = statics.listeners ?? []
    config.info(`loading ${listeners.length} listener(s)`)
    const seen = new Set<string>()
    for (const [i, proto] of listeners.entries()) {
      const place = at.field('listeners').index(i)
      const listener = this.parseListener(proto, place, '', false)
      // Envoy keeps the first of two static listeners of one name and says nothing.
      if (seen.has(listener.config.name)) continue
      seen.add(listener.config.name)
      this.#staticListeners.push(listener)
    }
    this.#checkDuplicateAddresses()
  }

  /** Parses a cluster; its secrets must be such that they can be followed. Throws ConfigError. */
  parseCluster(proto: envoy.config.cluster.v3.Cluster, at: FieldPath): ClusterConfig {
    const config = parseCluster(proto, at, this.parser)
    const { transport_socket, transport_socket_matches } = proto
    if (transport_socket !== undefined) this.subscriptions?.checkSecrets(transport_socket, at.field('transport_socket'))
    if (transport_socket_matches !== undefined) {
      this.subscriptions?.checkSecrets(transport_socket_matches, at.field('transport_socket_matches'))
    }
    return config
  }

  /** Parses a listener and holds its inline routes against the clusters there are. Throws ConfigError. */
  parseListener(
    proto: envoy.config.listener.v3.Listener,
    at: FieldPath,
    version: string,
    viaApi: boolean,
  ): MainListener {
    const listener = this.listeners.parse(proto, at, version, viaApi)
    this.subscriptions?.checkSecrets(proto, at)
    this.subscriptions?.checkExtensions(listener.config, at)
    for (const { hcm, at: place } of placedConnectionManagersOf(proto, at)) {
      if (hcm.rds !== undefined) {
        this.subscriptions?.checkRoutes(hcm.rds.config_source ?? {}, place.field('rds').field('config_source'))
      }
      if (hcm.route_config !== undefined) this.checkRoutes(hcm.route_config, place.field('route_config'))
      checkTracerCluster(hcm.tracing, place.field('tracing'), name => this.clusters.has(name))
    }
    return listener
  }

  /** A route configuration of its own (RDS): clusters need not exist unless validate_clusters says so. Throws ConfigError. */
  parseRoute(proto: RouteProto, at: FieldPath): RouteConfig {
    const warnings: string[] = []
    const config = parseRouteConfiguration(proto, at, this.#routeParsing(warnings, false))
    for (const text of warnings) this.#warnings.add(text)
    return config
  }

  /** One inside a listener, parsed with it: unknown clusters are an error unless validate_clusters says otherwise. Throws ConfigError. */
  checkRoutes(proto: RouteProto, at: FieldPath): void {
    checkRouteConfiguration(proto, at, this.#routeParsing([], true))
  }

  #routeParsing(warnings: string[], validateClusters: boolean): RouteParseServices {
    return {
      warnings,
      validateClusters,
      hasCluster: name => this.clusters.has(name),
      clusterNames: () => this.clusters.names(),
    }
  }

  /** A dynamic route configuration, parsed; workers get it with the next batch. */
  putRoute(name: string, version: string, config: RouteConfig): void {
    declareRouteStats(this.#context.store, config)
    const published = publish(name, version, config)
    this.#routes.set(name, published)
    this.batcher.route(published)
  }

  removeRoute(name: string): void {
    if (this.#routes.delete(name)) this.batcher.removeRoute(name)
  }

  /** A filter that came by ECDS. */
  putExtension(published: Published): void {
    this.#extensions.set(published.name, published)
    this.batcher.extension(published)
  }

  removeExtension(key: string): void {
    if (this.#extensions.delete(key)) this.batcher.removeExtension(key)
  }

  /** Binds the sockets of static listeners. Throws ListenError. */
  openSockets(): void {
    for (const listener of this.#staticListeners) this.listeners.add(listener)
  }

  /**
   * Clusters warm, then CDS and its clusters, then listeners and LDS (cluster_manager_impl.cc, ClusterManagerInitHelper). Targets of
   * the init manager are registered before this returns.
   */
  start(): void {
    const { init, loggers } = this.#context
    const upstream = loggers.get('upstream')
    const clustersDone = init.add('cluster manager')
    const afterClusters = (): void => {
      upstream.info('cm init: all clusters initialized')
      loggers.get('main').info('all clusters initialized. initializing init manager')
      this.#clustersInitialized = true
      const resume = this.subscriptions?.holdRoutes()
      for (const listener of this.#staticListeners) this.warmListener(listener)
      if (this.subscriptions !== null) this.subscriptions.startListeners(init.add('LDS'))
      resume?.()
      clustersDone()
    }
    this.#onClustersReady = (): void => {
      if (this.subscriptions === null) {
        afterClusters()
        return
      }
      const { subscriptions } = this
      // Values of the runtime hold for all that comes by xDS, from its first moment on.
      subscriptions.startRuntime(() =>
        subscriptions.startClusters(() => {
          this.#onClustersReady = afterClusters
          this.#checkClusters()
        }),
      )
    }
    // The stream is opened before CDS is asked for: static clusters may need it for their endpoints.
    const resume = this.subscriptions?.begin()
    for (const cluster of this.clusters.warming.values()) cluster.start()
    resume?.()
    this.#checkClusters()
  }

  /** Takes a listener over that came by LDS. Throws ConfigError or ListenError. */
  putListener(listener: MainListener): void {
    const replaced = this.listeners.warming.get(listener.config.name)
    if (replaced !== undefined && this.listeners.revert(listener)) {
      this.subscriptions?.forget(replaced)
      return
    }
    this.listeners.add(listener)
    this.warmListener(listener)
    // Only now: what both versions wait for goes on without a gap.
    if (replaced !== undefined) this.subscriptions?.forget(replaced)
  }

  /** The listener becomes active when its routes and secrets are there. */
  warmListener(listener: MainListener): void {
    const name = listener.config.name
    const done = this.#context.init.add(`Listener-local-init-manager ${name}`)
    const ready = (): void => {
      if (this.listeners.warming.get(name) === listener) this.listeners.activate(name)
      done()
    }
    if (this.subscriptions === null) ready()
    else this.subscriptions.listener(listener, ready)
  }

  /** Until the first certificate of any TLS context or secret ends; `NEVER` without one. */
  daysToExpiry(): number {
    return this.#expiry.days(this.#transportSockets(), this.secrets.all(), Date.now())
  }

  *#transportSockets(): Generator<TransportLayer | null | undefined> {
    for (const { config } of this.listeners.active.values()) {
      for (const chain of [...config.filterChains, config.defaultFilterChain]) yield chain?.transportSocket
    }
    for (const { config } of this.clusters.active.values()) {
      yield config.transportSocket
      for (const match of config.transportSocketMatches) yield match.transportSocket
    }
  }

  /** Everything static is in effect: what only dumps read takes as little room as possible from now on. */
  shelve(): void {
    const statics = this.#context.bootstrap.static_resources ?? {}
    shelveConfiguration(statics, this.listeners.active.values())
  }

  /** What a worker must know besides its listeners. */
  everything(): ConfigBatch {
    const writer = this.#sharer?.writer
    this.#sharer = null
    const all: ConfigChange = {
      workloads: this.workloads.all(),
      clusters: publishedOf(this.clusters.active.values()),
      routes: [...this.#routes.values()],
      extensions: [...this.#extensions.values()],
      secrets: this.secrets.all().map(s => publish(s.name, s.version, s)),
    }
    return packed(all, writer)
  }

  listenersFor(worker: number): PublishedListener[] {
    return [...this.listeners.active.values()].map(l => this.listeners.publishedFor(worker, l))
  }

  onWorkerDied(worker: number): void {
    this.#shares.onWorkerDied(worker)
    this.clusters.onWorkerDied(worker)
  }

  onHostsMet(worker: number, cluster: string, met: readonly MetHost[], gone: readonly string[]): void {
    this.clusters.onHostsMet(worker, cluster, met, gone)
  }

  onEjection(request: EjectionRequest): void {
    this.clusters.onEjection(request)
  }

  onListening(index: number, listener: string, error: string): void {
    if (error === '') return
    this.#context.loggers.get('config').error(`listener '${listener}' does not listen on worker ${index}: ${error}`)
  }

  #followEndpoints(cluster: MainCluster, eds: EdsDiscovery): () => void {
    if (this.subscriptions !== null) return this.subscriptions.endpoints(cluster, eds)
    eds.onFailure()
    return () => {}
  }

  #followSecrets(cluster: MainCluster, ready: () => void): () => void {
    if (this.subscriptions !== null) return this.subscriptions.cluster(cluster, ready)
    ready()
    return () => {}
  }

  /** The next phase begins when no cluster warms any more. */
  #checkClusters(): void {
    const next = this.#onClustersReady
    if (next === null || this.clusters.warming.size > 0) return
    this.#onClustersReady = null
    next()
  }

  #publishListener(listener: MainListener, kept: readonly number[] | null): void {
    const { pool } = this.#context
    // What the listener refers to goes first.
    this.batcher.flush()
    for (let i = 0; i < pool.count; i++) {
      pool.sendListener(i, () => this.listeners.publishedFor(i, listener, kept))
    }
  }

  #checkDuplicateAddresses(): void {
    const addresses = new Map<string, string>()
    for (const { config } of this.#staticListeners) {
      if (!config.bindToPort) continue
      for (const { address } of config.addresses) {
        if (addresses.has(address.text) && address.port !== 0) {
          throw new ConfigError(
            'CONFIG_DUPLICATE',
            FieldPath.root().field('static_resources').field('listeners'),
            `error adding listener: '${config.name}' has duplicate address '${address.text}' as existing listener, ` +
              'to check if the listener has duplicated addresses with other listeners or ' +
              "'enable_reuse_port' is set to 'false' for the listener",
          )
        }
        addresses.set(address.text, config.name)
      }
    }
  }
}
