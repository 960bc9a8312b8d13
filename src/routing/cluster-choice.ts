import type { HeaderBlock } from '../codec/header-block.ts'
import type { StreamInfo } from '../telemetry/stream-info.ts'
import type { ActionTemplate } from './route-action.ts'
import type { ClusterChoiceConfig, WeightedClusterConfig } from './route-config.ts'
import type { RouteServices } from './route-table.ts'

/** Which of a route's variants a request gets (WeightedClusterConfig of source/common/router/weighted_cluster_specifier.cc). */
export class ClusterChoice {
  readonly #config: ClusterChoiceConfig
  readonly #weights: readonly number[]
  readonly #total: number
  readonly #template: ActionTemplate
  readonly #services: RouteServices

  constructor(config: ClusterChoiceConfig, template: ActionTemplate, services: RouteServices) {
    this.#config = config
    this.#weights = config.kind === 'weighted' ? config.clusters.map(cluster => cluster.weight) : []
    this.#total = this.#weights.reduce((sum, weight) => sum + weight, 0)
    this.#template = template
    this.#services = services
  }

  /** Index of the variant. */
  pick(h: HeaderBlock, info: StreamInfo, random: number): number {
    const config = this.#config
    if (config.kind !== 'weighted') return 0
    let total = this.#total
    const runtime = config.runtimeKeyPrefix
    if (runtime !== '') {
      total = 0
      for (let i = 0; i < this.#weights.length; i++) total += this.#weight(runtime, config.clusters[i]!, i)
      if (total <= 0) total = this.#total
    }
    const selected = this.#selected(config, h, info, random, total)
    let end = 0
    for (let i = 0; i < this.#weights.length; i++) {
      end += runtime === '' ? this.#weights[i]! : this.#weight(runtime, config.clusters[i]!, i)
      if (selected < end) return i
    }
    return this.#weights.length - 1
  }

  /** Header that names the cluster; '' = the variant has one. */
  headerOf(weighted: WeightedClusterConfig | null): string {
    if (this.#config.kind === 'header') return this.#config.name
    return weighted?.clusterHeader ?? ''
  }

  #weight(prefix: string, cluster: WeightedClusterConfig, i: number): number {
    return this.#services.runtime.integer(`${prefix}.${cluster.name}`, this.#weights[i]!)
  }

  #selected(
    config: Extract<ClusterChoiceConfig, { kind: 'weighted' }>,
    h: HeaderBlock,
    info: StreamInfo,
    random: number,
    total: number,
  ): number {
    if (config.headerName !== '') {
      // Envoy: the header holds the random number itself; one that is none falls back to the stream's.
      const value = h.get(config.headerName)
      if (value !== undefined && /^[0-9]{1,20}$/.test(value)) return Number(BigInt(value) % BigInt(total))
    }
    if (config.useHashPolicy) {
      const result = this.#template.hashPolicies.hash(h, info)
      if (result.hash !== null) return Number(result.hash % BigInt(total))
    }
    return random % total
  }
}
