import type { LbPolicy, RuntimeNumber } from '../cluster-config.ts'
import type { WorkerHost } from '../host.ts'
import type { BalancerServices } from './balancer.ts'
import type { HostSource } from './locality-aware.ts'
import { WeightedBalancer } from './weighted.ts'

type Config = Extract<LbPolicy, { kind: 'least_request' }>

/** envoy.load_balancing_policies.least_request: the least busy of N random hosts; weighted hosts by EDF over their load. */
export class LeastRequestBalancer extends WeightedBalancer {
  private readonly choiceCount: number
  private readonly fullScan: boolean
  private readonly biasConfig: RuntimeNumber
  private bias: number

  constructor(services: BalancerServices, config: Config) {
    super(services, config.slowStart)
    this.choiceCount = config.choiceCount
    this.fullScan = config.fullScan
    this.biasConfig = config.activeRequestBias
    this.bias = 1
  }

  protected override refresh(source: HostSource): void {
    const bias = this.services.runtime.double(this.biasConfig.key, this.biasConfig.value)
    this.bias = bias >= 0 ? bias : 1
    super.refresh(source)
  }

  /** weight / (active requests + 1)^bias */
  protected override baseWeight(host: WorkerHost): number {
    if (this.bias === 0) return host.weight
    const active = host.activeRequests() + 1
    return host.weight / (this.bias === 1 ? active : active ** this.bias)
  }

  protected override chooseUnweighted(source: HostSource): WorkerHost {
    const hosts = source.hosts
    const random = this.services.random
    if (this.fullScan) return this.scan(hosts)
    let best = hosts[random.next32() % hosts.length]!
    let bestActive = best.activeRequests()
    for (let i = 1; i < this.choiceCount; i++) {
      const other = hosts[random.next32() % hosts.length]!
      const active = other.activeRequests()
      if (active < bestActive) {
        best = other
        bestActive = active
      }
    }
    return best
  }

  /** The least busy of all, ties broken at random (reservoir sampling). */
  private scan(hosts: readonly WorkerHost[]): WorkerHost {
    let best = hosts[0]!
    let bestActive = best.activeRequests()
    let ties = 1
    for (let i = 1; i < hosts.length; i++) {
      const active = hosts[i]!.activeRequests()
      if (active < bestActive) {
        best = hosts[i]!
        bestActive = active
        ties = 1
      } else if (active === bestActive && this.services.random.next32() % ++ties === 0) {
        best = hosts[i]!
      }
    }
    return best
  }
}
