import type { WorkerHost } from '../host.ts'
import type { BalancerServices } from './balancer.ts'
import type { HashTable, WeightedHost } from './hashing.ts'
import { MersenneTwister } from './mersenne-twister.ts'

/**
 * Consistent hashing with bounded loads: a host above `balanceFactor` per cent of its fair share of the active requests is
 * passed over; the next ones are tried in an order that depends on the hash alone (BoundedLoadHashingLoadBalancer).
 */
export class BoundedLoadTable implements HashTable {
  private readonly table: HashTable
  private readonly hosts: readonly WeightedHost[]
  private readonly weights = new Map<WorkerHost, number>()
  private readonly factor: number
  private readonly services: BalancerServices

  constructor(table: HashTable, hosts: readonly WeightedHost[], factor: number, services: BalancerServices) {
    this.table = table
    this.hosts = hosts
    this.factor = factor
    this.services = services
    for (const h of hosts) this.weights.set(h.host, h.weight)
  }

  choose(hash: bigint, attempt: number): WorkerHost | null {
    const first = this.table.choose(hash, attempt)
    if (first === null) return null
    const slots = Math.floor(((this.services.clusterActiveRequests() + 1) * this.factor + 99) / 100)
    let least = overload(first, this.weights.get(first)!, slots)
    if (least <= 1) return first
    let best = first
    const n = this.hosts.length
    const order = new Uint32Array(n)
    for (let i = 0; i < n; i++) order[i] = i
    // std::mt19937 seeded with the hash, cut to 32 bits as its constructor does: all proxies try the same order.
    const twister = new MersenneTwister(Number(hash & 0xffffffffn))
    for (let i = 0; i < n; i++) {
      const j = twister.below(n - i)
      const swapped = order[i]!
      order[i] = order[i + j]!
      order[i + j] = swapped
      const candidate = this.hosts[order[i]!]!
      if (candidate.host === first) continue
      const load = overload(candidate.host, candidate.weight, slots)
      if (load <= 1) return candidate.host
      if (least > load) {
        best = candidate.host
        least = load
      }
    }
    return best
  }
}

function overload(host: WorkerHost, weight: number, totalSlots: number): number {
  return host.activeRequests() / Math.max(Math.ceil(totalSlots * weight), 1)
}
