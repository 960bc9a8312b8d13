import type { Counter, Gauge, StatsScope } from '../stats/stats.ts'
import type { HostRecord, RateAverages } from './outlier.ts'

export type EjectionType =
  | 'consecutive_5xx'
  | 'consecutive_gateway_failure'
  | 'consecutive_local_origin_failure'
  | 'success_rate'
  | 'local_origin_success_rate'
  | 'failure_percentage'
  | 'local_origin_failure_percentage'

const TYPES: readonly EjectionType[] = [
  'consecutive_5xx',
  'consecutive_gateway_failure',
  'consecutive_local_origin_failure',
  'success_rate',
  'local_origin_success_rate',
  'failure_percentage',
  'local_origin_failure_percentage',
]

/** `cluster.X.outlier_detection.*` */
export class OutlierStats {
  readonly active: Gauge
  readonly overflow: Counter
  /** Deprecated counters that are still printed. */
  readonly total: Counter
  readonly consecutive5xx: Counter
  readonly successRate: Counter
  private readonly enforcedTotal: Counter
  private readonly detectedBy = new Map<EjectionType, Counter>()
  private readonly enforcedBy = new Map<EjectionType, Counter>()

  constructor(scope: StatsScope) {
    this.active = scope.gauge('ejections_active')
    this.overflow = scope.counter('ejections_overflow')
    this.total = scope.counter('ejections_total')
    this.consecutive5xx = scope.counter('ejections_consecutive_5xx')
    this.successRate = scope.counter('ejections_success_rate')
    this.enforcedTotal = scope.counter('ejections_enforced_total')
    // Envoy 1.40 has the name without an ejection type for it.
    scope.counter('ejections_detected_degradation')
    for (const type of TYPES) {
      this.detectedBy.set(type, scope.counter(`ejections_detected_${type}`))
      this.enforcedBy.set(type, scope.counter(`ejections_enforced_${type}`))
    }
  }

  detected(type: EjectionType): void {
    this.detectedBy.get(type)!.inc()
  }

  enforced(type: EjectionType): void {
    this.enforcedTotal.inc()
    this.enforcedBy.get(type)!.inc()
  }
}

/** envoy.data.cluster.v3.OutlierEjectionType */
const EVENT_TYPE: Readonly<Record<EjectionType, string>> = {
  consecutive_5xx: 'CONSECUTIVE_5XX',
  consecutive_gateway_failure: 'CONSECUTIVE_GATEWAY_FAILURE',
  consecutive_local_origin_failure: 'CONSECUTIVE_LOCAL_ORIGIN_FAILURE',
  success_rate: 'SUCCESS_RATE',
  local_origin_success_rate: 'SUCCESS_RATE_LOCAL_ORIGIN',
  failure_percentage: 'FAILURE_PERCENTAGE',
  local_origin_failure_percentage: 'FAILURE_PERCENTAGE_LOCAL_ORIGIN',
}

/**
 * One line of the outlier event log (envoy.data.cluster.v3.OutlierDetectionEvent). `type` null: the host comes back.
 * `since`: whole seconds since the last action, -1 = there was none.
 */
export function outlierEvent(
  cluster: string,
  r: HostRecord,
  type: EjectionType | null,
  enforced: boolean,
  since: number,
  wall: number,
  averages: readonly [RateAverages, RateAverages],
): string {
  let detail: object = {}
  if (type === 'success_rate' || type === 'local_origin_success_rate') {
    const rate = type === 'success_rate' ? r.successRate : r.localOriginSuccessRate
    const { average, threshold } = averages[type === 'success_rate' ? 0 : 1]
    detail = {
      eject_success_rate_event: {
        host_success_rate: Math.floor(rate),
        cluster_average_success_rate: Math.floor(average),
        cluster_success_rate_ejection_threshold: Math.max(0, Math.floor(threshold)),
      },
    }
  } else if (type === 'failure_percentage' || type === 'local_origin_failure_percentage') {
    const rate = type === 'failure_percentage' ? r.successRate : r.localOriginSuccessRate
    detail = { eject_failure_percentage_event: { host_success_rate: Math.floor(rate) } }
  } else if (type !== null) {
    detail = { eject_consecutive_event: {} }
  }
  return JSON.stringify({
    // The enum's zero value is printed for events without a type.
    type: type === null ? 'CONSECUTIVE_5XX' : EVENT_TYPE[type],
    timestamp: new Date(wall).toISOString(),
    ...(since < 0 ? {} : { secs_since_last_action: String(since) }),
    cluster_name: cluster,
    upstream_url: r.host.config.address.text,
    action: type === null ? 'UNEJECT' : 'EJECT',
    num_ejections: r.ejections,
    enforced,
    ...detail,
  })
}
