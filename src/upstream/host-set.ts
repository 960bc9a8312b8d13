import { coarseHealth, Health, isExcluded, type WorkerHost } from './host.ts'
import type { PriorityCounts } from './priority-load.ts'

/** Hosts of one locality in one priority. */
export interface LocalityHosts {
  readonly region: string
  readonly zone: string
  readonly subZone: string
  /** load_balancing_weight of the locality; 0 = none. */
  readonly weight: number
  readonly hosts: readonly WorkerHost[]
}

/** One locality split by health. */
export interface LocalityView {
  readonly weight: number
  readonly hosts: readonly WorkerHost[]
  readonly healthy: readonly WorkerHost[]
  readonly degraded: readonly WorkerHost[]
  readonly excluded: number
}

/** The hosts of one priority, split by health at one moment. Immutable: replaced when hosts or flags change. */
export class HostSet implements PriorityCounts {
  readonly hosts: readonly WorkerHost[]
  readonly healthyHosts: readonly WorkerHost[]
  readonly degradedHosts: readonly WorkerHost[]
  /** Local locality first (if `hasLocal`), the others by region, zone, sub-zone (PriorityStateManager). */
  readonly localities: readonly LocalityView[]
  readonly hasLocal: boolean
  readonly total: number
  readonly healthy: number
  readonly degraded: number
  readonly excluded: number
  readonly totalWeight: number
  readonly healthyWeight: number
  readonly degradedWeight: number
  readonly excludedWeight: number

  constructor(localities: readonly LocalityHosts[], local: LocalityName | null) {
    const hosts: WorkerHost[] = []
    const healthy: WorkerHost[] = []
    const degraded: WorkerHost[] = []
    let excluded = 0
    let excludedWeight = 0
    // The flat list keeps the configured order; localities are sorted.
    const views = new Map<LocalityHosts, LocalityView>()
    for (const l of localities) {
      const view = {
        weight: l.weight,
        hosts: l.hosts,
        healthy: [] as WorkerHost[],
        degraded: [] as WorkerHost[],
        excluded: 0,
      }
      for (const h of l.hosts) {
        const flags = h.flags()
        hosts.push(h)
        if (isExcluded(flags)) {
          excluded++
          excludedWeight += h.weight
          view.excluded++
        }
        const state = coarseHealth(flags)
        if (state === Health.Healthy) {
          healthy.push(h)
          view.healthy.push(h)
        } else if (state === Health.Degraded) {
          degraded.push(h)
          view.degraded.push(h)
        }
      }
      views.set(l, view)
    }
    const sorted = localities.slice().sort(compareLocality)
    const own = local === null ? -1 : sorted.findIndex(l => compareLocality(l, local) === 0)
    if (own > 0) sorted.unshift(...sorted.splice(own, 1))
    this.hasLocal = own >= 0
    this.localities = sorted.map(l => views.get(l)!)
    this.hosts = hosts
    this.healthyHosts = healthy
    this.degradedHosts = degraded
    this.total = hosts.length
    this.healthy = healthy.length
    this.degraded = degraded.length
    this.excluded = excluded
    this.totalWeight = sumWeights(hosts)
    this.healthyWeight = sumWeights(healthy)
    this.degradedWeight = sumWeights(degraded)
    this.excludedWeight = excludedWeight
  }
}

export interface LocalityName {
  readonly region: string
  readonly zone: string
  readonly subZone: string
}

/** All priorities of a cluster at one moment, with the policy they share. */
export class PrioritySet {
  readonly sets: readonly HostSet[]
  /** Per cent, 140. */
  readonly overprovisioningFactor: number
  readonly weightedPriorityHealth: boolean

  constructor(sets: readonly HostSet[], overprovisioningFactor: number, weightedPriorityHealth: boolean) {
    this.sets = sets
    this.overprovisioningFactor = overprovisioningFactor
    this.weightedPriorityHealth = weightedPriorityHealth
  }

  /** `localities[p]`: those of priority p. There is always a priority 0. */
  static build(
    localities: readonly (readonly LocalityHosts[])[],
    overprovisioningFactor: number,
    weightedPriorityHealth: boolean,
    local: LocalityName | null,
  ): PrioritySet {
    const sets: HostSet[] = []
    for (let p = 0; p < Math.max(1, localities.length); p++) sets.push(new HostSet(localities[p] ?? [], local))
    return new PrioritySet(sets, overprovisioningFactor, weightedPriorityHealth)
  }
}

/** HostSetImpl::effectiveLocalityWeight: the weight scaled down when less than 1/overprovisioning of the hosts is usable. */
export function effectiveLocalityWeight(l: LocalityView, usable: number, overprovisioning: number): number {
  const count = l.hosts.length - l.excluded
  if (count <= 0) return 0
  return l.weight * Math.min(1, (overprovisioning / 100) * (usable / count))
}

function compareLocality(a: LocalityName, b: LocalityName): number {
  return compare(a.region, b.region) || compare(a.zone, b.zone) || compare(a.subZone, b.subZone)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function sumWeights(hosts: readonly WorkerHost[]): number {
  let sum = 0
  for (const h of hosts) sum += h.weight
  return sum
}
