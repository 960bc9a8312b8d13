import { setTimeout as sleep } from 'node:timers/promises'
import { lazyCrypto } from '../../base/lazy-modules.ts'
import { chooseChallenge, realmUrl } from './auth-challenge.ts'
import { bareHost, isPrivateOrLocal } from './blocked-address.ts'
import type { HttpAnswer, HttpClient } from './http-client.ts'
import type { ImageCredentials } from './image-credentials.ts'
import type { ImageReference } from './image-reference.ts'

export interface RegistryOptions {
  readonly client: HttpClient
  readonly reference: ImageReference
  readonly credentials: ImageCredentials
  readonly insecure: boolean
  readonly deadline: AbortSignal
  /** Waits before the second and the third try. Milliseconds. */
  readonly waitsMs: readonly number[]
}

export interface Blob {
  readonly digest: string
  /** Bytes, as its descriptor says. */
  readonly size: number
}

/** Where tokens are to be had. */
interface Realm {
  readonly url: string
  readonly service: string
}

/** What registries have to take, and more than any image of one module needs (OCI distribution-spec). */
const MAX_MANIFEST = 4 << 20
const MAX_TOKEN = 64 << 10
/** RFC 8305 has 250 ms; go-containerregistry 300. */
const FALLBACK_MS = 300
/** What may pass; 499 and 522 are proxies' words for it. */
const RETRIED = [408, 429, 499, 500, 502, 503, 504, 522]
const RETRIED_CODES = ['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EAI_AGAIN']

/** One repository of a registry (OCI distribution-spec), with the authentication it asks for. */
export class Registry {
  readonly #options: RegistryOptions
  #scheme: 'http' | 'https' = 'https'
  /** null: Basic, or nothing. */
  #realm: Realm | null = null
  #scopes: string[]
  #token = ''

  private constructor(options: RegistryOptions) {
    this.#options = options
    this.#scopes = [`repository:${options.reference.repository}:pull`]
  }

  /** Finds out the scheme and the authentication. `plain`: without TLS is allowed even for a public registry. */
  static async open(options: RegistryOptions, plain: boolean): Promise<Registry> {
    const registry = new Registry(options)
    const answer = await registry.#ping(plain || options.reference.plainAllowed)
    registry.#scheme = answer.url.protocol === 'http:' ? 'http' : 'https'
    const challenge = answer.status === 401 ? chooseChallenge(answer.challenges) : null
    if (challenge?.scheme !== 'bearer') return registry
    const url = challenge.parameters.get('realm')
    if (url === undefined) throw new Error('malformed www-authenticate, missing realm')
    registry.#realm = { url, service: challenge.parameters.get('service') ?? '' }
    await registry.#refresh()
    return registry
  }

  /** The bytes, and the media type that the registry gives them. */
  async manifest(
    identifier: string,
    accept: readonly string[],
  ): Promise<{ readonly bytes: Buffer; readonly type: string }> {
    const { body, headers } = await this.#get('manifests', identifier, MAX_MANIFEST, accept.join(','))
    if (identifier.includes(':')) verify(body, identifier)
    return { bytes: body, type: headers['content-type'] ?? '' }
  }

  async blob({ digest, size }: Blob): Promise<Buffer> {
    const { body } = await this.#get('blobs', digest, size)
    if (body.length !== size) throw new Error(`blob ${digest} has ${body.length} bytes, expected ${size}`)
    verify(body, digest)
    return body
  }

