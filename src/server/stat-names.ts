import { INTERNAL_UPSTREAM } from '../io/transport-sockets/internal-upstream.ts'
import { TCP_STATS_NAMES, TCP_STATS_SOCKET } from '../io/transport-sockets/tcp-stats.ts'
import { TOO_LONG_TLVS, UPSTREAM_PROXY_PROTOCOL } from '../io/transport-sockets/upstream-proxy-protocol.ts'
import type { StatTemplate } from '../stats/store.ts'

/**
 * Names that the real Envoy has at zero from load time: what main declares for each server, cluster, listener and connection
 * manager, so that a scrape shows them before a worker ever touched them.
 */
const words = (text: string): readonly string[] => text.split(/\s+/).filter(word => word !== '')

/** Without a prefix. */
export const SERVER_STATS: StatTemplate = {
  counters: words(`
    envoy.overload_actions.reset_high_memory_stream.count
    server.debug_assertion_failures server.dropped_stat_flushes server.dynamic_unknown_fields
    server.envoy_bug_failures server.envoy_notifications server.main_thread.watchdog_mega_miss
    server.main_thread.watchdog_miss server.static_unknown_fields server.wip_protos main_thread.watchdog_mega_miss
    main_thread.watchdog_miss workers.watchdog_mega_miss workers.watchdog_miss cluster_manager.cluster_added
    cluster_manager.cluster_modified cluster_manager.cluster_removed cluster_manager.cluster_updated
    cluster_manager.cluster_updated_via_merge cluster_manager.update_merge_cancelled
    cluster_manager.update_out_of_merge_window listener_manager.listener_added
    listener_manager.listener_create_failure listener_manager.listener_create_success
    listener_manager.listener_in_place_updated listener_manager.listener_modified listener_manager.listener_removed
    listener_manager.listener_stopped filesystem.flushed_by_timer filesystem.reopen_failed filesystem.write_buffered
    filesystem.write_completed filesystem.write_failed runtime.deprecated_feature_use runtime.load_error
    runtime.load_success runtime.override_dir_exists runtime.override_dir_not_exists
    http1.dropped_headers_with_underscores http1.metadata_not_supported_error
    http1.requests_rejected_with_underscores_in_headers http1.response_flood








  `),
  gauges: words(`
    server.compilation_settings.fips_mode server.concurrency server.days_until_first_cert_expiring
    server.hot_restart_epoch server.live server.memory_allocated
    server.memory_heap_size server.memory_physical_size server.parent_connections
    server.seconds_until_first_ocsp_response_expiring server.state server.stats_recent_lookups
    server.total_connections server.uptime server.version cluster_manager.active_clusters
    cluster_manager.warming_clusters listener_manager.total_filter_chains_draining
    listener_manager.total_listeners_active listener_manager.total_listeners_draining
    listener_manager.total_listeners_warming listener_manager.workers_pinned listener_manager.workers_started
    filesystem.write_total_buffered runtime.admin_overrides_active
    runtime.deprecated_feature_seen_since_process_start runtime.num_keys runtime.num_layers
    thread_local_cluster_manager.main_thread.clusters_inflated
  `),
  histograms: words(`
    server.initialization_time_ms
    overload.refresh_interval_delay
  `),
}

