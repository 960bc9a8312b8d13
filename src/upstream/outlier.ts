import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import { TimerNode, type TimerOwner, type Timers } from '../base/timer.ts'
import type { Runtime } from '../config/services.ts'
import type { StatsScope } from '../stats/stats.ts'
import type { OutlierConfig } from './cluster-config.ts'
import type { ClusterHosts, HostWatcher, MainHost } from './cluster-hosts.ts'
import { type EjectionType, OutlierStats, outlierEvent } from './outlier-events.ts'
import type { EjectionRequest } from './outlier-monitor.ts'
import { HostCell, HostHealth } from './upstream.ts'

export interface OutlierServices {
  readonly timers: Timers
  readonly clock: Clock
  readonly random: Random
  readonly runtime: Runtime
  readonly stats: StatsScope
  /** Null = no event log (cluster_manager.outlier_detection.event_log_path). */
  logEvent: ((line: string) => void) | null
}

/** What is remembered of one host (DetectorHostMonitorImpl's main-thread half). */
export class HostRecord {
  readonly host: MainHost
  ejections = 0
  backOff = 0
  jitter = 0
  lastEjection = -1
  lastUnejection = -1
  /** Success rates of the last interval, -1 = unknown: `success_rate` of /clusters. */
  successRate = -1
  localOriginSuccessRate = -1

  constructor(host: MainHost) {
    this.host = host
  }
}

/** Over the hosts with enough requests in the last interval; -1 = there were too few. `successRateAverage` … of /clusters. */
export interface RateAverages {
  readonly average: number
  /** Hosts below it are outliers. */
  readonly threshold: number
}

const NO_AVERAGES: RateAverages = { average: -1, threshold: -1 }

/** Decides ejections of one cluster on main (Outlier::DetectorImpl). */
export class OutlierDetector implements HostWatcher, TimerOwner {
  private readonly hosts: ClusterHosts
  private readonly config: OutlierConfig
  private readonly services: OutlierServices
  private readonly stats: OutlierStats
  private readonly records = new Map<MainHost, HostRecord>()
  private readonly intervalTimer = new TimerNode(this, 0)
  private ejected = 0
  /** Of responses, and of what happened on the way to the host (split_external_local_origin_errors). */
  readonly averages: [external: RateAverages, localOrigin: RateAverages] = [NO_AVERAGES, NO_AVERAGES]

  constructor(hosts: ClusterHosts, config: OutlierConfig, services: OutlierServices) {
    this.hosts = hosts
    this.config = config
    this.services = services
    this.stats = new OutlierStats(services.stats.scope(`cluster.${hosts.config.statsName}.outlier_detection.`))
  }

  start(): void {
    for (const h of this.hosts.hosts()) this.onHostAdded(h)
    this.arm()
  }

  stop(): void {
    this.services.timers.cancel(this.intervalTimer)
  }

  onHostAdded(host: MainHost): void {
    if (!this.records.has(host)) this.records.set(host, new HostRecord(host))
  }

  onHostRemoved(host: MainHost): void {
    if (!this.records.delete(host)) return
    if (isEjected(host)) {
      this.ejected--
      this.stats.active.dec()
    }
  }

  record(host: MainHost): HostRecord | undefined {
    return this.records.get(host)
  }

  /** A worker saw a threshold reached. */
  onRequest(r: EjectionRequest): void {
    const host = this.hosts.find(r.block)
    const record = host === null ? undefined : this.records.get(host)
    // The host may be gone or ejected since.
    if (record === undefined || r.kind === 'immediate_health_check_fail' || isEjected(record.host)) return
    this.stats.detected(r.kind)
    this.eject(record, r.kind)
    switch (r.kind) {
      case 'consecutive_5xx':
        this.stats.consecutive5xx.inc()
        record.host.cells.store(HostCell.Consecutive5xx, 0)
        break
      case 'consecutive_gateway_failure':
        record.host.cells.store(HostCell.ConsecutiveGateway, 0)
        break
      case 'consecutive_local_origin_failure':
        record.host.cells.store(HostCell.ConsecutiveLocalOrigin, 0)
    }
  }

