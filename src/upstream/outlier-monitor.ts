import type { Runtime } from '../config/services.ts'
import type { OutlierConfig } from './cluster-config.ts'
import type { WorkerHost } from './host.ts'
import type { SharedBlock } from './shared-state.ts'
import { HostCell, OutlierEvent } from './upstream.ts'

/** What made a worker ask for an ejection; main decides. */
export type ConsecutiveKind = 'consecutive_5xx' | 'consecutive_gateway_failure' | 'consecutive_local_origin_failure'

/** Sent from a worker to main. Cloneable. */
export interface EjectionRequest {
  readonly cluster: string
  readonly block: SharedBlock
  /** The last one is no outlier: a response carried `x-envoy-immediate-health-check-fail`, which the health checkers heed. */
  readonly kind: ConsecutiveKind | 'immediate_health_check_fail'
}

/**
 * The worker's half of outlier detection (DetectorHostMonitorImpl): counts results in the host's shared cells, so that
 * consecutive errors are consecutive over all workers, and asks main when a threshold is reached exactly.
 */
export class OutlierMonitor {
  private readonly cluster: string
  private readonly config: OutlierConfig
  private readonly runtime: Runtime
  private readonly request: (r: EjectionRequest) => void

  constructor(cluster: string, config: OutlierConfig, runtime: Runtime, request: (r: EjectionRequest) => void) {
    this.cluster = cluster
    this.config = config
    this.runtime = runtime
    this.request = request
  }

  /** `status`: of the response, or what the failure was answered with; 0 = Envoy's default for the event. */
  report(host: WorkerHost, status: number, event: OutlierEvent): void {
    if (event === OutlierEvent.Response) {
      this.putStatus(host, status)
      return
    }
    if (this.config.splitExternalLocalOriginErrors) {
      this.putLocalOrigin(host, event === OutlierEvent.ConnectSuccess || event === OutlierEvent.ConnectSuccessFinal)
      return
    }
    if (event === OutlierEvent.ConnectSuccess) return
    if (event === OutlierEvent.ConnectSuccessFinal) {
      this.putStatus(host, 200)
      return
    }
    const timeout = event === OutlierEvent.ConnectTimeout || event === OutlierEvent.RequestTimeout
    this.putStatus(host, status !== 0 ? status : timeout ? 504 : 503)
  }

  private putStatus(host: WorkerHost, status: number): void {
    const cells = host.cells
    cells.add(HostCell.SuccessRateTotal, 1)
    if (status < 500 || status > 599) {
      cells.add(HostCell.SuccessRateSuccess, 1)
      // Plain loads first: the common case must not write to lines other workers read.
      if (cells.load(HostCell.Consecutive5xx) !== 0) cells.store(HostCell.Consecutive5xx, 0)
      if (cells.load(HostCell.ConsecutiveGateway) !== 0) cells.store(HostCell.ConsecutiveGateway, 0)
      return
    }
    if (status >= 502 && status <= 504) {
      const limit = this.threshold('consecutive_gateway_failure', this.config.consecutiveGatewayFailure)
      if (cells.add(HostCell.ConsecutiveGateway, 1) === limit) this.ask(host, 'consecutive_gateway_failure')
    } else {
      cells.store(HostCell.ConsecutiveGateway, 0)
    }
    const limit = this.threshold('consecutive_5xx', this.config.consecutive5xx)
    if (cells.add(HostCell.Consecutive5xx, 1) === limit) this.ask(host, 'consecutive_5xx')
  }

  private putLocalOrigin(host: WorkerHost, success: boolean): void {
    const cells = host.cells
    cells.add(HostCell.LocalOriginTotal, 1)
    if (success) {
      cells.add(HostCell.LocalOriginSuccess, 1)
      if (cells.load(HostCell.ConsecutiveLocalOrigin) !== 0) cells.store(HostCell.ConsecutiveLocalOrigin, 0)
      return
    }
    const limit = this.threshold('consecutive_local_origin_failure', this.config.consecutiveLocalOriginFailure)
    if (cells.add(HostCell.ConsecutiveLocalOrigin, 1) === limit) this.ask(host, 'consecutive_local_origin_failure')
  }

  private threshold(name: string, value: number): number {
    return this.runtime.integer(`outlier_detection.${name}`, value)
  }

  private ask(host: WorkerHost, kind: ConsecutiveKind): void {
    this.request({ cluster: this.cluster, block: host.block, kind })
  }
}
