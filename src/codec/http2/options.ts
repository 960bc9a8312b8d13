import { UnderscoreAction } from './header-receiver.ts'

/**
 * Options of one side of an HTTP/2 codec: envoy.config.core.v3.Http2ProtocolOptions with its defaults resolved, and what
 * the codec needs of its surroundings. Plain data, so that it can be cloned to workers. Times in ms, sizes in bytes.
 */
export interface Http2Options {
  /** hpack_table_size: announced to the peer, and the most our encoder uses. */
  readonly hpackTableSize: number
  readonly maxConcurrentStreams: number
  readonly initialStreamWindowSize: number
  readonly initialConnectionWindowSize: number
  readonly allowConnect: boolean
  readonly maxOutboundFrames: number
  readonly maxOutboundControlFrames: number
  readonly maxConsecutiveInboundFramesWithEmptyPayload: number
  readonly maxInboundPriorityFramesPerStream: number
  readonly maxInboundWindowUpdateFramesPerDataFrameSent: number
  /** A malformed message ends its stream (true) or the whole connection (false, Envoy's default). */
  readonly streamErrorOnInvalidHttpMessaging: boolean
  readonly connectionKeepalive: Http2Keepalive | null
  /** custom_settings_parameters, as id and value. */
  readonly customSettings: readonly (readonly [id: number, value: number])[]
  readonly maxHeadersKb: number
  readonly maxHeadersCount: number
  /** METADATA frames are not supported: the loader must reject `true`; the codec ignores such frames (RFC 9113 §5.5). */
  readonly allowMetadata: false
  readonly headersWithUnderscoresAction: UnderscoreAction
  /** High watermark of the bytes one stream may have waiting for flow control. */
  readonly streamBufferLimit: number
  /** How long the peer may take to acknowledge our SETTINGS (RFC 9113 §6.5.3). 0: for ever. */
  readonly settingsTimeout: number
  /**
   * How long a complete message may wait for the peer's flow control without moving: HCM stream_idle_timeout, or the
   * route's. Looked at once per period, so it takes up to twice as long. 0: for ever.
   */
  readonly streamFlushTimeout: number
}

/** envoy.config.core.v3.KeepaliveSettings. */
export interface Http2Keepalive {
  /** 0: no periodic PING. */
  readonly interval: number
  readonly timeout: number
  /** Percent of `interval` added at random. */
  readonly intervalJitter: number
  /** Client side: PING before a stream on a connection that was idle this long. 0: never. */
  readonly connectionIdleInterval: number
}

/** What Envoy 1.40 puts on the wire with an empty Http2ProtocolOptions; both sides use the same values. */
export const defaultHttp2Options: Http2Options = {
  hpackTableSize: 4096,
  maxConcurrentStreams: 1024,
  initialStreamWindowSize: 16 * 1024 * 1024,
  initialConnectionWindowSize: 24 * 1024 * 1024,
  allowConnect: false,
  maxOutboundFrames: 10000,
  maxOutboundControlFrames: 1000,
  maxConsecutiveInboundFramesWithEmptyPayload: 1,
  maxInboundPriorityFramesPerStream: 100,
  maxInboundWindowUpdateFramesPerDataFrameSent: 10,
  streamErrorOnInvalidHttpMessaging: false,
  connectionKeepalive: null,
  customSettings: [],
  maxHeadersKb: 60,
  maxHeadersCount: 100,
  allowMetadata: false,
  headersWithUnderscoresAction: UnderscoreAction.Allow,
  streamBufferLimit: 1024 * 1024,
  settingsTimeout: 30_000,
  streamFlushTimeout: 300_000,
}
