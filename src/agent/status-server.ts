import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Server as NetServer } from 'node:net'
import type { AppProbes } from './app-probes.ts'
import { type NameTable, nameTableJson } from './dns/name-table.ts'
import {
  answerMalformed,
  goError,
  redirect,
  redirectOf,
  refusedHead,
  reply,
  sendCompressed,
  targetOf,
} from './go-http.ts'
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

/** Bytes; the proxy passes heads of up to 60 KiB on. */
const MAX_HEADERS = 64 << 10
const TREES = ['/app-health/', '/app-lifecycle/']

/** Port 15020 on every interface: probes of kubelet, scrapes of Prometheus, shutdown hooks of the pod. */
export class StatusServer {
  readonly #options: StatusOptions
  readonly #server: Server
  #wasReady = false
  #everReady = false

  constructor(options: StatusOptions) {
    this.#options = options
    // Go's answer to a missing Host header has a body.
    const limits = { requireHostHeader: false, maxHeaderSize: MAX_HEADERS }
    this.#server = createServer(limits, (request, response) => void this.#handle(request, response))
    // No handler reads a body, so that none is asked for.
    this.#server.on('checkContinue', (request, response) => void this.#handle(request, response))
    answerMalformed(this.#server)
    // The proxy keeps connections to this server; the side that closes an idle one must not be this one.
    this.#server.keepAliveTimeout = 3_600_000
    this.#server.headersTimeout = 10_000
    this.#server.requestTimeout = 30_000
    this.#server.maxConnections = 1024
  }

  /** A port that is taken is an error in the log and no more, as in Istio: the pod stays unready, but its traffic flows. */
  async listen(): Promise<void> {
    log.info(`Opening status port ${this.#options.port}`)
    try {
      await this.#listenOn('::').catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EAFNOSUPPORT') throw error
        return this.#listenOn('0.0.0.0')
      })
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      const why =
        code === 'EADDRINUSE'
          ? 'bind: address already in use (is another pilot-agent in this network namespace?)'
          : message
      log.error(`Error listening on status port: listen tcp :${this.#options.port}: ${why}`)
    }
  }

  /**
   * The agent is going: new connections are refused at once. Those that are there, the proxy's and the kubelet's, are answered until
   * the process ends, with 503 to the readiness probe.
   */
  stopListening(): void {
    // The one of http.Server closes idle connections as well.
    NetServer.prototype.close.call(this.#server)
    log.info('Status server has successfully terminated')
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
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

  /** Never rejects: a request must not end the agent. */
  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#route(request, response)
    } catch (error) {
      log.error(`${request.method} ${request.url}: ${(error as Error).message}`)
      if (!response.headersSent) goError(response, 500, 'Internal Server Error')
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('Vary', 'Accept-Encoding')
    // Go's server writes neither Connection nor Keep-Alive where HTTP/1.1 needs none; without the first Node writes no second.
    if (request.httpVersionMinor > 0 && response.shouldKeepAlive) response.removeHeader('Connection')
    request.resume()
    if (refusedHead(request, response)) return
    const { path, query } = targetOf(request.url ?? '/')
    // `OPTIONS *` asks the server, not a path of it.
    if (path === '*') {
      response.writeHead(request.method === 'OPTIONS' ? 200 : 400, { 'Content-Length': 0 }).end()
      return
    }
    const elsewhere = redirectOf(path, TREES)
    if (elsewhere !== undefined) return redirect(response, request.method ?? '', elsewhere, query)
    switch (path) {
      case '/healthz/ready':
        return await this.#ready(response)
      case '/stats/prometheus':
      case '/metrics':
        if (this.#options.metricsFromLocalhostOnly && !isLocal(request)) return forbid(response)
        return await this.#stats(request, response, query)
      case '/quitquitquit':
        return hook(request, response, path, this.#options.onQuit)
      case '/drain':
        return hook(request, response, path, this.#options.onDrain)
      case '/debug/ndsz':
        return await this.#names(request, response)
      default:
        if (TREES.some(tree => path.startsWith(tree))) {
          return await this.#options.probes.handle(path, request, response)
        }
        return goError(response, 404, '404 page not found')
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

  async #names(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!isLocal(request)) {
      forbid(response)
      return
    }
    const table = this.#options.nameTable()
    if (table === null) {
      reply(response, 404, '{}')
      return
    }
    response.setHeader('Content-Type', 'application/json')
    await sendCompressed(request, response, Buffer.from(nameTableJson(table)))
  }

  async #stats(request: IncomingMessage, response: ServerResponse, query: string): Promise<void> {
    const { type, body } = await this.#options.metrics.page(this.#options.sources, query, request.headers)
    response.setHeader('Content-Type', type)
    await sendCompressed(request, response, body)
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
