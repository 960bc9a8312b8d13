import type { CodecStream, ResetReason, StreamDecoder } from '../codec/codec.ts'
import { HeaderBlock } from '../codec/header-block.ts'
import { CloseHow, type Connection, Flow } from '../io/connection.ts'
import type { AdminHost } from './connection.ts'
import { AdminExchange } from './exchange.ts'
import { type AdminRequest, type AdminResponse, TEXT_TYPE } from './handler.ts'
import { parseQuery } from './query.ts'

/** Bodies are runtime_modify forms; nothing else of an admin request has a body that matters. */
const MAX_BODY = 1024 * 1024

/** Requests of one admin connection: reads them whole, asks the handler, writes the answer in Envoy's header order. */
export class AdminStreams implements StreamDecoder {
  readonly #host: AdminHost
  readonly #connection: Connection
  readonly #answered: () => void
  /** Version of the request being read. */
  readonly #protocol: () => string
  #open = 0

  /** `protocol`: version of the request being read; `answered` is called after each answer (or loss) of a request. */
  constructor(host: AdminHost, connection: Connection, protocol: () => string, answered: () => void) {
    this.#host = host
    this.#connection = connection
    this.#protocol = protocol
    this.#answered = answered
  }

  /** A head has come and its answer has not gone. */
  get busy(): boolean {
    return this.#open > 0
  }

  onHeaders(s: CodecStream, h: HeaderBlock, end: boolean): void {
    // Envoy's connection manager refuses these before any filter: the answer has none of the admin's headers.
    let refused = 0
    if (this.#protocol() === 'HTTP/1.0') refused = 426
    else if (s.hostMissing === true) refused = 400
    // `*` of OPTIONS.
    else if (!h.path.startsWith('/')) refused = 404
    if (refused !== 0) {
      this.#refuse(s, refused, refused === 426 ? 'Upgrade Required' : '')
      return
    }
    const protocol = this.#protocol()
    const exchange = new AdminExchange(h, this.#connection, this.#host.timers.now(), protocol)
    s.user = exchange
    this.#open++
    this.#host.counters.onRequest(protocol === 'HTTP/2')
    this.#addForwardedFor(h)
    if (end) this.#dispatch(s, exchange)
  }

  onData(s: CodecStream, chunk: Uint8Array, end: boolean): Flow {
    const exchange = s.user as AdminExchange | null | undefined
    if (exchange === null || exchange === undefined || exchange.answered) return Flow.Continue
    exchange.info.bytesReceived += chunk.length
    if (exchange.info.bytesReceived > MAX_BODY) {
      this.#host.counters.tooLarge.inc()
      s.closeAfter = true
      this.#reply(s, exchange, { status: 413, body: 'Payload Too Large' })
      return Flow.Continue
    }
    exchange.body.push(chunk)
    if (end) this.#dispatch(s, exchange)
    return Flow.Continue
  }

  onTrailers(s: CodecStream): void {
    const exchange = s.user as AdminExchange | null | undefined
    if (exchange?.answered === false) this.#dispatch(s, exchange)
  }

  onWritable(): void {
    // Answers are written whole; the connection buffers them.
  }

  onReset(s: CodecStream, _why: ResetReason): void {
    const exchange = s.user as AdminExchange | null | undefined
    if (exchange === null || exchange === undefined || exchange.answered) return
    exchange.answered = true
    this.#done(exchange, 0)
  }

  /** A malformed request: the codec says which status. */
  onProtocolError(s: CodecStream, status: number): void {
    this.#host.counters.protocolErrors.inc()
    this.#refuse(s, status, status === 400 ? 'Bad Request' : '')
  }

  #refuse(s: CodecStream, status: number, body: string): void {
    const h = new HeaderBlock()
    h.status = status
    if (body !== '') {
      h.push('content-length', `${body.length}`)
      h.push('content-type', 'text/plain')
    }
    h.push('date', new Date().toUTCString())
    h.push('server', 'envoy')
    h.push('connection', 'close')
    s.closeAfter = true
    s.encodeHeaders(h, body === '')
    if (body !== '') s.encodeData(Buffer.from(body, 'latin1'), true)
  }

  onConnectionError(): void {
    this.#host.counters.protocolErrors.inc()
    this.#connection.close(CloseHow.Flush)
  }

  /** Envoy's admin appends the client's address like an edge proxy; for a client on this machine it names the machine. */
  #addForwardedFor(h: HeaderBlock): void {
    const { ip } = this.#connection.remote
    const local = ip === '127.0.0.1' || ip === '::1' || ip === '' || ip.startsWith('/') || ip.startsWith('@')
    const address = local ? this.#host.localAddress : ip
    const before = h.get('x-forwarded-for')
    h.set('x-forwarded-for', before === undefined ? address : `${before},${address}`)
  }

  #dispatch(s: CodecStream, exchange: AdminExchange): void {
    const h = exchange.requestHeaders
    exchange.info.lastDownstreamRx = this.#host.timers.now()
    const mark = h.path.indexOf('?')
    const path = (mark < 0 ? h.path : h.path.slice(0, mark)).replace(/\/{2,}/g, '/')
    const request: AdminRequest = {
      method: h.method,
      target: mark < 0 ? path : path + h.path.slice(mark),
      path,
      query: parseQuery(mark < 0 ? '' : h.path.slice(mark + 1)),
      body: Buffer.concat(exchange.body).toString('utf8'),
      header: name => h.get(name),
    }
    void this.#host.answer(request).then(response => {
      if (!exchange.answered) this.#reply(s, exchange, response)
    })
  }

  #reply(s: CodecStream, exchange: AdminExchange, response: AdminResponse): void {
    exchange.answered = true
    const h = new HeaderBlock()
    h.status = response.status
    for (const [name, value] of response.headers ?? []) h.push(name, value)
    h.push('content-type', response.contentType ?? TEXT_TYPE)
    h.push('cache-control', 'no-cache, max-age=0')
    h.push('x-content-type-options', 'nosniff')
    h.push('date', new Date().toUTCString())
    h.push('server', 'envoy')
    if (s.closeAfter) h.push('connection', 'close')
    const body = typeof response.body === 'string' ? Buffer.from(response.body, 'utf8') : response.body
    const { info, requestHeaders } = exchange
    exchange.responseHeaders = h
    info.firstDownstreamTx = this.#host.timers.now()
    // RFC 9110 §9.3.2: no content after HEAD. Envoy's admin sends it, and what follows on the connection is misread.
    if (requestHeaders.method === 'HEAD') s.encodeHeaders(h, true)
    else {
      info.bytesSent = body.length
      s.encodeHeaders(h, false)
      s.encodeData(body, true)
    }
    this.#done(exchange, response.status)
    if (response.afterwards !== undefined) setImmediate(response.afterwards)
  }

  /** `status` 0: the client went away before the answer. */
  #done(exchange: AdminExchange, status: number): void {
    const { timers, counters, accessLogs } = this.#host
    this.#open--
    const now = timers.now()
    exchange.finish(status, now)
    counters.onDone(status, now - exchange.info.start)
    for (const log of accessLogs) log.log(exchange, 'DownstreamEnd')
    this.#answered()
  }
}
