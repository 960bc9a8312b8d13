import type { Loggers } from '../base/log.ts'
import type { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import type { SecretData } from '../config/services.ts'
import type { ListenerConfig } from '../listener/listener-config.ts'
import type { Counter, StatsScope } from '../stats/stats.ts'
import type { EdsDiscovery } from '../upstream/clusters/eds.ts'
import type { HostTraffic } from '../xds/control-plane-traffic.ts'
import { EDS } from '../xds/resources/eds.ts'
import { RDS } from '../xds/resources/rds.ts'
import { SDS } from '../xds/resources/sds.ts'
import type { ResourceListener, XdsClient, XdsResource } from '../xds/xds.ts'
import { ClusterSink } from './apply-clusters.ts'
import { ListenerSink } from './apply-listeners.ts'
import { checkSecret } from './check-secret.ts'
import type { MainCluster } from './clusters.ts'
import { discoveredOf, ExtensionConfigs } from './extension-configs.ts'
import { Followed } from './followed.ts'
import { keptBytes, keptMessage } from './kept.ts'
import { connectionManagersOf, type MainListener } from './listeners.ts'
import type { ResourceManager, Subscriptions } from './resources.ts'
import type { RuntimeLoader } from './runtime.ts'
import { type SecretReference, type SecretUse, sdsReferences } from './sds-references.ts'
import { SecretFiles } from './secret-files.ts'
import { withFileContents } from './secrets.ts'

type ConfigSource = envoy.config.core.v3.ConfigSource

interface SecretUser {
  readonly uses: readonly SecretUse[]
  /** ssl_context_update_by_sds of the listener or cluster. */
  readonly updates: Counter
}

type Waited = Pick<Followed, 'settled' | 'whenSettled'>

/** The dynamic part of the configuration: what to follow for whom, and where it goes. */
export class DynamicResources implements Subscriptions {
  readonly #resources: ResourceManager
  readonly #loggers: Loggers
  readonly #xds: XdsClient
  readonly #stats: StatsScope
  readonly #routes = new Map<string, Followed>()
  readonly #extensions: ExtensionConfigs
  readonly #workloads: ConfigSource | null
  readonly #runtime: RuntimeLoader
  readonly #secrets = new Map<string, Followed<SecretUser>>()
  /** Listeners and clusters that wait, and what is to be done then. */
  readonly #waiting = new Map<object, () => void>()

  /** Throws ConfigError. `workloads`: where those of an ambient mesh are told; null = nowhere. */
  constructor(
    resources: ResourceManager,
    loggers: Loggers,
    xds: XdsClient,
    stats: StatsScope,
    workloads: ConfigSource | null,
    runtime: RuntimeLoader,
  ) {
    this.#runtime = runtime
    for (const { source, at } of runtime.discovered) xds.checkRuntime(source, at)
    this.#workloads = workloads
    if (workloads !== null) xds.checkWorkloads(workloads)
    this.#stats = stats
    this.#resources = resources
    this.#loggers = loggers
    this.#xds = xds
    this.#extensions = new ExtensionConfigs(resources, xds, stats, loggers.get('config'))
  }

  hostTraffic(cluster: string, address: string): HostTraffic | undefined {
    return this.#xds.hostTraffic(cluster, address)
  }

  checkExtensions(listener: ListenerConfig, at: FieldPath): void {
    for (const { source } of discoveredOf(listener)) this.#xds.checkExtension(source, at)
  }

  checkRoutes(source: ConfigSource, at: FieldPath): void {
    this.#xds.checkRoutes(source, at)
  }

  checkSecrets(message: object, at: FieldPath): void {
    for (const { api, source } of sdsReferences(message).values()) this.#xds.checkSecret(api, source, at)
  }

  begin(): () => void {
    this.#xds.start()
    if (this.#workloads !== null) this.#xds.followWorkloads(this.#workloads, this.#resources.workloads)
    return this.#xds.pause(EDS, SDS)
  }

  holdRoutes(): () => void {
    return this.#xds.pause(RDS)
  }

  startRuntime(ready: () => void): void {
    const { discovered } = this.#runtime
    let left = discovered.length
    if (left === 0) {
      ready()
      return
    }
    for (const { name, source, replace } of discovered) {
      const followed = new Followed()
      followed.whenSettled(() => {
        if (--left > 0) return
        // As Envoy, which loads once more when all of them have come, or have not.
        this.#runtime.reload()
        this.#loggers.get('runtime').info('RTDS has finished initialization')
        ready()
      })
      this.#xds.followRuntime(name, source, { onLayer: replace, onSettled: () => followed.settle() })
    }
  }

  startClusters(ready: () => void): void {
    if (!this.#xds.hasClusters) {
      ready()
      return
    }
    this.#loggers.get('upstream').info('cm init: initializing cds')
    this.#xds.followClusters(new ClusterSink(this.#resources, this.#loggers, ready))
  }

  startListeners(ready: () => void): void {
    if (this.#xds.hasListeners) this.#xds.followListeners(new ListenerSink(this.#resources, this.#loggers, ready))
    else ready()
  }

  warming(count: number): void {
    this.#xds.setWarmingClusters(count)
  }

  cluster(cluster: MainCluster, ready: () => void): () => void {
    const { wait, begun } = this.#waiter(cluster, ready)
    const updates = `cluster.${cluster.config.statsName}.client_ssl_socket_factory.ssl_context_update_by_sds`
    if (cluster.kept.mayHave('sds_config')) {
      for (const reference of sdsReferences(cluster.kept.message()).values()) {
        wait(this.#followSecret(reference, cluster, updates))
      }
    }
    begun()
    return () => {
      this.#waiting.delete(cluster)
      this.#release(this.#secrets, cluster)
    }
  }

  endpoints(cluster: MainCluster, eds: EdsDiscovery): () => void {
    const proto = cluster.kept.message() as envoy.config.cluster.v3.Cluster
    const source = proto.eds_cluster_config?.eds_config ?? {}
    return this.#xds.followEndpoints(
      cluster.config.edsServiceName || cluster.config.name,
      source,
      cluster.config.statsName,
      eds,
    )
  }

  listener(listener: MainListener, ready: () => void): void {
    const { wait, begun } = this.#waiter(listener, ready)
    for (const hcm of connectionManagersOf(listener.proto)) {
      const name = hcm.rds?.route_config_name ?? ''
      if (name === '' || this.#routes.get(name)?.users.has(listener) === true) continue
      wait(this.#followRoute(name, hcm.rds?.config_source ?? {}, hcm.stat_prefix ?? '', listener))
    }
    const updates = `listener.${listener.config.statAddress}.server_ssl_socket_factory.ssl_context_update_by_sds`
    for (const reference of sdsReferences(listener.proto).values()) {
      wait(this.#followSecret(reference, listener, updates))
    }
    for (const followed of this.#extensions.follow(listener.config, listener)) wait(followed)
    begun()
  }

  forget(listener: MainListener): void {
    this.#release(this.#routes, listener)
    this.#release(this.#secrets, listener)
    this.#extensions.release(listener)
    const ready = this.#waiting.get(listener)
    // Whoever counts the listeners that wait must not wait for this one.
    if (this.#waiting.delete(listener)) ready?.()
  }

  /** `ready` once all that was given to `wait` until `begun` has settled; at once when nothing was. */
  #waiter(owner: object, ready: () => void): { wait: (followed: Waited) => void; begun: () => void } {
    let left = 1
    this.#waiting.set(owner, ready)
    const one = (): void => {
      if (--left === 0 && this.#waiting.delete(owner)) ready()
    }
    const wait = (followed: Waited): void => {
      if (followed.settled) return
      left++
      followed.whenSettled(one)
    }
    return { wait, begun: one }
  }

  #followRoute(name: string, source: ConfigSource, statPrefix: string, user: object): Followed {
    return this.#follow(this.#routes, name, user, null, settle =>
      this.#xds.followRoutes(
        name,
        source,
        statPrefix,
        taker(settle, (resource, version) => {
          const proto = resource.decodeWhole<envoy.config.route.v3.RouteConfiguration>()
          this.#resources.putRoute(name, version, this.#resources.parseRoute(proto, resource.at))
          const bytes = Uint8Array.from(resource.bytes)
          this.#resources.dynamic.routes.set(name, { ...keptBytes(RDS.typeName, bytes), version })
        }),
      ),
    )
  }

  #followSecret({ name, source, uses }: SecretReference, user: object, updates: string): Followed<SecretUser> {
    const { dynamic, secrets } = this.#resources
    const log = this.#loggers.get('secret')
    const secretUser = { uses, updates: this.#stats.counter(updates) }
    // The context is made at once from what is there, and counts as updated by it.
    if (secrets.get(name) !== null) secretUser.updates.add(uses.length)
    return this.#follow(this.#secrets, name, user, secretUser, settle => {
      dynamic.warmingSecrets.add(name)
      const files = new SecretFiles(name, log, this.#xds.keyRotationFailed(name))
      const end = this.#xds.followSecret(
        name,
        source,
        taker(settle, (resource, version) => {
          const proto = resource.decodeWhole<envoy.extensions.transport_sockets.tls.v3.Secret>()
          const read = (): SecretData => {
            const secret = secrets.parse(proto, resource.at, version)
            checkSecret(secret, this.#usesOf(name), resource.at)
            return secret
          }
          const put = (secret: SecretData): void => {
            secrets.put(secret)
            dynamic.secrets.set(name, { ...keptMessage(withFileContents(proto, secret)), version })
            for (const user of this.#secrets.get(name)?.users.values() ?? []) user.updates.add(user.uses.length)
          }
          const secret = read()
          put(secret)
          files.follow(proto, secret, read, put)
          dynamic.warmingSecrets.delete(name)
        }),
      )
      return () => {
        end()
        files.close()
        dynamic.warmingSecrets.delete(name)
        dynamic.secrets.delete(name)
        secrets.remove(name)
      }
    })
  }

  #usesOf(name: string): SecretUse[] {
    return [...(this.#secrets.get(name)?.users.values() ?? [])].flatMap(user => user.uses)
  }

  #follow<U>(
    map: Map<string, Followed<U>>,
    name: string,
    user: object,
    use: U,
    subscribe: (settle: () => void) => () => void,
  ): Followed<U> {
    const known = map.get(name)
    if (known !== undefined) {
      known.users.set(user, use)
      return known
    }
    const followed = new Followed<U>()
    followed.users.set(user, use)
    map.set(name, followed)
    followed.close = subscribe(() => followed.settle())
    return followed
  }

  /** `user` is gone; what nobody needs ends. */
  #release<U>(map: Map<string, Followed<U>>, user: object): void {
    for (const [name, followed] of [...map]) {
      if (!followed.users.delete(user) || followed.users.size > 0) continue
      map.delete(name)
      followed.close()
      if ((map as unknown) !== this.#routes) continue
      this.#resources.removeRoute(name)
      this.#resources.dynamic.routes.delete(name)
    }
  }
}

/** `settle`: nobody waits any longer, with the resource or without it. */
function taker(settle: () => void, take: (resource: XdsResource, version: string) => void): ResourceListener {
  return {
    onResource: (resource, version) => {
      take(resource, version)
      settle()
    },
    onUnavailable: settle,
  }
}
