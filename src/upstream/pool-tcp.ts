import { CloseHow, CloseReason, type Connection, type ConnectionHandler } from '../io/connection.ts'
import type { UpstreamConnectOptions } from './connector.ts'
import type { WorkerHost } from './host.ts'
import { type PoolServices, poolFailure } from './pool-http.ts'
import { type Cluster, HostCell, PoolFailure, type PoolHandle, Resource, type TcpPoolUser } from './upstream.ts'

/**
 * A connection for tcp_proxy and the like: one per user, never shared, but counted and limited as pools are. Returns null
 * when `user` was called already.
 */
export function tcpConnect(
  cluster: Cluster,
  host: WorkerHost,
  priority: 0 | 1,
  user: TcpPoolUser,
  options: UpstreamConnectOptions,
  services: PoolServices,
): TcpClient | null {
  const limits = cluster.limits
  const stats = cluster.counters
  if (!limits.tryTake(priority, Resource.PendingRequests)) {
    stats.upstreamRqPendingOverflow.inc()
    user.onTcpFailure(PoolFailure.Overflow, host, '')
    return null
  }
  stats.upstreamRqPendingTotal.inc()
  stats.upstreamRqPendingActive.inc()
  if (!limits.canTake(priority, Resource.Connections)) {
    stats.upstreamCxOverflow.inc()
    // As with HTTP pools: a host without any connection may always open one.
    if (host.cells.load(HostCell.ActiveConnections) > 0) {
      limits.give(priority, Resource.PendingRequests)
      stats.upstreamRqPendingActive.dec()
      stats.upstreamRqPendingOverflow.inc()
      user.onTcpFailure(PoolFailure.Overflow, host, '')
      return null
    }
  }
  const client = new TcpClient(cluster, host, priority, user, services)
  client.connection = services.connector.connect(host.address, options, client)
  return client
}

/**
 * Keeps the accounts of one connection. It stays the connection's handler and passes events on to the one its user set in
 * `onTcpReady`, so that users need not report the end themselves.
 */
export class TcpClient implements ConnectionHandler, PoolHandle {
  connection!: Connection
  private readonly cluster: Cluster
  private readonly host: WorkerHost
  private readonly priority: 0 | 1
  private readonly services: PoolServices
  private user: TcpPoolUser | null
  private next: ConnectionHandler | null = null
  private connected = false
  private counted = false
  private closed = false
  private rx = 0
  private readonly startTime: number

  constructor(cluster: Cluster, host: WorkerHost, priority: 0 | 1, user: TcpPoolUser, services: PoolServices) {
    this.cluster = cluster
    this.host = host
    this.priority = priority
    this.user = user
    this.services = services
    this.startTime = services.timers.now()
    cluster.counters.upstreamCxTotal.inc()
    cluster.counters.upstreamCxActive.inc()
    cluster.limits.take(priority, Resource.Connections)
    host.cells.take(HostCell.ActiveConnections, 1)
    host.cells.count(HostCell.CxTotal)
    host.addTcp(this)
  }

  /** The user no longer wants the connection that is being opened. */
  cancel(): void {
    if (this.user === null) return
    this.user = null
    this.cluster.counters.upstreamRqCancelled.inc()
    this.dropPending()
    this.close()
  }

  close(): void {
    if (!this.closed) this.connection.close(CloseHow.NoFlush, CloseReason.Local)
  }

  onConnected(c: Connection): void {
    const stats = this.cluster.counters
    this.connected = true
    stats.upstreamCxConnectMs.record(this.services.timers.now() - this.startTime)
    const user = this.user
    if (user === null) return
    this.user = null
    this.dropPending()
    if (!this.cluster.limits.tryTake(this.priority, Resource.Requests)) {
      stats.upstreamRqActiveOverflow.inc()
      user.onTcpFailure(PoolFailure.Overflow, this.host, '')
      this.close()
      return
    }
    this.counted = true
    stats.upstreamRqTotal.inc()
    stats.upstreamRqActive.inc()
    this.host.cells.take(HostCell.ActiveRequests, 1)
    this.host.cells.count(HostCell.RqTotal)
    const { networkFilters } = this.cluster
    if (networkFilters !== null) for (const filter of networkFilters) filter.onConnected(c, this.host)
    user.onTcpReady(c, this.host)
    if (c.handler !== this) {
      this.next = c.handler
      c.handler = this
    }
  }

  onData(c: Connection, chunk: Uint8Array, end: boolean): void {
    this.rx += chunk.length
    this.cluster.counters.upstreamCxRxBytesTotal.add(chunk.length)
    if (this.next !== null) this.next.onData(c, chunk, end)
  }

  onWritable(c: Connection): void {
    this.next?.onWritable?.(c)
  }

  onClose(c: Connection, why: CloseReason): void {
    if (this.closed) return
    this.closed = true
    const stats = this.cluster.counters
    stats.upstreamCxDestroy.inc()
    stats.upstreamCxActive.dec()
    const local = why === CloseReason.Local || why === CloseReason.ConnectTimeout || why === CloseReason.IdleTimeout
    if (local) stats.upstreamCxDestroyLocal.inc()
    else stats.upstreamCxDestroyRemote.inc()
    if (this.counted) {
      stats.upstreamCxDestroyWithActiveRq.inc()
      if (local) stats.upstreamCxDestroyLocalWithActiveRq.inc()
      else stats.upstreamCxDestroyRemoteWithActiveRq.inc()
    }
    stats.upstreamCxLengthMs.record(this.services.timers.now() - this.startTime)
    if (this.connected) stats.upstreamRqPerCx.record(this.counted ? 1 : 0)
    stats.upstreamCxTxBytesTotal.add(c.bytesSent)
    this.giveBack()
    const user = this.user
    this.user = null
    if (!this.connected) {
      stats.upstreamCxConnectFail.inc()
      this.host.cells.count(HostCell.CxConnectFail)
      if (why === CloseReason.ConnectTimeout) stats.upstreamCxConnectTimeout.inc()
    }
    if (user !== null) {
      this.dropPending()
      stats.upstreamRqPendingFailureEject.inc()
      user.onTcpFailure(poolFailure(why), this.host, c.transportFailure)
      return
    }
    this.next?.onClose(c, why)
  }

  private giveBack(): void {
    this.host.removeTcp(this)
    this.cluster.limits.give(this.priority, Resource.Connections)
    this.host.cells.take(HostCell.ActiveConnections, -1)
    if (!this.counted) return
    this.counted = false
    this.cluster.counters.upstreamRqActive.dec()
    this.host.cells.take(HostCell.ActiveRequests, -1)
    this.cluster.limits.give(this.priority, Resource.Requests)
  }

  private dropPending(): void {
    this.cluster.limits.give(this.priority, Resource.PendingRequests)
    this.cluster.counters.upstreamRqPendingActive.dec()
  }
}
