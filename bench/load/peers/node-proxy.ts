/** `node-proxy FILE`: what one writes first on Node's own modules. Access log, request id, timeout; no retries. */
import { readFileSync } from 'node:fs'
import { Agent, createServer, type IncomingMessage, request as requestHttp, type ServerResponse } from 'node:http'
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  createServer as createHttp2Server,
  createSecureServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2'
import { createServer as createHttpsServer } from 'node:https'
import { connect as connectTcp, createServer as createTcpServer } from 'node:net'
import type { NodeProxyOptions } from './node.ts'
import { NodeLog, newRequestId } from './node-log.ts'

const options = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as NodeProxyOptions
const log = new NodeLog(options.log)
const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY, maxFreeSockets: 100_000 })
const timeout = options.timeoutSeconds * 1000
const tls =
  options.tls === null
    ? null
    : {
        cert: readFileSync(options.tls.cert),
        key: readFileSync(options.tls.key),
        ALPNProtocols: ['h2', 'http/1.1'],
        ...(options.tls.clientCa === null
          ? {}
          : { ca: readFileSync(options.tls.clientCa), requestCert: true, rejectUnauthorized: true }),
      }

if (options.kind === 'tcp') tcp()
else if (options.http2) http2()
else http1()

function http1(): void {
  const server = tls === null ? createServer(forward) : createHttpsServer(tls, forward)
  server.requestTimeout = 0
  server.listen(options.listen, '127.0.0.1', 8192)
}

function forward(request: IncomingMessage, response: ServerResponse): void {
  const started = performance.now()
  const id = (request.headers['x-request-id'] as string | undefined) ?? newRequestId()
  const { connection: _, 'keep-alive': __, ...headers } = request.headers
  headers['x-request-id'] = id
  headers['x-forwarded-proto'] = tls === null ? 'http' : 'https'
  const finish = (status: number): void => log.add(request.method!, request.url!, status, id, started)
  const target = {
    host: '127.0.0.1',
    port: options.upstream,
    method: request.method,
    path: request.url,
    headers,
    agent,
  }
  const outgoing = requestHttp({ ...target, timeout }, incoming => {
    const { connection: ___, 'keep-alive': ____, ...answer } = incoming.headers
    response.writeHead(incoming.statusCode!, answer)
    incoming.pipe(response)
    incoming.once('end', () => finish(incoming.statusCode!))
  })
  let late = false
  outgoing.on('timeout', () => {
    late = true
    outgoing.destroy()
  })
  outgoing.on('error', () => {
    const status = late ? 504 : 503
    if (!response.headersSent) response.writeHead(status)
    response.end()
    finish(status)
  })
  if (request.method === 'GET') outgoing.end()
  else request.pipe(outgoing)
}

let session: ClientHttp2Session | null = null

function upstreamSession(): ClientHttp2Session {
  if (session !== null && !session.closed && !session.destroyed) return session
  session = connectHttp2(`http://127.0.0.1:${options.upstream}`, { peerMaxConcurrentStreams: 10_000 })
  session.on('error', () => {})
  return session
}

function http2(): void {
  const settings = { maxConcurrentStreams: 10_000 }
  const server = tls === null ? createHttp2Server({ settings }) : createSecureServer({ ...tls, settings })
  server.on('sessionError', () => {})
  server.on('stream', options.upstreamHttp2 ? http2ToHttp2 : http2ToHttp1)
  server.listen(options.listen, '127.0.0.1', 8192)
}

function http2ToHttp1(stream: ServerHttp2Stream, incoming: IncomingHttpHeaders): void {
  const started = performance.now()
  const id = (incoming['x-request-id'] as string | undefined) ?? newRequestId()
  const proto = tls === null ? 'http' : 'https'
  const headers: Record<string, string | string[]> = {
    host: incoming[':authority'] ?? '',
    'x-request-id': id,
    'x-forwarded-proto': proto,
  }
  for (const [name, value] of Object.entries(incoming))
    if (!name.startsWith(':') && value !== undefined) headers[name] = value
  const method = incoming[':method']!
  const path = incoming[':path']!
  const target = { host: '127.0.0.1', port: options.upstream, method, path, headers, agent, timeout }
  const fail = (status: number): void => {
    if (!stream.headersSent && !stream.destroyed) stream.respond({ ':status': status }, { endStream: true })
    log.add(method, path, status, id, started)
  }
  let late = false
  const outgoing = requestHttp(target, answer => {
    const { connection: _, 'keep-alive': __, 'transfer-encoding': ___, ...rest } = answer.headers
    if (stream.destroyed) return
    stream.respond({ ...rest, ':status': answer.statusCode })
    answer.pipe(stream)
    answer.once('end', () => log.add(method, path, answer.statusCode!, id, started))
  })
  stream.on('error', () => outgoing.destroy())
  outgoing.on('timeout', () => {
    late = true
    outgoing.destroy()
  })
  outgoing.on('error', () => fail(late ? 504 : 503))
  if (method === 'GET') outgoing.end()
  else stream.pipe(outgoing)
}

function http2ToHttp2(stream: ServerHttp2Stream, incoming: IncomingHttpHeaders): void {
  const started = performance.now()
  const id = (incoming['x-request-id'] as string | undefined) ?? newRequestId()
  const added = { 'x-request-id': id, 'x-forwarded-proto': tls === null ? 'http' : 'https' }
  const outgoing = upstreamSession().request({ ...incoming, ...added } as OutgoingHttpHeaders)
  outgoing.setTimeout(timeout, () => outgoing.close())
  let trailers: IncomingHttpHeaders | null = null
  outgoing.once('response', (answer, flags) => {
    const last = (flags & 1) !== 0
    if (stream.destroyed) return
    stream.respond(answer as OutgoingHttpHeaders, last ? { endStream: true } : { waitForTrailers: true })
    log.add(incoming[':method']!, incoming[':path']!, Number(answer[':status']), id, started)
  })
  outgoing.once('trailers', headers => {
    trailers = headers
  })
  stream.once('wantTrailers', () => stream.sendTrailers((trailers ?? {}) as OutgoingHttpHeaders))
  outgoing.on('error', () => stream.destroy())
  stream.on('error', () => outgoing.destroy())
  outgoing.on('data', chunk => stream.write(chunk))
  outgoing.once('end', () => stream.end())
  outgoing.once('close', () => {
    if (!stream.headersSent && !stream.destroyed) stream.respond({ ':status': 504 }, { endStream: true })
  })
  stream.pipe(outgoing)
}

function tcp(): void {
  const server = createTcpServer({ noDelay: true, allowHalfOpen: true }, client => {
    const started = performance.now()
    const upstream = connectTcp({ host: '127.0.0.1', port: options.upstream, noDelay: true, allowHalfOpen: true })
    client.pipe(upstream)
    upstream.pipe(client)
    client.on('error', () => upstream.destroy())
    upstream.on('error', () => client.destroy())
    client.once('close', () => log.add('-', '-', 0, '-', started))
  })
  server.listen(options.listen, '127.0.0.1', 8192)
}
