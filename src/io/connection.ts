import type { StreamInfo } from '../telemetry/stream-info.ts'
import type { Proxied } from './proxied.ts'

/**
 * A byte stream to a peer: the only view of a socket that the layers above have. Implementations: `io/socket-connection.ts`
 * (the only file that touches net.Socket / tls.TLSSocket), and fakes in tests.
 */

/** What a writer should do next: `Continue`, or `Pause` until `onWritable`. */
export const Flow = { Continue: 0, Pause: 1 } as const
export type Flow = (typeof Flow)[keyof typeof Flow]

/** Who holds reading back. A bit each, so holding twice is the same as once and admin can print the holders. */
export const ReadHold = {
  /** The write buffer of the other side is above its high watermark. */
  PeerBuffer: 1,
  /** A filter buffers or waits for a call-out. */
  Filter: 2,
  /** The codec has pipelined requests it may not start yet. */
  Pipeline: 4,
  /** Listener filters or the upstream connection are not done yet. */
  Setup: 8,
  /** Overload, rate or connection limit. */
  Overload: 16,
} as const

export const CloseHow = {
  /** Flush what was written, then FIN. */
  Flush: 0,
  /** Flush, half-close, drain the peer's input for at most the delayed-close timeout, then close. */
  FlushAndDelay: 1,
  /** Close at once, dropping what was not written. */
  NoFlush: 2,
  /** RST: SO_LINGER 0. */
  Reset: 3,
} as const
export type CloseHow = (typeof CloseHow)[keyof typeof CloseHow]

/** Why a connection ended, as told to `onClose`. */
export const CloseReason = {
  /** The peer sent FIN and both sides are done. */
  Remote: 0,
  /** The peer sent RST, or reading/writing failed. */
  RemoteReset: 1,
  /** We closed it. */
  Local: 2,
  ConnectFailed: 3,
  ConnectTimeout: 4,
  /** TLS handshake failed; `transportFailure` says why. */
  TransportFailed: 5,
  IdleTimeout: 6,
} as const
export type CloseReason = (typeof CloseReason)[keyof typeof CloseReason]

/** Callbacks of one connection. One object per connection, never a closure per event. */
export interface ConnectionHandler {
  /** TCP (and TLS, if any) is established. Called once, for upstream connections. */
  onConnected?(c: Connection): void
  /** Bytes from the peer. The receiver owns `chunk` and may keep it. `end`: the peer half-closed after it (chunk may be empty). */
  onData(c: Connection, chunk: Uint8Array, end: boolean): void
  /** The write buffer fell below the low watermark after a `Flow.Pause`. */
  onWritable?(c: Connection): void
  /** The connection is gone; called exactly once, last. */
  onClose(c: Connection, why: CloseReason): void
}

/** Facts of a TLS session, for XFCC, matchers and access logs. All strings as Envoy prints them. */
export interface TlsInfo {
  /** Monotonic ms (Timers.now); the connection sets it. */
  handshakeEnd: number
  /** `TLSv1.2`, `TLSv1.3`. */
  readonly version: string
  /** OpenSSL name as Envoy prints it, e.g. `TLS_AES_128_GCM_SHA256`, `ECDHE-RSA-AES128-GCM-SHA256`. */
  readonly cipher: string
  readonly sessionId: string
  readonly resumed: boolean
  /** Server name of the ClientHello; '' when none. */
  readonly sni: string
  /** Negotiated protocol; '' when none. */
  readonly alpn: string
  /** DER of the peer's leaf certificate; null when it presented none. */
  readonly peerCertificate: Uint8Array | null
  readonly peerCertificateChainPem: string
  readonly peerCertificatePresented: boolean
  readonly peerCertificateValidated: boolean
  readonly peerUriSans: readonly string[]
  readonly peerDnsSans: readonly string[]
  readonly peerIpSans: readonly string[]
  readonly peerEmailSans: readonly string[]
  readonly peerSubject: string
  readonly peerIssuer: string
  readonly peerSerial: string
  /** Hex SHA-256 / SHA-1 of the peer's leaf; '' when none. */
  readonly peerSha256: string
  readonly peerSha1: string
  readonly peerValidFrom: number
  readonly peerValidTo: number
  readonly localUriSans: readonly string[]
  readonly localDnsSans: readonly string[]
  readonly localIpSans: readonly string[]
  readonly localEmailSans: readonly string[]
  readonly localSubject: string
}