/** Under `cluster.<name>.`; per-code counters appear with the first answer. */
export const CLUSTER_STATS: StatTemplate = {
  counters: words(`
    upstream_rq_0rtt upstream_internal_redirect_failed_total upstream_internal_redirect_succeeded_total
    assignment_stale assignment_timeout_received assignment_use_cached bind_errors default.total_match_count
    lb_healthy_panic
    lb_local_cluster_not_ok lb_recalculate_zone_structures lb_subsets_created lb_subsets_fallback
    lb_subsets_fallback_panic lb_subsets_removed lb_subsets_selected lb_zone_cluster_too_small
    lb_zone_no_capacity_left lb_zone_routing_all_directly lb_zone_routing_cross_zone lb_zone_routing_sampled
    membership_change original_dst_host_invalid retry_or_shadow_abandoned update_attempt update_empty update_failure
    update_no_rebuild update_success upstream_cx_close_notify upstream_cx_connect_attempts_exceeded
    upstream_cx_connect_fail upstream_cx_connect_timeout upstream_cx_connect_with_0_rtt upstream_cx_destroy
    upstream_cx_destroy_local upstream_cx_destroy_local_with_active_rq upstream_cx_destroy_remote
    upstream_cx_destroy_remote_with_active_rq upstream_cx_destroy_with_active_rq upstream_cx_http1_total
    upstream_cx_http2_total upstream_cx_http3_total upstream_cx_idle_timeout upstream_cx_max_duration_reached
    upstream_cx_max_requests upstream_cx_none_healthy upstream_cx_overflow upstream_cx_pool_overflow
    upstream_cx_preconnect_skipped upstream_cx_protocol_error upstream_cx_rx_bytes_total upstream_cx_total
    upstream_cx_tx_bytes_total upstream_flow_control_backed_up_total upstream_flow_control_drained_total
    upstream_flow_control_paused_reading_total upstream_flow_control_resumed_reading_total upstream_http3_broken
    upstream_rq_active_overflow upstream_rq_cancelled upstream_rq_completed upstream_rq_maintenance_mode upstream_rq_max_duration_reached
    upstream_rq_pending_failure_eject upstream_rq_pending_overflow upstream_rq_pending_total
    upstream_rq_per_try_idle_timeout upstream_rq_per_try_timeout upstream_rq_retry
    upstream_rq_retry_backoff_exponential upstream_rq_retry_backoff_ratelimited upstream_rq_retry_limit_exceeded
    upstream_rq_retry_overflow upstream_rq_retry_success upstream_rq_rx_reset upstream_rq_rx_reset_no_error
    upstream_rq_timeout upstream_rq_total upstream_rq_tx_reset
  `),
  gauges: words(`
    circuit_breakers.default.cx_open circuit_breakers.default.cx_pool_open circuit_breakers.default.rq_open
    circuit_breakers.default.rq_pending_open circuit_breakers.default.rq_retry_open circuit_breakers.high.cx_open
    circuit_breakers.high.cx_pool_open circuit_breakers.high.rq_open circuit_breakers.high.rq_pending_open
    circuit_breakers.high.rq_retry_open lb_subsets_active max_host_weight membership_degraded membership_excluded
    membership_healthy membership_total upstream_cx_active upstream_cx_rx_bytes_buffered
    upstream_cx_tx_bytes_buffered upstream_queue_overloaded upstream_rq_active upstream_rq_pending_active version
    warming_state
  `),
  histograms: words(`
    upstream_cx_connect_ms upstream_cx_length_ms upstream_rq_per_cx
  `),
}

/** Under `listener.<address>.`. */
export const LISTENER_STATS: StatTemplate = {
  counters: words(`
    downstream_cx_destroy downstream_cx_overflow downstream_cx_overload_reject downstream_cx_total
    downstream_cx_transport_socket_connect_timeout downstream_global_cx_overflow downstream_listener_filter_error
    downstream_listener_filter_remote_close downstream_pre_cx_timeout extension_config_missing
    network_extension_config_missing no_filter_chain_match
  `),
  gauges: words(`
    downstream_cx_active downstream_pre_cx_active
  `),
  histograms: words(`
    connections_accepted_per_socket_event downstream_cx_length_ms
  `),
}

/** Under `listener.<address>.` and `cluster.<name>.` where there is TLS; `side` as in `<side>_ssl_socket_factory`. */
const tlsStats = (side: 'server' | 'client'): StatTemplate => ({
  counters: words(`
    ssl.connection_error ssl.fail_verify_cert_hash ssl.fail_verify_error ssl.fail_verify_no_cert ssl.fail_verify_san
    ssl.handshake ssl.no_certificate ssl.ocsp_staple_failed ssl.ocsp_staple_omitted ssl.ocsp_staple_requests
    ssl.ocsp_staple_responses ssl.session_reused ${side}_ssl_socket_factory.downstream_context_secrets_not_ready
    ${side}_ssl_socket_factory.ssl_context_update_by_sds
    ${side}_ssl_socket_factory.upstream_context_secrets_not_ready
  `),
  gauges: [],
  histograms: [],
})

/** Under `cluster.<name>.`, by the type of a transport socket. */
export const UPSTREAM_TRANSPORT_STATS: ReadonlyMap<string, StatTemplate> = new Map([
  ['envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext', tlsStats('client')],
  [INTERNAL_UPSTREAM, { counters: ['internal_upstream.no_metadata'], gauges: [], histograms: [] }],
  [TCP_STATS_SOCKET, TCP_STATS_NAMES],
  [UPSTREAM_PROXY_PROTOCOL, { counters: [TOO_LONG_TLVS], gauges: [], histograms: [] }],
])

/** Under `listener.<address>.`, by the type of a transport socket. */
export const DOWNSTREAM_TRANSPORT_STATS: ReadonlyMap<string, StatTemplate> = new Map([
  ['envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext', tlsStats('server')],
  [TCP_STATS_SOCKET, TCP_STATS_NAMES],
])

