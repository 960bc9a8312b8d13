import { TimerNode, type TimerOwner } from '../../base/timer.ts'
import type { MainHost } from '../cluster-hosts.ts'
import { HostCell, HostHealth } from '../upstream.ts'
import type { HealthChecker, Probe } from './checker.ts'
import { healthEvent } from './event.ts'

const TIMER_INTERVAL = 0
const TIMER_TIMEOUT = 1

/** Why a check failed. Network failures respect the unhealthy threshold, answers that say no do not. */
export type FailureType = 'ACTIVE' | 'NETWORK' | 'NETWORK_TIMEOUT' | 'PASSIVE'

/** The state machine of one host (ActiveHealthCheckSession): thresholds, intervals, flags. Probes only ask and report. */
export class HealthCheckSession implements TimerOwner {
  readonly host: MainHost
  probe!: Probe
  firstCheck = true
  private readonly checker: HealthChecker
  private readonly interval = new TimerNode(this, TIMER_INTERVAL)
  private readonly timeout = new TimerNode(this, TIMER_TIMEOUT)
  private healthyCount = 0
  private unhealthyCount = 0
  private stopped = false

  constructor(checker: HealthChecker, host: MainHost) {
    this.checker = checker
    this.host = host
    if (!this.has(HostHealth.FailedActive)) checker.healthy.inc()
    if (this.has(HostHealth.DegradedActive)) checker.degraded.inc()
  }

  start(): void {
    const jitter = this.checker.config.initialJitter
    if (jitter === 0) this.begin()
    else this.checker.services.timers.arm(this.interval, this.checker.jittered(0, jitter))
  }

  stop(): void {
    this.stopped = true
    this.checker.services.timers.cancel(this.interval)
    this.checker.services.timers.cancel(this.timeout)
    if (!this.has(HostHealth.FailedActive)) this.checker.healthy.dec()
    if (this.has(HostHealth.DegradedActive)) this.checker.degraded.dec()
    this.probe.close()
  }

  onTimer(kind: number): void {
    if (kind === TIMER_INTERVAL) {
      this.begin()
      return
    }
    this.probe.abandon()
    this.fail('NETWORK_TIMEOUT', false, 0)
  }

  passed(degraded: boolean): void {
    if (this.stopped) return
    const { checker, host } = this
    this.unhealthyCount = 0
    let changed = false
    let pending = false
    if (this.has(HostHealth.FailedActive)) {
      // The very first answer counts at once: start-up should not wait for the threshold.
      if (this.firstCheck || ++this.healthyCount === checker.config.healthyThreshold) {
        host.cells.clearBits(
          HostCell.Health,
          HostHealth.FailedActive | HostHealth.ActiveTimeout | HostHealth.ExcludedImmediate,
        )
        checker.healthy.inc()
        changed = true
        this.log('add_healthy_event', { first_check: this.firstCheck })
      } else {
        pending = true
      }
    }
    if (!changed && checker.config.alwaysLogSuccess) this.log('successful_health_check_event', {})
    changed = this.clearPending() || changed
    if (degraded !== this.has(HostHealth.DegradedActive)) {
      if (degraded) host.cells.setBits(HostCell.Health, HostHealth.DegradedActive)
      else host.cells.clearBits(HostCell.Health, HostHealth.DegradedActive)
      if (degraded) checker.degraded.inc()
      else checker.degraded.dec()
      this.log(degraded ? 'degraded_healthy_host' : 'no_longer_degraded_host', {})
      changed = true
    }
    checker.counters.success.inc()
    this.finish(true, changed, pending)
  }

  failed(type: 'ACTIVE' | 'NETWORK', retriable: boolean, status = 0): void {
    if (!this.stopped) this.fail(type, retriable, status)
  }

  /** x-envoy-immediate-health-check-fail, in an answer to a check or to a request. */
  exclude(): void {
    this.host.cells.setBits(HostCell.Health, HostHealth.ExcludedImmediate)
  }

  failPassively(): void {
    if (this.stopped) return
    this.exclude()
    // The running check and its schedule stay as they are.
    const { changed } = this.setUnhealthy('PASSIVE', false, 0)
    if (changed) this.checker.hosts.onHealthChanged(this.host)
  }

  private begin(): void {
    const { checker } = this
    checker.services.timers.arm(this.timeout, checker.config.timeout)
    checker.counters.attempt.inc()
    this.probe.begin()
  }

  private fail(type: FailureType, retriable: boolean, status: number): void {
    const { changed, pending } = this.setUnhealthy(type, retriable, status)
    this.finish(false, changed, pending)
  }

  private setUnhealthy(type: FailureType, retriable: boolean, status: number): { changed: boolean; pending: boolean } {
    const { checker, host } = this
    const network = type === 'NETWORK' || type === 'NETWORK_TIMEOUT'
    this.healthyCount = 0
    let changed = false
    let pending = false
    if (!this.has(HostHealth.FailedActive)) {
      if ((!network && !retriable) || ++this.unhealthyCount >= checker.config.unhealthyThreshold) {
        host.cells.setBits(HostCell.Health, HostHealth.FailedActive)
        checker.healthy.dec()
        changed = true
        this.log('eject_unhealthy_event', { failure_type: type })
      } else {
        pending = true
      }
    }
    if (this.has(HostHealth.FailedActive)) {
      if (type === 'NETWORK_TIMEOUT') host.cells.setBits(HostCell.Health, HostHealth.ActiveTimeout)
      else host.cells.clearBits(HostCell.Health, HostHealth.ActiveTimeout)
    }
    changed = this.clearPending() || changed
    if (this.firstCheck || checker.config.alwaysLogFailures) {
      this.log('health_check_failure_event', {
        failure_type: type,
        first_check: this.firstCheck,
        http_status_code: status,
      })
    }
    checker.counters.failure.inc()
    if (network) checker.counters.networkFailure.inc()
    else if (type === 'PASSIVE') checker.counters.passiveFailure.inc()
    return { changed, pending }
  }

  private finish(healthy: boolean, changed: boolean, pending: boolean): void {
    const { checker } = this
    const { timers } = checker.services
    const first = this.firstCheck
    this.firstCheck = false
    timers.cancel(this.timeout)
    timers.arm(this.interval, checker.interval(healthy, pending))
    if (changed) checker.hosts.onHealthChanged(this.host)
    checker.onCheck?.(this.host, healthy)
    if (first) checker.noteChecked()
  }

  /** ignore_new_hosts_until_first_hc: the host counts from its first result on. */
  private clearPending(): boolean {
    return (this.host.cells.clearBits(HostCell.Health, HostHealth.PendingActive) & HostHealth.PendingActive) !== 0
  }

  private has(bit: number): boolean {
    return (this.host.flags() & bit) !== 0
  }

  private log(name: string, body: object): void {
    const path = this.checker.config.eventLogPath
    if (path !== '') this.checker.services.logEvent(path, healthEvent(this.checker, this.host, name, body))
  }
}
