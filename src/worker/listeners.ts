import { TimerNode, type TimerOwner } from '../base/timer.ts'
import type { WorkerServices } from '../config/services.ts'
import { type Address, CloseHow } from '../io/connection.ts'
import { closeSocket } from '../io/listen-socket.ts'
import type { SocketLoop } from '../io/socket-loop.ts'
import { ConnectionBalance } from '../listener/connection-balance.ts'
import { type ConnectionLimit, Listener, type ListenerEnvironment } from '../listener/listener.ts'
import type { ListenerConfig } from '../listener/listener-config.ts'
import { ListenerDirectory } from '../listener/listener-directory.ts'
import type { AccessLogConfig } from '../telemetry/access-loggers/config.ts'
import { createAccessLogger } from '../telemetry/access-loggers/create.ts'
import type { AccessLogger } from '../telemetry/format-context.ts'
import { gaugesOf, type SharedBlock, type SharedGauge, type SharedPages } from '../upstream/shared-state.ts'
import { ControlCell, type PublishedListener } from './messages.ts'
import { type PeerEvents, Peers } from './peers.ts'
import { materialise } from './snapshot.ts'

/**
 * The listeners of a worker. An update replaces a listener as a whole, and the old one drains while the new one accepts, unless it
 * changes filter chains only.
 */
export class WorkerListeners implements ListenerEnvironment, PeerEvents {
  readonly loop: SocketLoop
  readonly services: WorkerServices
  readonly localAddress: string
  readonly connectionLimit: ConnectionLimit | null
  readonly #listeners = new Map<string, Listener>()
  readonly #directory = new ListenerDirectory()
  /** Draining ones too: what other workers send is for a tag. */
  readonly #byTag = new Map<number, Listener>()
  readonly #pages: SharedPages
  readonly peers = new Peers(this)
  readonly #drainTime: number
  readonly #listening: (listener: string, error: string) => void

  /** `drainTime`: milliseconds old connections get after their listener was replaced or removed. */
  constructor(
    loop: SocketLoop,
    services: WorkerServices,
    pages: SharedPages,
    localAddress: string,
    control: SharedArrayBuffer,
    drainTime: number,
    listening: (listener: string, error: string) => void,
  ) {
    this.loop = loop
    this.services = services
    this.#pages = pages
    this.localAddress = localAddress
    this.connectionLimit = new SharedConnectionLimit(control)
    this.#drainTime = drainTime
    this.#listening = listening
  }

  findByDestination(address: Address): Listener | null {
    return this.#directory.find(address)
  }

  accessLogger(config: AccessLogConfig): AccessLogger {
    return createAccessLogger(config, this.services)
  }

  /** Resolves when it accepts (or has failed, which is reported). */
  async put(published: PublishedListener): Promise<void> {
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
        await listener.listen(published.descriptors)
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

  handOver(worker: number, tag: number, handle: unknown, counted: boolean): boolean {
    return this.peers.give(worker, tag, handle, counted)
  }

  onReceived(tag: number, fd: number, counted: boolean): void {
    const listener = this.#byTag.get(tag)
    if (listener !== undefined && fd >= 0) {
      listener.receive(fd)
      return
    }
    listener?.missed()
    if (fd >= 0) closeSocket(fd)
    this.onLost(counted)
  }

  onLost(counted: boolean): void {
    if (counted) this.connectionLimit?.give()
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

/** global_downstream_max_connections, counted over all workers. */
class SharedConnectionLimit implements ConnectionLimit {
  readonly #cells: Int32Array

  constructor(control: SharedArrayBuffer) {
    this.#cells = new Int32Array(control)
  }

  tryTake(): boolean {
    const max = this.#cells[ControlCell.MaxDownstreamConnections]!
    const taken = Atomics.add(this.#cells, ControlCell.DownstreamConnections, 1)
    if (max === 0 || taken < max) return true
    Atomics.sub(this.#cells, ControlCell.DownstreamConnections, 1)
    return false
  }

  give(): void {
    Atomics.sub(this.#cells, ControlCell.DownstreamConnections, 1)
  }
}