/** Under `tcp.<stat_prefix>.`. */
export const TCP_STATS: StatTemplate = {
  counters: words(`
    downstream_cx_drain_close downstream_cx_no_route downstream_cx_overload_close downstream_cx_rx_bytes_total
    downstream_cx_total downstream_cx_tx_bytes_total downstream_flow_control_paused_reading_total
    downstream_flow_control_resumed_reading_total early_data_received_count_total idle_timeout
    max_downstream_connection_duration route_delayed_total upstream_flush_total
  `),
  gauges: words('downstream_cx_rx_bytes_buffered downstream_cx_tx_bytes_buffered upstream_flush_active'),
  histograms: [],
}

/** Under `connection_limit.<stat_prefix>.`. */
export const CONNECTION_LIMIT_STATS: StatTemplate = {
  counters: ['limited_connections'],
  gauges: ['active_connections'],
  histograms: [],
}

/** Under `listener.<address>.worker_<n>.`. */
export const LISTENER_WORKER_STATS: StatTemplate = {
  counters: words(`
    downstream_cx_total
  `),
  gauges: words(`
    downstream_cx_active
  `),
  histograms: words(`
   
  `),
}

/** Under `http.<stat_prefix>.`. */
export const HTTP_STATS: StatTemplate = {
  counters: words(`
    downstream_cx_delayed_close_timeout downstream_cx_destroy downstream_cx_destroy_active_rq
    downstream_cx_destroy_local downstream_cx_destroy_local_active_rq downstream_cx_destroy_remote
    downstream_cx_destroy_remote_active_rq downstream_cx_drain_close downstream_cx_http1_total
    downstream_cx_http2_total downstream_cx_http3_total downstream_cx_idle_timeout
    downstream_cx_max_duration_reached downstream_cx_max_requests_reached downstream_cx_overload_disable_keepalive
    downstream_cx_protocol_error downstream_cx_rx_bytes_total downstream_cx_ssl_total downstream_cx_total
    downstream_cx_tx_bytes_total downstream_cx_upgrades_total downstream_flow_control_paused_reading_total
    downstream_flow_control_resumed_reading_total downstream_rq_1xx downstream_rq_2xx downstream_rq_3xx
    downstream_rq_4xx downstream_rq_5xx downstream_rq_completed downstream_rq_failed_path_normalization
    downstream_rq_header_timeout downstream_rq_http1_total downstream_rq_http2_total downstream_rq_http3_total
    downstream_rq_idle_timeout downstream_rq_max_duration_reached downstream_rq_non_relative_path
    downstream_rq_overload_close downstream_rq_redirected_with_normalized_path
    downstream_rq_rejected_via_ip_detection downstream_rq_response_before_rq_complete downstream_rq_rx_reset
    downstream_rq_timeout downstream_rq_too_large downstream_rq_too_many_premature_resets downstream_rq_total
    downstream_rq_tx_reset downstream_rq_ws_on_non_ws_route no_cluster no_route
    passthrough_internal_redirect_bad_location passthrough_internal_redirect_no_route
    passthrough_internal_redirect_predicate passthrough_internal_redirect_too_many_redirects
    passthrough_internal_redirect_unsafe_scheme rq_direct_response rq_overload_local_reply rq_redirect
    rq_reset_after_downstream_response_started rq_total rs_too_large tracing.client_enabled tracing.health_check
    tracing.not_traceable tracing.random_sampling tracing.service_forced
  `),
  gauges: words(`
    downstream_cx_active downstream_cx_http1_active downstream_cx_http1_soft_drain downstream_cx_http2_active
    downstream_cx_http3_active downstream_cx_rx_bytes_buffered downstream_cx_ssl_active
    downstream_cx_tx_bytes_buffered downstream_cx_upgrades_active downstream_rq_active
  `),
  histograms: words(`
    downstream_cx_length_ms downstream_rq_time
  `),
}

