import { TimerNode, type TimerOwner, type Timers } from '../base/timer.ts'
import { CloseHow, CloseReason, type Connection, type ConnectionHandler } from '../io/connection.ts'
import type { SocketConnection } from '../io/socket-connection.ts'
import { HelloState, parseClientHello } from '../io/transport-sockets/client-hello.ts'
import type { ServerTls } from '../io/transport-sockets/tls-server.ts'

/**
 * TLS begins: the ClientHello is read first, because the certificate, the ALPN offer and the order of ciphers depend on it. With
 * tls_inspector it is there already. As long as a filter holds reading (tcp_proxy connects), the handshake waits, as in Envoy.
 */
export class HelloReader implements ConnectionHandler, TimerOwner {
  readonly #connection: SocketConnection
  readonly #next: ConnectionHandler
  readonly #tls: ServerTls
  readonly #timeout: number
  readonly #timers: Timers
  readonly #timer: TimerNode
  #bytes: Uint8Array = new Uint8Array(0)

  /** `timeout`: transport_socket_connect_timeout, 0 = none. It covers this and the handshake. */
  constructor(
    connection: SocketConnection,
    next: ConnectionHandler,
    driver: ServerTls,
    timeout: number,
    timers: Timers,
  ) {
    this.#connection = connection
    this.#next = next
    this.#tls = driver
    this.#timeout = timeout
    this.#timers = timers
    this.#timer = new TimerNode(this, 0)
  }

  /** `bytes`: what the listener filters have read. */
  start(bytes: Uint8Array, ended: boolean): void {
    if (this.#timeout > 0) this.#timers.arm(this.#timer, this.#timeout)
    this.#connection.unread(bytes, ended)
  }

  onData(c: Connection, chunk: Uint8Array, end: boolean): void {
    if (chunk.length > 0) this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk])
    if (!this.#look() && end) c.close(CloseHow.NoFlush, CloseReason.Remote)
  }

  onClose(c: Connection, why: CloseReason): void {
    this.#timers.cancel(this.#timer)
    this.#next.onClose(c, why)
  }

  onTimer(): void {
    this.#connection.close(CloseHow.NoFlush, CloseReason.ConnectTimeout)
  }

  #look(): boolean {
    if (this.#bytes.length === 0) return false
    if (this.#connection.clientHello === null) {
      const { state, hello } = parseClientHello(this.#bytes)
      if (state === HelloState.NeedMore) return false
      // What is no ClientHello goes to OpenSSL all the same: it knows best what is wrong with it.
      this.#connection.clientHello = hello
    }
    this.#secure()
    return true
  }

  #secure(): void {
    this.#timers.cancel(this.#timer)
    const connection = this.#connection
    connection.handler = this.#next
    // What is left of the time, as one timer would have it.
    const spent = this.#timers.now() - connection.startTime
    const left = this.#timeout === 0 ? 0 : Math.max(1, this.#timeout - spent)
    connection.secure(this.#tls, this.#bytes, left)
  }
}
