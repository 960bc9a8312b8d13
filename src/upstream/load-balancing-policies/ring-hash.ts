import { murmurHash2 } from '../../base/murmur.ts'
import { xxHash64 } from '../../base/xxhash64.ts'
import type { LbPolicy } from '../cluster-config.ts'
import type { WorkerHost } from '../host.ts'
import type { BalancerServices } from './balancer.ts'
import { HashingBalancer, type HashTable, hashKey, type WeightedHost } from './hashing.ts'

type Config = Extract<LbPolicy, { kind: 'ring_hash' }>

/** envoy.load_balancing_policies.ring_hash (ketama). */
export class RingHashBalancer extends HashingBalancer {
  private readonly config: Config

  constructor(services: BalancerServices, config: Config) {
    super(services, config.balanceFactor)
    this.config = config
  }

  protected override build(hosts: readonly WeightedHost[], minWeight: number): HashTable {
    return new Ring(hosts, minWeight, this.config)
  }
}

/** Points on the ring, sorted by hash; equal hashes keep the order of hosts. */
export class Ring implements HashTable {
  private readonly hashes: BigUint64Array
  private readonly owners: WorkerHost[]

  constructor(hosts: readonly WeightedHost[], minWeight: number, config: Config) {
    // The least-weighted host gets a whole number of points; others need not.
    const scale = Math.min(Math.ceil(minWeight * config.minimumRingSize) / minWeight, config.maximumRingSize)
    const hashes: bigint[] = []
    const owners: WorkerHost[] = []
    let target = 0
    for (const h of hosts) {
      const prefix = `${hashKey(h.host, config.useHostname)}_`
      target += scale * h.weight
      for (let i = 0; hashes.length < target; i++) {
        hashes.push(config.murmur ? murmurHash2(prefix + i) : xxHash64(prefix + i))
        owners.push(h.host)
      }
    }
    const order = Uint32Array.from(hashes.keys()).sort((a, b) =>
      hashes[a]! < hashes[b]! ? -1 : hashes[a]! > hashes[b]! ? 1 : a - b,
    )
    this.hashes = BigUint64Array.from(order, i => hashes[i]!)
    this.owners = Array.from(order, i => owners[i]!)
  }

  /** The first point at or after `hash`, around the ring; each further attempt takes the next point. */
  choose(hash: bigint, attempt: number): WorkerHost | null {
    const n = this.owners.length
    if (n === 0) return null
    let low = 0
    let high = n
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.hashes[middle]! < hash) low = middle + 1
      else high = middle
    }
    return this.owners[(low + attempt) % n]!
  }

  get size(): number {
    return this.owners.length
  }
}
