import { request as httpRequest, type IncomingMessage, type RequestOptions, type ServerResponse } from 'node:http'
import { connect as connectTcp, isIPv6 } from 'node:net'
import { lazyHttps } from '../base/lazy-modules.ts'
import { AgentError } from './agent-error.ts'
import { grpcHealthCheck } from './grpc-health.ts'
import { Logger } from './log.ts'
import { deadlineAfter, refuseUpgrade } from './outgoing-http.ts'

/** One probe of the pod's own specification, which the injector replaced by a path of this server. */
interface Probe {
  readonly httpGet?: {
    readonly path?: string
    readonly port: number
    readonly scheme?: string
  }
  readonly tcpSocket?: { readonly port: number }
  readonly grpc?: { readonly port: number; readonly service?: string | null }
  readonly timeoutSeconds?: number
}

export interface AppProbesOptions {
  /** ISTIO_KUBE_APP_PROBERS: `{"/app-health/CONTAINER/livez":{"httpGet":{"path":"/","port":8080},"timeoutSeconds":1}}` */
  readonly json: string | undefined
  /** Pod IP, as kubelet would dial; `localhost` with REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION. */
  readonly destination: string
  readonly statusPort: number
}

const PATH = /^\/(app-health|app-lifecycle)\/[^/]+\/(livez|readyz|startupz|prestopz|poststartz)$/
const MAX_BODY = 10 << 10
const MAX_REDIRECTS = 10

const log = new Logger('probes')

/**
 * Kubelet's probes cannot pass mTLS, so they go to this agent, which asks the application in kubelet's manner. The
 * source address 127.0.0.6 (::6) keeps the rules from sending the question through the proxy.
 */
export class AppProbes {
  readonly #probes: ReadonlyMap<string, Probe>
  readonly #destination: string
  readonly #source: string
  readonly #statusPort: number

  /** Throws AgentError when the variable is malformed. */
  constructor(options: AppProbesOptions) {
    this.#probes = parse(options.json)
    this.#destination = options.destination
    this.#source = isIPv6(options.destination) ? '::6' : '127.0.0.6'
    this.#statusPort = options.statusPort
  }

  async handle(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const probe = this.#probes.get(path)
    if (probe === undefined) {
      log.error(`Prober does not exists url ${path}`)
      const body = `app prober config does not exists for ${path}`
      const headers = { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': Buffer.byteLength(body) }
      response.writeHead(400, headers).end(body)
      return
    }
    try {
      const { status, body } = await this.#ask(probe, request)
      response.writeHead(status, { 'Content-Length': body.length }).end(body)
    } catch (error) {
      log.error(`Request to probe app failed: ${(error as Error).message}, original URL path = ${path}`)
      response.writeHead(500, { 'Content-Length': 0 }).end()
    }
  }

  #ask(probe: Probe, request: IncomingMessage): Promise<{ status: number; body: Buffer }> {
    const timeoutMs = Math.max(1, probe.timeoutSeconds ?? 1) * 1000
    if (probe.httpGet !== undefined) return this.#http(probe.httpGet, request, timeoutMs)
    if (probe.grpc !== undefined) {
      const { port, service } = probe.grpc
      const where = { host: this.#destination, port, source: this.#localAddress, timeoutMs }
      return grpcHealthCheck({ ...where, service: service ?? '' }).then(serving => answer(serving ? 200 : 500))
    }
    return this.#tcp((probe.tcpSocket as { port: number }).port, timeoutMs)
  }

  get #localAddress(): string | undefined {
    return this.#destination === 'localhost' ? undefined : this.#source
  }

