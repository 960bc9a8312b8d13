import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import type { Timers } from '../base/timer.ts'
import type { Connection } from '../io/connection.ts'
import type { Counter, Gauge, StatsScope } from '../stats/stats.ts'
import type { AccessLogger } from '../telemetry/format-context.ts'
import type { ClusterManager } from '../upstream/upstream.ts'
import type { NetworkFilter, NetworkFilterFactory, ReadContinuation } from './filter.ts'
import type { TcpProxyConfig, WeightedClusterConfig } from './tcp-proxy-config.ts'
import { TcpProxySession } from './tcp-proxy-session.ts'
import { Tunneling } from './tcp-tunnel.ts'

/** `tcp.<stat_prefix>.*`. */
export class TcpProxyStats {
  readonly total: Counter
  readonly noRoute: Counter
  readonly rxBytes: Counter
  readonly txBytes: Counter
  readonly paused: Counter
  readonly resumed: Counter
  readonly idleTimeout: Counter
  readonly maxDuration: Counter
  readonly flushTotal: Counter
  readonly flushActive: Gauge

  constructor(scope: StatsScope) {
    this.total = scope.counter('downstream_cx_total')
    this.noRoute = scope.counter('downstream_cx_no_route')
    this.rxBytes = scope.counter('downstream_cx_rx_bytes_total')
    this.txBytes = scope.counter('downstream_cx_tx_bytes_total')
    this.paused = scope.counter('downstream_flow_control_paused_reading_total')
    this.resumed = scope.counter('downstream_flow_control_resumed_reading_total')
    this.idleTimeout = scope.counter('idle_timeout')
    this.maxDuration = scope.counter('max_downstream_connection_duration')
    this.flushTotal = scope.counter('upstream_flush_total')
    this.flushActive = scope.gauge('upstream_flush_active')
    // Exist in Envoy; what they count does not happen here, or is gone before anybody could look.
    for (const name of [
      'downstream_cx_drain_close',
      'downstream_cx_overload_close',
      'early_data_received_count_total',
      'route_delayed_total',
    ]) {
      scope.counter(name)
    }
    scope.gauge('downstream_cx_rx_bytes_buffered')
    scope.gauge('downstream_cx_tx_bytes_buffered')
  }
}

export interface TcpProxyServices {
  readonly timers: Timers
  readonly clock: Clock
  readonly random: Random
  readonly stats: StatsScope
  readonly clusters: ClusterManager
  readonly filterChainName: string
  readonly listenerName: string
  readonly listenerMetadata: Readonly<Record<string, unknown>> | null
  readonly filterChainMetadata: Readonly<Record<string, unknown>> | null
}

/** A tcp_proxy filter on a worker: makes a session per connection. */
export class TcpProxy implements NetworkFilterFactory {
  readonly config: TcpProxyConfig
  readonly stats: TcpProxyStats
  readonly loggers: readonly AccessLogger[]
  readonly timers: Timers
  readonly clock: Clock
  readonly filterChainName: string
  readonly listenerName: string
  readonly listenerMetadata: Readonly<Record<string, unknown>> | null
  readonly filterChainMetadata: Readonly<Record<string, unknown>> | null
  /** Null = plain TCP. */
  readonly tunneling: Tunneling | null
  readonly #services: TcpProxyServices

  constructor(config: TcpProxyConfig, services: TcpProxyServices, loggers: readonly AccessLogger[]) {
    this.config = config
    this.stats = new TcpProxyStats(services.stats.scope(`tcp.${config.statPrefix}.`))
    this.tunneling = config.tunnel === null ? null : new Tunneling(config.tunnel)
    this.loggers = loggers
    this.timers = services.timers
    this.clock = services.clock
    this.filterChainName = services.filterChainName
    this.listenerName = services.listenerName
    this.listenerMetadata = services.listenerMetadata
    this.filterChainMetadata = services.filterChainMetadata
    this.#services = services
  }

  /** Asked for anew: the cluster manager of a worker is swapped by updates. */
  get clusters(): ClusterManager {
    return this.#services.clusters
  }

  newInstance(c: Connection, chain: ReadContinuation): NetworkFilter {
    return new TcpProxySession(this, c, chain)
  }

  pickTarget(): WeightedClusterConfig {
    const { clusters, totalWeight } = this.config
    if (clusters.length === 1) return clusters[0]!
    let at = this.#services.random.next() % totalWeight
    for (let i = 0; i < clusters.length; i++) {
      at -= clusters[i]!.weight
      if (at < 0) return clusters[i]!
    }
    return clusters[clusters.length - 1]!
  }

  connectionDuration(): number {
    const { maxConnectionDuration, durationJitter } = this.config
    if (durationJitter === 0) return maxConnectionDuration
    return maxConnectionDuration * (1 + ((this.#services.random.next32() / 2 ** 32) * durationJitter) / 100)
  }

  /** JitteredExponentialBackOffStrategy: uniform in [0, base · 2^(n−1)), bounded by max. */
  backoff(attempts: number): number {
    const { base, max } = this.config.backoff!
    const window = Math.min(max, base * 2 ** Math.min(attempts - 1, 30))
    return this.#services.random.next32() % Math.max(1, Math.floor(window))
  }
}
