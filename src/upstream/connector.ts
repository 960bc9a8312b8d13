import type { Codec, StreamDecoder } from '../codec/codec.ts'
import type { Address, Connection, ConnectionHandler, UpstreamSource } from '../io/connection.ts'
import type { Proxied } from '../io/proxied.ts'
import type { StatsScope } from '../stats/stats.ts'
import type { SharedState } from '../telemetry/stream-info.ts'
import type { ClusterConfig, TcpKeepaliveConfig, TransportSocketConfig, UpstreamBindConfig } from './cluster-config.ts'
import type { Host } from './upstream.ts'

/** Opens connections to endpoints. The worker builds it over `io/socket-connection.ts` and the transport sockets. */
export interface Connector {
  /**
   * Never throws; the handler hears `onConnected` once TCP and TLS are through, or `onClose` with ConnectFailed,
   * ConnectTimeout or TransportFailed, in a later turn of the event loop.
   */
  connect(address: Address, options: UpstreamConnectOptions, handler: ConnectionHandler): Connection
}

/** One object per pool, made when the pool is made. */
export interface UpstreamConnectOptions {
  /** Milliseconds for TCP and TLS together. */
  readonly connectTimeout: number
  readonly bufferLimit: number
  readonly bind: UpstreamBindConfig | null
  /** Instead of `bind`: the client's own address. */
  readonly original: UpstreamSource | null
  readonly tcpKeepalive: TcpKeepaliveConfig | null
  /** `cluster.X.` of whom it is for, who always gives the same object; sockets count there. */
  readonly stats: StatsScope
  /** Clusters that say the same may share the object. */
  readonly transportSocket: TransportSocketConfig
  /** Name of the endpoint, for auto_host_sni; '' = none. */
  readonly hostname: string
  /** SNI of auto_sni; '' = as the transport socket is configured. */
  readonly serverName: string
  /** Name the certificate must carry (auto_san_validation); '' = as configured. */
  readonly verifyName: string
  /** ALPN offered when the transport socket configures none. */
  readonly alpn: readonly string[]
  /** A filter chose `alpn`: it is offered whatever the transport socket configures. */
  readonly alpnOverrides: boolean
  /** Whom it connects to: what internal listeners are told of comes from there. Null = nobody of a cluster (health checks). */
  readonly host: Host | null
  /** For whom it connects, when PROXY headers tell that; null = for itself. */
  readonly proxied: Proxied | null
  /** Filter state of the first stream that the connection is for; null = none. */
  readonly shared: readonly SharedState[] | null
}

/** Whom a codec works for: a worker's cluster or a health checker. Options are made once per owner. */
export interface CodecOwner {
  readonly config: ClusterConfig
  /** `cluster.X.` */
  readonly stats: StatsScope
}

/** The client codecs, injected so that pools are tested without sockets. */
export interface ClientCodecs {
  http1(connection: Connection, decoder: StreamDecoder, owner: CodecOwner): Http1Codec
  http2(connection: Connection, decoder: StreamDecoder, owner: CodecOwner): Http2Codec
  /** The first HTTP/1 connection is begun: its stats exist from here on, also when it never comes about, as in Envoy. */
  prepareHttp1(owner: CodecOwner): void
}

export interface Http2Codec extends Codec {
  /** Streams it may carry at once: our limit or the peer's SETTINGS, whichever is lower now. */
  readonly concurrencyLimit: number
}

export interface Http1Codec extends Codec {
  /** The connection may not serve another exchange. */
  readonly shouldClose: boolean
}
