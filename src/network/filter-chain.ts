import { CloseHow, type CloseReason, type Connection, type ConnectionHandler } from '../io/connection.ts'
import type { SocketConnection } from '../io/socket-connection.ts'
import { NetVerdict, type NetworkFilter, type NetworkFilterFactory, type ReadContinuation } from './filter.ts'

/** Who made the chain and counts its connection. */
export interface FilterChainOwner {
  onConnectionClosed(c: SocketConnection, why: CloseReason): void
}

/**
 * The network filters of one connection, made when it is accepted: as in Envoy before the TLS handshake, whose failure they count
 * and log. A filter that answers Stop keeps what it was given; the filters behind it are first called with the next bytes that it
 * lets through (Envoy: StopIteration / Continue of read filters).
 */
export class NetworkFilterChain implements ConnectionHandler, ReadContinuation {
  readonly #filters: NetworkFilter[] = []
  readonly #owner: FilterChainOwner
  /** How many filters have seen `onConnection`. */
  #begun = 0
  /** Waits for the end of the handshake, and with it the filters behind it. */
  #waiting: NetworkFilter | null = null

  constructor(owner: FilterChainOwner) {
    this.#owner = owner
  }

  start(c: Connection, factories: readonly NetworkFilterFactory[]): void {
    for (let i = 0; i < factories.length; i++) this.#filters.push(factories[i]!.newInstance(c, this))
    // Envoy: "closing connection: no filters".
    if (this.#filters.length === 0) c.close(CloseHow.NoFlush)
    else this.#begin(c, this.#filters.length)
  }

  /** The handshake is through. */
  onConnected(c: Connection): void {
    const filter = this.#waiting
    if (filter === null) return
    this.#waiting = null
    filter.onSecured!(c)
    if (!c.closed) this.#begin(c, this.#filters.length)
  }

  onData(c: Connection, chunk: Uint8Array, end: boolean): void {
    this.#deliver(c, chunk, end, 0)
  }

  continueReading(filter: NetworkFilter, c: Connection, d: Uint8Array, end: boolean): void {
    // Without anything to give the others only hear of the connection.
    if (d.length === 0 && !end) this.#begin(c, this.#filters.length)
    else this.#deliver(c, d, end, this.#filters.indexOf(filter) + 1)
  }

  upstreamConnected(c: Connection): void {
    const filters = this.#filters
    for (let i = 0; i < filters.length; i++) filters[i]!.onUpstreamConnected?.(c)
  }

  #deliver(c: Connection, chunk: Uint8Array, end: boolean, from: number): void {
    const filters = this.#filters
    for (let i = from; i < filters.length; i++) {
      if (i >= this.#begun && !this.#begin(c, i + 1)) return
      if (filters[i]!.onData(c, chunk, end) === NetVerdict.Stop || c.closed) return
    }
  }

  onWritable(c: Connection): void {
    const filters = this.#filters
    for (let i = 0; i < filters.length; i++) filters[i]!.onWritable?.(c)
  }

  onClose(c: Connection, why: CloseReason): void {
    const filters = this.#filters
    for (let i = 0; i < filters.length; i++) filters[i]!.onClose(c, why)
    this.#owner.onConnectionClosed(c as SocketConnection, why)
    for (let i = 0; i < filters.length; i++) filters[i]!.onGone?.()
  }

  /** Introduces filters up to number `upTo`; false when one of them wants to wait before the next hears of the connection. */
  #begin(c: Connection, upTo: number): boolean {
    while (this.#begun < upTo) {
      const filter = this.#filters[this.#begun++]!
      const verdict = filter.onConnection(c)
      if (c.closed) return false
      if (verdict === NetVerdict.UntilSecured) {
        this.#waiting = filter
        return false
      }
      if (verdict === NetVerdict.Stop) return this.#begun >= upTo
    }
    return true
  }
}
