import type { TcpCall, TcpCallUser } from '../config/services.ts'
import { CloseHow, type Connection, type ConnectionHandler } from '../io/connection.ts'
import { StreamInfo } from '../telemetry/stream-info.ts'
import { ANY_REQUEST, type ClusterManager, type PoolHandle, type TcpPoolUser } from '../upstream/upstream.ts'

/** A connection that an extension makes for itself (`CallOuts.tcp`). */
export class AsyncTcpCall implements TcpCall, TcpPoolUser, ConnectionHandler {
  #user: TcpCallUser | null
  #pending: PoolHandle | null = null
  #connection: Connection | null = null
  /** Until it is connected. */
  #waiting: Uint8Array[] = []
  #waitingBytes = 0

  constructor(user: TcpCallUser) {
    this.#user = user
  }

  start(name: string, clusters: ClusterManager): void {
    const cluster = clusters.get(name)
    const host = cluster?.pick(ANY_REQUEST) ?? null
    if (cluster === null || cluster === undefined || host === null) {
      this.#over()
      return
    }
    const pending = cluster.tcpConnect(host, this, new StreamInfo(), null)
    if (this.#user !== null && this.#connection === null) this.#pending = pending
  }

  get buffered(): number {
    return this.#connection === null ? this.#waitingBytes : this.#connection.bufferedBytes
  }

  send(bytes: Uint8Array): void {
    if (this.#connection !== null) this.#connection.write(bytes)
    else if (this.#user !== null) {
      this.#waiting.push(bytes)
      this.#waitingBytes += bytes.length
    }
  }

  cancel(): void {
    this.#user = null
    this.#waiting = []
    this.#pending?.cancel()
    this.#pending = null
    this.#connection?.close(CloseHow.NoFlush)
  }

  onTcpReady(connection: Connection): void {
    this.#pending = null
    this.#connection = connection
    connection.handler = this
    for (const bytes of this.#waiting) connection.write(bytes)
    this.#waiting = []
    this.#waitingBytes = 0
  }

  onTcpFailure(): void {
    this.#pending = null
    this.#over()
  }

  onData(c: Connection, _chunk: Uint8Array, end: boolean): void {
    // A peer that has finished wants no more either.
    if (end) c.close(CloseHow.NoFlush)
  }

  onClose(): void {
    this.#connection = null
    this.#over()
  }

  #over(): void {
    const user = this.#user
    this.#user = null
    this.#waiting = []
    this.#waitingBytes = 0
    user?.onTcpClosed()
  }
}