/** An address as `ip:port` (`[v6]:port`) or a Unix socket path, split once when the connection is made. */
export interface Address {
  /** `127.0.0.1`, `::1`; the path for Unix sockets. */
  readonly ip: string
  /** 0 for Unix sockets. */
  readonly port: number
  /** As Envoy prints it: `127.0.0.1:80`, `[::1]:80`, `/path`. */
  readonly text: string
  /** An internal listener and an endpoint behind it: `envoy://listener/id` in `ip` and `text`. */
  readonly internal?: { readonly listener: string; readonly endpointId: string }
}

/** Where upstream connections that are made for a connection seem to come from: needs transparent sockets. */
export interface UpstreamSource {
  readonly address: Address
  /** SO_MARK of the sockets, by which routing brings the answers back; 0 = none. */
  readonly mark: number
}

/**
 * Bytes before the stream proper that a filter exchanges with the peer (Istio's metadata exchange): it reads ahead of the
 * handler, until it sets `c.prelude` to null.
 */
export interface Prelude {
  /** @returns what the handler is to get (may be empty), or null to wait for more */
  read(c: Connection, chunk: Uint8Array, end: boolean): Uint8Array | null
}

export interface Connection {
  /** Unique in the process (worker index in the high bits), as %CONNECTION_ID%. */
  readonly id: number
  /** Peer address of the TCP connection itself. */
  readonly directRemote: Address
  /** Address the socket is bound to. */
  readonly directLocal: Address
  /** Peer address after proxy_protocol or XFF; equal to `directRemote` otherwise. */
  remote: Address
  /** Local address after original_dst or proxy_protocol (`localRestored` then). */
  local: Address
  localRestored: boolean
  /** SNI seen by tls_inspector; '' when none. */
  requestedServerName: string
  /** Application protocols seen by listener filters (ALPN offers, `http/1.1`, `h2c`). */
  applicationProtocols: readonly string[]
  /** `tls`, `raw_buffer` or '' as found by listener filters. */
  transportProtocol: string
  /** TLS, from the moment that its filter chain is known; `tls` is there after the handshake only. */
  readonly encrypted: boolean
  /** Present once the handshake is done on a TLS connection. */
  readonly tls: TlsInfo | null
  /** Error text of the transport socket after a failure (Envoy's wording); '' when none. */
  readonly transportFailure: string
  /** Why tls_inspector took this for no TLS; for logs of the connection, not of its streams. */
  readonly inspectorFailure: string
  handler: ConnectionHandler
  /** Facts that the network filters of the connection share; made by the first that needs it (telemetry/connection-info.ts). */
  streamInfo: StreamInfo | null
  prelude: Prelude | null
  /** For whom it seems to be, to tell in PROXY headers; null or absent = nobody has said so (`proxiedFor`). */
  proxied?: Proxied | null
  /** Set by original_src. */
  readonly upstreamSource?: UpstreamSource | null

  /**
   * Queues bytes; strings are latin1. All that is queued in one event-loop turn leaves in one write.
   * The caller gives `data` away. `Pause` when the buffer is above the high watermark.
   */
  write(data: Uint8Array | string): Flow
  /** Bytes queued here and not yet taken by the kernel. */
  readonly bufferedBytes: number
  /** Bounds of the write buffer: `per_connection_buffer_limit_bytes`. */
  setWatermarks(high: number): void
  /** Half-close after what is queued. */
  end(): void
  close(how: CloseHow, why?: CloseReason): void
  /** How long `CloseHow.FlushAndDelay` drains the peer, in ms; 0 closes as soon as everything is flushed. */
  setDelayedCloseTimeout(ms: number): void
  readonly closed: boolean
  /** True in `onClose` when the peer did not close within the delayed-close timeout. */
  readonly delayedCloseExpired?: boolean
  /** Sets (`hold` true) or clears one bit of the hold mask; reading goes on when the mask is 0. */
  holdReading(bit: number, hold: boolean): void
  readonly readHolds: number
  /** Turns SO_KEEPALIVE on (TCP_NODELAY always is). Times in seconds; null leaves the system's value. */
  setKeepAlive(probes: number | null, time: number | null, interval: number | null): void
  bytesReceived: number
  bytesSent: number
  /** Monotonic ms (Timers.now) when it was accepted or began to connect. */
  readonly startTime: number
  /** Monotonic ms when the TCP connection stood (TLS comes after it); null before, and for accepted ones. */
  readonly connectEnd: number | null
}
