/** `http2-proxy FILE`: a server on the http2-proxy package, as its README shows it, with an access log and request ids. */
import { readFileSync } from 'node:fs'
import {
  Agent,
  createServer,
  type IncomingMessage,
  type RequestOptions,
  request as requestHttp,
  type ServerResponse,
} from 'node:http'
import { createServer as createHttp2Server, createSecureServer } from 'node:http2'
import proxy from 'http2-proxy'
import type { NodeProxyOptions } from './node.ts'
import { NodeLog, newRequestId } from './node-log.ts'

const options = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as NodeProxyOptions
const log = new NodeLog(options.log)
const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY, maxFreeSockets: 100_000 })

/** The package takes the requests of both modules; its types tell them apart, which a server for both cannot. */
type Forward = (
  request: IncomingMessage,
  response: ServerResponse,
  options: object,
  done: (error: { statusCode?: number } | null | undefined) => void,
) => void
const forward = proxy.web as unknown as Forward

const server = createListener()
server.on('request', (request: IncomingMessage, response: ServerResponse) => {
  const started = performance.now()
  const id = (request.headers['x-request-id'] as string | undefined) ?? newRequestId()
  response.once('finish', () => log.add(request.method!, request.url!, response.statusCode, id, started))
  const target = {
    hostname: '127.0.0.1',
    port: options.upstream,
    proxyTimeout: options.timeoutSeconds * 1000,
    onReq: (_: IncomingMessage, outgoing: RequestOptions & { headers: Record<string, string> }) => {
      outgoing.headers['x-request-id'] = id
      outgoing.headers['x-forwarded-proto'] = options.tls === null ? 'http' : 'https'
      return requestHttp({ ...outgoing, agent })
    },
  }
  forward(request, response, target, error => {
    if (error === null || error === undefined || response.headersSent) return
    response.statusCode = error.statusCode ?? 503
    response.end()
  })
})
server.listen(options.listen, '127.0.0.1', 8192)

function createListener() {
  if (options.tls !== null) {
    const client =
      options.tls.clientCa === null
        ? {}
        : { ca: readFileSync(options.tls.clientCa), requestCert: true, rejectUnauthorized: true }
    const files = { cert: readFileSync(options.tls.cert), key: readFileSync(options.tls.key) }
    return createSecureServer({ ...files, ...client, allowHTTP1: true })
  }
  return options.http2 ? createHttp2Server() : createServer()
}
