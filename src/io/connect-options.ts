import type net from 'node:net'
import type tls from 'node:tls'
import type { Address, Connection, TlsInfo, UpstreamSource } from './connection.ts'
import type { SocketConnection } from './socket-connection.ts'

/** The TLS side of a connection; `transport-sockets/tls.ts` implements it. One object per context, not per connection. */
export interface TlsDriver {
  /** Puts TLS over a connected socket; null refuses (secrets have not arrived, no server name …). */
  wrap(socket: net.Socket, connection: SocketConnection): tls.TLSSocket | null
  /** The handshake is through: verify the peer. Null refuses it; `connection.transportFailure` is set then. */
  onSecure(socket: tls.TLSSocket, connection: SocketConnection): TlsInfo | null
  /** The handshake failed, or a record after it; gives the text for `transportFailure`. */
  onHandshakeError(error: NodeJS.ErrnoException, connection: SocketConnection, socket: tls.TLSSocket | null): string
}

/** What a connection begins with, before TLS. One object for the connections of a pool. */
export interface Preamble {
  /** Asked when `connection` has its addresses. The bytes are the connection's. */
  bytes(connection: Connection): Uint8Array
}

/** Looks at the socket itself while it is open. One object per connection. */
export interface SocketWatch {
  start(fd: number): void
  stop(): void
}

export interface ConnectOptions {
  /** 0 = wait for the kernel. Covers TCP and TLS, as Envoy's connect_timeout. */
  readonly connectTimeout: number
  /** Source address to bind; port 0 = any. */
  readonly source: Address | null
  /** Instead of `source`: an address that need not be this machine's. */
  readonly original: UpstreamSource | null
  readonly tls: TlsDriver | null
  readonly preamble: Preamble | null
  /** Null: nobody looks. */
  readonly watches: { watch(): SocketWatch } | null
  /** per_connection_buffer_limit_bytes. */
  readonly bufferLimit: number
}
