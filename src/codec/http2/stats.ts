import type { Counter, Gauge, StatsScope } from '../../stats/stats.ts'

/** Counters and gauges under `http2.` (listeners) or `cluster.<name>.http2.`, as Envoy names them. */
export interface Http2Stats {
  readonly droppedHeadersWithUnderscores: Counter
  readonly goawaySent: Counter
  readonly headerListSizeTooLarge: Counter
  readonly headerOverflow: Counter
  readonly headersCbNoStream: Counter
  readonly inboundEmptyFramesFlood: Counter
  readonly inboundPriorityFramesFlood: Counter
  readonly inboundWindowUpdateFramesFlood: Counter
  readonly keepaliveTimeout: Counter
  readonly outboundControlFlood: Counter
  readonly outboundFlood: Counter
  readonly requestsRejectedWithUnderscoresInHeaders: Counter
  readonly rxMessagingError: Counter
  readonly rxReset: Counter
  readonly streamRefusedErrors: Counter
  readonly trailers: Counter
  readonly txFlushTimeout: Counter
  readonly txReset: Counter
  readonly pendingSendBytes: Gauge
  readonly streamsActive: Gauge
}

/** `scope` ends in `http2.` already. */
export function http2Stats(scope: StatsScope): Http2Stats {
  return {
    droppedHeadersWithUnderscores: scope.counter('dropped_headers_with_underscores'),
    goawaySent: scope.counter('goaway_sent'),
    headerListSizeTooLarge: scope.counter('header_list_size_too_large'),
    headerOverflow: scope.counter('header_overflow'),
    headersCbNoStream: scope.counter('headers_cb_no_stream'),
    inboundEmptyFramesFlood: scope.counter('inbound_empty_frames_flood'),
    inboundPriorityFramesFlood: scope.counter('inbound_priority_frames_flood'),
    inboundWindowUpdateFramesFlood: scope.counter('inbound_window_update_frames_flood'),
    keepaliveTimeout: scope.counter('keepalive_timeout'),
    outboundControlFlood: scope.counter('outbound_control_flood'),
    outboundFlood: scope.counter('outbound_flood'),
    requestsRejectedWithUnderscoresInHeaders: scope.counter('requests_rejected_with_underscores_in_headers'),
    rxMessagingError: scope.counter('rx_messaging_error'),
    rxReset: scope.counter('rx_reset'),
    streamRefusedErrors: scope.counter('stream_refused_errors'),
    trailers: scope.counter('trailers'),
    txFlushTimeout: scope.counter('tx_flush_timeout'),
    txReset: scope.counter('tx_reset'),
    pendingSendBytes: scope.gauge('pending_send_bytes'),
    streamsActive: scope.gauge('streams_active'),
  }
}

const nowhere = { inc() {}, dec() {}, add() {}, set() {}, record() {} }
const nullScope: StatsScope = {
  counter: () => nowhere,
  gauge: () => nowhere,
  histogram: () => nowhere,
  scope: () => nullScope,
}

/** Counts nothing. */
export const noHttp2Stats: Http2Stats = http2Stats(nullScope)
