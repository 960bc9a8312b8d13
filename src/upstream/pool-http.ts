import { cut } from '../base/list.ts'
import type { Random } from '../base/random.ts'
import type { Timers } from '../base/timer.ts'
import { CloseReason, type Connection } from '../io/connection.ts'
import type { ClientCodecs, Connector, UpstreamConnectOptions } from './connector.ts'
import type { WorkerHost } from './host.ts'
import { ClientState, PoolClient } from './pool-client.ts'
import {
  type Cluster,
  HostCell,
  type HttpPool,
  type HttpPoolUser,
  PoolFailure,
  type PoolHandle,
  Resource,
} from './upstream.ts'

export interface PoolServices {
  readonly timers: Timers
  readonly random: Random
  readonly connector: Connector
  readonly codecs: ClientCodecs
}

/** A request that waits for a connection. */
class Pending implements PoolHandle {
  readonly pool: HttpConnectionPool
  user: HttpPoolUser | null
  constructor(pool: HttpConnectionPool, user: HttpPoolUser) {
    this.pool = pool
    this.user = user
  }

  cancel(): void {
    if (this.user !== null) this.pool.cancel(this)
  }
}

/**
 * Connections to one host for one priority and protocol (ConnPoolImplBase, HttpConnPoolImplBase). The most recently used
 * free connection is taken first; requests that wait are served first in, first out.
 */
export abstract class HttpConnectionPool implements HttpPool {
  readonly cluster: Cluster
  readonly host: WorkerHost
  readonly priority: 0 | 1
  readonly timers: Timers
  readonly random: Random
  protected readonly codecs: ClientCodecs
  private readonly connector: Connector
  private readonly makeOptions: () => UpstreamConnectOptions
  private options: UpstreamConnectOptions | null = null
  /** Of the host when the options were made. */
  private revision = -1
  active = 0
  private readonly clients: PoolClient[] = []
  /** A stack: the last one was used last. */
  private readonly ready: PoolClient[] = []
  /** Streams that connections being opened will carry. */
  private connectingCapacity = 0
  private pending: Pending[] = []
  /** First of `pending` not yet served: shifting an array costs its length. */
  private head = 0
  private draining = false

  constructor(
    cluster: Cluster,
    host: WorkerHost,
    priority: 0 | 1,
    makeOptions: () => UpstreamConnectOptions,
    services: PoolServices,
  ) {
    this.cluster = cluster
    this.host = host
    this.priority = priority
    this.makeOptions = makeOptions
    this.timers = services.timers
    this.random = services.random
    this.connector = services.connector
    this.codecs = services.codecs
  }

  /** Streams a connection carries at once, as long as nothing better is known. */
  protected abstract initialLimit(): number
  /** Gives `client` its codec and final limit. */
  protected abstract makeCodec(client: PoolClient, c: Connection): void
  /** Counts a connection begun, where its protocol is known already. */
  protected abstract countConnection(): void

  newStream(user: HttpPoolUser): PoolHandle | null {
    if (this.attachReady(user)) {
      // Even then a preconnect ratio above 1 would open another one; it is not implemented.
      return null
    }
    if (!this.cluster.limits.tryTake(this.priority, Resource.PendingRequests)) {
      this.cluster.counters.upstreamRqPendingOverflow.inc()
      user.onPoolFailure(PoolFailure.PendingOverflow, this.host, '')
      return null
    }
    this.cluster.counters.upstreamRqPendingTotal.inc()
    this.cluster.counters.upstreamRqPendingActive.inc()
    const p = new Pending(this, user)
    this.pending.push(p)
    this.tryConnect()
    return p.user === null ? null : p
  }

  cancel(p: Pending): void {
    p.user = null
    const i = this.pending.indexOf(p, this.head)
    // Not found: it is on its way to being failed.
    if (i >= 0) this.pending.splice(i, 1)
    this.dropPending()
    this.cluster.counters.upstreamRqCancelled.inc()
    if (this.draining) this.closeIdle()
  }

  /** The host left the cluster (or is to be left): idle connections close, the others after their last stream. */
  drain(): void {
    this.draining = true
    this.closeIdle()
    for (const c of this.clients.slice()) c.drain()
  }

  /** Closes every connection at once; requests on them are reset. */
  closeAll(): void {
    for (const c of this.clients.slice()) c.close()
  }

  get isIdle(): boolean {
    return this.clients.length === 0 && this.pendingCount === 0
  }

  /** Under way, or waiting for a connection. */
  get hasRequests(): boolean {
    return this.active > 0 || this.pendingCount > 0
  }

  get pendingCount(): number {
    return this.pending.length - this.head
  }

  get connectionCount(): number {
    return this.clients.length
  }

  // What clients report

  onConnected(client: PoolClient, c: Connection): void {
    this.connectingCapacity -= client.limit
    this.makeCodec(client, c)
  }

  onClientReady(client: PoolClient): void {
    this.setState(client, ClientState.Ready)
    this.onUpstreamReady()
    if (this.draining) client.drain()
  }

  setState(client: PoolClient, state: ClientState): void {
    if (client.state === ClientState.Ready) this.dropReady(client)
    client.state = state
    if (state === ClientState.Ready) this.ready.push(client)
  }

