import type { Log } from '../base/log.ts'
import { type CodecStream, ResetReason, type StreamDecoder } from '../codec/codec.ts'
import { HeaderBlock } from '../codec/header-block.ts'
import { defaultHttp1Options } from '../codec/http1/options.ts'
import { Http1ServerCodec } from '../codec/http1/server.ts'
import { type AcceptHandler, Acceptor } from '../io/acceptor.ts'
import { CloseHow, type CloseReason, type Connection, type ConnectionHandler, Flow } from '../io/connection.ts'
import { accept } from '../io/socket-connection.ts'
import type { SocketLoop } from '../io/socket-loop.ts'
import type { AdminHandler, AdminRequest, AdminResponse } from './handler.ts'

/** Bodies are runtime_modify forms; nothing else of an admin request has a body that matters. */
const MAX_BODY = 1024 * 1024
const TEXT = 'text/plain; charset=UTF-8'

/** The admin listener of the main thread: HTTP/1.1 through the proxy's own codec, one handler per path. */
export class AdminServer implements AcceptHandler {
  readonly #handlers = new Map<string, AdminHandler>()
  readonly #loop: SocketLoop
  readonly #log: Log
  readonly #acceptor: Acceptor
  readonly #connections = new Set<Connection>()

  constructor(loop: SocketLoop, log: Log) {
    this.#loop = loop
    this.#log = log
    this.#acceptor = new Acceptor(this)
  }

  register(handlers: readonly AdminHandler[]): void {
    for (const handler of handlers) this.#handlers.set(handler.path, handler)
  }

