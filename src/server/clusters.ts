import type { Log } from '../base/log.ts'
import { type ClusterParser, parseCluster } from '../config/cluster.ts'
import type { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { findFactory, parseAny, unregistered } from '../config/registry.ts'
import type { StatsStore } from '../stats/store.ts'
import type { AssignmentConfig, ClusterConfig, HostConfig, TransportSocketConfig } from '../upstream/cluster-config.ts'
import { edsHealthBits, type HostsUpdate, type PublishedHost } from '../upstream/host.ts'
import { CLUSTER_BLOCK, HOST_BLOCK, type SharedBlock, type SharedStateAllocator } from '../upstream/shared-state.ts'
import { HostCell } from '../upstream/upstream.ts'
import type { PublishedCluster } from '../worker/messages.ts'
import type { Kept } from './kept.ts'
import { publish } from './publisher.ts'
import { CLUSTER_STATS } from './stat-names.ts'

type ClusterProto = envoy.config.cluster.v3.Cluster
type TransportSocketProto = envoy.config.core.v3.TransportSocket

const RAW_BUFFER = 'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer'

/** What the parser of clusters needs from the registries of extensions. */
export function clusterParser(log: Log): ClusterParser {
  const warnings: string[] = []
  return {
    transportSocket(proto: TransportSocketProto, at: FieldPath): TransportSocketConfig {
      const name = proto.name ?? ''
      if (proto.typed_config === undefined) {
        // Envoy finds raw_buffer by name when nothing is configured (config_utility, getAndCheckFactory).
        if (name === 'envoy.transport_sockets.raw_buffer') return { name, typeUrl: RAW_BUFFER, config: null }
        throw unregistered('envoy.transport_sockets.upstream', name, '', at.field('typed_config'))
      }
      const parsed = parseAny(
        proto.typed_config,
        'envoy.transport_sockets.upstream',
        name,
        at.field('typed_config'),
        warnings,
      )
      for (const text of warnings.splice(0)) log.warning(text)
      return { name, typeUrl: parsed.typeUrl, config: parsed.config }
    },
    supportsAlpn: socket => socket.typeUrl.endsWith('UpstreamTlsContext'),
    httpFilters(protos, at) {
      return protos.map((filter, i) => {
        const place = at.index(i).field('typed_config')
        if (findFactory('envoy.filters.http.upstream', '') === null && filter.name === undefined) return null
        return parseAny(filter.typed_config, 'envoy.filters.http.upstream', filter.name ?? '', place, warnings)
      })
    },
    warn: text => log.warning(text),
  }
}

export type ClusterState = 'warming' | 'active'

/** A cluster on main: its configuration as published, its hosts and their shared cells. */
export class MainCluster {
  readonly config: ClusterConfig
  readonly block: SharedBlock
  readonly version: string
  readonly viaApi: boolean
  /** As configured, for /config_dump. */
  readonly kept: Kept
  state: ClusterState = 'warming'
  hosts: HostsUpdate | null = null
  readonly #allocator: SharedStateAllocator
  readonly #stats: StatsStore
  #published: PublishedCluster | null = null
  /** Identity of a host: its address, within its priority's cluster. */
  readonly #blocks = new Map<string, SharedBlock>()

  constructor(
    config: ClusterConfig,
    version: string,
    viaApi: boolean,
    kept: Kept,
    allocator: SharedStateAllocator,
    stats: StatsStore,
    predecessor: MainCluster | null,
  ) {
    this.config = config
    this.version = version
    this.viaApi = viaApi
    this.kept = kept
    this.#allocator = allocator
    this.#stats = stats
    this.block = predecessor?.block ?? allocator.allocate(CLUSTER_BLOCK)
    if (predecessor !== null) for (const [key, block] of predecessor.#blocks) this.#blocks.set(key, block)
  }

  get statsPrefix(): string {
    return `cluster.${this.config.statsName}.`
  }

  published(): PublishedCluster {
    this.#published ??= { ...publish(this.config.name, this.version, this.config), block: this.block, hosts: null }
    return { ...this.#published, hosts: this.hosts }
  }

  /** New hosts (static assignment, EDS): hosts that stay keep their cells. */
  setAssignment(assignment: AssignmentConfig): HostsUpdate {
    const before = new Map(this.#blocks)
    let epoch = 0
    let healthy = 0
    let degraded = 0
    let total = 0
    const place = (host: HostConfig): PublishedHost => {
      const key = host.address.text
      let block = this.#blocks.get(key)
      if (block === undefined) {
        block = this.#allocator.allocate(HOST_BLOCK)
        this.#blocks.set(key, block)
      }
      before.delete(key)
      const bits = edsHealthBits(host.healthStatus)
      this.#allocator.cells(block).store(HostCell.Health, bits)
      total++
      if (bits === 0) healthy++
      else if (host.healthStatus === 'DEGRADED') degraded++
      return { ...host, block }
    }
    const localities = assignment.localities.map(locality => ({ ...locality, hosts: locality.hosts.map(place) }))
    for (const [key, block] of before) {
      this.#blocks.delete(key)
      epoch = this.#allocator.retire(block)
    }
    const scope = this.#stats.scope(this.statsPrefix)
    scope.gauge('membership_total').set(total)
    scope.gauge('membership_healthy').set(healthy)
    scope.gauge('membership_degraded').set(degraded)
    scope.counter('membership_change').inc()
    this.hosts = {
      localities,
      overprovisioningFactor: assignment.overprovisioningFactor,
      weightedPriorityHealth: assignment.weightedPriorityHealth,
      dropOverloads: assignment.dropOverloads,
      epoch,
    }
    return this.hosts
  }

  /** The cluster is gone; returns the epoch the workers must have applied before its cells are used again. */
  retire(): number {
    let epoch = this.#allocator.retire(this.block)
    for (const block of this.#blocks.values()) epoch = this.#allocator.retire(block)
    return epoch
  }
}

/** Parses; throws ConfigError and changes nothing else. */
export function parseClusterProto(proto: ClusterProto, at: FieldPath, parser: ClusterParser): ClusterConfig {
  return parseCluster(proto, at, parser)
}

/** Names at zero from load time. */
export function declareCluster(stats: StatsStore, cluster: MainCluster): void {
  stats.declare(cluster.statsPrefix, CLUSTER_STATS)
}
