import { ValueWriter } from '../base/packed-values.ts'
import type { ConfigBatch, Published, PublishedCluster } from '../worker/messages.ts'

/** Virtual hosts are many and most get no traffic: workers read each when it is first needed. */
const LAZY = new Set(['virtualHosts'])

/**
 * Serialises a parsed configuration once into memory that every worker reads: with many workers and many clusters neither time
 * nor memory grows with their product. Throws when the value is not cloneable: a bug of a parse().
 */
export function publish(name: string, version: string, config: unknown): Published {
  return { name, version, bytes: new ValueWriter(LAZY).pack(config) }
}

/** A change of the configuration before its clusters are packed, which happens once and only if there is somebody to send it to. */
export interface ConfigChange extends Omit<ConfigBatch, 'clusters'> {
  readonly clusters?: readonly PublishedCluster[]
}

/** Clusters of one change share what is equal in them. */
export function packed(change: ConfigChange): ConfigBatch {
  const { clusters, ...rest } = change
  if (clusters === undefined || clusters.length === 0) return rest
  return { ...rest, clusters: new ValueWriter(new Set(['clusters'])).pack({ clusters }) }
}
