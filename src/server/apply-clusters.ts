import type { Loggers } from '../base/log.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { type ResourceError, reasonOf } from '../xds/nack.ts'
import { CDS } from '../xds/resources/cds.ts'
import type { ResourceSink } from '../xds/resources/complete-set.ts'
import type { XdsResource } from '../xds/resources/xds-resource.ts'
import { keptBytes } from './kept.ts'
import type { ResourceManager } from './resources.ts'

type ClusterProto = envoy.config.cluster.v3.Cluster

/** Where CDS goes (cds_api_helper.cc): good clusters take effect although others are refused; removals come last. */
export class ClusterSink implements ResourceSink {
  readonly ready: () => void
  readonly #resources: ResourceManager
  readonly #loggers: Loggers

  constructor(resources: ResourceManager, loggers: Loggers, ready: () => void) {
    this.#resources = resources
    this.#loggers = loggers
    this.ready = ready
  }

  apply(version: string, changed: readonly XdsResource[], removed: readonly string[]): readonly ResourceError[] {
    const log = this.#loggers.get('upstream')
    const { clusters, dynamic } = this.#resources
    log.info(
      `cds: response indicates ${changed.length} added/updated cluster(s), ${removed.length} removed cluster(s); ` +
        'applying changes',
    )
    const refused: ResourceError[] = []
    let taken = 0
    let skipped = 0
    for (const resource of changed) {
      const name = resource.ownName
      try {
        // A static cluster of that name is never touched, and that is no error.
        if (clusters.get(name)?.viaApi === false) {
          skipped++
          continue
        }
        const config = this.#resources.parseCluster(resource.decodeWhole<ClusterProto>(), resource.at)
        const kept = keptBytes(CDS.typeName, Uint8Array.from(resource.bytes))
        clusters.add(config, kept, resource.version, true).start()
        taken++
      } catch (error) {
        refused.push({ name, error: error as Error })
        clusters.countRefused(name)
        log.warning(`cds: cluster '${name}' config rejected: ${reasonOf(error)}`)
      }
    }
    let gone = 0
    for (const name of removed) {
      if (clusters.remove(name)) gone++
    }
    log.info(
      `cds: added/updated ${taken} cluster(s) (skipped ${skipped} unmodified cluster(s)); removed ${gone} cluster(s)`,
    )
    if (taken > 0 || gone > 0) dynamic.clustersVersion = version
    return refused
  }
}