  /** A passed active check brings an ejected host back at once, unless configured otherwise. */
  onHealthCheck(host: MainHost, healthy: boolean): void {
    if (!healthy || !this.config.successfulActiveHealthCheckUnejectHost) return
    const record = this.records.get(host)
    if (record !== undefined && isEjected(host) && (host.flags() & HostHealth.FailedActive) === 0) this.uneject(record)
  }

  onTimer(): void {
    const now = this.services.clock.now()
    const rates = new Map<HostRecord, readonly [Rate, Rate]>()
    for (const r of this.records.values()) {
      this.checkUneject(r, now)
      const cells = r.host.cells
      rates.set(r, [
        takeRate(cells.exchange(HostCell.SuccessRateTotal, 0), cells.exchange(HostCell.SuccessRateSuccess, 0)),
        takeRate(cells.exchange(HostCell.LocalOriginTotal, 0), cells.exchange(HostCell.LocalOriginSuccess, 0)),
      ])
      r.successRate = -1
      r.localOriginSuccessRate = -1
    }
    this.processRates(rates, 0)
    this.processRates(rates, 1)
    const interval = this.integer('interval_ms', this.config.interval)
    for (const r of this.records.values()) {
      if (isEjected(r.host) || r.lastUnejection < 0 || now - r.lastUnejection < interval) continue
      if (r.backOff > 0) r.backOff--
    }
    this.arm()
  }

  private arm(): void {
    this.services.timers.arm(this.intervalTimer, this.integer('interval_ms', this.config.interval))
  }

  private checkUneject(r: HostRecord, now: number): void {
    if (!isEjected(r.host)) return
    const base = this.integer('base_ejection_time_ms', this.config.baseEjectionTime)
    const max = this.integer('max_ejection_time_ms', this.config.maxEjectionTime)
    if (Math.min(base * r.backOff, max) + r.jitter <= now - r.lastEjection) this.uneject(r)
  }

  private uneject(r: HostRecord): void {
    const cells = r.host.cells
    this.ejected--
    this.stats.active.dec()
    cells.clearBits(HostCell.Health, HostHealth.FailedOutlier)
    // Old near-threshold counts must not eject it again with its next error.
    cells.store(HostCell.Consecutive5xx, 0)
    cells.store(HostCell.ConsecutiveGateway, 0)
    cells.store(HostCell.ConsecutiveLocalOrigin, 0)
    const last = r.lastEjection
    r.lastUnejection = this.services.clock.now()
    this.hosts.onHealthChanged(r.host)
    this.log(r, null, false, last)
  }

  private eject(r: HostRecord, type: EjectionType): void {
    const config = this.config
    const maxPercent = Math.min(100, this.integer('max_ejection_percent', config.maxEjectionPercent))
    const percent = (100 * (this.ejected + 1)) / this.records.size
    const allowed = percent <= maxPercent || (config.alwaysEjectOneHost && this.ejected === 0)
    if (!allowed) {
      this.stats.overflow.inc()
      return
    }
    // A counter from before there were kinds.
    if (type === 'consecutive_5xx' || type === 'success_rate') this.stats.total.inc()
    const enforced = this.isEnforced(type)
    const last = r.lastUnejection
    if (enforced) {
      this.ejected++
      this.stats.active.inc()
      this.stats.enforced(type)
      r.host.cells.setBits(HostCell.Health, HostHealth.FailedOutlier)
      r.ejections++
      r.host.cells.store(HostCell.Ejections, r.ejections)
      r.lastEjection = this.services.clock.now()
      const base = this.integer('base_ejection_time_ms', config.baseEjectionTime)
      const max = this.integer('max_ejection_time_ms', config.maxEjectionTime)
      const jitter = this.integer('max_ejection_time_jitter_ms', config.maxEjectionTimeJitter)
      r.jitter = this.services.random.next32() % (Math.floor(jitter) + 1)
      if (r.backOff * base < max + base) r.backOff++
      this.hosts.onHealthChanged(r.host)
    }
    this.log(r, type, enforced, last)
  }

