import type { SlowStartConfig } from '../cluster-config.ts'
import type { WorkerHost } from '../host.ts'
import type { BalancerServices } from './balancer.ts'
import type { HostSource } from './locality-aware.ts'
import { WeightedBalancer } from './weighted.ts'

/** envoy.load_balancing_policies.round_robin; each worker walks the hosts on its own, from a random start, as in Envoy. */
export class RoundRobinBalancer extends WeightedBalancer {
  constructor(services: BalancerServices, slowStart: SlowStartConfig | null) {
    super(services, slowStart)
  }

  protected override baseWeight(host: WorkerHost): number {
    return host.weight
  }

  protected override chooseUnweighted(source: HostSource): WorkerHost {
    const position = source.position
    source.position = (position + 1) >>> 0
    return source.hosts[position % source.hosts.length]!
  }
}