/** Under `http.admin.`. */
export const ADMIN_HTTP_STATS: StatTemplate = {
  counters: words(`
    downstream_cx_delayed_close_timeout downstream_cx_destroy downstream_cx_destroy_active_rq
    downstream_cx_destroy_local downstream_cx_destroy_local_active_rq downstream_cx_destroy_remote
    downstream_cx_destroy_remote_active_rq downstream_cx_drain_close downstream_cx_http1_total
    downstream_cx_http2_total downstream_cx_http3_total downstream_cx_idle_timeout
    downstream_cx_max_duration_reached downstream_cx_max_requests_reached downstream_cx_overload_disable_keepalive
    downstream_cx_protocol_error downstream_cx_rx_bytes_total downstream_cx_ssl_total downstream_cx_total
    downstream_cx_tx_bytes_total downstream_cx_upgrades_total downstream_flow_control_paused_reading_total
    downstream_flow_control_resumed_reading_total downstream_rq_1xx downstream_rq_2xx downstream_rq_3xx
    downstream_rq_4xx downstream_rq_5xx downstream_rq_completed downstream_rq_failed_path_normalization
    downstream_rq_header_timeout downstream_rq_http1_total downstream_rq_http2_total downstream_rq_http3_total
    downstream_rq_idle_timeout downstream_rq_max_duration_reached downstream_rq_non_relative_path
    downstream_rq_overload_close downstream_rq_redirected_with_normalized_path
    downstream_rq_rejected_via_ip_detection downstream_rq_response_before_rq_complete downstream_rq_rx_reset
    downstream_rq_timeout downstream_rq_too_large downstream_rq_too_many_premature_resets downstream_rq_total
    downstream_rq_tx_reset downstream_rq_ws_on_non_ws_route rs_too_large
  `),
  gauges: words(`
    downstream_cx_active downstream_cx_http1_active downstream_cx_http1_soft_drain downstream_cx_http2_active
    downstream_cx_http3_active downstream_cx_rx_bytes_buffered downstream_cx_ssl_active
    downstream_cx_tx_bytes_buffered downstream_cx_upgrades_active downstream_rq_active
  `),
  histograms: words(`
    downstream_cx_length_ms downstream_rq_time
  `),
}

/** Under `listener.admin.`. */
export const ADMIN_LISTENER_STATS: StatTemplate = {
  counters: words(`
    downstream_cx_destroy downstream_cx_overflow downstream_cx_overload_reject downstream_cx_total
    downstream_cx_transport_socket_connect_timeout downstream_global_cx_overflow downstream_listener_filter_error
    downstream_listener_filter_remote_close downstream_pre_cx_timeout http.admin.downstream_rq_1xx
    http.admin.downstream_rq_2xx http.admin.downstream_rq_3xx http.admin.downstream_rq_4xx
    http.admin.downstream_rq_5xx http.admin.downstream_rq_completed main_thread.downstream_cx_total
    no_filter_chain_match
  `),
  gauges: words(`
    downstream_cx_active downstream_pre_cx_active main_thread.downstream_cx_active
  `),
  histograms: words(`
    connections_accepted_per_socket_event downstream_cx_length_ms
  `),
}

/** Under `listener.<address>.http.<stat_prefix>.`. */
export const LISTENER_HTTP_STATS: StatTemplate = {
  counters: words(`
    downstream_rq_1xx downstream_rq_2xx downstream_rq_3xx downstream_rq_4xx downstream_rq_5xx downstream_rq_completed
  `),
  gauges: [],
  histograms: [],
}

/** With a tracer: full names. */
export const TRACER_STATS: Readonly<Record<string, StatTemplate>> = {
  'envoy.config.trace.v3.ZipkinConfig': {
    counters: words(`
      tracing.zipkin.reports_dropped tracing.zipkin.reports_failed tracing.zipkin.reports_sent
      tracing.zipkin.reports_skipped_no_cluster tracing.zipkin.spans_sent tracing.zipkin.timer_flushed
    `),
    gauges: [],
    histograms: [],
  },
  'envoy.config.trace.v3.OpenTelemetryConfig': {
    counters: words(`
      tracing.opentelemetry.spans_dropped tracing.opentelemetry.spans_sent tracing.opentelemetry.timer_flushed
    `),
    gauges: [],
    histograms: [],
  },
}

/** Under `http.async-client.`: the router of call-outs. */
export const ASYNC_CLIENT_STATS: StatTemplate = {
  counters: words(`
    no_cluster no_route passthrough_internal_redirect_bad_location passthrough_internal_redirect_no_route
    passthrough_internal_redirect_predicate passthrough_internal_redirect_too_many_redirects
    passthrough_internal_redirect_unsafe_scheme rq_direct_response rq_overload_local_reply rq_redirect
    rq_reset_after_downstream_response_started rq_total
  `),
  gauges: [],
  histograms: [],
}

/** Under the prefix of an access logger that sends what it logs. */
export const SENT_LOG_STATS: StatTemplate = {
  counters: words('logs_written logs_dropped'),
  gauges: [],
  histograms: [],
}

/** With gRPC. */
export const GRPC_LOG_STATS: StatTemplate = {
  counters: words('grpc_entries_flushed grpc_entries_flush_failed'),
  gauges: [],
  histograms: [],
}
