import { readFileSync, unwatchFile, watchFile } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { admit, namespaceOf, nodeOf } from './admission.ts'
import type { Cluster } from './cluster.ts'
import type { InjectionSettings } from './injection.ts'
import { InjectionError } from './kubernetes.ts'

export interface InjectorOptions {
  readonly host: string
  readonly port: number
  /** PEM files; changed files are taken up within ten seconds. */
  readonly certFile: string
  readonly keyFile: string
  readonly settings: () => InjectionSettings
  /** Ask the nodes about native sidecars. */
  readonly autoNative: boolean
  /** Take the proxy's ids from the namespace. */
  readonly openshift: boolean
  readonly cluster: Cluster | undefined
  readonly log: (line: string) => void
}

export interface Injector {
  readonly port: number
  close(): Promise<void>
}

/** etcd's limit for an object is 1.5 MiB; a review carries it twice (Istio: MaxRequestBodyBytes). */
const LARGEST_BODY = 6 * 1024 * 1024
const RELOAD_MS = 10_000

/** `remora injector`: POST /inject answers AdmissionReviews, GET /healthz/ready says that it can. TLS only. */
export async function startInjector(options: InjectorOptions): Promise<Injector> {
  const pair = () => ({ cert: readFileSync(options.certFile), key: readFileSync(options.keyFile) })
  const server = createServer({ ...pair(), minVersion: 'TLSv1.2' }, (message, response) => {
    serve(message, response, options).catch(error => {
      options.log(`${message.url}: ${(error as Error).stack}`)
      reply(response, 500, 'internal error')
    })
  })
  server.headersTimeout = 5000
  server.requestTimeout = 10_000
  server.keepAliveTimeout = 60_000
  server.maxConnections = 1000
  const reload = (): void => {
    try {
      server.setSecureContext(pair())
      options.log('serving certificate reloaded')
    } catch (error) {
      // Certificate and key change one after the other: the next look finds both.
      options.log(`serving certificate not reloaded: ${(error as Error).message}`)
    }
  }
  for (const file of [options.certFile, options.keyFile])
    watchFile(file, { interval: RELOAD_MS, persistent: false }, reload)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, options.host, resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      for (const file of [options.certFile, options.keyFile]) unwatchFile(file, reload)
      return new Promise(resolve => {
        server.close(() => resolve())
        server.closeIdleConnections()
      })
    },
  }
}

async function serve(message: IncomingMessage, response: ServerResponse, options: InjectorOptions): Promise<void> {
  const path = (message.url ?? '/').split('?')[0]!
  if (path === '/healthz/ready') return reply(response, 200, 'ok')
  if (path !== '/inject' && !path.startsWith('/inject/')) return reply(response, 404, 'not found')
  if (message.method !== 'POST') return reply(response, 405, 'use POST')
  if (message.headers['content-type'] !== 'application/json')
    return reply(response, 415, 'invalid Content-Type, want `application/json`')
  const text = await body(message)
  if (text === undefined) return reply(response, 413, `more than ${LARGEST_BODY} bytes`)
  if (text === '') return reply(response, 400, 'no body found')
  try {
    const settings = await settingsFor(text, options)
    const namespaceAnnotations = options.openshift
      ? { namespaceAnnotations: (await options.cluster?.namespaceAnnotations(namespaceOf(text))) ?? {} }
      : {}
    const { review, summary } = admit(text, settings, { path, ...namespaceAnnotations })
    options.log(summary)
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(review))
  } catch (error) {
    if (!(error instanceof InjectionError)) throw error
    options.log(`bad request: ${error.message}`)
    reply(response, 400, error.message)
  }
}

/** A cluster that does not answer has no native sidecars: pods go on being made. */
async function settingsFor(text: string, options: InjectorOptions): Promise<InjectionSettings> {
  const settings = options.settings()
  if (!options.autoNative || options.cluster === undefined) return settings
  try {
    return { ...settings, nativeSidecar: await options.cluster.nativeSidecars(nodeOf(text)) }
  } catch (error) {
    options.log(`native sidecars off, the nodes cannot be asked: ${(error as Error).message}`)
    return settings
  }
}

/** Undefined where it is too long; what comes after that is thrown away. */
function body(message: IncomingMessage): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    message.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size <= LARGEST_BODY) chunks.push(chunk)
      else resolve(undefined)
    })
    message.on('end', () => resolve(Buffer.concat(chunks).toString()))
    message.on('error', reject)
  })
}

function reply(response: ServerResponse, status: number, text: string): void {
  if (response.headersSent) return
  response.writeHead(status, { 'content-type': 'text/plain' }).end(`${text}\n`)
}