  /** Serves those who wait, as far as connections are free. */
  onUpstreamReady(): void {
    while (this.pendingCount > 0 && this.ready.length > 0) {
      const p = this.pending[this.head]!
      this.head++
      const user = p.user!
      p.user = null
      this.compact()
      this.dropPending()
      if (!this.attachReady(user)) {
        // All codecs refused: it waits again, first in line.
        this.requeue(user)
        return
      }
    }
    if (this.pendingCount > 0) this.tryConnect()
  }

  remove(client: PoolClient): void {
    if (client.state === ClientState.Connecting) {
      this.connectingCapacity -= client.limit
    }
    this.setState(client, ClientState.Closed)
    const last = this.clients.pop()!
    if (last !== client) {
      this.clients[client.index] = last
      last.index = client.index
    }
  }

  afterClose(wasConnecting: boolean, why: CloseReason, transportFailure: string): void {
    if (wasConnecting) {
      const stats = this.cluster.counters
      stats.upstreamCxConnectFail.inc()
      this.host.cells.count(HostCell.CxConnectFail)
      if (why === CloseReason.ConnectTimeout) stats.upstreamCxConnectTimeout.inc()
      this.failPending(poolFailure(why), transportFailure)
    }
    if (this.pendingCount > 0) this.tryConnect()
  }

  // Details

  /** Takes the freshest connection; false when there is none. Overflow of requests is told to `user` (true). */
  private attachReady(user: HttpPoolUser): boolean {
    while (this.ready.length > 0) {
      const client = this.ready[this.ready.length - 1]!
      if (!this.cluster.limits.tryTake(this.priority, Resource.Requests)) {
        this.cluster.counters.upstreamRqActiveOverflow.inc()
        user.onPoolFailure(PoolFailure.Overflow, this.host, '')
        return true
      }
      if (client.attach(user)) return true
      this.cluster.limits.give(this.priority, Resource.Requests)
      // HTTP/2 at the peer's limit frees itself when a stream ends; a connection without streams is of no use any more.
      if (client.active > 0) this.setState(client, ClientState.Busy)
      else client.drain()
    }
    return false
  }

  private tryConnect(): void {
    while (this.pendingCount > this.connectingCapacity) {
      const limits = this.cluster.limits
      const perHost = this.cluster.config.perHostMaxConnections[this.priority]
      const allowed =
        limits.canTake(this.priority, Resource.Connections) &&
        this.host.cells.load(HostCell.ActiveConnections) < perHost
      if (!allowed) {
        this.cluster.counters.upstreamCxOverflow.inc()
        // A pool without any connection may always open one, or its requests would wait for ever.
        if (this.clients.length > 0) return
      }
      this.connect()
      if (!allowed) return
    }
  }

  private connect(): void {
    const client = new PoolClient(this, this.initialLimit())
    this.countConnection()
    client.index = this.clients.length
    this.clients.push(client)
    this.connectingCapacity += client.limit
    client.connection = this.connector.connect(this.host.address, this.connectOptions(), client)
  }

  /** New connections follow the metadata of the host, which chooses their transport socket. */
  private connectOptions(): UpstreamConnectOptions {
    const { revision } = this.host
    if (this.options === null || this.revision !== revision) {
      this.options = this.makeOptions()
      this.revision = revision
    }
    return this.options
  }

  private failPending(failure: PoolFailure, transportFailure: string): void {
    const failed = this.pending.slice(this.head)
    this.pending = []
    this.head = 0
    for (const p of failed) {
      // A failed request may cancel others.
      const user = p.user
      if (user === null) continue
      p.user = null
      this.dropPending()
      this.cluster.counters.upstreamRqPendingFailureEject.inc()
      user.onPoolFailure(failure, this.host, transportFailure)
    }
  }

  private requeue(user: HttpPoolUser): void {
    this.cluster.limits.take(this.priority, Resource.PendingRequests)
    this.cluster.counters.upstreamRqPendingActive.inc()
    this.pending.splice(this.head, 0, new Pending(this, user))
  }

  private dropPending(): void {
    this.cluster.limits.give(this.priority, Resource.PendingRequests)
    this.cluster.counters.upstreamRqPendingActive.dec()
  }

  private compact(): void {
    if (this.head === this.pending.length) {
      cut(this.pending, 0)
      this.head = 0
    } else if (this.head > 64 && this.head * 2 > this.pending.length) {
      this.pending = this.pending.slice(this.head)
      this.head = 0
    }
  }

  private closeIdle(): void {
    for (const c of this.clients.slice()) {
      if (c.state === ClientState.Connecting ? this.pendingCount === 0 : c.active === 0) c.close()
    }
  }

  private dropReady(client: PoolClient): void {
    const ready = this.ready
    const last = ready.length - 1
    if (ready[last] === client) ready.pop()
    else ready.splice(ready.indexOf(client), 1)
  }
}

export function poolFailure(why: CloseReason): PoolFailure {
  if (why === CloseReason.ConnectTimeout) return PoolFailure.Timeout
  return why === CloseReason.Local ? PoolFailure.LocalConnectionFailure : PoolFailure.RemoteConnectionFailure
}
