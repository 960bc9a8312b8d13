import { TimerNode, type TimerOwner } from '../base/timer.ts'
import { xxHash64 } from '../base/xxhash64.ts'
import type { HeaderBlock } from '../codec/header-block.ts'
import { NO_TUNNEL_STATE, TCP_CLUSTER_STATE } from '../config/filter-state-value.ts'
import { isPipe } from '../io/address.ts'
import { CloseHow, CloseReason, type Connection, type ConnectionHandler, Flow, ReadHold } from '../io/connection.ts'
import { connectionInfo } from '../telemetry/connection-info.ts'
import { ResponseFlag, type StreamInfo } from '../telemetry/stream-info.ts'
import {
  type Cluster,
  type Host,
  OutlierEvent,
  type PickContext,
  PoolFailure,
  type PoolHandle,
  Resource,
  type TcpPoolUser,
} from '../upstream/upstream.ts'
import { NetVerdict, type NetworkFilter, type ReadContinuation } from './filter.ts'
import type { TcpProxy } from './tcp-proxy.ts'
import type { WeightedClusterConfig } from './tcp-proxy-config.ts'
import { TcpTunnel, type TcpUpstream, type TunnelUser } from './tcp-tunnel.ts'

const TIMER_IDLE = 0
const TIMER_DURATION = 1
const TIMER_RETRY = 2

/**
 * One downstream connection and its upstream one. The same object hears both: events of the upstream connection are those whose
 * connection is `#upstream`.
 */
