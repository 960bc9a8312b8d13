import type { StatsScope } from '../stats/stats.ts'
import { ClusterStats } from '../upstream/cluster-stats.ts'
import { ResponseOrigin } from '../upstream/response-code-stats.ts'

/** What /clusters says of a host. */
export class HostTraffic {
  cxActive = 0
  cxTotal = 0
  cxConnectFail = 0
  rqActive = 0
  rqTotal = 0
  rqSuccess = 0
  rqError = 0
}

/**
 * Streams to a control plane as traffic of their cluster: its `upstream_cx_*` and `upstream_rq_*`, counted as Envoy counts those of
 * its own pool. Bytes are those of messages with their prefix: HTTP/2's own stay inside of the gRPC library.
 */
export class ControlPlaneTraffic {
  readonly stats: ClusterStats
  /** By address, as targets have it: `127.0.0.1:15010`, `unix:/path`. */
  readonly #hosts = new Map<string, HostTraffic>()

  /** `scope`: `cluster.<name>.` */
  constructor(scope: StatsScope) {
    this.stats = new ClusterStats(scope)
  }

  host(address: string): HostTraffic {
    let host = this.#hosts.get(address)
    if (host === undefined) {
      host = new HostTraffic()
      this.#hosts.set(address, host)
    }
    return host
  }

  /** `address`: as /clusters prints it. */
  find(address: string): HostTraffic | undefined {
    const socket = address.startsWith('@') ? `unix-abstract:${address.slice(1)}` : `unix:${address}`
    return this.#hosts.get(address) ?? this.#hosts.get(socket)
  }
}

/** A connection, from the attempt to its end. */
export class ConnectionTraffic {
  readonly #stats: ClusterStats
  readonly #host: HostTraffic
  readonly #began = performance.now()
  #state: 'connecting' | 'open' | 'over' = 'connecting'

  constructor(traffic: ControlPlaneTraffic, host: HostTraffic) {
    this.#stats = traffic.stats
    this.#host = host
    this.#stats.upstreamCxTotal.inc()
    this.#stats.upstreamCxHttp2Total.inc()
    this.#stats.upstreamCxActive.inc()
    host.cxTotal++
    host.cxActive++
  }

  opened(): void {
    if (this.#state !== 'connecting') return
    this.#state = 'open'
    this.#stats.upstreamCxConnectMs.record(Math.round(performance.now() - this.#began))
  }

  /** `local`: by this side; `active`: with a stream on it. */
  closed(local: boolean, active: boolean): void {
    if (this.#state === 'over') return
    const failed = this.#state === 'connecting'
    this.#state = 'over'
    const stats = this.#stats
    stats.upstreamCxActive.dec()
    stats.upstreamCxDestroy.inc()
    if (local) stats.upstreamCxDestroyLocal.inc()
    else stats.upstreamCxDestroyRemote.inc()
    if (active && !failed) {
      stats.upstreamCxDestroyWithActiveRq.inc()
      if (local) stats.upstreamCxDestroyLocalWithActiveRq.inc()
      else stats.upstreamCxDestroyRemoteWithActiveRq.inc()
    }
    this.#host.cxActive--
    if (failed && !local) {
      stats.upstreamCxConnectFail.inc()
      this.#host.cxConnectFail++
    }
    if (!failed) stats.upstreamCxLengthMs.record(Math.round(performance.now() - this.#began))
  }
}

/** A stream, from its wait for a connection to its end. */
export class RequestTraffic {
  readonly #stats: ClusterStats
  readonly #host: HostTraffic
  #state: 'pending' | 'active' | 'answered' | 'over' = 'pending'
  /** Bytes that wait with it. */
  #unsent = 0

  /** `waits`: for a connection that is not there yet. */
  constructor(traffic: ControlPlaneTraffic, host: HostTraffic, waits: boolean) {
    this.#stats = traffic.stats
    this.#host = host
    this.#stats.upstreamRqPendingActive.inc()
    if (waits) this.#stats.upstreamRqPendingTotal.inc()
  }

  /** `last`: the connection takes no more (max_requests_per_connection). */
  begun(last: boolean): void {
    if (this.#state !== 'pending') return
    this.#state = 'active'
    this.#stats.upstreamRqPendingActive.dec()
    this.#stats.upstreamRqTotal.inc()
    this.#stats.upstreamRqActive.inc()
    this.sent(this.#unsent)
    if (last) this.#stats.upstreamCxMaxRequests.inc()
    this.#host.rqTotal++
    this.#host.rqActive++
  }

  answered(): void {
    if (this.#state !== 'active') return
    this.#state = 'answered'
    this.#charge(200)
  }

  sent(bytes: number): void {
    if (this.#state === 'pending') this.#unsent += bytes
    else this.#stats.upstreamCxTxBytesTotal.add(bytes)
  }

  received(bytes: number): void {
    this.#stats.upstreamCxRxBytesTotal.add(bytes)
  }

  /** By the other side, with a gRPC status; -1: given up by this one. */
  ended(status: number): void {
    const state = this.#state
    if (state === 'over') return
    this.#state = 'over'
    if (state === 'pending') {
      this.#stats.upstreamRqPendingActive.dec()
      if (status === -1) this.#stats.upstreamRqCancelled.inc()
      else this.#stats.upstreamRqPendingFailureEject.inc()
    } else {
      this.#stats.upstreamRqActive.dec()
      this.#host.rqActive--
      // Whoever has not finished himself resets what the other has.
      if (status === -1 || state === 'answered') this.#stats.upstreamRqTxReset.inc()
    }
    if (status === -1) return
    if (state !== 'answered') this.#charge(503)
    if (status === 0) this.#host.rqSuccess++
    else this.#host.rqError++
  }

  #charge(code: number): void {
    this.#stats.responseCodes.charge(code, ResponseOrigin.Internal, '', '')
  }
}
