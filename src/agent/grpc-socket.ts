import { chmodSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import type {
  Server as GrpcServer,
  ServerOptions,
  ServiceDefinition,
  UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { loadGrpc } from './grpc.ts'
import { log } from './log.ts'

export interface GrpcSocketOptions {
  readonly options: ServerOptions
  readonly service: ServiceDefinition
  readonly handlers: UntypedServiceImplementation
}

/**
 * A gRPC service on a Unix socket. The socket listens before gRPC is loaded, so that the proxy can be started at once: it connects later than
 * gRPC is there, and one that is faster waits in this server instead of coming back after its back-off.
 */
export class GrpcSocket {
  readonly #listener = createServer(socket => this.#accept(socket))
  readonly #waiting = new Set<Socket>()
  readonly #options: GrpcSocketOptions
  #server: GrpcServer | null = null
  #inject: ((socket: Socket) => void) | null = null
  #loading = false
  #closed = false

  constructor(options: GrpcSocketOptions) {
    this.#options = options
  }

  /** Every user may connect (mode 0666): the proxy need not be the agent's. Rejects when the socket cannot be made. */
  async listen(path: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#listener.once('error', reject)
      this.#listener.listen(path, () => {
        this.#listener.off('error', reject)
        // Of accept(2), such as too many open files: the next connection may be taken again.
        this.#listener.on('error', error => log.error(`listening on unix socket "${path}": ${error.message}`))
        resolve()
      })
    })
    chmodSync(path, 0o666)
  }

  close(): void {
    this.#closed = true
    this.#listener.close()
    this.#server?.forceShutdown()
    for (const socket of this.#waiting) socket.destroy()
  }

  #accept(socket: Socket): void {
    if (this.#inject !== null) {
      this.#inject(socket)
      return
    }
    this.#waiting.add(socket)
    socket.once('error', noted)
    if (this.#loading) return
    this.#loading = true
    void this.#serve().then(inject => {
      this.#inject = inject
      for (const early of this.#waiting) {
        early.off('error', noted)
        if (this.#closed) early.destroy()
        else if (!early.destroyed) inject(early)
      }
      this.#waiting.clear()
    })
  }

  async #serve(): Promise<(socket: Socket) => void> {
    const { Server, ServerCredentials } = await loadGrpc()
    const { options, service, handlers } = this.#options
    this.#server = new Server(options)
    this.#server.addService(service, handlers)
    const injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure())
    return socket => injector.injectConnection(socket)
  }
}

/** Of a socket that nobody reads yet: it is destroyed already. */
function noted(): void {}
