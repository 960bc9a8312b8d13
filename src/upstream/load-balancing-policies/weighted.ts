import type { SlowStartConfig } from '../cluster-config.ts'
import { Health, type WorkerHost } from '../host.ts'
import type { PrioritySet } from '../host-set.ts'
import type { BalancerServices } from './balancer.ts'
import { EdfScheduler } from './edf-scheduler.ts'
import { type HostSource, LocalityAwareBalancer } from './locality-aware.ts'

/**
 * Round robin and least request: unweighted picks while all weights of a list are equal, an EDF schedule otherwise or while
 * hosts are in slow start (EdfLoadBalancerBase).
 */
export abstract class WeightedBalancer extends LocalityAwareBalancer {
  private readonly slowStart: SlowStartConfig | null
  /** When the last host that is still warming became healthy. */
  private latestStart = Number.NEGATIVE_INFINITY

  constructor(services: BalancerServices, slowStart: SlowStartConfig | null) {
    super(services)
    this.slowStart = slowStart
  }

  /** Weight of a host now, before slow start; above 0. */
  protected abstract baseWeight(host: WorkerHost): number
  protected abstract chooseUnweighted(source: HostSource): WorkerHost

  override update(set: PrioritySet): void {
    if (this.slowStart !== null) this.noteStarts(set)
    super.update(set)
  }

  protected override choose(source: HostSource): WorkerHost {
    const scheduler = source.scheduler
    if (scheduler === null) return this.chooseUnweighted(source)
    const host = scheduler.peek()!
    scheduler.reinsert(this.weight(host))
    return host
  }

  protected override refresh(source: HostSource): void {
    const hosts = source.hosts
    source.scheduler = null
    if (hosts.length <= 1 || (weightsAreEqual(hosts) && !this.isWarming())) return
    const scheduler = new EdfScheduler<WorkerHost>()
    for (const h of hosts) scheduler.add(h, this.weight(h))
    // A random start, so that workers and proxies do not all begin with the same host.
    for (let i = this.services.random.next32() % hosts.length; i > 0; i--)
      scheduler.reinsert(this.weight(scheduler.peek()!))
    source.scheduler = scheduler
  }

  private weight(host: WorkerHost): number {
    const base = this.baseWeight(host)
    return this.slowStart !== null && this.isWarming() ? base * this.slowStartFactor(host, this.slowStart) : base
  }

  private isWarming(): boolean {
    return this.slowStart !== null && this.services.timers.now() - this.latestStart <= this.slowStart.window
  }

  private noteStarts(set: PrioritySet): void {
    const now = this.services.timers.now()
    for (const s of set.sets) {
      for (const h of s.hosts) {
        if (h.health() !== Health.Healthy) h.healthySince = -1
        else if (h.healthySince < 0) h.healthySince = now
        if (h.healthySince > this.latestStart && now - h.healthySince <= this.slowStart!.window) {
          this.latestStart = h.healthySince
        }
      }
    }
  }

  /** applySlowStartFactor: (time/window)^(1/aggression), not below the minimum. */
  private slowStartFactor(host: WorkerHost, config: SlowStartConfig): number {
    if (host.healthySince < 0) return 1
    const time = this.services.timers.now() - host.healthySince
    if (time >= config.window) return 1
    let aggression = this.services.runtime.double(config.aggression.key, config.aggression.value)
    if (!(aggression > 0)) aggression = 1
    return Math.max((Math.max(1, time) / config.window) ** (1 / aggression), config.minWeight)
  }
}

function weightsAreEqual(hosts: readonly WorkerHost[]): boolean {
  const first = hosts[0]!.weight
  for (let i = 1; i < hosts.length; i++) if (hosts[i]!.weight !== first) return false
  return true
}
