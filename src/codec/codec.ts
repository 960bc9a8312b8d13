import type { Flow } from '../io/connection.ts'
import type { HeaderBlock } from './header-block.ts'

/** Why a stream ended before its natural end. Upstream text and response flag are derived from it in one place. */
export const ResetReason = {
  /** We gave up: local reply sent, timeout, cancel. HTTP/2: NO_ERROR after a complete response, else INTERNAL_ERROR (as Envoy). */
  Local: 0,
  /** HTTP/2: REFUSED_STREAM sent by us. */
  LocalRefused: 1,
  /** The peer sent RST_STREAM. */
  Remote: 2,
  /** The peer sent RST_STREAM with REFUSED_STREAM, or GOAWAY below our stream id. */
  RemoteRefused: 3,
  ConnectionFailure: 4,
  ConnectionTimeout: 5,
  /** The connection went away under the stream. */
  ConnectionTermination: 6,
  Overflow: 7,
  /** The peer broke the protocol. */
  Protocol: 8,
  /** CONNECT or upgrade refused or broken. */
  ConnectError: 9,
  /** HTTP/2 flood or limit. */
  Overload: 10,
} as const
export type ResetReason = (typeof ResetReason)[keyof typeof ResetReason]

/** One request/response exchange on a codec. Pooled: do not keep it after `onReset` or after both sides ended. */
export interface CodecStream {
  /** For whoever owns the stream above the codec (stream context, upstream request). The codec never reads it. */
  user: unknown
  /** HTTP/2 stream id; 0 with HTTP/1. */
  readonly id: number
  /** Response (server side) or request (client side) head. `end`: nothing follows. The codec reads, never keeps, `h`. */
  encodeHeaders(h: HeaderBlock, end: boolean): void
  /** Server side: an interim response (100, 103) before the final head. */
  encode1xx(h: HeaderBlock): void
  /** Gives `chunk` away. `Pause`: stop until StreamDecoder.onWritable for this stream. */
  encodeData(chunk: Uint8Array, end: boolean): Flow
  encodeTrailers(t: HeaderBlock): void
  /** Ends the stream at once. HTTP/1: closes the connection unless the message was complete. Never calls back. */
  reset(reason: ResetReason): void
  /**
   * Sets or clears one `ReadHold` bit: HTTP/2 stops giving window for this stream, HTTP/1 stops reading the connection.
   */
  holdReading(bit: number, hold: boolean): void
  /** Bytes accepted by encodeData that could not be sent yet (flow control, connection buffer). */
  readonly bufferedBytes: number
  /** HTTP/1 server: answer with `connection: close` and close after this response. HTTP/2: no effect. */
  closeAfter: boolean
  /** Server side: the request came without an authority (distinct from an empty one). */
  readonly hostMissing?: boolean
  /** Bytes of head and body written to the wire for this stream, and received, as the access log counts them. */
  headerBytesSent: number
  headerBytesReceived: number
  wireBytesSent: number
  wireBytesReceived: number
}

/**
 * Events of all streams of one connection. `h` and `t` belong to the receiver for the life of the stream; chunks too.
 * Events of a stream come in order: onHeaders (client side: 1xx heads first, `end` false), onData*, onTrailers?, or onReset.
 */
export interface StreamDecoder {
  /** Server side only: a request begins; sets `s.user`. Called before `onHeaders`. */
  onNewStream?(s: CodecStream): void
  onHeaders(s: CodecStream, h: HeaderBlock, end: boolean): void
  /** `Pause` is a hint that the receiver set a read hold; the codec must honour the hold itself. */
  onData(s: CodecStream, chunk: Uint8Array, end: boolean): Flow
  onTrailers(s: CodecStream, t: HeaderBlock): void
  /** The stream is dead; nothing more may be written to it. `details` is Envoy's response-code detail, '' when none. */
  onReset(s: CodecStream, why: ResetReason, details: string): void
  onWritable(s: CodecStream): void
  /** The message sent on `s` has left completely (last byte queued to the connection); HTTP/1 client: the stream may be reused. */
  onEncodeComplete?(s: CodecStream): void
  /** The peer asked to drain (GOAWAY). Client side: no new streams here. */
  onGoAway?(): void
  /**
   * Server side: a malformed or over-limit request that must be answered by a local reply with this status and details
   * (`http1.codec_error`, `http1.headers_too_large` …). `s` carries the reply; the codec closes the connection after it.
   */
  onProtocolError?(s: CodecStream, status: number, details: string): void
  /** Connection-level protocol error (HTTP/2 after GOAWAY was queued; HTTP/1 upstream garbage): the connection must be closed. */
  onConnectionError(details: string): void
}

export interface Codec {
  /** 'http1' | 'http2', as %PROTOCOL% needs it together with the version. */
  readonly protocol: 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2'
  /** Feeds bytes from the connection; never throws; errors go to the decoder. `end`: the peer half-closed. */
  dispatch(chunk: Uint8Array, end: boolean): void
  /** Client side: begins a request; null when the codec takes no more (GOAWAY, limits, HTTP/1 busy). `user` is set on the stream. */
  newStream(user: unknown): CodecStream | null
  /** Streams in flight. */
  readonly activeStreams: number
  /** HTTP/2 server: first GOAWAY with 2^31-1 (`final` false), then the real last id. HTTP/1: close after the current response. */
  drain(final: boolean): void
  /** The connection's write buffer is below its low watermark again. */
  onConnectionWritable(): void
  /** The connection is gone: resets every stream with `why` (through the decoder) and frees what is held. */
  onConnectionClosed(why: ResetReason): void
}
