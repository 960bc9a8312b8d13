import { type ClientRequest, type IncomingMessage, type RequestOptions, request } from 'node:http'
import { isIP, type LookupFunction } from 'node:net'
import type { SecureContext } from 'node:tls'
import { lazyDns, lazyHttps, lazyTls } from '../../base/lazy-modules.ts'
import { refuseUpgrade } from '../outgoing-http.ts'
import { type BlockedAddresses, bareHost } from './blocked-address.ts'

export interface HttpRequest {
  readonly url: URL
  readonly headers?: Readonly<Record<string, string>>
  /** A form: makes it a POST. */
  readonly form?: string
  /** Of each hop, so that no credentials go to where a redirect leads; undefined: none. */
  readonly authorization?: (url: URL) => string | undefined
  /** Throws Error for a redirect that is not to be followed. */
  readonly checkRedirect?: (to: URL) => void
  /** A longer body is an error. Bytes. */
  readonly maxBody: number
  /** Certificates are not verified. */
  readonly insecure: boolean
  /** The deadline of the whole, redirects and body included. */
  readonly signal: AbortSignal
}

export interface HttpAnswer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  /** Each WWW-Authenticate by itself. */
  readonly challenges: readonly string[]
  readonly body: Buffer
  /** Where it came from, after redirects. */
  readonly url: URL
}

/** Addresses of a name; rejects when there are none. */
export type Resolve = (host: string) => Promise<readonly { readonly address: string; readonly family: number }[]>

/** `code` of an answer that is longer than allowed. */
export const TOO_LARGE = 'EMSGSIZE'

/** Go's limit counts requests. */
const MAX_REQUESTS = 10
const REDIRECTS = [301, 302, 303, 307, 308]

/** Fetches from anywhere but the blocked addresses, whatever name leads to them. */
export class HttpClient {
  readonly #blocked: BlockedAddresses
  readonly #resolve: Resolve

  constructor(blocked: BlockedAddresses, resolve: Resolve = host => lazyDns().lookup(host, { all: true })) {
    this.#blocked = blocked
    this.#resolve = resolve
  }

  /** Rejects with an Error that names the URL, with the `code` of the failure when it has one. */
  async send(options: HttpRequest): Promise<HttpAnswer> {
    let { url, form } = options
    for (let hops = 1; ; hops++) {
      const answer = await this.#hop(options, url, form)
      const { location } = answer.headers
      if (!REDIRECTS.includes(answer.status) || location === undefined) return answer
      if (hops === MAX_REQUESTS) throw new Error(`Get "${url}": stopped after ${MAX_REQUESTS} redirects`)
      if (!URL.canParse(location, url)) throw new Error(`Get "${url}": invalid redirect to "${location}"`)
      url = new URL(location, url)
      options.checkRedirect?.(url)
      if (answer.status < 307) form = undefined
    }
  }

  #hop(options: HttpRequest, url: URL, form: string | undefined): Promise<HttpAnswer> {
    const { maxBody, signal } = options
    return new Promise((resolve, reject) => {
      const fail = (error: NodeJS.ErrnoException): void => {
        const reason = signal.aborted ? 'context deadline exceeded' : error.message
        const failure: NodeJS.ErrnoException = new Error(`Get "${url.origin}${url.pathname}": ${reason}`)
        if (error.code !== undefined && !signal.aborted) failure.code = error.code
        reject(failure)
      }
      if (signal.aborted) {
        fail(new Error())
        return
      }
      let outgoing: ClientRequest
      try {
        outgoing = this.#open(options, url, form)
      } catch (error) {
        fail(error as Error)
        return
      }
      refuseUpgrade(outgoing)
      outgoing.on('error', fail)
      outgoing.on('response', incoming => {
        const chunks: Buffer[] = []
        let size = 0
        incoming.on('error', fail)
        if (Number(incoming.headers['content-length'] ?? 0) > maxBody) incoming.destroy(tooLarge(maxBody))
        incoming.on('data', (chunk: Buffer) => {
          size += chunk.length
          if (size > maxBody) incoming.destroy(tooLarge(maxBody))
          else chunks.push(chunk)
        })
        incoming.on('end', () =>
          resolve({
            status: incoming.statusCode ?? 0,
            headers: incoming.headers,
            challenges: incoming.headersDistinct['www-authenticate'] ?? [],
            body: Buffer.concat(chunks),
            url,
          }),
        )
      })
      outgoing.end(form)
    })
  }

  #open({ headers, authorization, insecure, signal }: HttpRequest, url: URL, form: string | undefined): ClientRequest {
    if (url.protocol !== 'http:' && url.protocol !== 'https:') {
      throw new Error(`unsupported protocol scheme "${url.protocol.slice(0, -1)}"`)
    }
    const host = bareHost(url)
    if (isIP(host) !== 0) this.#refuseBlocked(host)
    const credentials = authorization?.(url)
    const options: RequestOptions = {
      agent: false,
      method: form === undefined ? 'GET' : 'POST',
      lookup: this.#lookup,
      signal,
      headers: {
        'user-agent': 'pilot-agent',
        ...headers,
        ...(credentials === undefined ? {} : { authorization: credentials }),
        ...(form === undefined
          ? {}
          : {
              'content-type': 'application/x-www-form-urlencoded',
              'content-length': Buffer.byteLength(form),
            }),
      },
    }
    if (url.protocol === 'http:') return request(url, options)
    const tls = insecure ? { rejectUnauthorized: false } : { secureContext: systemRoots() }
    return lazyHttps().request(url, { ...options, ...tls })
  }

  readonly #lookup: LookupFunction = (host, options, callback) => {
    this.#resolve(host).then(
      found => {
        const allowed = found.filter(({ address }) => !this.#blocked.has(address))
        const [first] = allowed
        if (first === undefined) callback(blockedError(found[0]?.address ?? host), '', 0)
        else if (options.all === true) callback(null, [...allowed])
        else callback(null, first.address, first.family)
      },
      (error: NodeJS.ErrnoException) => callback(error, '', 0),
    )
  }

  #refuseBlocked(ip: string): void {
    if (this.#blocked.has(ip)) throw blockedError(ip)
  }
}

function blockedError(ip: string): Error {
  return new Error(
    `connection blocked: resolved IP ${ip} is link-local, a cloud metadata address or in a blocked CIDR range`,
  )
}

function tooLarge(maxBody: number): Error {
  return Object.assign(new Error(`answer exceeds ${maxBody} bytes`), { code: TOO_LARGE })
}

let roots: SecureContext | undefined

/** Those of the image, which operators add theirs to, as Go's; Node's own where it has none. Reading them takes 100 ms: once. */
function systemRoots(): SecureContext {
  if (roots === undefined) {
    const tls = lazyTls()
    const system = tls.getCACertificates('system')
    roots = tls.createSecureContext({ ca: system.length > 0 ? system : tls.getCACertificates('default') })
  }
  return roots
}
