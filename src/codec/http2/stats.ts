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
  /** `nghttp2_<side>_connections`: the name of Envoy's codec stays, dashboards know it. */
  readonly connections: Counter
}

/** Names without a writer here: METADATA, oghttp2 and Envoy's frame buffers do not exist, cookies are bounded with the head. */
const CONSTANT_COUNTERS = [
  'cookies_total_bytes_too_large',
  'metadata_empty_frames',
  'nghttp2_downstream_connections',
  'nghttp2_upstream_connections',
  'oghttp2_downstream_connections',
  'oghttp2_upstream_connections',
]
const CONSTANT_GAUGES = ['deferred_stream_close', 'outbound_control_frames_active', 'outbound_frames_active']

/** The real Envoy has these names and, as it is built, no values in them. */
const EMPTY_HISTOGRAMS = ['cookie_count', 'cookie_size', 'header_count', 'header_list_size']

/** `scope` ends in `http2.` already. `side`: which of the connection counters is written. */
export function http2Stats(scope: StatsScope, side: 'downstream' | 'upstream'): Http2Stats {
  for (const name of CONSTANT_COUNTERS) scope.counter(name)
  for (const name of CONSTANT_GAUGES) scope.gauge(name)
  for (const name of EMPTY_HISTOGRAMS) scope.histogram(name)
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
    connections: scope.counter(`nghttp2_${side}_connections`),
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
export const noHttp2Stats: Http2Stats = http2Stats(nullScope, 'downstream')
