import net from 'node:net'
import type { StreamHandle } from './libuv.ts'
import { acceptQueued } from './listen-socket.ts'

/** Receives accepted sockets as libuv handles or descriptors, for `accept` of `socket-connection.ts`. */
export interface AcceptHandler {
  onAccept(accepted: StreamHandle | number): void
  /** accept(2) failed (EMFILE, ENFILE, ENOBUFS …). */
  onAcceptError(code: number): void
}

interface ListenHandle {
  readonly fd?: number
  onconnection: (status: number, client: StreamHandle | undefined) => void
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

  /** `fd`: a bound socket (listen-socket.ts). Rejects with the system's error. */
  listen(where: { readonly fd: number; readonly backlog: number }): Promise<void> {
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
          else if (this.#closed) client.close(() => {})
          else this.#handler.onAccept(client)
        }
        resolve()
      })
    })
  }

  address(): net.AddressInfo | string | null {
    return this.#server.address()
  }

  /**
   * Stops accepting; connections go on. `last`: the socket goes with this descriptor, and the kernel resets what waits in its queue,
   * so that is taken first. Whoever comes between the two is lost all the same.
   */
  close(last: boolean): void {
    if (this.#closed) return
    if (last) this.#acceptWaiting()
    this.#closed = true
    this.#server.close()
  }

  #acceptWaiting(): void {
    const { fd = -1 } = (this.#server as unknown as { _handle: ListenHandle | null })._handle ?? {}
    if (fd < 0) return
    for (let accepted = acceptQueued(fd); accepted >= 0; accepted = acceptQueued(fd)) this.#handler.onAccept(accepted)
  }
}
