import type { HostsUpdate } from '../upstream/host.ts'
import type { Published, PublishedCluster, PublishedWorkload } from '../worker/messages.ts'
import type { ConfigChange } from './publisher.ts'

/** A cluster that workers are to have; what they get of it is made when it is sent. */
export interface ChangedCluster {
  readonly config: { readonly name: string }
  published(): PublishedCluster
}

/** Collects what one push changes and sends it as one batch at the end of the turn: workers never see half a push. */
export class Batcher {
  readonly #send: (batch: ConfigChange) => void
  #clusters = new Map<string, ChangedCluster>()
  #removedClusters = new Set<string>()
  #hosts = new Map<string, HostsUpdate>()
  #health = new Set<string>()
  #routes = new Map<string, Published>()
  #removedRoutes = new Set<string>()
  #secrets = new Map<string, Published>()
  #removedSecrets = new Set<string>()
  #extensions = new Map<string, Published>()
  #removedExtensions = new Set<string>()
  #workloads = new Map<string, PublishedWorkload>()
  #removedWorkloads = new Set<string>()
  #scheduled = false

  constructor(send: (batch: ConfigChange) => void) {
    this.#send = send
  }

  cluster(cluster: ChangedCluster): void {
    const { name } = cluster.config
    this.#removedClusters.delete(name)
    this.#hosts.delete(name)
    this.#clusters.set(name, cluster)
    this.#schedule()
  }

  removeCluster(name: string): void {
    this.#clusters.delete(name)
    this.#hosts.delete(name)
    this.#removedClusters.add(name)
    this.#schedule()
  }

  hosts(cluster: string, update: HostsUpdate): void {
    this.#hosts.set(cluster, update)
    this.#schedule()
  }

  health(cluster: string): void {
    this.#health.add(cluster)
    this.#schedule()
  }

  route(route: Published): void {
    this.#removedRoutes.delete(route.name)
    this.#routes.set(route.name, route)
    this.#schedule()
  }

  removeRoute(name: string): void {
    this.#routes.delete(name)
    this.#removedRoutes.add(name)
    this.#schedule()
  }

  secret(secret: Published): void {
    this.#removedSecrets.delete(secret.name)
    this.#secrets.set(secret.name, secret)
    this.#schedule()
  }

  removeSecret(name: string): void {
    this.#secrets.delete(name)
    this.#removedSecrets.add(name)
    this.#schedule()
  }

  extension(extension: Published): void {
    this.#removedExtensions.delete(extension.name)
    this.#extensions.set(extension.name, extension)
    this.#schedule()
  }

  removeExtension(key: string): void {
    this.#extensions.delete(key)
    this.#removedExtensions.add(key)
    this.#schedule()
  }

  workload(workload: PublishedWorkload): void {
    this.#removedWorkloads.delete(workload.address)
    this.#workloads.set(workload.address, workload)
    this.#schedule()
  }

  removeWorkload(address: string): void {
    this.#workloads.delete(address)
    this.#removedWorkloads.add(address)
    this.#schedule()
  }

  /** Now, because something that refers to it follows (a listener). */
  flush(): void {
    if (!this.#scheduled) return
    this.#scheduled = false
    const batch: ConfigChange = {
      clusters: publishedOf(this.#clusters.values()),
      removedClusters: [...this.#removedClusters],
      hosts: [...this.#hosts].map(([cluster, update]) => ({ cluster, update })),
      healthChanges: [...this.#health],
      routes: [...this.#routes.values()],
      removedRoutes: [...this.#removedRoutes],
      secrets: [...this.#secrets.values()],
      removedSecrets: [...this.#removedSecrets],
      extensions: [...this.#extensions.values()],
      removedExtensions: [...this.#removedExtensions],
      workloads: [...this.#workloads.values()],
      removedWorkloads: [...this.#removedWorkloads],
    }
    this.#clusters = new Map()
    this.#removedClusters = new Set()
    this.#hosts = new Map()
    this.#health = new Set()
    this.#routes = new Map()
    this.#removedRoutes = new Set()
    this.#secrets = new Map()
    this.#removedSecrets = new Set()
    this.#extensions = new Map()
    this.#removedExtensions = new Set()
    this.#workloads = new Map()
    this.#removedWorkloads = new Set()
    this.#send(batch)
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => this.flush())
  }
}

/** One after the other: all of them at once would be as large as the configuration. */
export function* publishedOf(clusters: Iterable<ChangedCluster>): Generator<PublishedCluster> {
  for (const cluster of clusters) yield cluster.published()
}