  #tcp(port: number, timeoutMs: number): Promise<{ status: number; body: Buffer }> {
    return new Promise((resolve, reject) => {
      const socket = connectTcp({ host: this.#destination, port, ...from(this.#localAddress), timeout: timeoutMs })
      socket.on('connect', () => {
        socket.destroy()
        resolve(answer(200))
      })
      socket.on('timeout', () => socket.destroy(new Error(`no connection to port ${port} in ${timeoutMs} ms`)))
      socket.on('error', reject)
    })
  }

  async #http(
    get: NonNullable<Probe['httpGet']>,
    request: IncomingMessage,
    timeoutMs: number,
  ): Promise<{ status: number; body: Buffer }> {
    const scheme = get.scheme === 'HTTPS' ? 'https' : 'http'
    const host = isIPv6(this.#destination) ? `[${this.#destination}]` : this.#destination
    const path = get.path ?? '/'
    let url = new URL(`${scheme}://${host}:${get.port}${path.startsWith('/') ? path : `/${path}`}`)
    const first = url.hostname
    const headers = { ...request.headers, host: this.#hostHeader(request.headers.host ?? '', get.port) }
    const deadline = deadlineAfter(timeoutMs)
    for (let redirects = 0; ; redirects++) {
      const result = await fetchOnce(url, headers, from(this.#localAddress), deadline)
      if (result.status < 300 || result.status > 399) return result
      const location = result.location === undefined ? undefined : new URL(result.location, url)
      // As kubelet: a redirect elsewhere is a success, one to the same host is followed.
      if (location === undefined || location.hostname !== first) return answer(200)
      if (redirects >= MAX_REDIRECTS - 1) throw new Error('stopped after 10 redirects')
      url = location
    }
  }

  /** Kubelet names the port it dialled; the application must see its own. */
  #hostHeader(host: string, port: number): string {
    return host.endsWith(`:${this.#statusPort}`) ? host.slice(0, host.lastIndexOf(':') + 1) + port : host
  }
}

function parse(json: string | undefined): ReadonlyMap<string, Probe> {
  const fail = (why: string): never => {
    throw new AgentError(`ISTIO_KUBE_APP_PROBERS: ${why}`)
  }
  if (json === undefined || json === '') return new Map()
  let value: Record<string, Probe>
  try {
    value = JSON.parse(json) as Record<string, Probe>
  } catch (error) {
    return fail(`failed to decode: ${(error as Error).message}`)
  }
  for (const [path, probe] of Object.entries(value)) {
    if (!PATH.test(path)) fail(`invalid path ${path}, must be in form of regex pattern ${PATH.source}`)
    const kinds = [probe.httpGet, probe.tcpSocket, probe.grpc].filter(kind => kind !== undefined && kind !== null)
    if (kinds.length !== 1) fail(`${path}: must be one of type httpGet, tcpSocket or gRPC`)
    if (!Number.isInteger(kinds[0]?.port)) fail(`invalid prober config for ${path}, the port must be int type`)
  }
  return new Map(Object.entries(value))
}

function from(localAddress: string | undefined): { localAddress?: string } {
  return localAddress === undefined ? {} : { localAddress }
}

function answer(status: number): { status: number; body: Buffer } {
  return { status, body: Buffer.alloc(0) }
}

function fetchOnce(
  url: URL,
  headers: RequestOptions['headers'],
  local: { localAddress?: string },
  signal: AbortSignal,
): Promise<{ status: number; body: Buffer; location: string | undefined }> {
  return new Promise((resolve, reject) => {
    const options = {
      host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: url.port,
      path: url.pathname + url.search,
      headers,
      agent: false as const,
      signal,
      ...local,
    }
    const onResponse = (incoming: IncomingMessage): void => {
      const chunks: Buffer[] = []
      let size = 0
      const done = (): void =>
        resolve({
          status: incoming.statusCode ?? 500,
          body: Buffer.concat(chunks).subarray(0, MAX_BODY),
          location: incoming.headers.location,
        })
      incoming.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        size += chunk.length
        if (size < MAX_BODY) return
        done()
        incoming.destroy()
      })
      incoming.on('end', done)
      incoming.on('error', reject)
    }
    // Kubelet does not verify the application's certificate either.
    const outgoing =
      url.protocol === 'https:'
        ? lazyHttps().request({ ...options, rejectUnauthorized: false }, onResponse)
        : httpRequest(options, onResponse)
    refuseUpgrade(outgoing)
    outgoing.on('error', reject)
    outgoing.end()
  })
}
