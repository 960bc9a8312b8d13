import type { envoy } from '../../../src/config/gen/messages.d.ts'
import type { WorkerCluster } from '../../../src/upstream/cluster.ts'
import type { AssignmentConfig, ClusterConfig } from '../../../src/upstream/cluster-config.ts'
import { WorkerClusterManager } from '../../../src/upstream/cluster-manager.ts'
import type { MetHost } from '../../../src/upstream/host.ts'
import { edsHealthBits, type HostsUpdate } from '../../../src/upstream/host.ts'
import type { EjectionRequest } from '../../../src/upstream/outlier-monitor.ts'
import {
  CLUSTER_BLOCK,
  ClusterCell,
  HOST_BLOCK,
  type SharedBlock,
  SharedPages,
  SharedStateAllocator,
} from '../../../src/upstream/shared-state.ts'
import { ANY_REQUEST, HostCell, type PickContext } from '../../../src/upstream/upstream.ts'
import { FakeConnector, FakeRandom, FakeStats, FakeTimers, noRuntime, parse, TestCodecs } from './fakes.ts'

export const anyRequest = ANY_REQUEST

export function withHash(hash: bigint): PickContext {
  return { ...anyRequest, hash }
}

/** One cluster on one worker, and the part of main that gives it hosts. */
export class TestWorld {
  readonly config: ClusterConfig
  readonly timers = new FakeTimers()
  readonly connector = new FakeConnector()
  readonly codecs = new TestCodecs()
  readonly stats = new FakeStats()
  readonly met: { cluster: string; met: readonly MetHost[]; gone: readonly string[] }[] = []
  readonly ejections: EjectionRequest[] = []
  readonly allocator = new SharedStateAllocator(1)
  readonly pages = new SharedPages()
  readonly block: SharedBlock
  readonly manager: WorkerClusterManager
  readonly cluster: WorkerCluster
  private readonly blocks = new Map<string, SharedBlock>()

  constructor(proto: envoy.config.cluster.v3.Cluster, random = new FakeRandom(0), runtime = noRuntime) {
    this.config = parse(proto)
    this.block = this.allocator.allocate(CLUSTER_BLOCK)
    this.pages.add(this.allocator.view(0, 0))
    this.manager = new WorkerClusterManager(
      {
        load: name =>
          name === this.config.name
            ? {
                config: structuredClone(this.config),
                hosts: this.config.assignment === null ? null : structuredClone(this.update(this.config.assignment)),
                block: this.block,
              }
            : null,
      },
      {
        timers: this.timers,
        random,
        runtime,
        stats: this.stats,
        connector: this.connector,
        codecs: this.codecs,
        pages: this.pages,
        locality: null,
        hostsMet: (cluster, met, gone) => void this.met.push({ cluster, met, gone }),
        requestEjection: r => void this.ejections.push(r),
        networkFilter: () => ({ onConnected: () => undefined }),
      },
      '',
    )
    this.cluster = this.manager.get(this.config.name)!
  }

  readonly clusterStats = (name: string): number => this.stats.get(`cluster.${this.config.statsName}.${name}`)

  taken(kind: number, priority = 0): number {
    return this.allocator.cells(this.block).load(ClusterCell.Limits + priority * 5 + kind)
  }

  /** Hosts keep their identity by address, as on main. */
  update(a: AssignmentConfig): HostsUpdate {
    return {
      localities: a.localities.map(l => ({
        ...l,
        hosts: l.hosts.map(h => {
          let block = this.blocks.get(h.address.text)
          if (block === undefined) {
            block = this.allocator.allocate(HOST_BLOCK)
            this.blocks.set(h.address.text, block)
          }
          this.allocator.cells(block).store(HostCell.Health, edsHealthBits(h.healthStatus))
          return { ...h, block }
        }),
      })),
      overprovisioningFactor: a.overprovisioningFactor,
      weightedPriorityHealth: a.weightedPriorityHealth,
      dropOverloads: a.dropOverloads,
    }
  }

  publish(hosts: readonly envoy.config.endpoint.v3.LbEndpoint[]): void {
    this.publishLocalities([{ lb_endpoints: hosts }])
  }

  publishLocalities(endpoints: readonly envoy.config.endpoint.v3.LocalityLbEndpoints[]): void {
    const config = parse({ name: 'x', type: 'STATIC', load_assignment: { cluster_name: 'x', endpoints } })
    this.manager.onHosts(this.config.name, structuredClone(this.update(config.assignment!)))
  }

  setHealth(address: string, bits: number): void {
    this.allocator.cells(this.blocks.get(address)!).store(HostCell.Health, bits)
    this.allocator.cells(this.block).add(ClusterCell.Generation, 1)
  }
}
