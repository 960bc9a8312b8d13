import { readFileSync } from 'node:fs'
import { type RequestOptions, request } from 'node:https'
import { isObject, type JsonObject } from './kubernetes.ts'

/** Native sidecars are stable since Kubernetes 1.33: what Istio's `auto` asks of every node. */
const NATIVE_SINCE_MINOR = 33
const ANSWER_KEPT_MS = 30_000
const TIMEOUT_MS = 2000
const LARGEST_BODY = 32 * 1024 * 1024
const PAGES = 40

/** The little that the injector asks the API server, with the pod's own service account. Every method may throw. */
export class Cluster {
  readonly #folder: string
  readonly #options: RequestOptions
  readonly #now: () => number
  #nativeEverywhere = false
  #askedAt = Number.NEGATIVE_INFINITY

  constructor(options: RequestOptions, folder: string, now: () => number = Date.now) {
    this.#folder = folder
    this.#options = options
    this.#now = now
  }

  /** Undefined outside of a cluster. */
  static ofPod(env: Readonly<Record<string, string | undefined>>): Cluster | undefined {
    const host = env.KUBERNETES_SERVICE_HOST
    const port = env.KUBERNETES_SERVICE_PORT ?? '443'
    return host === undefined ? undefined : new Cluster({ host, port }, '/var/run/secrets/kubernetes.io/serviceaccount')
  }

  /** Whether the node, or without a name every node, is new enough. */
  async nativeSidecars(node: string): Promise<boolean> {
    if (node !== '') return isNew(await this.#get(`/api/v1/nodes/${encodeURIComponent(node)}`))
    if (this.#now() - this.#askedAt < ANSWER_KEPT_MS) return this.#nativeEverywhere
    let token = ''
    let all = true
    for (let page = 0; page < PAGES && all; page++) {
      const list = await this.#get(`/api/v1/nodes?limit=500&continue=${encodeURIComponent(token)}`)
      all = Array.isArray(list.items) && list.items.every(item => isObject(item) && isNew(item))
      token = isObject(list.metadata) ? String(list.metadata.continue ?? '') : ''
      if (token === '') break
    }
    this.#nativeEverywhere = all
    this.#askedAt = this.#now()
    return all
  }

  async namespaceAnnotations(name: string): Promise<Record<string, string>> {
    const { metadata } = await this.#get(`/api/v1/namespaces/${encodeURIComponent(name)}`)
    return isObject(metadata) ? ((metadata.annotations ?? {}) as Record<string, string>) : {}
  }

  #get(path: string): Promise<JsonObject> {
    return new Promise((resolve, reject) => {
      // Read each time: the kubelet renews the token.
      const authorization = `Bearer ${readFileSync(`${this.#folder}/token`, 'utf8').trim()}`
      const ca = readFileSync(`${this.#folder}/ca.crt`)
      const headers = { authorization, accept: 'application/json' }
      const sent = request({ ...this.#options, path, ca, headers, agent: false, timeout: TIMEOUT_MS }, response => {
        const chunks: Buffer[] = []
        let size = 0
        response.on('data', (chunk: Buffer) => {
          size += chunk.length
          if (size > LARGEST_BODY) sent.destroy(new Error(`${path}: more than ${LARGEST_BODY} bytes`))
          else chunks.push(chunk)
        })
        response.on('end', () => {
          if (response.statusCode !== 200) return reject(new Error(`${path}: status ${response.statusCode}`))
          try {
            resolve(JSON.parse(Buffer.concat(chunks).toString()) as JsonObject)
          } catch (error) {
            reject(error as Error)
          }
        })
        response.on('error', reject)
      })
      sent.on('timeout', () => sent.destroy(new Error(`${path}: no answer within ${TIMEOUT_MS} ms`)))
      sent.on('error', reject)
      sent.end()
    })
  }
}

function isNew(node: JsonObject): boolean {
  const info = isObject(node.status) && isObject(node.status.nodeInfo) ? node.status.nodeInfo : {}
  const version = /^v?(\d+)\.(\d+)/.exec(String(info.kubeletVersion ?? ''))
  return version !== null && (Number(version[1]) > 1 || Number(version[2]) >= NATIVE_SINCE_MINOR)
}
