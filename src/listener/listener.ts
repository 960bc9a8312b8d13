import type { Timers } from '../base/timer.ts'
import { findFactory } from '../config/registry.ts'
import type { DrainDecision, WorkerServices } from '../config/services.ts'
import { type AcceptHandler, Acceptor } from '../io/acceptor.ts'
import { isPipe } from '../io/address.ts'
import { type Address, CloseHow, CloseReason, ReadHold } from '../io/connection.ts'
import { accept, type SocketConnection } from '../io/socket-connection.ts'
import type { SocketLoop } from '../io/socket-loop.ts'
import { type FilterChainOwner, NetworkFilterChain } from '../network/filter-chain.ts'
import type { StatsScope } from '../stats/stats.ts'
import type { AccessLogConfig } from '../telemetry/access-loggers/config.ts'
import type { AccessLogger } from '../telemetry/format-context.ts'
import { ChainRuntime } from './chain-runtime.ts'
import { FilterChainMatcher } from './filter-chain-match.ts'
import type { ListenerFilter } from './filters/listener-filter.ts'
import { HelloReader } from './hello-reader.ts'
import type { ListenerConfig, PortPredicate } from './listener-config.ts'
import { ListenerLog } from './listener-log.ts'
import { ListenerStats } from './listener-stats.ts'
import { PendingSocket } from './pending-connection.ts'

/** The process-wide bound on downstream connections, shared by all workers. */
export interface ConnectionLimit {
  tryTake(): boolean
  give(): void
}

/** What a listener needs of its worker. */
export interface ListenerEnvironment {
  readonly loop: SocketLoop
  readonly services: WorkerServices
  /** The machine's own address, for XFF of loopback peers. */
  readonly localAddress: string
  /** use_original_dst: the listener of that address, then of its wildcard; null when there is none. */
  findByDestination(address: Address): Listener | null
  accessLogger(config: AccessLogConfig): AccessLogger
  /** Null = unlimited. */
  readonly connectionLimit: ConnectionLimit | null
}

export interface ListenerFilterInstance {
  readonly filter: ListenerFilter
  readonly disabled: PortPredicate | null
}

const NO_LIMIT = Number.MAX_SAFE_INTEGER
const NOTHING = new Uint8Array(0)

/**
 * One listener on one worker: accept → listener filters → filter chain match → transport socket → network filters. Immutable but
 * for its connections; an update makes a new one and drains this.
 */
export class Listener implements AcceptHandler, FilterChainOwner {
  readonly config: ListenerConfig
  readonly stats: ListenerStats
  readonly timers: Timers
  readonly filters: readonly ListenerFilterInstance[]
  readonly scope: StatsScope
  readonly #environment: ListenerEnvironment
  readonly #matcher = new FilterChainMatcher()
  readonly #chains: ChainRuntime[]
  readonly #defaultChain: ChainRuntime | null
  readonly #log: ListenerLog
  readonly #drain: DrainDecision
  readonly #limitKey: string
  readonly #acceptors: Acceptor[] = []
  readonly #pending = new Set<SocketConnection>()
  readonly #active = new Map<SocketConnection, NetworkFilterChain>()
  #acceptedNow = 0

  constructor(config: ListenerConfig, environment: ListenerEnvironment) {
    const { services } = environment
    this.config = config
    this.#environment = environment
    this.timers = services.timers
    this.scope = services.stats.scope(`listener.${config.statAddress}.`)
    this.stats = new ListenerStats(this.scope, services.workerIndex)
    this.filters = config.listenerFilters.map(f => ({
      filter: findFactory('envoy.filters.listener', f.typeUrl)!.create(f.config as never, services) as ListenerFilter,
      disabled: f.disabled,
    }))
    this.#drain = services.drain.decision(config.modifyOnly)
    this.#chains = config.filterChains.map(
      chain => new ChainRuntime(chain, config, this.scope, environment, this.#drain),
    )
    this.#chains.forEach((chain, i) => void this.#matcher.add(chain.config.match, i))
    this.#defaultChain =
      config.defaultFilterChain === null
        ? null
        : new ChainRuntime(config.defaultFilterChain, config, this.scope, environment, this.#drain)
    this.#log = new ListenerLog(
      config.accessLogs.map(log => environment.accessLogger(log)),
      config.name,
    )
    this.#limitKey = `envoy.resource_limits.listener.${config.name}.connection_limit`
  }

  /** `descriptors`: bound sockets, one per address; the listener owns them. Rejects with the system's error. */
  async listen(descriptors: readonly number[]): Promise<void> {
    for (const fd of descriptors) await this.#acceptor().listen({ fd, backlog: this.config.backlog })
  }

  /** Where sockets cannot be handed over: this worker binds the addresses itself. */
  async bind(): Promise<void> {
    for (const { address, ipv4Compat } of this.config.addresses) {
      const { ip: host, port } = address
      if (isPipe(address)) await this.#acceptor().listen({ path: host })
      else await this.#acceptor().listen({ host, port, ipv6Only: !ipv4Compat, backlog: this.config.backlog })
    }
  }

