import { ValueWriter } from '../base/packed-values.ts'
import type { ConfigBatch, Published, PublishedCluster, PublishedWorkload } from '../worker/messages.ts'

/** Virtual hosts are many and most get no traffic: workers read each when it is first needed. */
const LAZY = new Set(['virtualHosts'])

/**
 * Serialises a parsed configuration once into memory that every worker reads: with many workers and many clusters neither time
 * nor memory grows with their product. Throws when the value is not cloneable: a bug of a parse().
 */
export function publish(name: string, version: string, config: unknown): Published {
  return { name, version, bytes: new ValueWriter(LAZY).pack(config) }
}

/** A change of the configuration before its lists are packed, which happens once and only if there is somebody to send it to. */
export interface ConfigChange extends Omit<ConfigBatch, 'clusters' | 'workloads'> {
  /** Gone through once. */
  readonly clusters?: Iterable<PublishedCluster>
  readonly workloads?: readonly PublishedWorkload[]
}

/** Clusters of one change share what is equal in them, and so do workloads. `writer` may know parts of clusters already. */
export function packed(change: ConfigChange, writer = new ValueWriter()): ConfigBatch {
  const { clusters = [], workloads = [], ...rest } = change
  const lists: { clusters?: SharedArrayBuffer; workloads?: SharedArrayBuffer } = {}
  const ids: number[] = []
  for (const cluster of clusters) ids.push(writer.identify(cluster))
  if (ids.length > 0) lists.clusters = writer.packList(ids)
  if (workloads.length > 0) {
    const others = new ValueWriter()
    lists.workloads = others.packList(workloads.map(workload => others.identify(workload)))
  }
  return { ...rest, ...lists }
}
