import net from 'node:net'

/** Receives accepted sockets as libuv handles, for `accept` of `socket-connection.ts`. */
export interface AcceptHandler {
  onAccept(handle: unknown): void
  /** accept(2) failed (EMFILE, ENFILE, ENOBUFS …). */
  onAcceptError(code: number): void
}

interface ListenHandle {
  onconnection: (status: number, client: unknown) => void
}

/** Accepts on one listening descriptor of this worker. Takes the descriptor over and closes it. */
export class Acceptor {
  readonly #server: net.Server
  readonly #handler: AcceptHandler
  #closed = false

  constructor(handler: AcceptHandler) {
    this.#handler = handler
    this.#server = net.createServer()
  }

  /** `fd`: a bound, listening socket; or, where koffi cannot make one, an address to bind here. */
  listen(
    where:
      | { fd: number; backlog: number }
      | { host: string; port: number; ipv6Only: boolean; backlog: number }
      | { path: string },
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(where, () => {
        this.#server.off('error', reject)
        this.#server.on('error', () => {})
        // Node's own callback would make a net.Socket without our read buffer; the handle is all that is wanted here.
        const handle = (this.#server as unknown as { _handle: ListenHandle })._handle
        handle.onconnection = (status, client) => {
          if (client === undefined) this.#handler.onAcceptError(status)
          // Accepted while closing: nobody would ever answer it.
          else if (this.#closed) (client as { close(): void }).close()
          else this.#handler.onAccept(client)
        }
        resolve()
      })
    })
  }

  address(): net.AddressInfo | string | null {
    return this.#server.address()
  }

  /** Stops accepting; connections go on. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#server.close()
  }
}
