import type { Counter, Gauge, Histogram, StatsScope } from '../stats/stats.ts'

/** Fixed names under `http.<stat_prefix>.`, resolved once per connection manager. */
export class HcmStats {
  readonly cxActive: Gauge
  readonly cxTotal: Counter
  readonly cxDestroy: Counter
  readonly cxDestroyActiveRq: Counter
  readonly cxDestroyLocal: Counter
  readonly cxDestroyLocalActiveRq: Counter
  readonly cxDestroyRemote: Counter
  readonly cxDestroyRemoteActiveRq: Counter
  readonly cxDelayedCloseTimeout: Counter
  readonly cxDrainClose: Counter
  readonly cxHttp1Active: Gauge
  readonly cxHttp1Total: Counter
  readonly cxHttp2Active: Gauge
  readonly cxHttp2Total: Counter
  readonly cxSslActive: Gauge
  readonly cxSslTotal: Counter
  readonly cxIdleTimeout: Counter
  readonly cxLengthMs: Histogram
  readonly cxMaxDurationReached: Counter
  readonly cxMaxRequestsReached: Counter
  readonly cxProtocolError: Counter
  readonly cxRxBytes: Counter
  readonly cxTxBytes: Counter
  readonly cxUpgradesActive: Gauge
  readonly cxUpgradesTotal: Counter
  readonly pausedReading: Counter
  readonly resumedReading: Counter
  readonly rqActive: Gauge
  readonly rqTotal: Counter
  readonly rqHttp1: Counter
  readonly rqHttp2: Counter
  readonly rqCompleted: Counter
  /** `downstream_rq_1xx` … `_5xx`, index = status / 100. */
  readonly rqByClass: readonly Counter[]
  readonly rqFailedPathNormalization: Counter
  readonly rqHeaderTimeout: Counter
  readonly rqIdleTimeout: Counter
  readonly rqMaxDuration: Counter
  readonly rqNonRelativePath: Counter
  readonly rqRedirectedNormalizedPath: Counter
  readonly rqResponseBeforeComplete: Counter
  readonly rqRxReset: Counter
  readonly rqTxReset: Counter
  readonly rqTime: Histogram
  readonly rqTimeout: Counter
  readonly rqTooLarge: Counter
  readonly rqWsOnNonWsRoute: Counter
  readonly rsTooLarge: Counter
  /** Same classes under `listener.<address>.http.<stat_prefix>.`. */
  readonly listenerRqCompleted: Counter
  readonly listenerRqByClass: readonly Counter[]

  constructor(scope: StatsScope, listenerScope: StatsScope) {
    this.cxActive = scope.gauge('downstream_cx_active')
    this.cxTotal = scope.counter('downstream_cx_total')
    this.cxDestroy = scope.counter('downstream_cx_destroy')
    this.cxDestroyActiveRq = scope.counter('downstream_cx_destroy_active_rq')
    this.cxDestroyLocal = scope.counter('downstream_cx_destroy_local')
    this.cxDestroyLocalActiveRq = scope.counter('downstream_cx_destroy_local_active_rq')
    this.cxDestroyRemote = scope.counter('downstream_cx_destroy_remote')
    this.cxDestroyRemoteActiveRq = scope.counter('downstream_cx_destroy_remote_active_rq')
    this.cxDelayedCloseTimeout = scope.counter('downstream_cx_delayed_close_timeout')
    this.cxDrainClose = scope.counter('downstream_cx_drain_close')
    this.cxHttp1Active = scope.gauge('downstream_cx_http1_active')
    this.cxHttp1Total = scope.counter('downstream_cx_http1_total')
    this.cxHttp2Active = scope.gauge('downstream_cx_http2_active')
    this.cxHttp2Total = scope.counter('downstream_cx_http2_total')
    this.cxSslActive = scope.gauge('downstream_cx_ssl_active')
    this.cxSslTotal = scope.counter('downstream_cx_ssl_total')
    this.cxIdleTimeout = scope.counter('downstream_cx_idle_timeout')
    this.cxLengthMs = scope.histogram('downstream_cx_length_ms')
    this.cxMaxDurationReached = scope.counter('downstream_cx_max_duration_reached')
    this.cxMaxRequestsReached = scope.counter('downstream_cx_max_requests_reached')
    this.cxProtocolError = scope.counter('downstream_cx_protocol_error')
    this.cxRxBytes = scope.counter('downstream_cx_rx_bytes_total')
    this.cxTxBytes = scope.counter('downstream_cx_tx_bytes_total')
    this.cxUpgradesActive = scope.gauge('downstream_cx_upgrades_active')
    this.cxUpgradesTotal = scope.counter('downstream_cx_upgrades_total')
    this.pausedReading = scope.counter('downstream_flow_control_paused_reading_total')
    this.resumedReading = scope.counter('downstream_flow_control_resumed_reading_total')
    this.rqActive = scope.gauge('downstream_rq_active')
    this.rqTotal = scope.counter('downstream_rq_total')
    this.rqHttp1 = scope.counter('downstream_rq_http1_total')
    this.rqHttp2 = scope.counter('downstream_rq_http2_total')
    this.rqCompleted = scope.counter('downstream_rq_completed')
    this.rqByClass = classCounters(scope)
    this.rqFailedPathNormalization = scope.counter('downstream_rq_failed_path_normalization')
    this.rqHeaderTimeout = scope.counter('downstream_rq_header_timeout')
    this.rqIdleTimeout = scope.counter('downstream_rq_idle_timeout')
    this.rqMaxDuration = scope.counter('downstream_rq_max_duration_reached')
    this.rqNonRelativePath = scope.counter('downstream_rq_non_relative_path')
    this.rqRedirectedNormalizedPath = scope.counter('downstream_rq_redirected_with_normalized_path')
    this.rqResponseBeforeComplete = scope.counter('downstream_rq_response_before_rq_complete')
    this.rqRxReset = scope.counter('downstream_rq_rx_reset')
    this.rqTxReset = scope.counter('downstream_rq_tx_reset')
    this.rqTime = scope.histogram('downstream_rq_time')
    this.rqTimeout = scope.counter('downstream_rq_timeout')
    this.rqTooLarge = scope.counter('downstream_rq_too_large')
    this.rqWsOnNonWsRoute = scope.counter('downstream_rq_ws_on_non_ws_route')
    this.rsTooLarge = scope.counter('rs_too_large')
    this.listenerRqCompleted = listenerScope.counter('downstream_rq_completed')
    this.listenerRqByClass = classCounters(listenerScope)
  }

  /** Charges one response; 1xx to 5xx have a class, anything else only counts as completed. */
  chargeResponse(status: number): void {
    this.rqCompleted.inc()
    this.listenerRqCompleted.inc()
    const group = (status / 100) | 0
    if (group < 1 || group > 5) return
    this.rqByClass[group]!.inc()
    this.listenerRqByClass[group]!.inc()
  }
}

function classCounters(scope: StatsScope): readonly Counter[] {
  const counters: Counter[] = []
  for (let group = 0; group <= 5; group++) counters.push(scope.counter(`downstream_rq_${group === 0 ? 1 : group}xx`))
  return counters
}
