import type { Clock } from '../../../src/base/clock.ts'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { ClusterHosts } from '../../../src/upstream/cluster-hosts.ts'
import type { HostsUpdate } from '../../../src/upstream/host.ts'
import { CLUSTER_BLOCK, SharedStateAllocator } from '../../../src/upstream/shared-state.ts'
import { FakeConnector, FakeRandom, FakeStats, FakeTimers, noRuntime, parse, TestCodecs } from './fakes.ts'

/** Main's side of one cluster. */
export class MainWorld {
  readonly timers = new FakeTimers()
  readonly clock: Clock = { now: () => this.timers.now(), wall: () => 0 }
  readonly random = new FakeRandom(0)
  readonly stats = new FakeStats()
  readonly connector = new FakeConnector()
  readonly codecs = new TestCodecs()
  readonly runtime = noRuntime
  readonly allocator = new SharedStateAllocator(2)
  readonly published: HostsUpdate[] = []
  readonly events: string[] = []
  readonly hosts: ClusterHosts
  healthChanges = 0

  constructor(proto: envoy.config.cluster.v3.Cluster) {
    this.hosts = new ClusterHosts(
      parse(proto),
      this.allocator.allocate(CLUSTER_BLOCK),
      this.allocator,
      {
        publish: (_name, update) => void this.published.push(structuredClone(update)),
        healthChanged: () => void this.healthChanges++,
      },
      this.stats,
    )
  }

  logEvent(_path: string, line: string): void {
    this.events.push(line)
  }

  readonly get = (name: string): number => this.stats.get(`cluster.${this.hosts.config.statsName}.${name}`)

  get addresses(): string[] {
    return this.published.at(-1)?.localities.flatMap(l => l.hosts.map(h => h.address.text)) ?? []
  }
}
