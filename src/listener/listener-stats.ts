import type { Counter, Gauge, Histogram, StatsScope } from '../stats/stats.ts'

/** `listener.<address>.*`; all at zero from the start, as in Envoy. */
export class ListenerStats {
  readonly total: Counter
  readonly destroy: Counter
  readonly active: Gauge
  readonly lengthMs: Histogram
  readonly acceptedPerEvent: Histogram
  readonly overflow: Counter
  readonly globalOverflow: Counter
  readonly overloadReject: Counter
  readonly transportTimeout: Counter
  readonly filterError: Counter
  readonly filterRemoteClose: Counter
  readonly preActive: Gauge
  readonly preTimeout: Counter
  readonly noMatch: Counter
  readonly workerTotal: Counter
  readonly workerActive: Gauge

  constructor(scope: StatsScope, workerIndex: number) {
    this.total = scope.counter('downstream_cx_total')
    this.destroy = scope.counter('downstream_cx_destroy')
    this.active = scope.gauge('downstream_cx_active')
    this.lengthMs = scope.histogram('downstream_cx_length_ms')
    this.acceptedPerEvent = scope.histogram('connections_accepted_per_socket_event')
    this.overflow = scope.counter('downstream_cx_overflow')
    this.globalOverflow = scope.counter('downstream_global_cx_overflow')
    this.overloadReject = scope.counter('downstream_cx_overload_reject')
    this.transportTimeout = scope.counter('downstream_cx_transport_socket_connect_timeout')
    this.filterError = scope.counter('downstream_listener_filter_error')
    this.filterRemoteClose = scope.counter('downstream_listener_filter_remote_close')
    this.preActive = scope.gauge('downstream_pre_cx_active')
    this.preTimeout = scope.counter('downstream_pre_cx_timeout')
    this.noMatch = scope.counter('no_filter_chain_match')
    scope.counter('extension_config_missing')
    scope.counter('network_extension_config_missing')
    this.workerTotal = scope.counter(`worker_${workerIndex}.downstream_cx_total`)
    this.workerActive = scope.gauge(`worker_${workerIndex}.downstream_cx_active`)
  }
}
