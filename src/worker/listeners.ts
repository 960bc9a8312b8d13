import { TimerNode, type TimerOwner } from '../base/timer.ts'
import type { Runtime, WorkerServices } from '../config/services.ts'
import { type Address, CloseHow } from '../io/connection.ts'
import { closeSocket } from '../io/listen-socket.ts'
import type { SocketLoop } from '../io/socket-loop.ts'
import { ConnectionBalance } from '../listener/connection-balance.ts'
import { type ConnectionLimit, Listener, type ListenerEnvironment } from '../listener/listener.ts'
import type { ListenerConfig } from '../listener/listener-config.ts'
import { ListenerDirectory } from '../listener/listener-directory.ts'
import type { Counter } from '../stats/stats.ts'
import type { AccessLogConfig } from '../telemetry/access-loggers/config.ts'
import { createAccessLogger } from '../telemetry/access-loggers/create.ts'
import type { AccessLogger } from '../telemetry/format-context.ts'
import { gaugesOf, type SharedBlock, type SharedGauge, type SharedPages } from '../upstream/shared-state.ts'
import type { InternalListeners } from './connector.ts'
import type { DownstreamLimit, PublishedListener } from './messages.ts'
import { type PeerEvents, Peers } from './peers.ts'
import { materialise } from './snapshot.ts'

/**
 * The listeners of a worker. An update replaces a listener as a whole, and the old one drains while the new one accepts, unless it
 * changes filter chains only.
 */
export class WorkerListeners implements ListenerEnvironment, PeerEvents, InternalListeners {
  readonly loop: SocketLoop
  readonly services: WorkerServices
  readonly localAddress: string
  readonly connectionLimit: ConnectionLimit
  readonly bufferLimit: number
  readonly #listeners = new Map<string, Listener>()
  readonly #directory = new ListenerDirectory()
  /** Draining ones too: what other workers send is for a tag. */
  readonly #byTag = new Map<number, Listener>()
  readonly #pages: SharedPages
  readonly peers = new Peers(this)
  readonly #drainTime: number
  readonly #listening: (listener: string, error: string) => void

  /**
   * `drainTime`: milliseconds old connections get after their listener was replaced or removed. `internalBuffer`: bytes, of each side of
   * a connection to an internal listener.
   */
  constructor(
    loop: SocketLoop,
    services: WorkerServices,
    pages: SharedPages,
    localAddress: string,
    downstream: DownstreamLimit,
    drainTime: number,
    internalBuffer: number,
    listening: (listener: string, error: string) => void,
  ) {
    this.loop = loop
    this.services = services
    this.#pages = pages
    this.localAddress = localAddress
    this.connectionLimit = new SharedConnectionLimit(downstream, pages, services)
    this.#drainTime = drainTime
    this.bufferLimit = internalBuffer
    this.#listening = listening
  }

  findByDestination(address: Address): Listener | null {
    return this.#directory.find(address)
  }

  /** An internal listener; null = there is none of this name. */
  find(name: string): Listener | null {
    const listener = this.#listeners.get(name)
    return listener?.config.internal === true ? listener : null
  }

  accessLogger(config: AccessLogConfig): AccessLogger {
    return createAccessLogger(config, this.services)
  }

  /** It accepts afterwards, or its failure is reported. */
  put(published: PublishedListener): void {
    const config = materialise<ListenerConfig>(published)
    const { tag, kept } = published
    const gauges = published.gauges.map(block => this.#gaugesOf(block))
    const before = this.#listeners.get(config.name)
    if (kept !== null && before !== undefined) {
      for (const chain of before.updateChains(config, kept, gauges)) this.#closeLater(chain)
      return
    }
    const balance =
      published.balance === null ? null : new ConnectionBalance(published.balance, this.services.workerIndex)
    const open = this.#gaugesOf(published.open)![0]!
    const listener = new Listener(config, this, { tag, open, gauges, balance })
    this.#listeners.set(config.name, listener)
    this.#byTag.set(tag, listener)
    balance?.join()
    this.#directory.add(listener)
    let error = ''
    if (config.bindToPort) {
      try {
        listener.listen(published.descriptors)
      } catch (failure) {
        error = (failure as Error).message
      }
    }
    if (before !== undefined) this.#retire(before, false)
    this.#listening(config.name, error)
  }

  remove(name: string): void {
    const listener = this.#listeners.get(name)
    if (listener === undefined) return
    this.#listeners.delete(name)
    this.#retire(listener, true)
  }

  /** `stop`: no new connections from now on. */
  drain(names: readonly string[], stop: boolean): void {
    for (const name of names) {
      const listener = this.#listeners.get(name)
      if (stop) listener?.stop(true)
      listener?.drain()
    }
  }

  handOver(worker: number, tag: number, fd: number): boolean {
    return this.peers.give(worker, tag, fd)
  }

  onReceived(tag: number, fd: number): boolean {
    const listener = this.#byTag.get(tag)
    if (fd < 0) listener?.missed()
    else if (listener === undefined) closeSocket(fd)
    else listener.receive(fd)
    return fd >= 0 && listener !== undefined
  }

  onLost(tag: number): void {
    this.#byTag.get(tag)?.lost()
  }

  #retire(listener: Listener, last: boolean): void {
    this.#directory.remove(listener)
    listener.stop(last)
    listener.drain()
    this.#closeLater(listener)
  }

  /** A listener or a filter chain whose drain time begins. */
  #closeLater(what: Closable): void {
    const end: TimerOwner = {
      onTimer: () => {
        for (const [tag, listener] of this.#byTag) if (listener === what) this.#byTag.delete(tag)
        what.closeAll(CloseHow.Flush)
      },
    }
    this.services.timers.arm(new TimerNode(end, 0), this.#drainTime)
  }

  #gaugesOf(block: SharedBlock | null): SharedGauge[] | null {
    return block === null ? null : gaugesOf(this.#pages.cells(block), block.gauges)
  }
}

interface Closable {
  closeAll(how: CloseHow): void
}

/** The bound of the process, counted over all workers: as the overload manager says, else the deprecated runtime key. */
class SharedConnectionLimit implements ConnectionLimit {
  readonly #limit: DownstreamLimit
  readonly #pages: SharedPages
  readonly #runtime: Runtime
  readonly #refused: Counter | null
  #gauge: SharedGauge | null = null

  constructor(limit: DownstreamLimit, pages: SharedPages, services: WorkerServices) {
    this.#limit = limit
    this.#pages = pages
    this.#runtime = services.runtime
    const monitor = 'overload.envoy.resource_monitors.global_downstream_max_connections.'
    this.#refused = limit.max === 0 ? null : services.stats.counter(`${monitor}failed_updates`)
  }

  tryTake(): boolean {
    const { max } = this.#limit
    if (this.#taken().tryTake(max > 0 ? max : this.#runtime.integer(DEPRECATED_LIMIT, Number.MAX_SAFE_INTEGER)))
      return true
    this.#refused?.inc()
    return false
  }

  take(): void {
    this.#taken().take()
  }

  give(): void {
    this.#taken().give()
  }

  hand(): void {
    this.#taken().hand()
  }

  receive(): void {
    this.#taken().receive()
  }

  lost(): void {
    this.#taken().lost()
  }

  /** Its page comes with the first configuration, before any listener. */
  #taken(): SharedGauge {
    this.#gauge ??= gaugesOf(this.#pages.cells(this.#limit.taken), 1)[0]!
    return this.#gauge
  }
}

const DEPRECATED_LIMIT = 'overload.global_downstream_max_connections'
