import { TimerNode, type TimerOwner } from '../../base/timer.ts'
import { DESTINATION_STATE } from '../../config/filter-state-value.ts'
import { metadataValue } from '../../config/value-match.ts'
import { ipAddress, parseHostPort } from '../../io/address.ts'
import type { Address } from '../../io/connection.ts'
import { AddressState } from '../../telemetry/filter-state-values.ts'
import { type ClusterServices, WorkerCluster } from '../cluster.ts'
import type { ClusterConfig, OriginalDstConfig } from '../cluster-config.ts'
import { WorkerHost } from '../host.ts'
import { type SharedBlock, SharedCells } from '../shared-state.ts'
import { type Host, HostCell, type PickContext } from '../upstream.ts'

const NO_BLOCK: SharedBlock = { page: -1, base: 0, cells: HostCell.Count, gauges: 2 }
/** Hosts are named by clients: more than this at once is an attack or a scan. */
const MAX_HOSTS = 65536

/**
 * ORIGINAL_DST: the host is where the connection was going before it was redirected, or what the filter state, metadata or a header
 * says (OriginalDstCluster::LoadBalancer). Hosts live on the worker that met them, and main is told of them; unused ones are dropped
 * after two cleanup intervals.
 */
export class OriginalDstCluster extends WorkerCluster implements TimerOwner {
  private readonly met = new Map<string, OriginalHost>()
  private readonly cleanup = new TimerNode(this, 0)
  private readonly headerName: string
  private readonly metadataKey: OriginalDstConfig['metadata']
  private readonly portOverride: number

  constructor(config: ClusterConfig, block: SharedBlock, services: ClusterServices) {
    super(config, block, services)
    this.headerName = config.originalDst?.httpHeaderName ?? ''
    this.metadataKey = config.originalDst?.metadata ?? null
    this.portOverride = config.originalDst?.portOverride ?? 0
  }

  override pick(context: PickContext): Host | null {
    this.noteTraffic()
    const address = this.target(context)
    if (address === null) {
      this.counters.upstreamCxNoneHealthy.inc()
      return null
    }
    let host = this.met.get(address.text)
    if (host === undefined) {
      if (this.met.size >= MAX_HOSTS) return null
      const cells = new SharedArrayBuffer(2 * HostCell.Count * 4)
      host = new OriginalHost(this, address, cells)
      this.met.set(address.text, host)
      this.services.hostsMet(this.name, [{ address, hostname: host.hostname, cells }], [])
      if (this.met.size === 1) this.services.timers.arm(this.cleanup, this.config.cleanupInterval)
    }
    host.used = true
    return host
  }

  override onHosts(): void {
    // Main publishes none.
  }

  override drain(): void {
    for (const h of this.met.values()) h.pools?.drain()
    this.services.timers.cancel(this.cleanup)
    if (this.met.size > 0) this.services.hostsMet(this.name, [], [...this.met.keys()])
  }

  onTimer(): void {
    const gone: string[] = []
    for (const [text, host] of this.met) {
      // Connections that still serve are left to their own idle timeouts (original_dst_rely_on_idle_timeout).
      if (host.used || host.inUse) {
        host.used = false
        continue
      }
      host.pools?.drain()
      this.met.delete(text)
      gone.push(text)
    }
    if (gone.length > 0) this.services.hostsMet(this.name, [], gone)
    if (this.met.size > 0) this.services.timers.arm(this.cleanup, this.config.cleanupInterval)
  }

  get hostCount(): number {
    return this.met.size
  }

  private target(context: PickContext): Address | null {
    const address =
      byFilterState(context) ?? this.byMetadata(context) ?? this.byHeader(context) ?? byConnection(context)
    return address === null || this.portOverride === 0 ? address : ipAddress(address.ip, this.portOverride)
  }

  private byMetadata({ info, downstream }: PickContext): Address | null {
    const key = this.metadataKey
    if (key === null) return null
    let text: unknown
    for (const facts of [info, downstream?.streamInfo]) {
      text = metadataValue(facts?.dynamicMetadata ?? null, key.name, key.path)
      if (Array.isArray(text)) text = text[0]
      if (typeof text === 'string') return this.parse(text)
    }
    return null
  }

  private byHeader({ requestHeaders }: PickContext): Address | null {
    const text = this.headerName === '' ? undefined : requestHeaders?.get(this.headerName)
    return text === undefined ? null : this.parse(text)
  }

  private parse(text: string): Address | null {
    const address = parseHostPort(text)
    if (address === null) this.counters.originalDstHostInvalid.inc()
    return address
  }
}

function byFilterState({ info, downstream }: PickContext): Address | null {
  const state = info?.state(DESTINATION_STATE) ?? downstream?.streamInfo?.state(DESTINATION_STATE)
  return state instanceof AddressState ? state.address : null
}

/** Without a restored address the local one is this proxy: forwarding there would loop. */
function byConnection({ downstream }: PickContext): Address | null {
  return downstream?.localRestored === true ? downstream.local : null
}

class OriginalHost extends WorkerHost {
  used = true

  /** `memory`: of its numbers, which concern this worker alone. */
  constructor(cluster: OriginalDstCluster, address: Address, memory: SharedArrayBuffer) {
    const published = {
      address,
      hostname: `${cluster.name}${address.text}`,
      weight: 1,
      priority: 0,
      region: '',
      zone: '',
      subZone: '',
      healthStatus: 'UNKNOWN' as const,
      metadata: null,
      healthCheck: null,
      block: NO_BLOCK,
    }
    const gauges = new Int32Array(memory, 0, HostCell.Count)
    super(cluster, published, new SharedCells(gauges, new Int32Array(memory, HostCell.Count * 4), 0))
  }
}
