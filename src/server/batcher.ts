import type { HostsUpdate } from '../upstream/host.ts'
import type { Published, PublishedCluster, PublishedWorkload } from '../worker/messages.ts'
import type { ConfigChange } from './publisher.ts'

/** A cluster that workers are to have; what they get of it is made when it is sent. */
export interface ChangedCluster {
  readonly config: { readonly name: string }
  published(): PublishedCluster
}

/** What comes and what goes, of one sort of things. Of several changes of one thing the last holds. */
class Changes<T> {
  #come = new Map<string, T>()
  #gone = new Set<string>()

  put(name: string, value: T): void {
    this.#gone.delete(name)
    this.#come.set(name, value)
  }

  remove(name: string): void {
    this.#come.delete(name)
    this.#gone.add(name)
  }

  /** They are the receiver's. */
  take(): { readonly come: readonly T[]; readonly gone: readonly string[] } {
    const taken = { come: [...this.#come.values()], gone: [...this.#gone] }
    this.#come.clear()
    this.#gone.clear()
    return taken
  }
}

/** Collects what one push changes and sends it as one batch at the end of the turn: workers never see half a push. */
export class Batcher {
  readonly #send: (batch: ConfigChange) => void
  readonly #clusters = new Changes<ChangedCluster>()
  readonly #hosts = new Map<string, HostsUpdate>()
  readonly #health = new Set<string>()
  readonly #routes = new Changes<Published>()
  readonly #secrets = new Changes<Published>()
  readonly #extensions = new Changes<Published>()
  readonly #workloads = new Changes<PublishedWorkload>()
  #scheduled = false

  constructor(send: (batch: ConfigChange) => void) {
    this.#send = send
  }

  cluster(cluster: ChangedCluster): void {
    const { name } = cluster.config
    this.#hosts.delete(name)
    this.#clusters.put(name, cluster)
    this.#schedule()
  }

  removeCluster(name: string): void {
    this.#hosts.delete(name)
    this.#clusters.remove(name)
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
    this.#routes.put(route.name, route)
    this.#schedule()
  }

  removeRoute(name: string): void {
    this.#routes.remove(name)
    this.#schedule()
  }

  secret(secret: Published): void {
    this.#secrets.put(secret.name, secret)
    this.#schedule()
  }

  removeSecret(name: string): void {
    this.#secrets.remove(name)
    this.#schedule()
  }

  extension(extension: Published): void {
    this.#extensions.put(extension.name, extension)
    this.#schedule()
  }

  removeExtension(key: string): void {
    this.#extensions.remove(key)
    this.#schedule()
  }

  workload(workload: PublishedWorkload): void {
    this.#workloads.put(workload.address, workload)
    this.#schedule()
  }

  removeWorkload(address: string): void {
    this.#workloads.remove(address)
    this.#schedule()
  }

  /** Now, because something that refers to it follows (a listener). */
  flush(): void {
    if (!this.#scheduled) return
    this.#scheduled = false
    const clusters = this.#clusters.take()
    const routes = this.#routes.take()
    const secrets = this.#secrets.take()
    const extensions = this.#extensions.take()
    const workloads = this.#workloads.take()
    const batch: ConfigChange = {
      clusters: publishedOf(clusters.come),
      removedClusters: clusters.gone,
      hosts: [...this.#hosts].map(([cluster, update]) => ({ cluster, update })),
      healthChanges: [...this.#health],
      routes: routes.come,
      removedRoutes: routes.gone,
      secrets: secrets.come,
      removedSecrets: secrets.gone,
      extensions: extensions.come,
      removedExtensions: extensions.gone,
      workloads: workloads.come,
      removedWorkloads: workloads.gone,
    }
    this.#hosts.clear()
    this.#health.clear()
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