  async #get(kind: string, identifier: string, maxBody: number, accept?: string): Promise<HttpAnswer> {
    const { registry, repository } = this.#options.reference
    const url = new URL(`${this.#scheme}://${registry}/v2/${repository}/${kind}/${identifier}`)
    const headers = accept === undefined ? {} : { accept }
    const fetch = (): Promise<HttpAnswer> =>
      this.#send({
        url,
        headers,
        maxBody,
        authorization: to => this.#authorization(to),
        checkRedirect: notInwards(url),
      })
    let answer = await fetch()
    // Where a redirect leads has no say in what the token of this registry is for.
    if (answer.status === 401 && answer.url.origin === url.origin && this.#realm !== null) {
      const scope = chooseChallenge(answer.challenges)?.parameters.get('scope')
      if (scope !== undefined && !this.#scopes.includes(scope)) this.#scopes = [scope, ...this.#scopes]
      await this.#refresh()
      answer = await fetch()
    }
    if (answer.status !== 200) throw unexpected(answer)
    return answer
  }

  /** With TLS; where it is allowed without it too, a little later or when that has failed. The first that answers counts. */
  async #ping(plainAllowed: boolean): Promise<HttpAnswer> {
    const { registry } = this.#options.reference
    const over = new AbortController()
    const ping = async (scheme: string): Promise<HttpAnswer> => {
      const url = new URL(`${scheme}://${registry}/v2/`)
      const answer = await this.#send({ url, maxBody: MAX_MANIFEST, signal: over.signal })
      // A server of TLS may answer 400 to what is not, and sooner.
      if (answer.status !== 200 && answer.status !== 401) throw unexpected(answer)
      return answer
    }
    const secure = ping('https')
    if (!plainAllowed) return await secure
    const failed = new Promise<void>(resolve => secure.catch(resolve))
    const later = sleep(FALLBACK_MS, undefined, { signal: over.signal })
    const plain = Promise.race([failed, later]).then(() => ping('http'))
    try {
      return await Promise.any([secure, plain])
    } catch (error) {
      const errors = (error as AggregateError).errors as Error[]
      throw new Error(errors.map(({ message }) => message).join('; '), { cause: errors[0] })
    } finally {
      over.abort()
    }
  }

  /** A new token, by the credentials (Docker's token authentication; OAuth2 for an identity token). */
  async #refresh(): Promise<void> {
    const { identityToken, registryToken } = this.#options.credentials
    if (registryToken !== '') {
      this.#token = registryToken
      return
    }
    let answer = identityToken === '' ? null : await this.#askToken(true)
    // Not all have OAuth2.
    if (answer === null || answer.status === 404) answer = await this.#askToken(false)
    if (answer.status !== 200) throw unexpected(answer)
    const { token, access_token: access } = parseJson(answer.body) as Readonly<Record<string, unknown>>
    const given = [access, token].find(value => typeof value === 'string' && value !== '')
    if (given === undefined) throw new Error('no token in bearer response')
    this.#token = given as string
  }

  async #askToken(byOauth: boolean): Promise<HttpAnswer> {
    const { credentials } = this.#options
    const { url: realm, service } = this.#realm as Realm
    const plainAllowed = this.#scheme === 'http'
    const url = realmUrl(realm, plainAllowed)
    const checkRedirect = (to: URL): void => void realmUrl(to.href, plainAllowed)
    if (byOauth) {
      const form = new URLSearchParams({ scope: this.#scopes.join(' '), client_id: 'pilot-agent' })
      if (service !== '') form.set('service', service)
      form.set('grant_type', 'refresh_token')
      form.set('refresh_token', credentials.identityToken)
      return await this.#send({ url, form: form.toString(), maxBody: MAX_TOKEN, checkRedirect })
    }
    url.searchParams.delete('scope')
    for (const scope of this.#scopes) url.searchParams.append('scope', scope)
    url.searchParams.set('service', service)
    const authorization = (to: URL): string | undefined => (to.origin === url.origin ? basic(credentials) : undefined)
    return await this.#send({ url, maxBody: MAX_TOKEN, checkRedirect, authorization })
  }

  #authorization(to: URL): string | undefined {
    const { reference, credentials } = this.#options
    if (to.origin !== new URL(`${this.#scheme}://${reference.registry}`).origin) return undefined
    if (this.#realm !== null) return `Bearer ${this.#token}`
    return credentials.registryToken === '' ? basic(credentials) : `Bearer ${credentials.registryToken}`
  }

  async #send(request: {
    url: URL
    maxBody: number
    headers?: Record<string, string>
    form?: string
    authorization?: (url: URL) => string | undefined
    checkRedirect?: (to: URL) => void
    signal?: AbortSignal
  }): Promise<HttpAnswer> {
    const { client, insecure, deadline, waitsMs } = this.#options
    const signal = request.signal === undefined ? deadline : AbortSignal.any([deadline, request.signal])
    for (let tries = 0; ; tries++) {
      const wait = waitsMs[tries]
      let failure: Error
      try {
        const answer = await client.send({ ...request, insecure, signal })
        if (wait === undefined || !RETRIED.includes(answer.status)) return answer
        failure = unexpected(answer)
      } catch (error) {
        failure = error as Error
        const { code = '' } = error as NodeJS.ErrnoException
        if (wait === undefined || signal.aborted || !RETRIED_CODES.includes(code)) throw error
      }
      await sleep(wait, undefined, { signal }).catch(() => {
        throw new Error(`context deadline exceeded after ${failure.message}`)
      })
    }
  }
}

function notInwards(from: URL): (to: URL) => void {
  return to => {
    if (to.hostname !== from.hostname && isPrivateOrLocal(bareHost(to))) {
      throw new Error(`redirect from "${from.hostname}" to private/link-local host "${to.hostname}" denied`)
    }
  }
}

function basic({ username, password }: ImageCredentials): string | undefined {
  if (username === '' || password === '') return undefined
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

function unexpected({ url, status, body }: HttpAnswer): Error {
  // Of a registry that anybody may run: it writes no lines of its own into the log.
  const text = body.toString('utf8', 0, 200).replaceAll(/\p{Cc}/gu, ' ')
  return new Error(`GET ${url.origin}${url.pathname}: unexpected status code ${status}: ${text}`)
}

export function sha256(bytes: Uint8Array): string {
  return lazyCrypto().createHash('sha256').update(bytes).digest('hex')
}

/** Throws Error when the bytes are not those of the digest. */
export function verify(bytes: Uint8Array, digest: string): void {
  const actual = `sha256:${sha256(bytes)}`
  if (actual !== digest) throw new Error(`digest ${actual} does not match requested digest ${digest}`)
}

export function parseJson(bytes: Buffer): object {
  const value: unknown = JSON.parse(bytes.toString())
  if (typeof value !== 'object' || value === null) throw new Error('expected a JSON object')
  return value
}
