import type { WorkerHost } from '../host.ts'
import { type HostSource, LocalityAwareBalancer } from './locality-aware.ts'

/** envoy.load_balancing_policies.random: weights are ignored, as in Envoy. */
export class RandomBalancer extends LocalityAwareBalancer {
  protected override refresh(_source: HostSource): void {}

  protected override choose(source: HostSource): WorkerHost {
    return source.hosts[this.services.random.next32() % source.hosts.length]!
  }
}