  /** Sorted by path, as /help and the home page list them. */
  get handlers(): readonly AdminHandler[] {
    return [...this.#handlers.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
  }

  listen(where: Parameters<Acceptor['listen']>[0]): Promise<void> {
    return this.#acceptor.listen(where)
  }

  close(): void {
    this.#acceptor.close()
    for (const connection of this.#connections) connection.close(CloseHow.NoFlush)
  }

  onAccept(handle: unknown): void {
    const client = new AdminConnection(this)
    const connection = accept(this.#loop, handle, client, 0)
    if (connection === null) return
    this.#connections.add(connection)
    client.begin(connection)
  }

  onAcceptError(code: number): void {
    this.#log.error(`admin: accept failed with code ${code}`)
  }

  gone(connection: Connection): void {
    this.#connections.delete(connection)
  }

  /** Finds and runs the handler; never throws. */
  async answer(request: AdminRequest): Promise<AdminResponse> {
    const handler = this.#handlers.get(request.path)
    if (handler === undefined) {
      return { status: 404, body: `invalid path. ${helpText(this.handlers)}` }
    }
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

/** Body of /help, and of the answer to an unknown path. */
export function helpText(handlers: readonly AdminHandler[]): string {
  let out = 'admin commands are:\n'
  for (const handler of handlers) {
    out += `  ${handler.path}${handler.mutates ? ' (POST)' : ''}: ${handler.help}\n`
    for (const parameter of handler.parameters ?? []) {
      const choice = parameter.oneOf === undefined ? '' : `; One of (${parameter.oneOf.join(', ')})`
      out += `      ${parameter.name}: ${parameter.help}${choice}\n`
    }
  }
  return out
}

class PendingRequest {
  readonly head: HeaderBlock
  readonly body: Uint8Array[] = []
  bytes = 0
  answered = false

  constructor(head: HeaderBlock) {
    this.head = head
  }
}

class AdminConnection implements ConnectionHandler {
  readonly #server: AdminServer
  #connection!: Connection
  #codec!: Http1ServerCodec

  constructor(server: AdminServer) {
    this.#server = server
  }

  begin(connection: Connection): void {
    this.#connection = connection
    this.#codec = new Http1ServerCodec(connection, new AdminStreams(this.#server, connection), defaultHttp1Options)
  }

  onData(_c: Connection, chunk: Uint8Array, end: boolean): void {
    this.#codec.dispatch(chunk, end)
    if (end && this.#codec.activeStreams === 0) this.#connection.close(CloseHow.Flush)
  }

  onWritable(): void {
    this.#codec.onConnectionWritable()
  }

  onClose(c: Connection, _why: CloseReason): void {
    this.#codec.onConnectionClosed(ResetReason.ConnectionTermination)
    this.#server.gone(c)
  }
}

class AdminStreams implements StreamDecoder {
  readonly #server: AdminServer
  readonly #connection: Connection

  constructor(server: AdminServer, connection: Connection) {
    this.#server = server
    this.#connection = connection
  }

  onHeaders(s: CodecStream, h: HeaderBlock, end: boolean): void {
    const request = new PendingRequest(h)
    s.user = request
    if (end) this.#dispatch(s, request)
  }

  onData(s: CodecStream, chunk: Uint8Array, end: boolean): Flow {
    const request = s.user as PendingRequest
    if (request.answered) return Flow.Continue
    request.bytes += chunk.length
    if (request.bytes > MAX_BODY) {
      request.answered = true
      s.closeAfter = true
      this.#reply(s, request, { status: 413, body: 'Payload Too Large' })
      return Flow.Continue
    }
    request.body.push(chunk)
    if (end) this.#dispatch(s, request)
    return Flow.Continue
  }

  onTrailers(s: CodecStream): void {
    const request = s.user as PendingRequest
    if (!request.answered) this.#dispatch(s, request)
  }

  onWritable(): void {
    // Answers are written whole; the connection buffers them.
  }

  onReset(s: CodecStream, _why: ResetReason): void {
    const request = s.user as PendingRequest | null
    if (request !== null && request !== undefined) request.answered = true
  }

  onProtocolError(s: CodecStream, status: number): void {
    this.#plain(s, status, status === 400 ? 'Bad Request' : '')
  }

  onConnectionError(): void {
    this.#connection.close(CloseHow.Flush)
  }

  #plain(s: CodecStream, status: number, body: string): void {
    const h = new HeaderBlock()
    h.status = status
    h.push('content-length', `${body.length}`)
    h.push('content-type', 'text/plain')
    h.push('date', new Date().toUTCString())
    h.push('server', 'envoy')
    h.push('connection', 'close')
    s.closeAfter = true
    s.encodeHeaders(h, body === '')
    if (body !== '') s.encodeData(Buffer.from(body, 'latin1'), true)
  }

  #dispatch(s: CodecStream, request: PendingRequest): void {
    const h = request.head
    if (h.get('connection')?.toLowerCase().includes('close') === true) s.closeAfter = true
    const mark = h.path.indexOf('?')
    const path = (mark < 0 ? h.path : h.path.slice(0, mark)).replace(/\/{2,}/g, '/')
    const adminRequest: AdminRequest = {
      method: h.method,
      path,
      query: parseQuery(mark < 0 ? '' : h.path.slice(mark + 1)),
      body: Buffer.concat(request.body).toString('utf8'),
      header: name => h.get(name),
    }
    void this.#server.answer(adminRequest).then(response => {
      if (!request.answered) {
        request.answered = true
        this.#reply(s, request, response)
      }
    })
  }

  #reply(s: CodecStream, request: PendingRequest, response: AdminResponse): void {
    const h = new HeaderBlock()
    h.status = response.status
    h.push('content-type', response.contentType ?? TEXT)
    h.push('cache-control', 'no-cache, max-age=0')
    h.push('x-content-type-options', 'nosniff')
    for (const [name, value] of response.headers ?? []) h.push(name, value)
    h.push('date', new Date().toUTCString())
    h.push('server', 'envoy')
    if (s.closeAfter) h.push('connection', 'close')
    const body = typeof response.body === 'string' ? Buffer.from(response.body, 'utf8') : response.body
    const headOnly = request.head.method === 'HEAD'
    s.encodeHeaders(h, headOnly)
    if (!headOnly) s.encodeData(body, true)
    if (response.afterwards !== undefined) setImmediate(response.afterwards)
  }
}

/** Decodes %XX and `+` as they come; the first value of a name wins, `?flag` is `flag` with ''. */
export function parseQuery(text: string): Map<string, string> {
  const query = new Map<string, string>()
  if (text === '') return query
  for (const part of text.split('&')) {
    const equals = part.indexOf('=')
    const name = decode(equals < 0 ? part : part.slice(0, equals))
    if (!query.has(name)) query.set(name, equals < 0 ? '' : decode(part.slice(equals + 1)))
  }
  return query
}

/** Envoy decodes percent signs only and leaves `+` and malformed escapes alone. */
function decode(text: string): string {
  return text.replace(/(?:%[0-9a-fA-F]{2})+/g, run => Buffer.from(run.replaceAll('%', ''), 'hex').toString('utf8'))
}
