import type { Log } from '../base/log.ts'
import type { Timers } from '../base/timer.ts'
import type { StringMatch } from '../config/string-match.ts'
import { type AcceptHandler, Acceptor } from '../io/acceptor.ts'
import { closeSocket } from '../io/listen-socket.ts'
import { accept } from '../io/socket-connection.ts'
import type { SocketLoop } from '../io/socket-loop.ts'
import type { AccessLogger } from '../telemetry/format-context.ts'
import { AdminConnection, type AdminHost } from './connection.ts'
import type { AdminCounters } from './counters.ts'
import type { AdminHandler, AdminRequest, AdminResponse } from './handler.ts'
import { helpText } from './help.ts'

export interface AdminServerOptions {
  readonly loop: SocketLoop
  readonly log: Log
  readonly counters: AdminCounters
  readonly accessLogs: readonly AccessLogger[]
  /** Address of this machine, for x-forwarded-for of local clients. */
  readonly localAddress: string
  /** Admin.allow_paths: one must match a request's path and query as they are; none: everything is allowed. */
  readonly allowed: readonly StringMatch[]
}

/** Clients served at a time; more are closed at once, so that a flood here cannot take descriptors from traffic. */
const MAX_CONNECTIONS = 1000

/** The admin listener of the main thread: one handler per path. */
export class AdminServer implements AcceptHandler, AdminHost {
  readonly timers: Timers
  readonly counters: AdminCounters
  readonly accessLogs: readonly AccessLogger[]
  readonly localAddress: string
  readonly #handlers = new Map<string, AdminHandler>()
  readonly #allowed: readonly StringMatch[]
  readonly #loop: SocketLoop
  readonly #log: Log
  readonly #acceptor: Acceptor
  readonly #connections = new Set<AdminConnection>()

  constructor(options: AdminServerOptions) {
    this.#loop = options.loop
    this.#log = options.log
    this.timers = options.loop.timers
    this.counters = options.counters
    this.accessLogs = options.accessLogs
    this.localAddress = options.localAddress
    this.#allowed = options.allowed
    this.#acceptor = new Acceptor(options.loop, this)
  }

  register(handlers: readonly AdminHandler[]): void {
    for (const handler of handlers) this.#handlers.set(handler.path, handler)
  }

  /** Sorted by path, as /help and the home page list them. */
  get handlers(): readonly AdminHandler[] {
    return [...this.#handlers.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
  }

  /** Throws the system's error. */
  listen(fd: number, backlog: number): void {
    this.#acceptor.listen(fd, backlog)
  }

  close(): void {
    this.#acceptor.close(false)
    for (const connection of this.#connections) connection.close()
  }

  onAccept(fd: number): void {
    if (this.#connections.size >= MAX_CONNECTIONS) {
      this.#log.warning(`more than ${MAX_CONNECTIONS} clients: one is turned away`)
      closeSocket(fd)
      return
    }
    const client = new AdminConnection(this)
    const connection = accept(this.#loop, fd, client, 0)
    if (connection === null) return
    this.#connections.add(client)
    client.begin(connection)
  }

  onAcceptError(code: number): void {
    this.#log.error(`accept failed with code ${code}`)
  }

  gone(connection: AdminConnection): void {
    this.#connections.delete(connection)
  }

  /** Finds and runs the handler; never rejects. */
  async answer(request: AdminRequest): Promise<AdminResponse> {
    if (this.#allowed.length > 0 && !this.#allowed.some(match => match.matches(request.target))) {
      return { status: 403, body: Buffer.from(`request to path ${request.target} not allowed`, 'latin1') }
    }
    const handler = this.#handlers.get(request.path)
    if (handler === undefined) return { status: 404, body: `invalid path. ${helpText(this.handlers)}` }
    if (handler.mutates && request.method !== 'POST') {
      this.#log.error(`admin path "${request.path}" mutates state, method=${request.method} rather than POST`)
      return { status: 405, body: `Method ${request.method} not allowed, POST required.` }
    }
    try {
      return await handler.handle(request)
    } catch (error) {
      this.#log.error(`admin path "${request.path}" failed: ${(error as Error).stack}`)
      return { status: 500, body: `${(error as Error).message}\n` }
    }
  }
}
