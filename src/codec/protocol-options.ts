import { ConfigError } from '../base/errors.ts'
import type { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { percent } from '../config/percent.ts'
import { defineSupport, unsupportedValue } from '../config/support.ts'
import type { Http1Options } from './http1/options.ts'
import type { UnderscoreAction } from './http2/header-receiver.ts'
import { defaultHttp2Options, type Http2Options } from './http2/options.ts'

type Http1Proto = envoy.config.core.v3.Http1ProtocolOptions
type Http2Proto = envoy.config.core.v3.Http2ProtocolOptions

const http1Support = defineSupport<Http1Proto>('envoy.config.core.v3.Http1ProtocolOptions', {
  allow_absolute_url: 'yes',
  accept_http_10: 'yes',
  default_host_for_http_10: 'yes',
  header_key_format: 'yes',
  enable_trailers: 'yes',
  allow_chunked_length: 'yes',
  use_balsa_parser: 'warn',
  override_stream_error_on_invalid_http_message: 'yes',
})

const http2Support = defineSupport<Http2Proto>('envoy.config.core.v3.Http2ProtocolOptions', {
  hpack_table_size: 'yes',
  max_concurrent_streams: 'yes',
  initial_stream_window_size: 'yes',
  initial_connection_window_size: 'yes',
  allow_connect: 'yes',
  allow_metadata: 'yes',
  max_outbound_frames: 'yes',
  max_outbound_control_frames: 'yes',
  max_consecutive_inbound_frames_with_empty_payload: 'yes',
  max_inbound_priority_frames_per_stream: 'yes',
  max_inbound_window_update_frames_per_data_frame_sent: 'yes',
  stream_error_on_invalid_http_messaging: 'yes',
  override_stream_error_on_invalid_http_message: 'yes',
  custom_settings_parameters: 'yes',
  connection_keepalive: 'yes',
  use_oghttp2_codec: 'warn',
  max_metadata_size: 'warn',
  enable_huffman_encoding: 'warn',
})

/** Limits that stand outside the protocol options. */
export interface HeaderLimits {
  readonly maxHeadersKb: number
  readonly maxHeadersCount: number
}

export function parseHttp1Options(
  proto: Http1Proto,
  limits: HeaderLimits,
  at: FieldPath,
  warnings: string[],
): Http1Options {
  http1Support.check(proto, at, warnings)
  const format = proto.header_key_format
  if (format?.stateful_formatter !== undefined) {
    throw unsupportedValue(
      at.field('header_key_format').field('stateful_formatter'),
      format.stateful_formatter.name ?? '',
      'use proper_case_words or no format',
    )
  }
  return {
    ...limits,
    allowAbsoluteUrl: proto.allow_absolute_url ?? true,
    keepOnBadRequest: proto.override_stream_error_on_invalid_http_message ?? false,
    acceptHttp10: proto.accept_http_10 ?? false,
    defaultHostForHttp10: proto.default_host_for_http_10 ?? '',
    enableTrailers: proto.enable_trailers ?? false,
    allowChunkedLength: proto.allow_chunked_length ?? false,
    properCase: format?.proper_case_words !== undefined,
  }
}

export function parseHttp2Options(
  proto: Http2Proto,
  limits: HeaderLimits,
  underscores: UnderscoreAction,
  streamBufferLimit: number,
  at: FieldPath,
  warnings: string[],
): Http2Options {
  http2Support.check(proto, at, warnings)
  if (proto.allow_metadata === true)
    throw unsupportedValue(at.field('allow_metadata'), 'true', 'METADATA frames are not supported')
  const defaults = defaultHttp2Options
  const keepalive = proto.connection_keepalive
  if (keepalive !== undefined && (keepalive.timeout ?? 0) <= 0) {
    throw new ConfigError('CONFIG_INVALID', at.field('connection_keepalive').field('timeout'), 'value is required', {
      advice: 'set a timeout',
    })
  }
  return {
    ...limits,
    hpackTableSize: proto.hpack_table_size ?? defaults.hpackTableSize,
    maxConcurrentStreams: proto.max_concurrent_streams ?? defaults.maxConcurrentStreams,
    initialStreamWindowSize: proto.initial_stream_window_size ?? defaults.initialStreamWindowSize,
    initialConnectionWindowSize: proto.initial_connection_window_size ?? defaults.initialConnectionWindowSize,
    allowConnect: proto.allow_connect ?? false,
    maxOutboundFrames: proto.max_outbound_frames ?? defaults.maxOutboundFrames,
    maxOutboundControlFrames: proto.max_outbound_control_frames ?? defaults.maxOutboundControlFrames,
    maxConsecutiveInboundFramesWithEmptyPayload:
      proto.max_consecutive_inbound_frames_with_empty_payload ?? defaults.maxConsecutiveInboundFramesWithEmptyPayload,
    maxInboundPriorityFramesPerStream:
      proto.max_inbound_priority_frames_per_stream ?? defaults.maxInboundPriorityFramesPerStream,
    maxInboundWindowUpdateFramesPerDataFrameSent:
      proto.max_inbound_window_update_frames_per_data_frame_sent ??
      defaults.maxInboundWindowUpdateFramesPerDataFrameSent,
    streamErrorOnInvalidHttpMessaging:
      proto.override_stream_error_on_invalid_http_message ?? proto.stream_error_on_invalid_http_messaging ?? false,
    connectionKeepalive:
      keepalive === undefined
        ? null
        : {
            interval: keepalive.interval ?? 0,
            timeout: keepalive.timeout ?? 0,
            intervalJitter: percent(keepalive.interval_jitter, 15),
            connectionIdleInterval: keepalive.connection_idle_interval ?? 0,
          },
    customSettings: (proto.custom_settings_parameters ?? []).map(p => [p.identifier ?? 0, p.value ?? 0] as const),
    allowMetadata: false,
    headersWithUnderscoresAction: underscores,
    streamBufferLimit,
    settingsTimeout: defaults.settingsTimeout,
    streamFlushTimeout: defaults.streamFlushTimeout,
  }
}
