import { keepSpecimen } from '../base/specimens.ts'
import { TimerNode, type TimerOwner } from '../base/timer.ts'
import { type Codec, ResetReason } from '../codec/codec.ts'
import { CloseHow, CloseReason, type Connection, type ConnectionHandler } from '../io/connection.ts'
import type { Http1Codec, Http2Codec } from './connector.ts'
import { PoolDecoder } from './pool-decoder.ts'
import type { HttpConnectionPool } from './pool-http.ts'
import { PoolStream } from './pool-stream.ts'
import { HostCell, type HttpPoolUser, Resource } from './upstream.ts'

/** ActiveClient::State */
export const ClientState = { Connecting: 0, Ready: 1, Busy: 2, Draining: 3, Closed: 4 } as const
export type ClientState = (typeof ClientState)[keyof typeof ClientState]

const TIMER_IDLE = 0
const TIMER_DURATION = 1

/** One connection of an HTTP pool with its codec: keeps the connection's accounts and passes stream events on. */
export class PoolClient implements ConnectionHandler, TimerOwner {
  readonly pool: HttpConnectionPool
  connection!: Connection
  codec: Codec | null = null
  /** The same object when it is an HTTP/1 codec. */
  http1: Http1Codec | null = null
  /** The same object when it is an HTTP/2 codec. */
  http2: Http2Codec | null = null
  state: ClientState = ClientState.Connecting
  active = 0
  /** Streams it may still carry (max_requests_per_connection). */
  remaining: number
  /** Streams at once. */
  limit: number
  /** Place in the pool's list of all clients. */
  index = -1
  private served = 0
  private connected = false
  private dispatching = false
  private freed = false
  /** A request was reset on HTTP/1, which costs the connection. */
  private cutShort = false
  private brokeProtocol = false
  /** What upstream_cx_rx_bytes_buffered counts of this connection: Envoy sets it at each read and not when the codec drains. */
  private rxBuffered = 0
  private sentBytes = 0
  readonly decoder = new PoolDecoder(this)
  private readonly idle = new TimerNode(this, TIMER_IDLE)
  private readonly duration = new TimerNode(this, TIMER_DURATION)
  private readonly spare: PoolStream[] = []
  private readonly startTime: number

  constructor(pool: HttpConnectionPool, limit: number) {
    this.pool = pool
    this.limit = limit
    const max = pool.cluster.config.http.maxRequestsPerConnection
    this.remaining = max === 0 ? Number.MAX_SAFE_INTEGER : max
    this.startTime = pool.timers.now()
    const stats = pool.cluster.counters
    stats.upstreamCxTotal.inc()
    stats.upstreamCxActive.inc()
    pool.cluster.limits.take(pool.priority, Resource.Connections)
    pool.host.cells.take(HostCell.ActiveConnections, 1)
    pool.host.cells.count(HostCell.CxTotal)
  }

  /** Begins a stream for `user`; false when the codec takes none, and then nothing was counted. */
  attach(user: HttpPoolUser): boolean {
    const pool = this.pool
    const s = this.spare.pop() ?? new PoolStream(this)
    const inner = this.codec!.newStream(s)
    if (inner === null) {
      this.spare.push(s)
      return false
    }
    s.begin(inner, user)
    this.active++
    this.served++
    this.remaining--
    pool.timers.suspend(this.idle)
    pool.active++
    pool.cluster.counters.upstreamRqTotal.inc()
    pool.cluster.counters.upstreamRqActive.inc()
    pool.host.cells.take(HostCell.ActiveRequests, 1)
    pool.host.cells.count(HostCell.RqTotal)
    if (this.remaining === 0) {
      pool.cluster.counters.upstreamCxMaxRequests.inc()
      pool.setState(this, ClientState.Draining)
    } else if (this.active >= this.limit) {
      pool.setState(this, ClientState.Busy)
    }
    user.onPoolReady(s, pool.host, this.connection, this.codec!.protocol)
    return true
  }