  private isEnforced(type: EjectionType): boolean {
    const c = this.config
    const percent = {
      consecutive_5xx: c.enforcingConsecutive5xx,
      consecutive_gateway_failure: c.enforcingConsecutiveGatewayFailure,
      consecutive_local_origin_failure: c.enforcingConsecutiveLocalOriginFailure,
      success_rate: c.enforcingSuccessRate,
      local_origin_success_rate: c.enforcingLocalOriginSuccessRate,
      failure_percentage: c.enforcingFailurePercentage,
      local_origin_failure_percentage: c.enforcingFailurePercentageLocalOrigin,
    }[type]
    const name = type === 'local_origin_failure_percentage' ? 'failure_percentage_local_origin' : type
    const { runtime, random } = this.services
    return runtime.fraction(`outlier_detection.enforcing_${name}`, percent, 100, random.next32())
  }

  /** Success rate and failure percentage of one interval; `which`: 0 external, 1 local origin. */
  private processRates(rates: ReadonlyMap<HostRecord, readonly [Rate, Rate]>, which: 0 | 1): void {
    const c = this.config
    const minHosts = this.integer('success_rate_minimum_hosts', c.successRateMinimumHosts)
    const volume = this.integer('success_rate_request_volume', c.successRateRequestVolume)
    const failMinHosts = this.integer('failure_percentage_minimum_hosts', c.failurePercentageMinimumHosts)
    const failVolume = this.integer('failure_percentage_request_volume', c.failurePercentageRequestVolume)
    this.averages[which] = NO_AVERAGES
    if (rates.size < minHosts && rates.size < failMinHosts) return
    const valid: [HostRecord, number][] = []
    const failValid: [HostRecord, number][] = []
    for (const [r, pair] of rates) {
      const { total, rate } = pair[which]
      if (isEjected(r.host) || total === 0) continue
      if (total >= Math.min(volume, failVolume)) {
        if (which === 0) r.successRate = rate
        else r.localOriginSuccessRate = rate
      }
      if (total >= volume) valid.push([r, rate])
      if (total >= failVolume) failValid.push([r, rate])
    }
    if (valid.length > 0 && valid.length >= minHosts) {
      const factor = this.integer('success_rate_stdev_factor', c.successRateStdevFactor * 1000) / 1000
      const averages = rateAverages(valid, factor)
      const { threshold } = averages
      this.averages[which] = averages
      for (const [r, rate] of valid) {
        if (rate >= threshold) continue
        this.stats.successRate.inc()
        this.detect(r, which === 0 ? 'success_rate' : 'local_origin_success_rate')
      }
    }
    if (failValid.length > 0 && failValid.length >= failMinHosts) {
      const threshold = this.integer('failure_percentage_threshold', c.failurePercentageThreshold)
      for (const [r, rate] of failValid) {
        if (100 - rate < threshold) continue
        this.detect(r, which === 0 ? 'failure_percentage' : 'local_origin_failure_percentage')
      }
    }
  }

  private detect(r: HostRecord, type: EjectionType): void {
    this.stats.detected(type)
    // Both tests of one interval may name the same host.
    if (!isEjected(r.host)) this.eject(r, type)
  }

  private integer(name: string, value: number): number {
    return this.services.runtime.integer(`outlier_detection.${name}`, value)
  }

  private log(r: HostRecord, type: EjectionType | null, enforced: boolean, last: number): void {
    const { logEvent, clock } = this.services
    if (logEvent === null) return
    const since = last < 0 ? -1 : Math.floor((clock.now() - last) / 1000)
    logEvent(outlierEvent(this.hosts.config.name, r, type, enforced, since, clock.wall(), this.averages))
  }
}

interface Rate {
  readonly total: number
  readonly rate: number
}

function takeRate(total: number, success: number): Rate {
  // Read one after the other while workers count: never above 100.
  return { total, rate: total === 0 ? 0 : Math.min(100, (success * 100) / total) }
}

function isEjected(host: MainHost): boolean {
  return (host.flags() & HostHealth.FailedOutlier) !== 0
}

/** The mean, and the mean less `factor` standard deviations. */
function rateAverages(rates: readonly (readonly [unknown, number])[], factor: number): RateAverages {
  let sum = 0
  for (const [, rate] of rates) sum += rate
  const average = sum / rates.length
  let variance = 0
  for (const [, rate] of rates) variance += (rate - average) ** 2
  return { average, threshold: average - factor * Math.sqrt(variance / rates.length) }
}
