import { xxHash64Modulo } from '../../base/xxhash64.ts'
import type { LbPolicy } from '../cluster-config.ts'
import type { WorkerHost } from '../host.ts'
import type { BalancerServices } from './balancer.ts'
import { HashingBalancer, type HashTable, hashKey, type WeightedHost } from './hashing.ts'

type Config = Extract<LbPolicy, { kind: 'maglev' }>

/** envoy.load_balancing_policies.maglev */
export class MaglevBalancer extends HashingBalancer {
  private readonly config: Config

  constructor(services: BalancerServices, config: Config) {
    super(services, config.balanceFactor)
    this.config = config
  }

  protected override build(hosts: readonly WeightedHost[], _minWeight: number, maxWeight: number): HashTable {
    return new MaglevTable(hosts, maxWeight, this.config)
  }
}

const MASK = 0xffffffffffffffffn

/** Listing 1 of the Maglev paper with Envoy's weights: hosts in the order of their keys take turns in their own permutation. */
export class MaglevTable implements HashTable {
  private readonly hosts: WorkerHost[] = []
  private readonly table: Uint16Array | Uint32Array
  private readonly size: bigint

  constructor(weighted: readonly WeightedHost[], maxWeight: number, config: Config) {
    const size = config.tableSize
    this.size = BigInt(size)
    const n = weighted.length
    const keys = weighted.map(w => hashKey(w.host, config.useHostname))
    // Envoy sorts bytes; keys are ASCII.
    const order = Array.from(keys.keys()).sort((a, b) => (keys[a]! < keys[b]! ? -1 : keys[a]! > keys[b]! ? 1 : a - b))
    const position = new Float64Array(n)
    const skip = new Float64Array(n)
    const weight = new Float64Array(n)
    for (let i = 0; i < n; i++) {
      const key = keys[order[i]!]!
      position[i] = xxHash64Modulo(key, 0, size)
      skip[i] = xxHash64Modulo(key, 1, size - 1) + 1
      weight[i] = weighted[order[i]!]!.weight
      this.hosts.push(weighted[order[i]!]!.host)
    }
    // n hosts, and n itself for an empty place.
    this.table = n < 65535 ? new Uint16Array(size).fill(n) : new Uint32Array(size).fill(n)
    fill(this.table, n, size, position, skip, weight, maxWeight)
  }

  choose(hash: bigint, attempt: number): WorkerHost | null {
    // Retries flip many bits: neighbouring attempts must not share a host more often than chance has it.
    const h = attempt > 0 ? (hash ^ (MASK - BigInt(attempt) + 1n)) & MASK : hash
    return this.hosts[this.table[Number(h % this.size)]!] ?? null
  }
}

function fill(
  table: Uint16Array | Uint32Array,
  n: number,
  size: number,
  position: Float64Array,
  skip: Float64Array,
  weight: Float64Array,
  maxWeight: number,
): void {
  const targets = new Float64Array(n)
  let filled = 0
  for (let iteration = 1; filled < size; iteration++) {
    for (let i = 0; i < n && filled < size; i++) {
      // The heaviest host takes a place in every round, one of a third of its weight in every third.
      if (iteration * weight[i]! < targets[i]!) continue
      targets[i] = targets[i]! + maxWeight
      let c = position[i]!
      while (table[c] !== n) {
        c += skip[i]!
        if (c >= size) c -= size
      }
      table[c] = i
      c += skip[i]!
      position[i] = c >= size ? c - size : c
      filled++
    }
  }
}
