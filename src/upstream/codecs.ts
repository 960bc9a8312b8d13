import type { Timers } from '../base/timer.ts'
import type { StreamDecoder } from '../codec/codec.ts'
import { Http1ClientCodec } from '../codec/http1/client.ts'
import { defaultHttp1Options, type Http1Options } from '../codec/http1/options.ts'
import { Http2ClientCodec } from '../codec/http2/client.ts'
import { UnderscoreAction } from '../codec/http2/header-receiver.ts'
import { defaultHttp2Options, type Http2Options } from '../codec/http2/options.ts'
import { type Http2Stats, http2Stats } from '../codec/http2/stats.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { percent } from '../config/percent.ts'
import type { Connection } from '../io/connection.ts'
import type { UpstreamHttpConfig } from './cluster-config.ts'
import type { ClientCodecs, CodecOwner, Http1Codec, Http2Codec } from './connector.ts'

/** The codecs of this proxy, with their options made once per cluster. */
export class BuiltinCodecs implements ClientCodecs {
  private readonly timers: Timers
  private readonly http1Made = new WeakMap<CodecOwner, Http1Options>()
  private readonly http2Made = new WeakMap<CodecOwner, Http2Made>()

  constructor(timers: Timers) {
    this.timers = timers
  }

  http1(connection: Connection, decoder: StreamDecoder, owner: CodecOwner): Http1Codec {
    return new Http1ClientCodec(connection, decoder, this.http1OptionsOf(owner))
  }

  prepareHttp1(owner: CodecOwner): void {
    this.http1OptionsOf(owner)
  }

  private http1OptionsOf(owner: CodecOwner): Http1Options {
    let options = this.http1Made.get(owner)
    if (options === undefined) {
      options = http1Options(owner.config.http)
      // What these count are things that clients of this codec do not do.
      const scope = owner.stats.scope('http1.')
      for (const name of HTTP1_STATS) scope.counter(name)
      this.http1Made.set(owner, options)
    }
    return options
  }

  http2(connection: Connection, decoder: StreamDecoder, owner: CodecOwner): Http2Codec {
    let made = this.http2Made.get(owner)
    if (made === undefined) {
      const config = owner.config
      made = {
        options: http2Options(config.http, config.perConnectionBufferLimit),
        stats: http2Stats(owner.stats.scope('http2.'), 'upstream'),
      }
      this.http2Made.set(owner, made)
    }
    return new Http2ClientCodec(connection, decoder, made.options, this.timers, made.stats)
  }
}

const HTTP1_STATS: readonly string[] = [
  'dropped_headers_with_underscores',
  'metadata_not_supported_error',
  'requests_rejected_with_underscores_in_headers',
  'response_flood',
]

interface Http2Made {
  readonly options: Http2Options
  readonly stats: Http2Stats
}

/** envoy.config.core.v3.Http1ProtocolOptions of an upstream, in the codec's terms. */
export function http1Options(http: UpstreamHttpConfig): Http1Options {
  const p = http.http1
  const format = p['header_key_format'] as { proper_case_words?: object } | undefined
  return {
    ...defaultHttp1Options,
    // Envoy's defaults differ by protocol.
    maxHeadersKb: http.maxResponseHeadersKb || 80,
    maxHeadersCount: http.maxHeadersCount,
    enableTrailers: p['enable_trailers'] === true,
    allowChunkedLength: p['allow_chunked_length'] === true,
    properCase: format?.proper_case_words !== undefined,
  }
}

/** envoy.config.core.v3.Http2ProtocolOptions of an upstream, in the codec's terms. */
export function http2Options(http: UpstreamHttpConfig, bufferLimit: number): Http2Options {
  const p = http.http2 as envoy.config.core.v3.Http2ProtocolOptions
  const d = defaultHttp2Options
  const keepalive = p.connection_keepalive
  return {
    ...d,
    hpackTableSize: p.hpack_table_size ?? d.hpackTableSize,
    maxConcurrentStreams: http.maxConcurrentStreams,
    initialStreamWindowSize: p.initial_stream_window_size ?? d.initialStreamWindowSize,
    initialConnectionWindowSize: p.initial_connection_window_size ?? d.initialConnectionWindowSize,
    allowConnect: p.allow_connect ?? d.allowConnect,
    maxOutboundFrames: p.max_outbound_frames ?? d.maxOutboundFrames,
    maxOutboundControlFrames: p.max_outbound_control_frames ?? d.maxOutboundControlFrames,
    maxConsecutiveInboundFramesWithEmptyPayload:
      p.max_consecutive_inbound_frames_with_empty_payload ?? d.maxConsecutiveInboundFramesWithEmptyPayload,
    maxInboundPriorityFramesPerStream: p.max_inbound_priority_frames_per_stream ?? d.maxInboundPriorityFramesPerStream,
    maxInboundWindowUpdateFramesPerDataFrameSent:
      p.max_inbound_window_update_frames_per_data_frame_sent ?? d.maxInboundWindowUpdateFramesPerDataFrameSent,
    streamErrorOnInvalidHttpMessaging:
      p.override_stream_error_on_invalid_http_message ?? p.stream_error_on_invalid_http_messaging ?? false,
    connectionKeepalive:
      keepalive === undefined
        ? null
        : {
            interval: keepalive.interval ?? 0,
            timeout: keepalive.timeout ?? 0,
            // Envoy's default is 15 per cent.
            intervalJitter: percent(keepalive.interval_jitter, 15),
            connectionIdleInterval: keepalive.connection_idle_interval ?? 0,
          },
    customSettings: (p.custom_settings_parameters ?? []).map(s => [s.identifier ?? 0, s.value ?? 0] as const),
    maxHeadersKb: http.maxResponseHeadersKb || 60,
    maxHeadersCount: http.maxHeadersCount,
    headersWithUnderscoresAction: UnderscoreAction.Allow,
    streamBufferLimit: bufferLimit,
  }
}