  close(): void {
    if (this.state !== ClientState.Closed) this.connection.close(CloseHow.NoFlush, CloseReason.Local)
  }

  /** No new streams; the connection closes with its last one. */
  drain(): void {
    if (this.state === ClientState.Closed || this.state === ClientState.Connecting) return
    this.pool.setState(this, ClientState.Draining)
    if (this.active === 0) this.close()
  }

  // Connection events

  onConnected(c: Connection): void {
    const pool = this.pool
    this.connected = true
    pool.cluster.counters.upstreamCxConnectMs.record(pool.timers.now() - this.startTime)
    const { networkFilters } = pool.cluster
    if (networkFilters !== null) for (const filter of networkFilters) filter.onConnected(c, pool.host)
    pool.onConnected(this, c)
    const http = pool.cluster.config.http
    if (http.maxConnectionDuration > 0) {
      const jitter = http.maxConnectionDurationJitter * http.maxConnectionDuration * (pool.random.next32() / 4294967296)
      pool.timers.arm(this.duration, http.maxConnectionDuration + jitter)
    }
    this.armIdle()
    pool.onClientReady(this)
  }

  onData(_c: Connection, chunk: Uint8Array, end: boolean): void {
    const codec = this.codec
    if (codec === null) return
    const stats = this.pool.cluster.counters
    const size = chunk.length
    stats.upstreamCxRxBytesTotal.add(size)
    if (size !== this.rxBuffered && size > 0) {
      stats.upstreamCxRxBytesBuffered.add(size - this.rxBuffered)
      this.rxBuffered = size
    }
    this.dispatching = true
    codec.dispatch(chunk, end)
    this.dispatching = false
    // SETTINGS may have changed how many streams fit.
    if (this.http2 !== null) this.applyStreamLimit(this.http2)
    if (this.freed) this.afterFree()
    // HTTP/1 reads a body until the peer's FIN; after any FIN the connection is of no further use.
    if (end && this.state !== ClientState.Closed) this.connection.close(CloseHow.NoFlush, CloseReason.Remote)
  }

  onWritable(_c: Connection): void {
    this.codec?.onConnectionWritable()
  }

  onClose(c: Connection, why: CloseReason): void {
    if (this.state === ClientState.Closed) return
    const pool = this.pool
    const stats = pool.cluster.counters
    const before = this.state
    const withStreams = this.active > 0 || this.cutShort
    pool.timers.cancel(this.idle)
    pool.timers.cancel(this.duration)
    stats.upstreamCxDestroy.inc()
    stats.upstreamCxActive.dec()
    stats.upstreamCxRxBytesBuffered.add(-this.rxBuffered)
    this.rxBuffered = 0
    const local = isLocal(why)
    if (local) stats.upstreamCxDestroyLocal.inc()
    else stats.upstreamCxDestroyRemote.inc()
    if (withStreams) {
      stats.upstreamCxDestroyWithActiveRq.inc()
      if (local) stats.upstreamCxDestroyLocalWithActiveRq.inc()
      else stats.upstreamCxDestroyRemoteWithActiveRq.inc()
    }
    stats.upstreamCxLengthMs.record(pool.timers.now() - this.startTime)
    if (this.connected) stats.upstreamRqPerCx.record(this.served)
    this.countSent()
    pool.cluster.limits.give(pool.priority, Resource.Connections)
    pool.host.cells.take(HostCell.ActiveConnections, -1)
    pool.remove(this)
    if (this.codec !== null) keepSpecimen(this.codec.constructor, this)
    // Resets come after the accounts: a retry may ask for a connection at once.
    const reset = before === ClientState.Connecting ? ResetReason.ConnectionFailure : ResetReason.ConnectionTermination
    this.codec?.onConnectionClosed(reset)
    pool.afterClose(before === ClientState.Connecting, why, c.transportFailure)
  }

  // What the streams report

  onLocalEnd(p: PoolStream): void {
    if (p.live && p.remoteEnd) this.release(p)
  }

  onRemoteEnd(p: PoolStream): void {
    if (p.live && p.localEnd) this.release(p)
  }