  /** Addresses that it accepts on, with the real port where 0 was asked for. */
  get boundPorts(): number[] {
    return this.#acceptors.map(a => {
      const address = a.address()
      return typeof address === 'object' && address !== null ? address.port : 0
    })
  }

  get connectionCount(): number {
    return this.#active.size + this.#pending.size
  }

  /** Stops accepting; connections go on. */
  stop(): void {
    for (const acceptor of this.#acceptors) acceptor.close()
  }

  /** From now on connections are told to go with their next response; idle ones stay, as Envoy's do. */
  drain(): void {
    this.#drain.start()
  }

  /** The end of the drain time: what is left is closed. */
  closeAll(how: CloseHow): void {
    for (const connection of [...this.#pending, ...this.#active.keys()]) connection.close(how)
    for (const chain of this.#chains) chain.close()
    this.#defaultChain?.close()
  }

  onAccept(handle: unknown): void {
    this.#countAccept()
    const limit = this.#environment.connectionLimit
    if (limit !== null && !this.config.ignoreGlobalLimit && !limit.tryTake()) {
      this.stats.globalOverflow.inc()
      accept(this.#environment.loop, handle, REFUSED, ReadHold.Setup)?.close(CloseHow.NoFlush)
      return
    }
    const connection = accept(this.#environment.loop, handle, REFUSED, ReadHold.Setup)
    if (connection === null) {
      this.#give()
      return
    }
    const allowed = this.#environment.services.runtime.integer(this.#limitKey, NO_LIMIT)
    if (this.connectionCount >= allowed) {
      this.stats.overflow.inc()
      this.#give()
      connection.close(CloseHow.NoFlush)
      return
    }
    this.#begin(connection, NOTHING, this.config.useOriginalDst)
  }

  onAcceptError(code: number): void {
    // EMFILE and its like pass; libuv goes on accepting when descriptors are free again.
    this.#environment.services.log('conn_handler').debug(`accept failed on ${this.config.name}: ${code}`)
  }

  /** From another listener by use_original_dst. `bytes` are seen by the filters of this one again. */
  take(connection: SocketConnection, bytes: Uint8Array): void {
    this.#begin(connection, bytes, false)
  }

  onPendingGone(connection: SocketConnection): void {
    this.#pending.delete(connection)
    this.#give()
    if (this.#log.active) this.#log.refused(connection, this.timers.now(), '')
  }

  onPendingReady(connection: SocketConnection, bytes: Uint8Array, ended: boolean, handOver: boolean): void {
    this.#pending.delete(connection)
    connection.holdReading(ReadHold.Setup, false)
    if (handOver && connection.localRestored) {
      const other = this.#environment.findByDestination(connection.local)
      if (other !== null && other !== this) {
        other.take(connection, bytes)
        return
      }
    }
    if (connection.transportProtocol === '') connection.transportProtocol = 'raw_buffer'
    const index = this.#matcher.find(connection)
    const chain = index < 0 ? this.#defaultChain : this.#chains[index]!
    if (chain === null) {
      this.stats.noMatch.inc()
      this.#give()
      if (this.#log.active) this.#log.refused(connection, this.timers.now(), 'filter_chain_not_found')
      connection.close(refusal(bytes))
      return
    }
    this.#activate(connection, chain, bytes, ended)
  }

  onConnectionClosed(chain: NetworkFilterChain, connection: SocketConnection, why: CloseReason): void {
    this.#active.delete(connection)
    this.#give()
    const { stats } = this
    const now = this.timers.now()
    stats.active.dec()
    stats.workerActive.dec()
    stats.destroy.inc()
    stats.lengthMs.record(Math.max(0, now - connection.startTime))
    const timedOut = why === CloseReason.ConnectTimeout
    if (timedOut) stats.transportTimeout.inc()
    if (this.#log.active) this.#log.ended(connection, now, chain.name, timedOut)
  }

  #begin(connection: SocketConnection, bytes: Uint8Array, handOver: boolean): void {
    this.#pending.add(connection)
    const pending = new PendingSocket(this, connection, bytes, handOver)
    pending.start()
  }

  #activate(connection: SocketConnection, chain: ChainRuntime, bytes: Uint8Array, ended: boolean): void {
    const { stats } = this
    stats.total.inc()
    stats.workerTotal.inc()
    stats.active.inc()
    stats.workerActive.inc()
    connection.setWatermarks(this.config.bufferLimit)
    const filters = new NetworkFilterChain(chain.factories(), chain.config.name, this)
    this.#active.set(connection, filters)
    const tls = chain.transport()
    if (tls === null) {
      connection.handler = filters
      filters.onConnected(connection)
      if (!connection.closed) connection.unread(bytes, ended)
    } else {
      new HelloReader(connection, filters, tls, chain.config.transportSocketConnectTimeout, this.timers).start(bytes)
    }
  }

  #acceptor(): Acceptor {
    const acceptor = new Acceptor(this)
    this.#acceptors.push(acceptor)
    return acceptor
  }

  #give(): void {
    if (!this.config.ignoreGlobalLimit) this.#environment.connectionLimit?.give()
  }

  #countAccept(): void {
    if (this.#acceptedNow++ > 0) return
    setImmediate(() => {
      this.stats.acceptedPerEvent.record(this.#acceptedNow)
      this.#acceptedNow = 0
    })
  }
}

/** Envoy's listener filters only peek: bytes that nobody has read make the kernel answer a close with RST. */
export function refusal(bytes: Uint8Array): CloseHow {
  return bytes.length > 0 ? CloseHow.Reset : CloseHow.NoFlush
}

/** Handler of connections that are closed before anything is made for them. */
const REFUSED = { onData(): void {}, onClose(): void {} }
