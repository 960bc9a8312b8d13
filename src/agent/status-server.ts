import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { gzip } from 'node:zlib'
import { AgentError } from './agent-error.ts'
import type { AppProbes } from './app-probes.ts'
import { type NameTable, nameTableJson } from './dns/name-table.ts'
import { log } from './log.ts'
import type { AgentMetrics, MergeSources } from './metrics.ts'
import type { Readiness } from './readiness.ts'

export interface StatusOptions {
  readonly port: number
  readonly readiness: Readiness
  readonly metrics: AgentMetrics
  readonly sources: MergeSources
  readonly probes: AppProbes
  /** METRICS_LOCALHOST_ACCESS_ONLY */
  readonly metricsFromLocalhostOnly: boolean
  /** Of the DNS proxy; null: none came, or it is not enabled. */
  readonly nameTable: () => NameTable | null
  readonly onQuit: () => void
  readonly onDrain: () => void
}

/** Port 15020 on every interface: probes of kubelet, scrapes of Prometheus, shutdown hooks of the pod. */
export class StatusServer {
  readonly #options: StatusOptions
  readonly #server: Server
  #wasReady = false
  #everReady = false

  constructor(options: StatusOptions) {
    this.#options = options
    this.#server = createServer((request, response) => void this.#handle(request, response))
    // The proxy keeps connections to this server; the side that closes an idle one must not be this one.
    this.#server.keepAliveTimeout = 3_600_000
    this.#server.headersTimeout = 10_000
    this.#server.requestTimeout = 30_000
    this.#server.maxConnections = 1024
  }

  /** Rejects with AgentError when the port is taken. */
  async listen(): Promise<void> {
    log.info(`Opening status port ${this.#options.port}`)
    try {
      await this.#listenOn('::')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAFNOSUPPORT') throw this.#explain(error as NodeJS.ErrnoException)
      await this.#listenOn('0.0.0.0').catch(second => {
        throw this.#explain(second as NodeJS.ErrnoException)
      })
    }
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
    log.info('Status server has successfully terminated')
  }

  #listenOn(host: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ port: this.#options.port, host }, () => {
        this.#server.off('error', reject)
        this.#server.on('error', error => log.error(`status server: ${error.message}`))
        resolve()
      })
    })
  }

  #explain(error: NodeJS.ErrnoException): AgentError {
    const what =
      error.code === 'EADDRINUSE' ? 'is taken; is another pilot-agent in this network namespace?' : error.message
    return new AgentError(`Error listening on status port ${this.#options.port}: ${what}`)
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('Vary', 'Accept-Encoding')
    // Go's server writes neither Connection nor Keep-Alive where HTTP/1.1 needs none; without the first Node writes no second.
    if (request.httpVersionMinor > 0 && response.shouldKeepAlive) response.removeHeader('Connection')
    request.resume()
    const url = request.url ?? '/'
    const mark = url.indexOf('?')
    const path = mark < 0 ? url : url.slice(0, mark)
    try {
      switch (path) {
        case '/healthz/ready':
          return await this.#ready(response)
        case '/stats/prometheus':
        case '/metrics':
          if (this.#options.metricsFromLocalhostOnly && !isLocal(request)) return forbid(response)
          return await this.#stats(request, response, mark < 0 ? '' : url.slice(mark + 1))
        case '/quitquitquit':
          return hook(request, response, path, this.#options.onQuit)
        case '/drain':
          return hook(request, response, path, this.#options.onDrain)
        case '/debug/ndsz':
          return this.#names(request, response)
        default:
          if (path.startsWith('/app-health/') || path.startsWith('/app-lifecycle/')) {
            return await this.#options.probes.handle(path, request, response)
          }
          return goError(response, 404, '404 page not found')
      }
    } catch (error) {
      log.error(`${request.method} ${path}: ${(error as Error).message}`)
      if (!response.headersSent) goError(response, 500, 'Internal Server Error')
    }
  }

  async #ready(response: ServerResponse): Promise<void> {
    const missing = await this.#options.readiness.check()
    if (missing !== undefined) {
      log.warn(`Envoy proxy is NOT ready: ${missing}`)
      this.#wasReady = false
    } else {
      if (!this.#everReady) this.#options.metrics.recordReady()
      if (!this.#wasReady) log.info('Envoy proxy is ready')
      this.#everReady = true
      this.#wasReady = true
    }
    response.writeHead(missing === undefined ? 200 : 503, { 'Content-Length': 0 }).end()
  }

  #names(request: IncomingMessage, response: ServerResponse): void {
    if (!isLocal(request)) {
      forbid(response)
      return
    }
    const table = this.#options.nameTable()
    if (table === null) {
      reply(response, 404, '{}')
      return
    }
    const body = nameTableJson(table)
    const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }
    response.writeHead(200, headers).end(body)
  }

  async #stats(request: IncomingMessage, response: ServerResponse, query: string): Promise<void> {
    const { type, body } = await this.#options.metrics.page(this.#options.sources, query, request.headers)
    response.setHeader('Content-Type', type)
    if (body.length < 1024 || !/\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''))) {
      response.writeHead(200, { 'Content-Length': body.length }).end(body)
      return
    }
    gzip(body, (error, compressed) => {
      if (error !== null) goError(response, 500, error.message)
      else response.writeHead(200, { 'Content-Encoding': 'gzip', 'Content-Length': compressed.length }).end(compressed)
    })
  }
}

function hook(request: IncomingMessage, response: ServerResponse, path: string, act: () => void): void {
  if (!isLocal(request)) {
    forbid(response)
    return
  }
  if (request.method !== 'POST') {
    goError(response, 405, 'Method Not Allowed')
    return
  }
  log.info(`handling ${path}, ${path === '/drain' ? 'starting drain' : 'notifying pilot-agent to exit'}`)
  reply(response, 200, 'OK')
  act()
}

function isLocal(request: IncomingMessage): boolean {
  const address = (request.socket.remoteAddress ?? '').replace(/^::ffff:/, '')
  return address === '::1' || address.startsWith('127.')
}

function forbid(response: ServerResponse): void {
  goError(response, 403, 'Only requests from localhost are allowed')
}

function reply(response: ServerResponse, status: number, body: string): void {
  response
    .writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': Buffer.byteLength(body) })
    .end(body)
}

/** Go's http.Error, byte for byte. */
function goError(response: ServerResponse, status: number, message: string): void {
  response.setHeader('X-Content-Type-Options', 'nosniff')
  reply(response, status, `${message}\n`)
}