export class TcpProxySession
  implements NetworkFilter, ConnectionHandler, TcpPoolUser, TunnelUser, TimerOwner, PickContext
{
  readonly info: StreamInfo
  readonly requestHeaders: HeaderBlock | null = null
  readonly responseHeaders: HeaderBlock | null = null
  readonly responseTrailers: HeaderBlock | null = null
  readonly localReplyBody = ''
  readonly hash: bigint | null
  metadataMatch: Readonly<Record<string, unknown>> | null = null
  readonly overrideHost = ''
  readonly maxHostSelections = 1
  readonly retryPriority = null
  readonly downstream: Connection

  readonly #proxy: TcpProxy
  readonly #chain: ReadContinuation
  #target: WeightedClusterConfig | null = null
  /** Of the last attempt. */
  #cluster: Cluster | null = null
  #pending: PoolHandle | null = null
  #upstream: TcpUpstream | null = null
  /** What the upstream had been sent before the first byte of the client: a PROXY header counts for the cluster only. */
  #sentBefore = 0
  #lastActivity = 0
  #clientEnded = false
  #flushing = false
  #done = false
  readonly #idle: TimerNode
  #duration: TimerNode | null = null
  #retry: TimerNode | null = null

  constructor(proxy: TcpProxy, downstream: Connection, chain: ReadContinuation) {
    this.#proxy = proxy
    this.#chain = chain
    proxy.stats.total.inc()
    this.downstream = downstream
    this.info = connectionInfo(downstream)
    this.#idle = new TimerNode(this, TIMER_IDLE)
    const { remote } = downstream
    this.hash = proxy.config.hashSourceIp && !isPipe(remote) ? xxHash64(remote.ip) : null
    // From the start: a filter before this one may close the connection first, and that is logged here all the same.
    this.#describe()
  }

  rejectHost(): boolean {
    return false
  }

  onConnection(c: Connection): NetVerdict {
    const { timers, config } = this.#proxy
    if (config.maxConnectionDuration > 0) {
      this.#duration = new TimerNode(this, TIMER_DURATION)
      timers.arm(this.#duration, this.#proxy.connectionDuration())
    }
    // Nothing is read until there is somewhere to write it.
    c.holdReading(ReadHold.Setup, true)
    const named = this.info.state(TCP_CLUSTER_STATE)
    this.#target =
      typeof named === 'string' ? { name: named, weight: 1, metadataMatch: null } : this.#proxy.pickTarget()
    this.metadataMatch = this.#target.metadataMatch ?? config.metadataMatch
    this.#connect()
    return NetVerdict.Stop
  }

  #describe(): void {
    const { info, downstream } = this
    const { timers, clock, filterChainName, listenerName, listenerMetadata, filterChainMetadata } = this.#proxy
    info.listenerName = listenerName
    info.start = downstream.startTime
    info.startWall = clock.wall() - (timers.now() - downstream.startTime)
    info.filterChainName = filterChainName
    info.listenerMetadata = listenerMetadata
    info.filterChainMetadata = filterChainMetadata
  }

  onData(c: Connection, chunk: Uint8Array, end: boolean): NetVerdict {
    const { timers, stats } = this.#proxy
    const upstream = this.#upstream
    if (c === upstream) {
      this.#receive(c, chunk, end)
      return NetVerdict.Stop
    }
    const now = timers.now()
    this.#lastActivity = now
    if (upstream === null) return NetVerdict.Stop
    if (chunk.length > 0) {
      stats.rxBytes.add(chunk.length)
      this.info.bytesReceived += chunk.length
      if (upstream.write(chunk) === Flow.Pause) {
        stats.paused.inc()
        c.holdReading(ReadHold.PeerBuffer, true)
      }
    }
    if (end) {
      this.#clientEnded = true
      upstream.end()
    }
    return NetVerdict.Stop
  }

  /** Bytes of the upstream, however they came. */
  #receive(upstream: TcpUpstream, chunk: Uint8Array, end: boolean): void {
    const { timers, stats } = this.#proxy
    const { info } = this
    const now = timers.now()
    this.#lastActivity = now
    if (chunk.length > 0) {
      stats.txBytes.add(chunk.length)
      info.bytesSent += chunk.length
      if (this.downstream.write(chunk) === Flow.Pause) upstream.holdReading(ReadHold.PeerBuffer, true)
    }
    if (!end) return
    this.downstream.end()
    // Both directions are done: the upstream is who closed, and who is counted, whichever socket hears of it first.
    if (this.#clientEnded) upstream.close(CloseHow.Flush, CloseReason.Remote)
  }

  onWritable(c: Connection): void {
    if (c === this.#upstream) this.onTunnelWritable()
    else this.#upstream?.holdReading(ReadHold.PeerBuffer, false)
  }

  onTunnelData(chunk: Uint8Array, end: boolean): void {
    this.#receive(this.#upstream!, chunk, end)
  }

  /** The upstream takes more, be it a connection or a tunnel. */
  onTunnelWritable(): void {
    if ((this.downstream.readHolds & ReadHold.PeerBuffer) !== 0) this.#proxy.stats.resumed.inc()
    this.downstream.holdReading(ReadHold.PeerBuffer, false)
  }

  onTunnelClosed(why: CloseReason): void {
    this.#upstreamClosed(why)
  }

  onTunnelReady(tunnel: TcpTunnel, host: Host, connection: Connection): void {
    this.#ready(tunnel, host, connection)
  }

  onClose(c: Connection, why: CloseReason): void {
    if (c === this.#upstream) this.#upstreamClosed(why)
    else this.#downstreamClosed(why)
  }

  onTcpReady(upstream: Connection, host: Host): void {
    upstream.handler = this
    this.#ready(upstream, host, upstream)
  }

  /** `connection`: the upstream itself, or what carries it. */
  #ready(upstream: TcpUpstream, host: Host, connection: Connection): void {
    this.#pending = null
    const { timers, config } = this.#proxy
    const { info } = this
    const now = timers.now()
    this.#upstream = upstream
    this.#sentBefore = upstream.bytesSent
    this.#cluster!.reportOutcome(host, 0, OutlierEvent.ConnectSuccessFinal)
    info.poolAnswer = now
    info.noteHost(host)
    info.upstreamLocal = connection.local.text
    info.upstreamConnection = connection
    info.upstream = connection.streamInfo
    this.#lastActivity = now
    if (config.idleTimeout > 0) timers.arm(this.#idle, config.idleTimeout)
    this.#chain.upstreamConnected(this.downstream)
    this.downstream.holdReading(ReadHold.Setup, false)
  }

  onTcpFailure(failure: PoolFailure, host: Host, transportFailure: string): void {
    this.#pending = null
    if (this.#done) return
    const { info } = this
    info.poolAnswer = this.#proxy.timers.now()
    info.noteHost(host)
    if (failure === PoolFailure.Overflow) {
      info.setFlag(ResponseFlag.UpstreamOverflow)
      this.#giveUp()
      return
    }
    const event = failure === PoolFailure.Timeout ? OutlierEvent.ConnectTimeout : OutlierEvent.ConnectFailed
    this.#cluster!.reportOutcome(host, 0, event)
    info.setFlag(ResponseFlag.UpstreamConnectionFailure)
    info.upstreamTransportFailure = transportFailure
    const { config, timers } = this.#proxy
    if (config.backoff === null || info.upstreamAttempts >= config.maxConnectAttempts) {
      this.#connect()
      return
    }
    this.#retry ??= new TimerNode(this, TIMER_RETRY)
    timers.arm(this.#retry, this.#proxy.backoff(info.upstreamAttempts))
  }

  onTimer(kind: number): void {
    const { timers, config, stats } = this.#proxy
    if (kind === TIMER_RETRY) {
      this.#connect()
      return
    }
    if (kind === TIMER_IDLE) {
      // Armed once: traffic only notes its time.
      const left = this.#lastActivity + config.idleTimeout - timers.now()
      if (left > 0) {
        timers.arm(this.#idle, left)
        return
      }
      stats.idleTimeout.inc()
    } else {
      stats.maxDuration.inc()
      this.info.setFlag(ResponseFlag.DurationTimeout)
    }
    const why = kind === TIMER_IDLE ? CloseReason.IdleTimeout : CloseReason.Local
    this.#upstream?.close(CloseHow.NoFlush, why)
    this.downstream.close(CloseHow.NoFlush, why)
  }

  /** One attempt; ends in onTcpReady, onTcpFailure or the end of the connection. */
  #connect(): void {
    const { config, clusters, timers } = this.#proxy
    const { info } = this
    const target = this.#target!
    const cluster = clusters.get(target.name)
    if (cluster === null) {
      this.#proxy.stats.noRoute.inc()
      info.setFlag(ResponseFlag.NoClusterFound)
      this.#giveUp()
      return
    }
    info.upstreamClusterName = cluster.name
    info.upstreamClusterStatName = cluster.observabilityName
    info.clusterMetadata = cluster.metadata
    if (info.upstreamAttempts >= config.maxConnectAttempts) {
      info.setFlag(ResponseFlag.UpstreamRetryLimitExceeded)
      cluster.counters.upstreamCxConnectAttemptsExceeded.inc()
      this.#giveUp()
      return
    }
    // Asked before the pool, which lets a host without connections always open one: with max_connections 0 nothing opens.
    if (!cluster.limits.canTake(0, Resource.Connections)) {
      cluster.counters.upstreamCxOverflow.inc()
      info.setFlag(ResponseFlag.UpstreamOverflow)
      this.#giveUp()
      return
    }
    const host = cluster.pick(this)
    if (host === null) {
      info.setFlag(ResponseFlag.NoHealthyUpstream)
      this.#giveUp()
      return
    }
    this.#cluster = cluster
    info.upstreamAttempts++
    // Further attempts count as one with the first.
    if (info.poolRequest < 0) info.poolRequest = timers.now()
    const pending = this.#open(cluster, host)
    // A failure may have been told inside the call, and a further attempt begun.
    if (pending !== null && this.#upstream === null && !this.#done) this.#pending = pending
  }

  #open(cluster: Cluster, host: Host): PoolHandle | null {
    const { tunneling } = this.#proxy
    const { info, downstream } = this
    if (tunneling === null || info.state(NO_TUNNEL_STATE) === 'true')
      return cluster.tcpConnect(host, this, info, downstream)
    const tunnel = new TcpTunnel(this, tunneling)
    tunnel.waitFor(cluster.httpPool(host, 0, '', downstream, '', null, info.sharedState).newStream(tunnel))
    return tunnel.closed ? null : tunnel
  }

  #giveUp(): void {
    if (this.downstream.closed) return
    this.downstream.close(CloseHow.NoFlush)
  }

  #upstreamClosed(why: CloseReason): void {
    const { stats } = this.#proxy
    this.info.upstreamWireBytesReceived = this.#upstream!.bytesReceived
    this.info.upstreamWireBytesSent = this.#upstream!.bytesSent - this.#sentBefore
    if (this.#flushing) {
      this.#flushing = false
      stats.flushActive.dec()
    }
    if (this.#done || this.downstream.closed) return
    if (why === CloseReason.RemoteReset) {
      this.info.setFlag(ResponseFlag.UpstreamRemoteReset)
      this.downstream.close(CloseHow.Reset)
    } else this.downstream.close(CloseHow.Flush)
  }

  #downstreamClosed(why: CloseReason): void {
    if (this.#done) return
    this.#done = true
    const { timers, stats } = this.#proxy
    timers.cancel(this.#idle)
    if (this.#duration !== null) timers.cancel(this.#duration)
    if (this.#retry !== null) timers.cancel(this.#retry)
    const pending = this.#pending
    this.#pending = null
    pending?.cancel()
    const upstream = this.#upstream
    if (upstream !== null) {
      // It may be closed already and say so only afterwards.
      this.info.upstreamWireBytesReceived = upstream.bytesReceived
      this.info.upstreamWireBytesSent = upstream.bytesSent - this.#sentBefore
    }
    if (upstream !== null && !upstream.closed) {
      const remote = why === CloseReason.Remote
      // What the client sent before it left still goes out.
      if (remote && upstream.bufferedBytes > 0) {
        this.#flushing = true
        stats.flushTotal.inc()
        stats.flushActive.inc()
      }
      // A reset is passed on as one.
      const abort = why === CloseReason.RemoteReset
      upstream.close(abort ? CloseHow.Reset : remote ? CloseHow.Flush : CloseHow.NoFlush)
    }
    const { info } = this
    if (why === CloseReason.ConnectTimeout) info.connectionTerminationDetails = 'transport socket timeout was reached'
    info.end = timers.now()
    info.downstreamWireBytesReceived = this.downstream.bytesReceived
    info.downstreamWireBytesSent = this.downstream.bytesSent
    info.downstreamTransportFailure = this.downstream.transportFailure || this.downstream.inspectorFailure
  }

  onGone(): void {
    const { loggers } = this.#proxy
    for (let i = 0; i < loggers.length; i++) loggers[i]!.log(this, 'TcpConnectionEnd')
  }
}
