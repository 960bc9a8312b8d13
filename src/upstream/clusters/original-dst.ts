import { TimerNode, type TimerOwner } from '../../base/timer.ts'
import { parseHostPort } from '../../io/address.ts'
import type { Address } from '../../io/connection.ts'
import { type ClusterServices, WorkerCluster } from '../cluster.ts'
import type { ClusterConfig } from '../cluster-config.ts'
import { WorkerHost } from '../host.ts'
import { type SharedBlock, SharedCells } from '../shared-state.ts'
import { type Host, HostCell, type PickContext } from '../upstream.ts'

const NO_BLOCK: SharedBlock = { page: -1, base: 0, cells: HostCell.Count, gauges: 2 }
/** Hosts are named by clients: more than this at once is an attack or a scan. */
const MAX_HOSTS = 65536

/**
 * ORIGINAL_DST: the host is where the connection was going before it was redirected, or what a header or the filter state
 * says (OriginalDstCluster::LoadBalancer). Hosts live on the worker that met them; unused ones are dropped after two
 * cleanup intervals.
 */
export class OriginalDstCluster extends WorkerCluster implements TimerOwner {
  private readonly met = new Map<string, OriginalHost>()
  private readonly cleanup = new TimerNode(this, 0)
  private readonly headerName: string
  private readonly portOverride: number

  constructor(config: ClusterConfig, block: SharedBlock, services: ClusterServices) {
    super(config, block, services)
    this.headerName = config.originalDst?.httpHeaderName ?? ''
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
      host = new OriginalHost(this, address)
      this.met.set(address.text, host)
      this.stats.gauge('membership_total').inc()
      this.stats.gauge('membership_healthy').inc()
      this.stats.counter('membership_change').inc()
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
  }

  onTimer(): void {
    for (const [text, host] of this.met) {
      if (host.used) {
        host.used = false
        continue
      }
      host.pools?.drain()
      this.met.delete(text)
      this.stats.gauge('membership_total').dec()
      this.stats.gauge('membership_healthy').dec()
      this.stats.counter('membership_change').inc()
    }
    if (this.met.size > 0) this.services.timers.arm(this.cleanup, this.config.cleanupInterval)
  }

  get hostCount(): number {
    return this.met.size
  }

  private target(context: PickContext): Address | null {
    let text = context.overrideHost
    if (text === '' && this.headerName !== '') text = context.requestHeaders?.get(this.headerName) ?? ''
    let address: Address | null = null
    if (text !== '') {
      address = parseHostPort(text)
      if (address === null) this.counters.originalDstHostInvalid.inc()
    } else {
      const downstream = context.downstream
      // Without a restored address the local one is this proxy: forwarding there would loop.
      if (downstream?.localRestored === true) address = downstream.local
    }
    if (address === null || this.portOverride === 0) return address
    const ip = address.ip
    return { ip, port: this.portOverride, text: `${ip.includes(':') ? `[${ip}]` : ip}:${this.portOverride}` }
  }
}

class OriginalHost extends WorkerHost {
  used = true

  constructor(cluster: OriginalDstCluster, address: Address) {
    const published = {
      address,
      hostname: '',
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
    // Its numbers concern this worker alone.
    super(cluster, published, new SharedCells(new Int32Array(new SharedArrayBuffer(HostCell.Count * 4)), null, 0))
  }
}
