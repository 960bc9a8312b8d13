import type { Address } from '../io/connection.ts'
import type { DropOverload, HealthStatus, HostConfig } from './cluster-config.ts'
import type { UpstreamConnectOptions } from './connector.ts'
import type { HostPools } from './host-pools.ts'
import type { SharedBlock, SharedCells } from './shared-state.ts'
import { type Cluster, type Host, HostCell, HostHealth } from './upstream.ts'

/** A host as main publishes it: its configuration and where its shared cells are. Cloneable. */
export interface PublishedHost extends HostConfig {
  readonly block: SharedBlock
}

/** One locality of a priority as published. Cloneable. */
export interface PublishedLocality {
  readonly region: string
  readonly zone: string
  readonly subZone: string
  readonly priority: number
  readonly weight: number
  readonly hosts: readonly PublishedHost[]
}

/** All hosts of a cluster as main publishes them, whole, on every change. Cloneable. */
export interface HostsUpdate {
  readonly localities: readonly PublishedLocality[]
  readonly overprovisioningFactor: number
  readonly weightedPriorityHealth: boolean
  readonly dropOverloads: readonly DropOverload[]
}

/** A host of an ORIGINAL_DST cluster, which the worker found by itself. Cloneable. */
export interface MetHost {
  readonly address: Address
  readonly hostname: string
  /** Its cells over `HostCell` for what is taken, then as many for what was counted: those of this worker. */
  readonly cells: SharedArrayBuffer
}

export const Health = { Healthy: 0, Degraded: 1, Unhealthy: 2 } as const
export type Health = 0 | 1 | 2

const UNHEALTHY = HostHealth.FailedActive | HostHealth.FailedOutlier | HostHealth.FailedEds | HostHealth.EdsDraining
const DEGRADED = HostHealth.DegradedActive | HostHealth.DegradedEds
const FAILED = HostHealth.FailedActive | HostHealth.FailedOutlier
const EXCLUDED = HostHealth.PendingActive | HostHealth.ExcludedImmediate | HostHealth.EdsDraining

/** Host::coarseHealth over the flag bits. */
export function coarseHealth(flags: number): Health {
  if ((flags & UNHEALTHY) !== 0) return Health.Unhealthy
  return (flags & DEGRADED) !== 0 ? Health.Degraded : Health.Healthy
}

/** Hosts that do not count when a priority's health is computed (excludeBasedOnHealthFlag). */
export function isExcluded(flags: number): boolean {
  return (flags & EXCLUDED) !== 0
}

/** The bits `health_status` of an endpoint sets. */
export function edsHealthBits(status: HealthStatus): number {
  switch (status) {
    case 'UNHEALTHY':
    case 'TIMEOUT':
      return HostHealth.FailedEds
    case 'DRAINING':
      return HostHealth.EdsDraining
    case 'DEGRADED':
      return HostHealth.DegradedEds
    default:
      return 0
  }
}

export const EDS_BITS = HostHealth.FailedEds | HostHealth.EdsDraining | HostHealth.DegradedEds

export interface HostConnection {
  close(): void
}

/** A host on a worker. Weight, metadata and place may change with an update, its identity does not. */
export class WorkerHost implements Host {
  readonly cluster: Cluster
  readonly address: Address
  readonly cells: SharedCells
  readonly block: SharedBlock
  hostname: string
  weight: number
  priority: number
  region: string
  zone: string
  subZone: string
  metadata: Readonly<Record<string, unknown>> | null
  healthStatus: HealthStatus
  /** Set by the cluster when the first pool is needed. */
  pools: HostPools | null = null
  /** Counts updates: what was made of hostname and metadata before is to be made anew. */
  revision = 0
  /** How to connect for TCP users; made with the first connection after an update. */
  tcpOptions: UpstreamConnectOptions | null = null
  /** When this worker first saw it healthy, for slow start; -1 = not healthy. */
  healthySince = -1
  /** What had failed when it was last looked at: bits of FAILED. */
  private failed = 0
  private readonly tcp = new Set<HostConnection>()

  constructor(cluster: Cluster, published: PublishedHost, cells: SharedCells) {
    this.cluster = cluster
    this.address = published.address
    this.block = published.block
    this.cells = cells
    this.hostname = published.hostname
    this.weight = published.weight
    this.priority = published.priority
    this.region = published.region
    this.zone = published.zone
    this.subZone = published.subZone
    this.metadata = published.metadata
    this.healthStatus = published.healthStatus
    this.failed = this.flags() & FAILED
  }

  /** Health checks or outlier detection have taken it out since this was last asked. */
  failsAnew(): boolean {
    const before = this.failed
    this.failed = this.flags() & FAILED
    return (this.failed & ~before) !== 0
  }

  /** Connections of tcp_proxy and the like, to be closed when the host goes and is to take them along. */
  addTcp(c: HostConnection): void {
    this.tcp.add(c)
  }

  removeTcp(c: HostConnection): void {
    this.tcp.delete(c)
  }

  /** It has connections, or somebody waits for one. */
  get inUse(): boolean {
    return this.tcp.size > 0 || this.pools?.inUse === true
  }

  closeTcp(): void {
    for (const c of [...this.tcp]) c.close()
  }

  update(published: PublishedHost): void {
    this.revision++
    this.tcpOptions = null
    this.hostname = published.hostname
    this.weight = published.weight
    this.priority = published.priority
    this.region = published.region
    this.zone = published.zone
    this.subZone = published.subZone
    this.metadata = published.metadata
    this.healthStatus = published.healthStatus
  }

  flags(): number {
    return this.cells.load(HostCell.Health)
  }

  health(): Health {
    return coarseHealth(this.cells.load(HostCell.Health))
  }

  activeRequests(): number {
    return this.cells.load(HostCell.ActiveRequests)
  }
}
