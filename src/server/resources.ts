import { ConfigError } from '../base/errors.ts'
import type { Loggers } from '../base/log.ts'
import type { EnvoyOptions } from '../cmd/options.ts'
import type { ClusterParser } from '../config/cluster.ts'
import { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import type { NodeInfo } from '../config/services.ts'
import type { StatsStore } from '../stats/store.ts'
import type { EjectionRequest } from '../upstream/outlier-monitor.ts'
import type { SharedStateAllocator } from '../upstream/shared-state.ts'
import type { ConfigBatch, PublishedListener } from '../worker/messages.ts'
import { clusterParser, declareCluster, MainCluster, parseClusterProto } from './clusters.ts'
import { DynamicFacts } from './dynamic-facts.ts'
import type { InitManager } from './init-manager.ts'
import { keptMessage } from './kept.ts'
import { ListenerManager, type MainListener } from './listeners.ts'
import type { WorkerPool } from './workers.ts'

type Bootstrap = envoy.config.bootstrap.v3.Bootstrap

export interface ResourceContext {
  readonly bootstrap: Bootstrap
  readonly options: EnvoyOptions
  readonly loggers: Loggers
  readonly store: StatsStore
  readonly allocator: SharedStateAllocator
  readonly init: InitManager
  readonly node: NodeInfo
  readonly pool: WorkerPool
  /** To all workers, once they serve. */
  broadcast(batch: ConfigBatch): void
}

/** All resources of the process, static and dynamic, and the order in which they come into effect. */
export class ResourceManager {
  readonly listeners: ListenerManager
  readonly clusters = new Map<string, MainCluster>()
  readonly dynamic = new DynamicFacts()
  readonly #context: ResourceContext
  readonly #parser: ClusterParser
  #staticListeners: MainListener[] = []

  constructor(context: ResourceContext) {
    this.#context = context
    this.#parser = clusterParser(context.loggers.get('upstream'))
    this.listeners = new ListenerManager({
      concurrency: context.options.concurrency,
      store: context.store,
      log: context.loggers.get('config'),
      publish: listener => this.#publishListener(listener),
      withdraw: name => context.broadcast({ removedListeners: [name] }),
    })
  }

  hasCluster(name: string): boolean {
    return this.clusters.has(name)
  }

  /** Reads the static configuration. Throws ConfigError. */
  configure(): void {
    const { bootstrap, loggers } = this.#context
    const config = loggers.get('config')
    const statics = bootstrap.static_resources ?? {}
    const at = FieldPath.root().field('static_resources')
    config.info(`loading ${statics.secrets?.length ?? 0} static secret(s)`)
    const clusters = statics.clusters ?? []
    config.info(`loading ${clusters.length} cluster(s)`)
    for (const [i, proto] of clusters.entries()) {
      const place = at.field('clusters').index(i)
      const parsed = parseClusterProto(proto, place, this.#parser)
      if (this.clusters.has(parsed.name)) {
        throw new ConfigError('CONFIG_DUPLICATE', place, `cluster manager: duplicate cluster '${parsed.name}'`)
      }
      this.#addCluster(
        new MainCluster(parsed, '', false, keptMessage(proto), this.#context.allocator, this.#context.store, null),
      )
    }
    const listeners = statics.listeners ?? []
    config.info(`loading ${listeners.length} listener(s)`)
    const seen = new Set<string>()
    for (const [i, proto] of listeners.entries()) {
      const listener = this.listeners.parse(proto, at.field('listeners').index(i), '', false)
      // Envoy keeps the first of two static listeners of one name and says nothing.
      if (seen.has(listener.config.name)) continue
      seen.add(listener.config.name)
      this.#staticListeners.push(listener)
    }
    this.#checkDuplicateAddresses()
  }

  /** Binds the sockets of static listeners. Throws ListenError. */
  openSockets(): void {
    for (const listener of this.#staticListeners) this.listeners.add(listener)
  }

  /** Clusters warm, subscriptions begin; targets of the init manager are registered before this resolves. */
  async start(): Promise<void> {
    for (const cluster of this.clusters.values()) this.#warm(cluster)
    this.#context.loggers.get('upstream').info('cm init: all clusters initialized')
    this.#context.loggers.get('main').info('all clusters initialized. initializing init manager')
    for (const listener of this.#staticListeners) this.listeners.activate(listener.config.name)
  }

  /** What a worker must know besides its listeners. */
  everything(): ConfigBatch {
    return { clusters: [...this.clusters.values()].map(c => c.published()) }
  }

  listenersFor(worker: number): PublishedListener[] {
    return [...this.listeners.active.values()].map(l => this.listeners.publishedFor(worker, l))
  }

  onEjection(_request: EjectionRequest): void {}

  onListening(index: number, listener: string, error: string): void {
    if (error === '') return
    this.#context.loggers.get('config').error(`listener '${listener}' does not listen on worker ${index}: ${error}`)
  }

  #addCluster(cluster: MainCluster): void {
    this.clusters.set(cluster.config.name, cluster)
    declareCluster(this.#context.store, cluster)
    this.#context.store.counter('cluster_manager.cluster_added').inc()
    this.#context.store.gauge('cluster_manager.active_clusters').set(this.clusters.size)
  }

  #warm(cluster: MainCluster): void {
    if (cluster.config.assignment !== null) cluster.setAssignment(cluster.config.assignment)
    cluster.state = 'active'
  }

  #publishListener(listener: MainListener): void {
    const { pool } = this.#context
    for (let i = 0; i < pool.count; i++) {
      pool.sendListener(i, () => this.listeners.publishedFor(i, listener))
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
