import { DISCOVERED, type DiscoveredConfig } from '../config/discovered.ts'
import { findFactory } from '../config/registry.ts'
import type { DrainDecision } from '../config/services.ts'
import type { CloseHow, CloseReason } from '../io/connection.ts'
import type { SocketConnection } from '../io/socket-connection.ts'
import { type TcpStats, tcpStatsOf } from '../io/transport-sockets/tcp-stats.ts'
import type { ServerTransport } from '../io/transport-sockets/tls.ts'
import type { ServerTls } from '../io/transport-sockets/tls-server.ts'
import { DiscoveredNetworkFilter } from '../network/discovered-filter.ts'
import type { NetworkFilterFactory } from '../network/filter.ts'
import { type FilterChainOwner, NetworkFilterChain } from '../network/filter-chain.ts'
import type { NetworkFilterExtension, NetworkFilterServices } from '../network/filter-factory.ts'
import { ownGauges, type SharedGauge } from '../upstream/shared-state.ts'
import { HelloReader } from './hello-reader.ts'
import type { Listener } from './listener.ts'
import type { FilterChainConfig } from './listener-config.ts'

/**
 * A filter chain on a worker with its connections: its filters and TLS context are made when a connection first matches it. It
 * outlives updates of its listener that leave it as it is.
 */
export class ChainRuntime implements FilterChainOwner {
  readonly config: FilterChainConfig
  readonly #listener: Listener
  readonly #gauges: readonly SharedGauge[]
  readonly #drain: DrainDecision
  readonly #connections = new Set<SocketConnection>()
  #factories: readonly NetworkFilterFactory[] | null = null
  #tls: ServerTls | null = null
  #tcpStats: TcpStats | null = null
  #tlsMade = false

  /** `gauges`: as many as `sharedGaugesOf` says; null = those of this worker alone. */
  constructor(config: FilterChainConfig, listener: Listener, gauges: readonly SharedGauge[] | null) {
    this.config = config
    this.#listener = listener
    this.#gauges = gauges ?? ownGauges(sharedGaugesOf(config))
    this.#drain = listener.environment.services.drain.decision(listener.config.modifyOnly)
  }

  get connectionCount(): number {
    return this.#connections.size
  }

  /** `bytes` have been read by listener filters; `ended`: the client has finished its side. */
  open(connection: SocketConnection, bytes: Uint8Array, ended: boolean): void {
    const { environment, config } = this.#listener
    this.#connections.add(connection)
    connection.setWatermarks(config.bufferLimit)
    const filters = new NetworkFilterChain(this)
    const tls = this.#transport()
    if (this.#tcpStats !== null) connection.watchSocket(this.#tcpStats.watch())
    if (tls === null) {
      connection.handler = filters
      filters.start(connection, this.#filterFactories())
      if (!connection.closed) connection.unread(bytes, ended)
      return
    }
    const { transportSocketConnectTimeout: timeout } = this.config
    const hello = new HelloReader(connection, filters, tls, timeout, environment.services.timers)
    connection.handler = hello
    connection.expectTls()
    filters.start(connection, this.#filterFactories())
    if (!connection.closed) hello.start(bytes, ended)
  }

  onConnectionClosed(connection: SocketConnection, why: CloseReason): void {
    this.#connections.delete(connection)
    this.#listener.onConnectionClosed(this.config.name, connection, why)
  }

  /** From now on connections are told to go with their next response; idle ones stay, as Envoy's do. */
  drain(): void {
    this.#drain.start()
  }

  /** The end of the drain time: what is left is closed. */
  closeAll(how: CloseHow): void {
    for (const connection of [...this.#connections]) connection.close(how)
    this.#tls?.close()
  }

  #filterFactories(): readonly NetworkFilterFactory[] {
    if (this.#factories === null) {
      const { environment, config } = this.#listener
      const placed = {
        listenerName: { value: config.name, enumerable: true },
        listenerAddress: { value: config.statAddress, enumerable: true },
        filterChainName: { value: this.config.name, enumerable: true },
        listenerMetadata: { value: config.metadata, enumerable: true },
        filterChainMetadata: { value: this.config.metadata, enumerable: true },
        trafficDirection: { value: config.trafficDirection, enumerable: true },
        localAddress: { value: environment.localAddress, enumerable: true },
        bufferLimit: { value: config.bufferLimit, enumerable: true },
        drainDecision: { value: this.#drain, enumerable: true },
      }
      let used = 0
      this.#factories = this.config.filters.map(f => {
        const factory = networkFilter(f.typeUrl)
        const gauges = this.#gauges.slice(used, used + (factory?.sharedGauges ?? 0))
        used += gauges.length
        const own = { ...placed, gauges: { value: gauges, enumerable: true } }
        const services = Object.create(environment.services, own) as NetworkFilterServices
        if (factory === null) return new DiscoveredNetworkFilter(f.config as DiscoveredConfig, services)
        return factory.create(f.config as never, services)
      })
    }
    return this.#factories
  }

  /** Null = plain TCP. */
  #transport(): ServerTls | null {
    const socket = this.config.transportSocket
    if (!this.#tlsMade && socket !== null) {
      const factory = findFactory('envoy.transport_sockets.downstream', socket.typeUrl)!
      const make = factory.create(socket.config as never, this.#listener.environment.services) as ServerTransport
      this.#tcpStats = tcpStatsOf(socket, this.#listener.scope, this.#listener.timers)
      this.#tls = make(this.#listener.scope, `${this.#listener.config.statAddress} ${this.config.name}`)
    }
    this.#tlsMade = true
    return this.#tls
  }
}

/** How many gauges the filters of a chain share with other workers. */
export function sharedGaugesOf(config: FilterChainConfig): number {
  let count = 0
  for (const { typeUrl } of config.filters) count += networkFilter(typeUrl)?.sharedGauges ?? 0
  return count
}

/** Null: it is discovered. */
function networkFilter(typeUrl: string): NetworkFilterExtension<object, unknown> | null {
  if (typeUrl === DISCOVERED) return null
  return findFactory('envoy.filters.network', typeUrl) as unknown as NetworkFilterExtension<object, unknown>
}
