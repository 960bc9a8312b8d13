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
  readonly clusters?: readonly PublishedCluster[]
  readonly workloads?: readonly PublishedWorkload[]
}

/** Clusters of one change share what is equal in them, and so do workloads. */
export function packed(change: ConfigChange): ConfigBatch {
  const { clusters = [], workloads = [], ...rest } = change
  return {
    ...rest,
    ...(clusters.length === 0 ? {} : { clusters: new ValueWriter(new Set(['clusters'])).pack({ clusters }) }),
    ...(workloads.length === 0 ? {} : { workloads: new ValueWriter(new Set(['workloads'])).pack({ workloads }) }),
  }
}