  resetByUser(p: PoolStream, reason: ResetReason): void {
    const inner = p.inner!
    p.live = false
    if (this.http1 === null) this.pool.cluster.counters.upstreamRqTxReset.inc()
    else this.cutShort = true
    inner.reset(reason)
    this.release(p)
  }

  /** The request no longer counts; the connection is free for the next when the current bytes are through. */
  release(p: PoolStream): void {
    const pool = this.pool
    p.finish()
    this.active--
    pool.active--
    pool.cluster.counters.upstreamRqActive.dec()
    pool.host.cells.take(HostCell.ActiveRequests, -1)
    pool.cluster.limits.give(pool.priority, Resource.Requests)
    this.countSent()
    this.spare.push(p)
    this.freed = true
    if (!this.dispatching) this.afterFree()
  }

  /** Counts a reset that came from the connection or the peer (MultiplexedActiveClientBase::onStreamReset). */
  countReset(why: ResetReason): void {
    const stats = this.pool.cluster.counters
    switch (why) {
      case ResetReason.ConnectionFailure:
      case ResetReason.ConnectionTimeout:
      case ResetReason.ConnectionTermination:
        stats.upstreamRqPendingFailureEject.inc()
        return
      case ResetReason.Remote:
      case ResetReason.RemoteRefused:
      case ResetReason.ConnectError:
        stats.upstreamRqRxReset.inc()
        return
      case ResetReason.Local:
      case ResetReason.LocalRefused:
      case ResetReason.Overflow:
      case ResetReason.Overload:
      case ResetReason.Protocol:
        stats.upstreamRqTxReset.inc()
    }
  }

  onGoAway(): void {
    this.pool.cluster.counters.upstreamCxCloseNotify.inc()
    this.drain()
  }

  /** The exchange broke off: the connection, which is of no more use, counts as one that ended with a request on it. */
  onHttp1Reset(why: ResetReason): void {
    this.cutShort = true
    if (why === ResetReason.Protocol) this.noteProtocolError()
  }

  onProtocolError(): void {
    this.noteProtocolError()
    this.close()
  }

  private noteProtocolError(): void {
    if (this.brokeProtocol) return
    this.brokeProtocol = true
    this.pool.cluster.counters.upstreamCxProtocolError.inc()
  }

  onTimer(kind: number): void {
    if (kind === TIMER_IDLE) {
      this.pool.cluster.counters.upstreamCxIdleTimeout.inc()
      this.close()
      return
    }
    this.pool.cluster.counters.upstreamCxMaxDurationReached.inc()
    this.drain()
  }

  private applyStreamLimit(codec: Http2Codec): void {
    const limit = codec.concurrencyLimit
    if (limit === this.limit) return
    this.limit = limit
    if (this.state === ClientState.Busy && this.active < limit) {
      this.pool.setState(this, ClientState.Ready)
      this.pool.onUpstreamReady()
    } else if (this.state === ClientState.Ready && this.active >= limit) {
      this.pool.setState(this, ClientState.Busy)
    }
  }

  private afterFree(): void {
    this.freed = false
    if (this.state === ClientState.Closed) return
    if (this.active === 0 && (this.state === ClientState.Draining || this.http1?.shouldClose === true)) {
      this.close()
      return
    }
    if (this.state === ClientState.Busy && this.active < this.limit) this.pool.setState(this, ClientState.Ready)
    this.armIdle()
    this.pool.onUpstreamReady()
  }

  private armIdle(): void {
    const timeout = this.pool.cluster.config.http.idleTimeout
    if (timeout > 0 && this.active === 0) this.pool.timers.arm(this.idle, timeout)
  }

  private countSent(): void {
    const sent = this.connection.bytesSent
    this.pool.cluster.counters.upstreamCxTxBytesTotal.add(sent - this.sentBytes)
    this.sentBytes = sent
  }
}

function isLocal(why: CloseReason): boolean {
  return why === CloseReason.Local || why === CloseReason.ConnectTimeout || why === CloseReason.IdleTimeout
}
