import type { Timers } from '../base/timer.ts'
import { findFactory } from '../config/registry.ts'
import type { WorkerServices } from '../config/services.ts'
import { type AcceptHandler, Acceptor } from '../io/acceptor.ts'
import { type Address, CloseHow, CloseReason, ReadHold } from '../io/connection.ts'
import type { InternalStream } from '../io/internal-stream.ts'
import { closeSocket } from '../io/listen-socket.ts'
import { accept, acceptInternal, type SocketConnection } from '../io/socket-connection.ts'
import type { SocketLoop } from '../io/socket-loop.ts'
import type { StatsScope } from '../stats/stats.ts'
import type { AccessLogConfig } from '../telemetry/access-loggers/config.ts'
import type { AccessLogger } from '../telemetry/format-context.ts'
import { type PassedThrough, receivePassedThrough } from '../upstream/passthrough.ts'
import { ownGauges, type SharedGauge } from '../upstream/shared-state.ts'
import { ChainMatchTree } from './chain-match-tree.ts'
import { ChainRuntime } from './chain-runtime.ts'
import type { ConnectionBalance } from './connection-balance.ts'
import { FilterChainMatcher } from './filter-chain-match.ts'
import type { ListenerFilter } from './filters/listener-filter.ts'
import type { FilterChainConfig, ListenerConfig, PortPredicate } from './listener-config.ts'
import { ListenerLog } from './listener-log.ts'
import { ListenerStats } from './listener-stats.ts'
import { PendingSocket } from './pending-connection.ts'

/** The process-wide bound on downstream connections, shared by all workers. */
export interface ConnectionLimit {
  tryTake(): boolean
  /** What is there already, whether or not there is room. */
  take(): void
  give(): void
  /** As SharedGauge. */
  hand(): void
  receive(): void
  lost(): void
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
  /**
   * Gives an accepted socket to another worker, where `tag` names the listener. False: that
   * worker cannot be reached.
   */
  handOver(worker: number, tag: number, fd: number): boolean
}

/** What a listener has in common with itself on other workers. */
export interface ListenerShares {
  /** The same on all workers; an update in place keeps it. */
  readonly tag: number
  /** Its open connections. */
  readonly open: SharedGauge
  /** Those of the filters, by filter chain; the default chain comes last. Null = a chain that has none. */
  readonly gauges: readonly (readonly SharedGauge[] | null)[]
  /** exact_balance; null = connections stay where the kernel put them. */
  readonly balance: ConnectionBalance | null
}

/** For a listener that is alone: only one worker has it. */
function ownShares(): ListenerShares {
  return { tag: 0, open: ownGauges(1)[0]!, gauges: [], balance: null }
}

export interface ListenerFilterInstance {
  readonly filter: ListenerFilter
  readonly disabled: PortPredicate | null
}

const NO_LIMIT = Number.MAX_SAFE_INTEGER
const NOTHING = new Uint8Array(0)

/**
 * One listener on one worker: accept → listener filters → filter chain match → transport socket → network filters. An update of
 * filter chains alone goes into it (`updateChains`); any other makes a new one and drains this.
 */
export class Listener implements AcceptHandler {
  config: ListenerConfig
  filters: readonly ListenerFilterInstance[]
  readonly stats: ListenerStats
  readonly timers: Timers
  readonly scope: StatsScope
  readonly environment: ListenerEnvironment
  readonly #shares: ListenerShares
  #matcher: FilterChainMatcher | ChainMatchTree
  #chains: readonly ChainRuntime[]
  #defaultChain: ChainRuntime | null
  #log: ListenerLog
  readonly #limitKey: string
  readonly #acceptors: Acceptor[] = []
  readonly #pending = new Set<SocketConnection>()
  #openConnections = 0
  #acceptedNow = 0

  constructor(config: ListenerConfig, environment: ListenerEnvironment, shares: ListenerShares = ownShares()) {
    const { services } = environment
    this.config = config
    this.environment = environment
    this.#shares = shares
    this.timers = services.timers
    this.scope = services.stats.scope(`listener.${config.statAddress}.`)
    this.stats = new ListenerStats(this.scope, services.workerIndex)
    this.filters = this.#makeFilters()
    this.#chains = config.filterChains.map((chain, i) => new ChainRuntime(chain, this, shares.gauges[i] ?? null))
    this.#matcher = matcherOf(config)
    const { filterChains, defaultFilterChain } = config
    const gauges = shares.gauges[filterChains.length] ?? null
    this.#defaultChain = defaultFilterChain === null ? null : new ChainRuntime(defaultFilterChain, this, gauges)
    this.#log = this.#makeLog()
    this.#limitKey = `envoy.resource_limits.listener.${config.name}.connection_limit`
  }

