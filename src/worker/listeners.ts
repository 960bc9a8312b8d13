import { TimerNode, type TimerOwner } from '../base/timer.ts'
import type { WorkerServices } from '../config/services.ts'
import { type Address, CloseHow } from '../io/connection.ts'
import type { SocketLoop } from '../io/socket-loop.ts'
import { type ConnectionLimit, Listener, type ListenerEnvironment } from '../listener/listener.ts'
import type { ListenerConfig } from '../listener/listener-config.ts'
import { ListenerDirectory } from '../listener/listener-directory.ts'
import type { AccessLogConfig } from '../telemetry/access-loggers/config.ts'
import { createAccessLogger } from '../telemetry/access-loggers/create.ts'
import type { AccessLogger } from '../telemetry/format-context.ts'
import { ControlCell, type PublishedListener } from './messages.ts'
import { materialise } from './snapshot.ts'

/** The listeners of a worker: replaced as wholes, the old one drains while the new one accepts. */
export class WorkerListeners implements ListenerEnvironment {
  readonly loop: SocketLoop
  readonly services: WorkerServices
  readonly localAddress: string
  readonly connectionLimit: ConnectionLimit | null
  readonly #listeners = new Map<string, Listener>()
  readonly #directory = new ListenerDirectory()
  readonly #drainTime: number
  readonly #listening: (listener: string, error: string) => void

  /** `drainTime`: milliseconds old connections get after their listener was replaced or removed. */
  constructor(
    loop: SocketLoop,
    services: WorkerServices,
    localAddress: string,
    control: SharedArrayBuffer,
    drainTime: number,
    listening: (listener: string, error: string) => void,
  ) {
    this.loop = loop
    this.services = services
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
    const listener = new Listener(config, this)
    const before = this.#listeners.get(config.name)
    this.#listeners.set(config.name, listener)
    this.#directory.add(listener)
    let error = ''
    if (config.bindToPort) {
      try {
        await listener.listen(published.descriptors)
      } catch (failure) {
        error = (failure as Error).message
      }
    }
    if (before !== undefined) this.#retire(before)
    this.#listening(config.name, error)
  }

  remove(name: string): void {
    const listener = this.#listeners.get(name)
    if (listener === undefined) return
    this.#listeners.delete(name)
    this.#retire(listener)
  }

  /** `stop`: no new connections from now on. */
  drain(names: readonly string[], stop: boolean): void {
    for (const name of names) {
      const listener = this.#listeners.get(name)
      if (stop) listener?.stop()
      listener?.drain()
    }
  }

  #retire(listener: Listener): void {
    this.#directory.remove(listener)
    listener.stop()
    listener.drain()
    new Retirement(listener, this.services, this.#drainTime)
  }
}

/** Closes what is left of a listener when its drain time is over. */
class Retirement implements TimerOwner {
  readonly #listener: Listener

  constructor(listener: Listener, services: WorkerServices, drainTime: number) {
    this.#listener = listener
    services.timers.arm(new TimerNode(this, 0), drainTime)
  }

  onTimer(): void {
    this.#listener.closeAll(CloseHow.Flush)
  }
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
