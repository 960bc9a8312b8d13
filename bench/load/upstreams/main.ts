/** The upstreams that nginx cannot be, in one process: no two of them are under load at the same time. */
import { createServer } from 'node:http'
import { createServer as createHttp2Server, type Http2Server, type ServerHttp2Stream } from 'node:http2'
import { createServer as createTcpServer } from 'node:net'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    stub: { type: 'string' },
    hold: { type: 'string' },
    grpc: { type: 'string' },
    tcp: { type: 'string' },
  },
})

/** `/stall` never answers; `/flaky?id=…` answers 503 the first time an id is seen. Anything else is 404. */
function stub(port: number): void {
  const seen = new Set<string>()
  const server = createServer((request, response) => {
    const url = request.url ?? '/'
    if (url.startsWith('/stall')) return
    if (!url.startsWith('/flaky')) {
      response.writeHead(404).end()
      return
    }
    const first = !seen.has(url)
    seen.add(url)
    response.writeHead(first ? 503 : 200, { 'content-type': 'text/plain' }).end(first ? 'not yet\n' : 'now\n')
  })
  server.requestTimeout = 0
  server.listen(port, '127.0.0.1')
}

function hold(port: number): void {
  const server = createHttp2Server({ settings: { maxConcurrentStreams: 1_000_000 } })
  server.on('stream', stream => stream.on('error', () => {}))
  listenHttp2(server, port)
}

const GRPC_HEADERS = { ':status': 200, 'content-type': 'application/grpc' }
const GRPC_TRAILERS = { 'grpc-status': '0', 'grpc-message': '' }

/** Any unary method: the message comes back as it was sent. */
function grpc(port: number): void {
  const server = createHttp2Server({ settings: { maxConcurrentStreams: 10_000 } })
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => {})
    stream.respond(GRPC_HEADERS, { waitForTrailers: true })
    stream.once('wantTrailers', () => stream.sendTrailers(GRPC_TRAILERS))
    stream.on('data', chunk => stream.write(chunk))
    stream.on('end', () => stream.end())
  })
  listenHttp2(server, port)
}

function listenHttp2(server: Http2Server, port: number): void {
  server.on('sessionError', () => {})
  server.on('session', session => session.on('error', () => {}))
  server.listen(port, '127.0.0.1')
}

function tcp(port: number): void {
  const server = createTcpServer({ noDelay: true, allowHalfOpen: true }, socket => {
    socket.on('error', () => socket.destroy())
    socket.pipe(socket)
  })
  server.listen(port, '127.0.0.1', 4096)
}

if (values.stub !== undefined) stub(Number(values.stub))
if (values.hold !== undefined) hold(Number(values.hold))
if (values.grpc !== undefined) grpc(Number(values.grpc))
if (values.tcp !== undefined) tcp(Number(values.tcp))
