import type { WorkerHost } from '../host.ts'
import type { HostSet, LocalityView, PrioritySet } from '../host-set.ts'
import { inPanic } from '../priority-load.ts'
import type { BalancerServices } from './balancer.ts'

/**
 * Zone-aware routing of priority 0: keeps traffic in the own zone as far as the upstream has capacity there, compared with
 * where the proxies of the own cluster stand (ZoneAwareLoadBalancerBase::regenerateLocalityRoutingStructures).
 */
export class ZoneRouting {
  private readonly services: BalancerServices
  private local: HostSet | null = null
  private mode: 'none' | 'direct' | 'residual' = 'none'
  /** Of 10,000. */
  private localPercent = 0
  /** Running sums of spare capacity by locality. */
  private residual: number[] = []

  constructor(services: BalancerServices) {
    this.services = services
  }

  update(set: PrioritySet, local: PrioritySet | null): void {
    this.mode = 'none'
    this.local = local?.sets[0] ?? null
    if (this.local === null) return
    const stats = this.services.stats
    stats.lbRecalculateZoneStructures.inc()
    const upstream = set.sets[0]!
    const direct = this.services.runtime.boolean(
      'upstream.zone_routing.force_locality_direct_routing',
      this.services.config.zoneAware.forceLocalityDirectRouting,
    )
    if (!this.isPossible(upstream, this.local, direct)) return
    this.compute(upstream, this.local, direct)
  }

  /** Index of the locality whose healthy (or degraded) hosts must be used; -1 = all of them, -2 = fail the request. */
  choose(upstream: HostSet): number {
    if (this.mode === 'none') return -1
    const { config, runtime, random, stats } = this.services
    const enabled = config.zoneAware.routingEnabled
    if (!runtime.fraction('upstream.zone_routing.enabled', enabled, 100, random.next32())) return -1
    const threshold = runtime.integer('upstream.healthy_panic_threshold', config.healthyPanicThreshold)
    if (inPanic(this.local!, threshold)) {
      stats.lbLocalClusterNotOk.inc()
      return config.zoneAware.failTrafficOnPanic ? -2 : -1
    }
    if (this.mode === 'direct') {
      stats.lbZoneRoutingAllDirectly.inc()
      return 0
    }
    if (random.next32() % 10000 < this.localPercent) {
      stats.lbZoneRoutingSampled.inc()
      return 0
    }
    stats.lbZoneRoutingCrossZone.inc()
    const capacity = this.residual[this.residual.length - 1]!
    if (capacity === 0) {
      // Only rounding leads here.
      stats.lbZoneNoCapacityLeft.inc()
      return random.next32() % upstream.localities.length
    }
    const point = random.next32() % capacity
    let i = 0
    while (point >= this.residual[i]!) i++
    return i
  }

  private isPossible(upstream: HostSet, local: HostSet, direct: boolean): boolean {
    const { config, runtime, stats } = this.services
    if (upstream.localities.length < 2) return false
    if (local.localities.length < 2 && !direct) return false
    if (!local.hasLocal || local.localities[0]!.hosts.length === 0) {
      stats.lbLocalClusterNotOk.inc()
      return false
    }
    const minimum = runtime.integer('upstream.zone_routing.min_cluster_size', config.zoneAware.minClusterSize)
    if (upstream.healthy < minimum) {
      stats.lbZoneClusterTooSmall.inc()
      return false
    }
    return true
  }

  private compute(upstream: HostSet, local: HostSet, direct: boolean): void {
    const localShare: number[] = []
    const upstreamShare: number[] = []
    for (const l of upstream.localities) {
      const first = l.healthy[0]
      localShare.push(first === undefined ? 0 : share(healthyIn(local, first), local.healthy))
      upstreamShare.push(first === undefined ? 0 : share(l.healthy.length, upstream.healthy))
    }
    if (upstream.hasLocal && ((upstreamShare[0]! > 0 && upstreamShare[0]! >= localShare[0]!) || direct)) {
      this.mode = 'direct'
      return
    }
    this.mode = 'residual'
    this.localPercent =
      upstream.hasLocal && localShare[0]! > 0 ? Math.floor((upstreamShare[0]! * 10000) / localShare[0]!) : 0
    this.residual = []
    let sum = 0
    for (let i = 0; i < upstreamShare.length; i++) {
      if (!(i === 0 && upstream.hasLocal)) sum += Math.max(0, upstreamShare[i]! - localShare[i]!)
      this.residual.push(sum)
    }
  }
}

function share(part: number, whole: number): number {
  return whole === 0 ? 0 : Math.floor((10000 * part) / whole)
}

function healthyIn(set: HostSet, like: WorkerHost): number {
  for (const l of set.localities) if (isIn(l, like)) return l.healthy.length
  return 0
}

function isIn(l: LocalityView, like: WorkerHost): boolean {
  const h = l.healthy[0]
  return h !== undefined && h.region === like.region && h.zone === like.zone && h.subZone === like.subZone
}
