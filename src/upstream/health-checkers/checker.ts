import type { Clock } from '../../base/clock.ts'
import type { Random } from '../../base/random.ts'
import type { Timers } from '../../base/timer.ts'
import type { Runtime } from '../../config/services.ts'
import type { Address } from '../../io/connection.ts'
import type { Counter, Gauge, StatsScope } from '../../stats/stats.ts'
import type { HealthCheckConfig } from '../cluster-config.ts'
import type { ClusterHosts, HostWatcher, MainHost } from '../cluster-hosts.ts'
import type { ClientCodecs, Connector, UpstreamConnectOptions } from '../connector.ts'
import { matchTransportSocket } from '../transport-socket-match.ts'
import { GrpcProbe } from './grpc.ts'
import { HttpProbe } from './http.ts'
import { HealthCheckSession } from './session.ts'
import { TcpProbe } from './tcp.ts'

/** What health checks need of main. */
export interface HealthCheckServices {
  readonly timers: Timers
  readonly clock: Clock
  readonly random: Random
  readonly runtime: Runtime
  readonly connector: Connector
  readonly codecs: ClientCodecs
  /** Root scope. */
  readonly stats: StatsScope
  /** Appends one line to an event log file. */
  logEvent(path: string, line: string): void
}

/** One way to ask an endpoint; made per host. Reports to its session exactly once per `begin`, unless abandoned. */
export interface Probe {
  begin(): void
  /** The timeout passed: give up the check, without a report. */
  abandon(): void
  /** The host goes. */
  close(): void
}

/** Active health checking of one cluster (HealthCheckerImplBase): a session per host. */
export class HealthChecker implements HostWatcher {
  readonly hosts: ClusterHosts
  readonly config: HealthCheckConfig
  readonly services: HealthCheckServices
  /** `cluster.X.`, also for the codecs of probes. */
  readonly stats: StatsScope
  readonly counters: Readonly<
    Record<'attempt' | 'success' | 'failure' | 'passiveFailure' | 'networkFailure' | 'verifyCluster', Counter>
  >
  readonly healthy: Gauge
  readonly degraded: Gauge
  /** Called after each check, for outlier detection. */
  onCheck: ((host: MainHost, healthy: boolean) => void) | null = null
  /** Called whenever every host has had its first check: the cluster may leave warming. */
  onAllChecked: (() => void) | null = null
  private readonly sessions = new Map<MainHost, HealthCheckSession>()
  private started = false

  constructor(hosts: ClusterHosts, config: HealthCheckConfig, services: HealthCheckServices) {
    this.hosts = hosts
    this.config = config
    this.services = services
    this.stats = services.stats.scope(`cluster.${hosts.config.statsName}.`)
    const scope = this.stats.scope('health_check.')
    this.counters = {
      attempt: scope.counter('attempt'),
      success: scope.counter('success'),
      failure: scope.counter('failure'),
      passiveFailure: scope.counter('passive_failure'),
      networkFailure: scope.counter('network_failure'),
      verifyCluster: scope.counter('verify_cluster'),
    }
    this.healthy = scope.gauge('healthy')
    this.degraded = scope.gauge('degraded')
  }

  /** Checks the hosts known now and all that come. */
  start(): void {
    this.started = true
    for (const h of this.hosts.hosts()) this.onHostAdded(h)
    this.noteChecked()
  }

  stop(): void {
    this.started = false
    for (const s of this.sessions.values()) s.stop()
    this.sessions.clear()
  }

  onHostAdded(host: MainHost): void {
    if (!this.started || host.config.healthCheck?.disabled === true || this.sessions.has(host)) return
    const session = new HealthCheckSession(this, host)
    this.sessions.set(host, session)
    session.probe = this.makeProbe(session)
    session.start()
  }

  onHostRemoved(host: MainHost): void {
    const session = this.sessions.get(host)
    if (session === undefined) return
    this.sessions.delete(host)
    session.stop()
    this.noteChecked()
  }

  /** A worker saw `x-envoy-immediate-health-check-fail` in a response: the host fails at once. */
  failPassively(host: MainHost): void {
    this.sessions.get(host)?.failPassively()
  }

  noteChecked(): void {
    for (const s of this.sessions.values()) if (s.firstCheck) return
    this.onAllChecked?.()
  }

  /** Milliseconds until the next check. `pending`: between two thresholds. */
  interval(healthy: boolean, pending: boolean): number {
    const c = this.config
    if (!this.hosts.hasTraffic()) {
      return this.jittered(healthy && !pending ? c.noTrafficHealthyInterval : c.noTrafficInterval, c.intervalJitter)
    }
    if (healthy) return this.jittered(pending ? c.healthyEdgeInterval : c.interval, c.intervalJitter)
    return this.jittered(pending ? c.unhealthyEdgeInterval : c.unhealthyInterval, c.intervalJitter)
  }

  jittered(base: number, jitter: number): number {
    const { random, runtime } = this.services
    let ms = base
    const percent = Math.floor((this.config.intervalJitterPercent * base) / 100)
    if (percent > 0) ms += random.next32() % percent
    if (jitter >= 1) ms += random.next32() % Math.floor(jitter)
    ms = Math.min(ms, runtime.integer('health_check.max_interval', Number.MAX_SAFE_INTEGER))
    return Math.max(1, ms, runtime.integer('health_check.min_interval', 0))
  }

  /** Where `host` is checked: its health_check_config may name another address or port. */
  address(host: MainHost): Address {
    const hc = host.config.healthCheck
    if (hc?.address != null) return hc.address
    const own = host.config.address
    if (hc == null || hc.port === 0) return own
    const ip = own.ip
    return { ip, port: hc.port, text: `${ip.includes(':') ? `[${ip}]` : ip}:${hc.port}` }
  }

  connectOptions(host: MainHost, alpn: readonly string[]): UpstreamConnectOptions {
    const cluster = this.hosts.config
    return {
      connectTimeout: Math.max(1, this.config.timeout),
      bufferLimit: cluster.perConnectionBufferLimit,
      bind: cluster.bind,
      original: null,
      tcpKeepalive: cluster.tcpKeepalive,
      stats: this.stats,
      transportSocket: matchTransportSocket(cluster, host.config.metadata, this.config.transportSocketMatchCriteria)
        .socket,
      hostname: host.config.hostname,
      serverName: '',
      verifyName: '',
      alpn: this.config.alpnProtocols.length > 0 ? this.config.alpnProtocols : alpn,
      alpnOverrides: this.config.alpnProtocols.length > 0,
      host: null,
      proxied: null,
      shared: null,
    }
  }

  private makeProbe(session: HealthCheckSession): Probe {
    const checker = this.config.checker
    switch (checker.kind) {
      case 'http':
        return new HttpProbe(this, session, checker)
      case 'tcp':
        return new TcpProbe(this, session, checker)
      case 'grpc':
        return new GrpcProbe(this, session, checker)
    }
  }
}
