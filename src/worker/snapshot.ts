import { deserialize } from 'node:v8'
import type { RouteSource, SecretData, SecretSource } from '../config/services.ts'
import type { RouteTable } from '../routing/route.ts'
import type { RouteConfig } from '../routing/route-config.ts'
import type { ClusterConfig } from '../upstream/cluster-config.ts'
import type { ClusterSource, LoadedCluster } from '../upstream/cluster-manager.ts'
import type { HostsUpdate } from '../upstream/host.ts'
import type { Published, PublishedCluster } from './messages.ts'

/** Reads a published configuration; what comes out belongs to the caller. */
export function materialise<T>(published: Published): T {
  // v8.deserialize wants ordinary memory; resources are small and this happens once per resource and worker.
  return deserialize(Buffer.from(new Uint8Array(published.bytes))) as T
}

/** Clusters as main published them; the cluster manager asks when traffic first needs one. */
export class ClusterSnapshot implements ClusterSource {
  readonly #clusters = new Map<string, PublishedCluster>()
  readonly #hosts = new Map<string, HostsUpdate>()
  readonly #loaded: (config: ClusterConfig) => void

  /** `loaded` sees every configuration before its cluster is made. */
  constructor(loaded: (config: ClusterConfig) => void) {
    this.#loaded = loaded
  }

  put(cluster: PublishedCluster): void {
    this.#clusters.set(cluster.name, cluster)
    if (cluster.hosts !== null) this.#hosts.set(cluster.name, cluster.hosts)
  }

  putHosts(name: string, hosts: HostsUpdate): void {
    this.#hosts.set(name, hosts)
  }

  remove(name: string): void {
    this.#clusters.delete(name)
    this.#hosts.delete(name)
  }

  load(name: string): LoadedCluster | null {
    const published = this.#clusters.get(name)
    if (published === undefined) return null
    const config = materialise<ClusterConfig>(published)
    this.#loaded(config)
    return {
      config,
      hosts: this.#hosts.get(name) ?? null,
      block: published.block,
    }
  }
}

/** Dynamic route configurations: a table is built when a stream first asks for it. */
export class RouteSnapshot implements RouteSource {
  readonly #published = new Map<string, Published>()
  readonly #tables = new Map<string, RouteTable>()
  readonly #build: (config: RouteConfig) => RouteTable

  constructor(build: (config: RouteConfig) => RouteTable) {
    this.#build = build
  }

  put(route: Published): void {
    this.#published.set(route.name, route)
    this.#tables.delete(route.name)
  }

  remove(name: string): void {
    this.#published.delete(name)
    this.#tables.delete(name)
  }

  get(name: string): RouteTable | null {
    const known = this.#tables.get(name)
    if (known !== undefined) return known
    const published = this.#published.get(name)
    if (published === undefined) return null
    const table = this.#build(materialise<RouteConfig>(published))
    this.#tables.set(name, table)
    return table
  }
}

/** Secrets with their watchers. Small and needed at once: read when they arrive. */
export class SecretSnapshot implements SecretSource {
  readonly #secrets = new Map<string, SecretData>()
  readonly #watchers = new Map<string, Set<() => void>>()

  put(published: Published): void {
    this.#secrets.set(published.name, materialise<SecretData>(published))
    const watchers = this.#watchers.get(published.name)
    if (watchers !== undefined) for (const changed of watchers) changed()
  }

  /** Nobody new may use it; whoever does keeps what he made of it. */
  remove(name: string): void {
    this.#secrets.delete(name)
  }

  get(name: string): SecretData | null {
    return this.#secrets.get(name) ?? null
  }

  watch(name: string, changed: () => void): () => void {
    let watchers = this.#watchers.get(name)
    if (watchers === undefined) {
      watchers = new Set()
      this.#watchers.set(name, watchers)
    }
    watchers.add(changed)
    return () => {
      this.#watchers.get(name)?.delete(changed)
    }
  }
}
