import { findFactory } from '../config/registry.ts'
import type { DrainDecision } from '../config/services.ts'
import type { ServerTransport } from '../io/transport-sockets/tls.ts'
import type { ServerTls } from '../io/transport-sockets/tls-server.ts'
import type { NetworkFilterFactory } from '../network/filter.ts'
import type { NetworkFilterServices } from '../network/filter-factory.ts'
import type { StatsScope } from '../stats/stats.ts'
import type { ListenerEnvironment } from './listener.ts'
import type { FilterChainConfig, ListenerConfig } from './listener-config.ts'

/** A filter chain on a worker: its filters and TLS context are made when a connection first matches it. */
export class ChainRuntime {
  readonly config: FilterChainConfig
  readonly #listener: ListenerConfig
  readonly #scope: StatsScope
  readonly #environment: ListenerEnvironment
  readonly #drain: DrainDecision
  #factories: readonly NetworkFilterFactory[] | null = null
  #tls: ServerTls | null = null
  #tlsMade = false

  constructor(
    config: FilterChainConfig,
    listener: ListenerConfig,
    scope: StatsScope,
    environment: ListenerEnvironment,
    drain: DrainDecision,
  ) {
    this.#drain = drain
    this.config = config
    this.#listener = listener
    this.#scope = scope
    this.#environment = environment
  }

  factories(): readonly NetworkFilterFactory[] {
    if (this.#factories === null) {
      const services: NetworkFilterServices = Object.create(this.#environment.services, {
        listenerName: { value: this.#listener.name, enumerable: true },
        listenerAddress: { value: this.#listener.statAddress, enumerable: true },
        filterChainName: { value: this.config.name, enumerable: true },
        listenerMetadata: { value: this.#listener.metadata, enumerable: true },
        filterChainMetadata: { value: this.config.metadata, enumerable: true },
        drainDecision: { value: this.#drain, enumerable: true },
        localAddress: { value: this.#environment.localAddress, enumerable: true },
        bufferLimit: { value: this.#listener.bufferLimit, enumerable: true },
      })
      this.#factories = this.config.filters.map(
        f =>
          findFactory('envoy.filters.network', f.typeUrl)!.create(f.config as never, services) as NetworkFilterFactory,
      )
    }
    return this.#factories
  }

  /** Null = plain TCP. */
  transport(): ServerTls | null {
    const socket = this.config.transportSocket
    if (!this.#tlsMade && socket !== null) {
      const factory = findFactory('envoy.transport_sockets.downstream', socket.typeUrl)!
      const make = factory.create(socket.config as never, this.#environment.services) as ServerTransport
      this.#tls = make(this.#scope)
    }
    this.#tlsMade = true
    return this.#tls
  }

  close(): void {
    this.#tls?.close()
  }
}