  /**
   * Takes over a configuration that differs in its filter chains (Envoy: in-place filter chain update). `kept[i]` is the number of
   * the present chain that new chain number i is, -1 = a new one; the default chain counts as the one after the last, in both.
   * `gauges` as in `ListenerShares`. Returns the chains that are no more, with their connections: they drain from now on.
   */
  updateChains(
    config: ListenerConfig,
    kept: readonly number[],
    gauges: readonly (readonly SharedGauge[] | null)[],
  ): readonly ChainRuntime[] {
    const before = [...this.#chains, this.#defaultChain]
    const left = new Set<ChainRuntime | null>(before)
    this.config = config
    const chainAt = (i: number, chain: FilterChainConfig): ChainRuntime => {
      const same = before[kept[i] ?? -1] ?? null
      left.delete(same)
      return same ?? new ChainRuntime(chain, this, gauges[i] ?? null)
    }
    this.#chains = config.filterChains.map((chain, i) => chainAt(i, chain))
    const { filterChains, defaultFilterChain } = config
    this.#defaultChain = defaultFilterChain === null ? null : chainAt(filterChains.length, defaultFilterChain)
    this.#matcher = matcherOf(config)
    this.filters = this.#makeFilters()
    this.#log = this.#makeLog()
    const gone = [...left].filter(chain => chain !== null)
    for (const chain of gone) chain.drain()
    return gone
  }

  /** `descriptors`: bound sockets, one per address; the listener owns them. Throws the system's error. */
  listen(descriptors: readonly number[]): void {
    for (const fd of descriptors) this.#acceptor().listen(fd, this.config.backlog)
  }

  /** Addresses that it accepts on, with the real port where 0 was asked for. */
  get boundPorts(): number[] {
    return this.#acceptors.map(a => a.port)
  }

  get connectionCount(): number {
    return this.#openConnections
  }

  /** Stops accepting; connections go on. `last` as in `Acceptor.close`: no other version listens on these sockets. */
  stop(last: boolean): void {
    for (const acceptor of this.#acceptors) acceptor.close(last)
  }

  /** From now on connections are told to go with their next response; idle ones stay, as Envoy's do. */
  drain(): void {
    for (const chain of this.#chains) chain.drain()
    this.#defaultChain?.drain()
  }

  /** The end of the drain time: what is left is closed. */
  closeAll(how: CloseHow): void {
    for (const connection of [...this.#pending]) connection.close(how)
    for (const chain of this.#chains) chain.closeAll(how)
    this.#defaultChain?.closeAll(how)
  }

  onAccept(fd: number): void {
    this.#countAccept()
    const { connectionLimit: limit, services } = this.environment
    if (limit !== null && !this.config.ignoreGlobalLimit && !limit.tryTake()) {
      this.stats.globalOverflow.inc()
      closeSocket(fd)
      return
    }
    const { balance, open, tag } = this.#shares
    if (!open.tryTake(services.runtime.integer(this.#limitKey, NO_LIMIT))) {
      this.stats.overflow.inc()
      this.#giveGlobal()
      closeSocket(fd)
      return
    }
    if (balance !== null) {
      const worker = balance.pick()
      if (worker !== services.workerIndex) {
        if (this.environment.handOver(worker, tag, fd)) {
          // It stays counted, by whoever has it: what a worker took is given back when it dies.
          open.hand()
          if (!this.config.ignoreGlobalLimit) limit?.hand()
          return
        }
        balance.keep(worker)
      }
    }
    this.#serve(fd)
  }

  /** A socket that another worker has accepted. */
  receive(fd: number): void {
    this.#shares.open.receive()
    if (!this.config.ignoreGlobalLimit) this.environment.connectionLimit?.receive()
    this.#serve(fd)
  }

  #serve(fd: number): void {
    this.#openConnections++
    const connection = accept(this.environment.loop, fd, REFUSED, ReadHold.Setup)
    if (connection === null) this.#give()
    else this.#begin(connection, NOTHING, this.config.useOriginalDst)
  }

  /** From a cluster of this worker, for an internal listener: it sees what is passed through to it from the start. */
  onInternal(stream: InternalStream, passed: PassedThrough | null): void {
    const { services, loop } = this.environment
    const { open } = this.#shares
    if (!open.tryTake(services.runtime.integer(this.#limitKey, NO_LIMIT))) {
      this.stats.overflow.inc()
      stream.destroy()
      return
    }
    this.#openConnections++
    const connection = acceptInternal(loop, stream, REFUSED, ReadHold.Setup)
    if (passed !== null) receivePassedThrough(connection, passed)
    this.#begin(connection, NOTHING, this.config.useOriginalDst)
  }

  /** A connection handed over that nobody serves. */
  lost(): void {
    this.#shares.open.lost()
    if (!this.config.ignoreGlobalLimit) this.environment.connectionLimit?.lost()
  }

  /** A connection that another worker had picked this one for did not arrive. */
  missed(): void {
    this.#shares.balance?.give()
  }

  onAcceptError(code: number): void {
    // EMFILE and its like pass: clients are turned away until descriptors are free again.
    this.environment.services.log('conn_handler').debug(`accept failed on ${this.config.name}: ${code}`)
  }

  /** From another listener of this worker by use_original_dst. `bytes` are seen by the filters of this one again. */
  take(connection: SocketConnection, bytes: Uint8Array): void {
    this.#openConnections++
    this.#shares.open.take()
    this.#shares.balance?.take()
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
      const other = this.environment.findByDestination(connection.local)
      if (other !== null && other !== this) {
        this.#leave()
        other.take(connection, bytes)
        return
      }
    }
    if (connection.transportProtocol === '') connection.transportProtocol = 'raw_buffer'
    const index = this.#matcher.find(connection)
    const chain = index === null ? null : index < 0 ? this.#defaultChain : this.#chains[index]!
    if (chain === null) {
      this.stats.noMatch.inc()
      this.#give()
      if (this.#log.active) this.#log.refused(connection, this.timers.now(), 'filter_chain_not_found')
      connection.close(refusal(bytes))
      return
    }
    const { stats } = this
    stats.total.inc()
    stats.workerTotal.inc()
    stats.active.inc()
    stats.workerActive.inc()
    chain.open(connection, bytes, ended)
  }

  onConnectionClosed(chain: string, connection: SocketConnection, why: CloseReason): void {
    this.#give()
    const { stats } = this
    const now = this.timers.now()
    stats.active.dec()
    stats.workerActive.dec()
    stats.destroy.inc()
    stats.lengthMs.record(Math.max(0, now - connection.startTime))
    const timedOut = why === CloseReason.ConnectTimeout
    if (timedOut) stats.transportTimeout.inc()
    if (this.#log.active) this.#log.ended(connection, now, chain, timedOut)
  }

  #begin(connection: SocketConnection, bytes: Uint8Array, handOver: boolean): void {
    this.#pending.add(connection)
    const pending = new PendingSocket(this, connection, bytes, handOver)
    pending.start()
  }

  #acceptor(): Acceptor {
    const acceptor = new Acceptor(this.environment.loop, this)
    this.#acceptors.push(acceptor)
    return acceptor
  }

  /** A connection is gone. */
  #give(): void {
    this.#leave()
    this.#giveGlobal()
  }

  /** It is gone from this listener. */
  #leave(): void {
    this.#openConnections--
    this.#shares.open.give()
    this.#shares.balance?.give()
  }

  #giveGlobal(): void {
    if (!this.config.ignoreGlobalLimit) this.environment.connectionLimit?.give()
  }

  #makeFilters(): ListenerFilterInstance[] {
    const { services } = this.environment
    return this.config.listenerFilters.map(f => ({
      filter: findFactory('envoy.filters.listener', f.typeUrl)!.create(f.config as never, services) as ListenerFilter,
      disabled: f.disabled,
    }))
  }

  #makeLog(): ListenerLog {
    const { accessLogs, name } = this.config
    return new ListenerLog(
      accessLogs.map(log => this.environment.accessLogger(log)),
      name,
    )
  }

  #countAccept(): void {
    if (this.#acceptedNow++ > 0) return
    setImmediate(() => {
      this.stats.acceptedPerEvent.record(this.#acceptedNow)
      this.#acceptedNow = 0
    })
  }
}

function matcherOf(config: ListenerConfig): FilterChainMatcher | ChainMatchTree {
  const { chainMatcher, filterChains } = config
  if (chainMatcher !== null) {
    return new ChainMatchTree(
      chainMatcher,
      filterChains.map(chain => chain.name),
    )
  }
  const matcher = new FilterChainMatcher()
  config.filterChains.forEach((chain, i) => void matcher.add(chain.match, i))
  return matcher
}

/** Envoy's listener filters only peek: bytes that nobody has read make the kernel answer a close with RST. */
export function refusal(bytes: Uint8Array): CloseHow {
  return bytes.length > 0 ? CloseHow.Reset : CloseHow.NoFlush
}

/** Handler of connections that are closed before anything is made for them. */
const REFUSED = { onData(): void {}, onClose(): void {} }
