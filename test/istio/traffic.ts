import {
  type ClientHttp2Session,
  connect,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
  type ServerHttp2Stream,
} from 'node:http2'
import { createServer as createTcpServer, type Server } from 'node:net'
import type { Pod } from './pod.ts'

/** An HTTP/2 connection without TLS, by prior knowledge, from inside the pod. */
export function http2Session(pod: Pod, host: string, port: number): ClientHttp2Session {
  const session = connect(`http://${host}:${port}`, { createConnection: () => pod.connect(host, port) })
  return session.on('error', () => {})
}

export interface Http2Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly trailers: IncomingHttpHeaders
  readonly body: Buffer
  /** Set when the stream was reset or the connection failed. */
  readonly error?: string
}

/** One request; `body` is sent in pieces as given. */
export function http2Request(
  session: ClientHttp2Session,
  headers: Readonly<Record<string, string>>,
  body: readonly Buffer[] = [],
): Promise<Http2Reply> {
  return new Promise(resolve => {
    const stream = session.request(headers, { endStream: body.length === 0 })
    const chunks: Buffer[] = []
    let head: IncomingHttpHeaders & IncomingHttpStatusHeader = {}
    let trailers: IncomingHttpHeaders = {}
    let failure: { error?: string } = {}
    stream.on('response', got => (head = got))
    stream.on('trailers', got => (trailers = got))
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('error', error => (failure = { error: error.message }))
    stream.on('close', () =>
      resolve({ status: head[':status'] ?? 0, headers: head, trailers, body: Buffer.concat(chunks), ...failure }),
    )
    for (const part of body) stream.write(part)
    if (body.length > 0) stream.end()
  })
}

/** One length-prefixed message of gRPC. */
export function grpcMessage(text: string): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(Buffer.byteLength(text), 1)
  return Buffer.concat([head, Buffer.from(text)])
}

/** A gRPC service whose every method sends each message back and then ends with status 0. */
export function grpcEcho(seen: IncomingHttpHeaders[]): Http2Server {
  const server = createServer()
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    seen.push(headers)
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
    stream.on('error', () => {})
    stream.pipe(stream)
  })
  return server
}

/** Sends everything back, and tells where connections came from. */
export function tcpEcho(peers: string[] = []): Server {
  return createTcpServer({ allowHalfOpen: true }, socket => {
    peers.push(socket.remoteAddress!.replace('::ffff:', ''))
    socket.on('error', () => socket.destroy()).pipe(socket)
  })
}

/** What came back until the other side closed, after these bytes were sent; what was left unanswered is ''. */
export function tcpExchange(pod: Pod, host: string, port: number, text: string): Promise<string> {
  return new Promise(resolve => {
    const socket = pod.connect(host, port)
    let got = ''
    socket.on('data', chunk => {
      got += chunk.toString('latin1')
      if (got.length >= text.length) socket.end()
    })
    socket.on('close', () => resolve(got))
    socket.write(text)
  })
}
