import { type ClusterServices, WorkerCluster } from './cluster.ts'
import type { ClusterConfig } from './cluster-config.ts'
import { OriginalDstCluster } from './clusters/original-dst.ts'
import type { HostsUpdate } from './host.ts'
import type { PrioritySet } from './host-set.ts'
import type { SharedBlock } from './shared-state.ts'
import type { ClusterManager } from './upstream.ts'

/** Where a worker finds the newest version of a cluster. The publisher implements it over its shared buffers. */
export interface ClusterSource {
  /** Null = there is no such cluster. `hosts` null: none were published yet. */
  load(name: string): LoadedCluster | null
}

export interface LoadedCluster {
  readonly config: ClusterConfig
  readonly hosts: HostsUpdate | null
  readonly block: SharedBlock
}

/** The clusters of one worker, each made when traffic first asks for it. */
export class WorkerClusterManager implements ClusterManager {
  private readonly source: ClusterSource
  private readonly services: ClusterServices
  private readonly clusters = new Map<string, WorkerCluster>()
  private readonly localName: string

  /** `localName`: cluster_manager.local_cluster_name, '' = none. */
  constructor(source: ClusterSource, services: Omit<ClusterServices, 'localHosts'>, localName: string) {
    this.source = source
    this.localName = localName
    this.services = { ...services, localHosts: () => this.localHosts() }
  }

  get(name: string): WorkerCluster | null {
    const known = this.clusters.get(name)
    if (known !== undefined) return known
    const loaded = this.source.load(name)
    if (loaded === null) return null
    const cluster =
      loaded.config.type === 'ORIGINAL_DST'
        ? new OriginalDstCluster(loaded.config, loaded.block, this.services)
        : new WorkerCluster(loaded.config, loaded.block, this.services)
    if (loaded.hosts !== null) cluster.onHosts(loaded.hosts)
    this.clusters.set(name, cluster)
    return cluster
  }

  /** Main published new hosts. A cluster nobody used yet reads them when it is made. */
  onHosts(name: string, update: HostsUpdate): void {
    this.clusters.get(name)?.onHosts(update)
  }

  onHealthChange(name: string): void {
    this.clusters.get(name)?.onHealthChange()
  }

  /** The configuration changed or the cluster is gone: the next `get` loads it anew, what runs goes on with the old one. */
  onReplaced(name: string): void {
    const old = this.clusters.get(name)
    if (old === undefined) return
    this.clusters.delete(name)
    old.drain()
  }

  /** Every connection drains: the worker is about to end. */
  drainAll(): void {
    for (const c of this.clusters.values()) c.drain()
  }

  localSize(): number {
    const sets = this.localHosts()?.sets ?? []
    let size = 0
    for (let i = 0; i < sets.length; i++) size += sets[i]!.hosts.length
    return Math.max(1, size)
  }

  private localHosts(): PrioritySet | null {
    if (this.localName === '') return null
    return this.get(this.localName)?.prioritySet() ?? null
  }
}
