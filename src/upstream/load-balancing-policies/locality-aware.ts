import type { WorkerHost } from '../host.ts'
import { effectiveLocalityWeight, type HostSet, type PrioritySet } from '../host-set.ts'
import { choosePriority, computePriorityLoads, DEGRADED_CHOICE, type PriorityLoads } from '../priority-load.ts'
import type { PickContext, RetryPriority } from '../upstream.ts'
import type { Balancer, BalancerServices } from './balancer.ts'
import { EdfScheduler } from './edf-scheduler.ts'
import { ZoneRouting } from './zone-aware.ts'

/** One list of hosts a pick can end in, with the state of the policy for it. */
export class HostSource {
  hosts: readonly WorkerHost[] = []
  /** Round robin position; carried over when hosts change. */
  position: number
  /** Present when weights differ or hosts are in slow start. */
  scheduler: EdfScheduler<WorkerHost> | null = null

  constructor(position: number) {
    this.position = position
  }
}

/** The sources of one priority. */
interface PrioritySources {
  readonly all: HostSource
  readonly healthy: HostSource
  readonly degraded: HostSource
  readonly healthyByLocality: HostSource[]
  readonly degradedByLocality: HostSource[]
  healthyLocalities: EdfScheduler<number> | null
  degradedLocalities: EdfScheduler<number> | null
}

const EMPTY: PriorityLoads = { healthy: [100], degraded: [0], panic: [false], health: [100], degradedHealth: [0] }

/**
 * What round robin, least request and random share: priority by load, panic, locality weights, zone-aware routing
 * (LoadBalancerBase and ZoneAwareLoadBalancerBase). A policy only chooses within one list.
 */
export abstract class LocalityAwareBalancer implements Balancer {
  protected readonly services: BalancerServices
  protected set: PrioritySet | null = null
  private readonly sources: PrioritySources[] = []
  private readonly zone: ZoneRouting
  private loads: PriorityLoads = EMPTY

  constructor(services: BalancerServices) {
    this.services = services
    this.zone = new ZoneRouting(services)
  }

  /** A host of `source`, which is not empty. */
  protected abstract choose(source: HostSource): WorkerHost
  /** `source.hosts` changed. */
  protected abstract refresh(source: HostSource): void

  update(set: PrioritySet): void {
    this.set = set
    const threshold = this.services.runtime.integer(
      'upstream.healthy_panic_threshold',
      this.services.config.healthyPanicThreshold,
    )
    this.loads = computePriorityLoads(set.sets, set.overprovisioningFactor, set.weightedPriorityHealth, threshold)
    this.sources.length = Math.min(this.sources.length, set.sets.length)
    for (let p = 0; p < set.sets.length; p++) this.updatePriority(p, set.sets[p]!, set.overprovisioningFactor)
    if (!this.services.config.localityWeighted) this.zone.update(set, this.services.localHosts())
  }

  pick(context: PickContext | null): WorkerHost | null {
    const attempts = context === null ? 1 : context.maxHostSelections
    let host: WorkerHost | null = null
    for (let i = 0; i < Math.max(1, attempts); i++) {
      host = this.pickOnce(context)
      if (host === null || context === null || !context.rejectHost(host)) return host
    }
    // Everything was rejected: the last one is used all the same.
    return host
  }

  private pickOnce(context: PickContext | null): WorkerHost | null {
    const source = this.source(context === null ? null : context.retryPriority)
    if (source === null || source.hosts.length === 0) return null
    return this.choose(source)
  }

  private source(retryPriority: RetryPriority | null): HostSource | null {
    const { services } = this
    const own = this.loads
    const loads = retryPriority === null ? own : retryPriority.loads(own)
    const chosen = choosePriority(services.random.next32() % 100, loads.healthy, loads.degraded)
    const degraded = chosen >= DEGRADED_CHOICE
    const p = degraded ? chosen - DEGRADED_CHOICE : chosen
    const sources = this.sources[p]
    if (sources === undefined) return null
    if (own.panic[p] === true) {
      services.stats.lbHealthyPanic.inc()
      return services.config.zoneAware.failTrafficOnPanic ? null : sources.all
    }
    if (services.config.localityWeighted) {
      const scheduler = degraded ? sources.degradedLocalities : sources.healthyLocalities
      const index = scheduler === null ? -1 : this.nextLocality(scheduler, p, degraded)
      if (index >= 0) return (degraded ? sources.degradedByLocality : sources.healthyByLocality)[index]!
    } else if (p === 0) {
      const index = this.zone.choose(this.set!.sets[0]!)
      if (index === -2) return null
      if (index >= 0) return (degraded ? sources.degradedByLocality : sources.healthyByLocality)[index]!
    }
    return degraded ? sources.degraded : sources.healthy
  }

  private nextLocality(scheduler: EdfScheduler<number>, p: number, degraded: boolean): number {
    const index = scheduler.peek()
    if (index === undefined) return -1
    const locality = this.set!.sets[p]!.localities[index]!
    const usable = degraded ? locality.degraded.length : locality.healthy.length
    scheduler.reinsert(effectiveLocalityWeight(locality, usable, this.set!.overprovisioningFactor))
    return index
  }

  private updatePriority(p: number, set: HostSet, overprovisioning: number): void {
    let s = this.sources[p]
    if (s === undefined) {
      s = {
        all: this.newSource(),
        healthy: this.newSource(),
        degraded: this.newSource(),
        healthyByLocality: [],
        degradedByLocality: [],
        healthyLocalities: null,
        degradedLocalities: null,
      }
      this.sources[p] = s
    }
    this.setHosts(s.all, set.hosts)
    this.setHosts(s.healthy, set.healthyHosts)
    this.setHosts(s.degraded, set.degradedHosts)
    const needsLocalities = this.services.config.localityWeighted || p === 0
    const n = needsLocalities ? set.localities.length : 0
    s.healthyByLocality.length = Math.min(s.healthyByLocality.length, n)
    s.degradedByLocality.length = Math.min(s.degradedByLocality.length, n)
    for (let i = 0; i < n; i++) {
      s.healthyByLocality[i] ??= this.newSource()
      s.degradedByLocality[i] ??= this.newSource()
      this.setHosts(s.healthyByLocality[i]!, set.localities[i]!.healthy)
      this.setHosts(s.degradedByLocality[i]!, set.localities[i]!.degraded)
    }
    if (!this.services.config.localityWeighted) return
    s.healthyLocalities = this.localityScheduler(set, false, overprovisioning)
    s.degradedLocalities = this.localityScheduler(set, true, overprovisioning)
  }

  private localityScheduler(set: HostSet, degraded: boolean, overprovisioning: number): EdfScheduler<number> | null {
    const scheduler = new EdfScheduler<number>()
    for (let i = 0; i < set.localities.length; i++) {
      const l = set.localities[i]!
      const weight = effectiveLocalityWeight(l, degraded ? l.degraded.length : l.healthy.length, overprovisioning)
      if (weight > 0) scheduler.add(i, weight)
    }
    return scheduler.size === 0 ? null : scheduler
  }

  private newSource(): HostSource {
    return new HostSource(this.services.random.next32())
  }

  private setHosts(source: HostSource, hosts: readonly WorkerHost[]): void {
    source.hosts = hosts
    this.refresh(source)
  }
}
