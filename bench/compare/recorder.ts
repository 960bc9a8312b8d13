import { constants, type IncomingHttpHeaders, performServerHandshake, type ServerHttp2Stream } from 'node:http2'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { headerValue, type Message, MessageReader } from '../wire/http1-message.ts'
import type { Attempt } from './result.ts'
import { type Answer, SOME_DATE } from './trace.ts'

const PREFACE = 'PRI * HTTP/2.0\r\n'

/**
 * The upstreams of one proxy: a port per endpoint, HTTP/1.1 or HTTP/2 as the proxy likes. Every request is recorded and
 * gets the answer that is set. Health checks and calls to services of the proxy itself come when they like: they are
 * answered and not recorded.
 */
export class Recorder {
  answer: Answer
  readonly attempts: Attempt[] = []
  private readonly servers: Server[] = []
  private readonly sockets = new Set<Socket>()

  constructor(answer: Answer) {
    this.answer = answer
  }

  /** Listens for one more endpoint of a cluster; resolves with its port. */
  async listen(cluster: string): Promise<number> {
    const server = createServer(socket => this.accept(socket, cluster))
    this.servers.push(server)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(0, '127.0.0.1', resolve)
    })
    return (server.address() as AddressInfo).port
  }

  close(): void {
    for (const server of this.servers) server.close()
    for (const socket of this.sockets) socket.destroy()
  }

  private accept(socket: Socket, cluster: string): void {
    this.sockets.add(socket)
    socket.setNoDelay(true)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.sockets.delete(socket))
    socket.once('data', (first: Buffer) => {
      socket.pause()
      socket.unshift(first)
      if (first.toString('latin1', 0, PREFACE.length) === PREFACE.slice(0, first.length))
        this.serveHttp2(socket, cluster)
      else this.serveHttp1(socket, cluster)
    })
  }

  private serveHttp1(socket: Socket, cluster: string): void {
    let handled = 0
    const reader = new MessageReader(() => 'request')
    const record = (message: Message, end: string): void => {
      if (isOwnTraffic(headerValue(message, 'user-agent'), message.startLine)) return
      const head = [message.startLine, ...message.headers]
      this.attempts.push({ cluster, protocol: 'HTTP/1.1', head, body: message.body.toString('latin1'), end })
    }
    socket.on('data', (bytes: Buffer) => {
      reader.push(bytes)
      for (; handled < reader.messages.length && reader.messages[handled]!.complete; handled++) {
        const message = reader.messages[handled]!
        record(message, 'complete')
        const { breaks } = this.answer
        if (breaks !== 'before') socket.write(answerBytes(this.answer, message.startLine.startsWith('HEAD ')))
        if (breaks === 'before') socket.resetAndDestroy()
        else if (breaks === 'within') socket.end()
      }
    })
    socket.on('end', () => {
      const last = reader.messages[handled]
      if (last !== undefined) record(last, 'incomplete')
      socket.end()
    })
    socket.resume()
  }

  private serveHttp2(socket: Socket, cluster: string): void {
    const session = performServerHandshake(socket)
    session.on('error', () => socket.destroy())
    session.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, _flags: number, raw: string[]) => {
      const chunks: Buffer[] = []
      const head: string[] = []
      for (let i = 0; i + 1 < raw.length; i += 2) head.push(`${raw[i]}: ${raw[i + 1]}`)
      const finish = (end: string): void => {
        if (isOwnTraffic(headers['user-agent'], String(headers[':path']))) return
        this.attempts.push({ cluster, protocol: 'HTTP/2', head, body: Buffer.concat(chunks).toString('latin1'), end })
      }
      stream.on('error', () => {})
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('aborted', () => finish('reset'))
      stream.on('end', () => {
        if (stream.aborted) return
        finish('complete')
        this.answerHttp2(stream, String(headers['content-type'] ?? ''))
      })
    })
  }

  private answerHttp2(stream: ServerHttp2Stream, contentType: string): void {
    if (stream.destroyed) return
    const { status, headers, body, breaks } = this.answer
    if (breaks === 'before') {
      stream.close(constants.NGHTTP2_INTERNAL_ERROR)
      return
    }
    const isGrpc = contentType.startsWith('application/grpc')
    const isOwn = (name: string): boolean => isGrpc && /^content-type$/i.test(name)
    const fields = [[constants.HTTP2_HEADER_STATUS, String(status)], ...headers.filter(([name]) => !isOwn(name))]
    // Node would put the time there.
    if (!headers.some(([name]) => /^date$/i.test(name))) fields.push(['date', SOME_DATE])
    if (isGrpc) fields.push(['content-type', contentType])
    else if (breaks === 'never' && !isBodiless(status)) fields.push(['content-length', String(body.length)])
    if (!respond(stream, fields, isGrpc)) return
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
    if (breaks === 'within') {
      // close() would end it in order first.
      stream.write(body, () => stream.destroy(new Error('as the trace has it')))
      return
    }
    stream.end(isGrpc ? Buffer.from([0, 0, 0, 0, 0]) : body)
  }
}

/** Names that a trace has twice and HTTP/2 of Node not are sent once. False when even so nothing can be sent. */
function respond(stream: ServerHttp2Stream, fields: readonly (readonly string[])[], waitForTrailers: boolean): boolean {
  const once = fields.filter(([name], i) => name === 'set-cookie' || fields.findIndex(one => one[0] === name) === i)
  for (const choice of [fields, once]) {
    try {
      stream.respond(choice.flat(), { waitForTrailers })
      return true
    } catch {}
  }
  stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  return false
}

function isBodiless(status: number): boolean {
  return status === 204 || status === 304
}

function isOwnTraffic(userAgent: string | undefined, place: string): boolean {
  return userAgent === 'Envoy/HC' || place.includes('/envoy.service.') || place.includes('/opentelemetry.proto.')
}

function answerBytes({ status, headers, body, breaks }: Answer, toHead: boolean): Buffer {
  const bodiless = isBodiless(status)
  const lines = [`HTTP/1.1 ${status} Recorded`, ...headers.map(([name, value]) => `${name}: ${value}`)]
  // A byte that never comes.
  if (!bodiless) lines.push(`content-length: ${body.length + (breaks === 'within' ? 1 : 0)}`)
  const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
  return bodiless || toHead ? head : Buffer.concat([head, body])
}
