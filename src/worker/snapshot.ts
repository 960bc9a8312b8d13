import { type PackedList, ValueReader } from '../base/packed-values.ts'
import type { ParsedExtension } from '../config/registry.ts'
import type { ExtensionSource, RouteSource, SecretData, SecretSource, WorkloadSource } from '../config/services.ts'
import type { RouteTable } from '../routing/route.ts'
import type { RouteConfig } from '../routing/route-config.ts'
import { WorkloadMetadata } from '../telemetry/workload-metadata.ts'
import type { ClusterSource, LoadedCluster } from '../upstream/cluster-manager.ts'
import type { HostsUpdate } from '../upstream/host.ts'
import type { Published, PublishedCluster, PublishedWorkload } from './messages.ts'

/** Reads a published configuration; what comes out belongs to the caller. */
export function materialise<T>(published: Published): T {
  return new ValueReader(published.bytes).root() as T
}

/** Clusters as main published them; the cluster manager asks when traffic first needs one. */
export class ClusterSnapshot implements ClusterSource {
  /** Number of a cluster in the push it came with. A push lives until the last of its clusters is replaced. */
  readonly #clusters = new Map<string, { readonly push: PackedList<PublishedCluster>; readonly index: number }>()
  /** Newer than what the push says. */
  readonly #hosts = new Map<string, HostsUpdate>()

  /** Takes a push over and names its clusters, of which nothing else is read now. */
  putAll(packed: SharedArrayBuffer, replaced: (name: string) => void): void {
    const push = new ValueReader(packed).root() as PackedList<PublishedCluster>
    for (let index = 0; index < push.length; index++) {
      const name = push.field(index, 'name')
      this.#clusters.set(name, { push, index })
      this.#hosts.delete(name)
      replaced(name)
    }
  }

  putHosts(name: string, hosts: HostsUpdate): void {
    this.#hosts.set(name, hosts)
  }

  remove(name: string): void {
    this.#clusters.delete(name)
    this.#hosts.delete(name)
  }

  load(name: string): LoadedCluster | null {
    const known = this.#clusters.get(name)
    if (known === undefined) return null
    const { config, hosts, block } = known.push.get(known.index)
    return { config, hosts: this.#hosts.get(name) ?? hosts, block }
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

export function extensionKey(category: string, name: string): string {
  return `${category} ${name}`
}

/** Filters that came by ECDS: few, and read when a stream or connection needs them. */
export class ExtensionSnapshot implements ExtensionSource {
  generation = 0
  readonly #extensions = new Map<string, ParsedExtension>()

  put(published: Published): void {
    this.#extensions.set(published.name, materialise<ParsedExtension>(published))
    this.generation++
  }

  remove(key: string): void {
    if (this.#extensions.delete(key)) this.generation++
  }

  get(category: string, name: string): ParsedExtension | null {
    return this.#extensions.get(extensionKey(category, name)) ?? null
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

/** Who has which address: read when somebody meets it. */
export class WorkloadSnapshot implements WorkloadSource {
  /** Number of a workload in the push it came with, until it is asked for. */
  readonly #workloads = new Map<
    string,
    WorkloadMetadata | { readonly push: PackedList<PublishedWorkload>; readonly index: number }
  >()

  putAll(packed: SharedArrayBuffer): void {
    const push = new ValueReader(packed).root() as PackedList<PublishedWorkload>
    for (let index = 0; index < push.length; index++) this.#workloads.set(push.field(index, 'address'), { push, index })
  }

  remove(address: string): void {
    this.#workloads.delete(address)
  }

  get(address: string): WorkloadMetadata | null {
    const known = this.#workloads.get(address)
    if (known === undefined) return null
    if (known instanceof WorkloadMetadata) return known
    const workload = new WorkloadMetadata(known.push.get(known.index).fields)
    this.#workloads.set(address, workload)
    return workload
  }
}
