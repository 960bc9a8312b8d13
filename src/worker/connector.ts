import { findFactory } from '../config/registry.ts'
import type { WorkerServices } from '../config/services.ts'
import type { Address, Connection, ConnectionHandler } from '../io/connection.ts'
import { type ConnectOptions, connect, type TlsDriver } from '../io/socket-connection.ts'
import type { SocketLoop } from '../io/socket-loop.ts'
import type { ClientTransport } from '../io/transport-sockets/tls.ts'
import type { ClientTls } from '../io/transport-sockets/tls-client.ts'
import type { StatsScope } from '../stats/stats.ts'
import type { ClusterConfig, TransportSocketConfig } from '../upstream/cluster-config.ts'
import type { Connector, UpstreamConnectOptions } from '../upstream/connector.ts'

/** Upstream connections of a worker: sockets of `io/`, TLS by what the cluster's transport socket says. */
export class WorkerConnector implements Connector {
  readonly #loop: SocketLoop
  readonly #services: WorkerServices
  /** By identity of the configuration: it lives as long as its cluster. Null = plain TCP. */
  readonly #transports = new WeakMap<TransportSocketConfig, { readonly tls: ClientTls | null }>()
  readonly #scopes = new WeakMap<TransportSocketConfig, StatsScope>()
  readonly #options = new WeakMap<UpstreamConnectOptions, ConnectOptions>()

  constructor(loop: SocketLoop, services: WorkerServices) {
    this.#loop = loop
    this.#services = services
  }

  /** Tells whose stats the sockets of this cluster are. Called when a cluster is read, before it connects. */
  adopt(config: ClusterConfig): void {
    const scope = this.#services.stats.scope(`cluster.${config.statsName}.`)
    this.#scopes.set(config.transportSocket, scope)
    for (const match of config.transportSocketMatches) this.#scopes.set(match.transportSocket, scope)
  }

  connect(address: Address, options: UpstreamConnectOptions, handler: ConnectionHandler): Connection {
    const connection = connect(this.#loop, address, this.#optionsOf(options, address), handler)
    const keepalive = options.tcpKeepalive
    if (keepalive !== null) connection.setKeepAlive(keepalive.probes, keepalive.time, keepalive.interval)
    return connection
  }

  /** One object per pool, made at its first connection. */
  #optionsOf(options: UpstreamConnectOptions, to: Address): ConnectOptions {
    let made = this.#options.get(options)
    if (made === undefined) {
      const tls = this.#transport(options.transportSocket)
      made = {
        connectTimeout: options.connectTimeout,
        bufferLimit: options.bufferLimit,
        source: sourceFor(to, options),
        original: options.original,
        tls: tls === null ? null : driverFor(tls, options),
      }
      this.#options.set(options, made)
    }
    return made
  }

  #transport(config: TransportSocketConfig): ClientTls | null {
    let made = this.#transports.get(config)
    if (made === undefined) {
      const factory = findFactory('envoy.transport_sockets.upstream', config.typeUrl)
      const scope = this.#scopes.get(config) ?? this.#services.stats
      const create = factory?.create(config.config as never, this.#services) as ClientTransport | undefined
      made = { tls: create === undefined ? null : create(scope) }
      this.#transports.set(config, made)
    }
    return made.tls
  }
}

/** What the codec speaks is only offered when the TLS context names no protocols itself (applicationProtocolFallback). */
// A filter's list always is (applicationProtocolListOverride).
function driverFor(tls: ClientTls, options: UpstreamConnectOptions): TlsDriver {
  const fallback = tls.config.alpn.length > 0 || options.alpn.length === 0 ? null : options.alpn
  const alpn = options.alpnOverrides ? options.alpn : fallback
  return tls.driver(options.hostname, options.serverName, alpn, options.verifyName)
}

/** The source address of the target's family; pools are per host, so the choice holds for all its connections. */
function sourceFor(to: Address, options: UpstreamConnectOptions): Address | null {
  const bind = options.bind
  if (bind === null || bind.address === null) return null
  if (to.ip.includes(':') === bind.address.ip.includes(':')) return bind.address
  return bind.extraAddress
}
