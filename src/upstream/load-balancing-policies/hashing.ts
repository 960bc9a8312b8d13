import type { WorkerHost } from '../host.ts'
import type { HostSet, PrioritySet } from '../host-set.ts'
import { choosePriority, computePriorityLoads, DEGRADED_CHOICE, type PriorityLoads } from '../priority-load.ts'
import type { PickContext } from '../upstream.ts'
import type { Balancer, BalancerServices } from './balancer.ts'
import { BoundedLoadTable } from './bounded-load.ts'

/** A host and its share of the traffic of its priority; all shares together are 1. */
export interface WeightedHost {
  readonly host: WorkerHost
  readonly weight: number
}

/** A ring or a Maglev table. `attempt` 0, 1, … for retries that reject hosts. */
export interface HashTable {
  choose(hash: bigint, attempt: number): WorkerHost | null
}

/** The key of a host: `envoy.lb` metadata `hash_key`, its host name when so configured, or its address (hashKey()). */
export function hashKey(host: WorkerHost, useHostname: boolean): string {
  const lb = host.metadata?.['envoy.lb'] as Record<string, unknown> | undefined
  const key = lb?.['hash_key']
  if (typeof key === 'string' && key !== '') return key
  return useHostname ? host.hostname : host.address.text
}

/**
 * Ring hash and Maglev (ThreadAwareLoadBalancerBase): one table per priority over its healthy hosts, or all of them in
 * panic. Built when it is first needed after a change: ten thousand clusters rarely all take traffic.
 */
export abstract class HashingBalancer implements Balancer {
  protected readonly services: BalancerServices
  private readonly balanceFactor: number
  private set: PrioritySet | null = null
  private loads: PriorityLoads = { healthy: [100], degraded: [0], panic: [false], health: [100], degradedHealth: [0] }
  private tables: (HashTable | null | undefined)[] = []

  constructor(services: BalancerServices, balanceFactor: number) {
    this.services = services
    this.balanceFactor = balanceFactor
  }

  protected abstract build(hosts: readonly WeightedHost[], minWeight: number, maxWeight: number): HashTable

  update(set: PrioritySet): void {
    this.set = set
    const threshold = this.services.runtime.integer(
      'upstream.healthy_panic_threshold',
      this.services.config.healthyPanicThreshold,
    )
    this.loads = computePriorityLoads(set.sets, set.overprovisioningFactor, set.weightedPriorityHealth, threshold)
    this.tables = new Array(set.sets.length).fill(undefined)
  }

  pick(context: PickContext | null): WorkerHost | null {
    if (this.set === null) return null
    const given = context?.hash ?? null
    const random = this.services.random
    const hash = given ?? (BigInt(random.next32()) << 32n) | BigInt(random.next32())
    // The hash also chooses the priority, so that one key stays in one priority.
    const chosen = choosePriority(Number(hash % 100n), this.loads.healthy, this.loads.degraded)
    // There is no table of degraded hosts in Envoy either: it uses the priority's table.
    const p = chosen >= DEGRADED_CHOICE ? chosen - DEGRADED_CHOICE : chosen
    if (this.loads.panic[p] === true) this.services.stats.lbHealthyPanic.inc()
    const table = this.table(p)
    if (table === null) return null
    const attempts = context === null ? 1 : Math.max(1, context.maxHostSelections)
    let host: WorkerHost | null = null
    for (let i = 0; i < attempts; i++) {
      host = table.choose(hash, i)
      if (host === null || context === null || !context.rejectHost(host)) return host
    }
    return host
  }

  private table(p: number): HashTable | null {
    const ready = this.tables[p]
    if (ready !== undefined) return ready
    const set = this.set!.sets[p]
    const hosts = set === undefined ? [] : this.normalize(set, this.loads.panic[p] === true)
    let table: HashTable | null = null
    if (hosts.length > 0) {
      let min = 1
      let max = 0
      for (const h of hosts) {
        min = Math.min(min, h.weight)
        max = Math.max(max, h.weight)
      }
      table = this.build(hosts, min, max)
      if (this.balanceFactor > 0) table = new BoundedLoadTable(table, hosts, this.balanceFactor, this.services)
    }
    this.tables[p] = table
    return table
  }

  /** Weights of hosts (and of localities, under locality weighting) as shares of 1; the order of hosts is kept. */
  private normalize(set: HostSet, panic: boolean): WeightedHost[] {
    const out: WeightedHost[] = []
    if (!this.services.config.localityWeighted) {
      appendShares(out, panic ? set.hosts : set.healthyHosts, 1)
      return out
    }
    let sum = 0
    for (const l of set.localities) sum += l.weight
    if (sum === 0) return out
    for (const l of set.localities) {
      if (l.weight !== 0) appendShares(out, panic ? l.hosts : l.healthy, l.weight / sum)
    }
    return out
  }
}

function appendShares(out: WeightedHost[], hosts: readonly WorkerHost[], share: number): void {
  let sum = 0
  for (const h of hosts) sum += h.weight
  for (const h of hosts) out.push({ host: h, weight: (h.weight * share) / sum })
}
