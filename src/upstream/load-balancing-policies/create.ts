import type { Balancer, BalancerServices } from './balancer.ts'
import { LeastRequestBalancer } from './least-request.ts'
import { MaglevBalancer } from './maglev.ts'
import { RandomBalancer } from './random.ts'
import { RingHashBalancer } from './ring-hash.ts'
import { RoundRobinBalancer } from './round-robin.ts'

/** The balancer of a cluster; ORIGINAL_DST (`cluster_provided`) chooses its hosts itself. */
export function createBalancer(services: BalancerServices): Balancer {
  const policy = services.config.policy
  switch (policy.kind) {
    case 'round_robin':
      return new RoundRobinBalancer(services, policy.slowStart)
    case 'least_request':
      return new LeastRequestBalancer(services, policy)
    case 'random':
      return new RandomBalancer(services)
    case 'ring_hash':
      return new RingHashBalancer(services, policy)
    case 'maglev':
      return new MaglevBalancer(services, policy)
    case 'cluster_provided':
      throw new Error('the cluster provides its load balancer')
  }
}
