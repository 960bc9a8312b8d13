import { HeaderBlock } from '../../../codec/header-block.ts'
import type { CallOptions, CallUser, PendingCall } from '../../../config/services.ts'
import { HeaderMutation } from '../../../routing/header-mutation.ts'
import { CompiledRetryPolicy } from '../../../routing/retry-policy.ts'
import type { HttpFilterServices } from '../../filter-factory.ts'
import { AuthzAnswer, type AuthzUser, Change, Decision, NamePatterns, orderChanges } from './answer.ts'
import type { HttpServiceConfig } from './config.ts'
import { type CheckSubject, type HeaderSelection, putHeaders } from './subject.ts'

const REMOVE = 'x-envoy-auth-headers-to-remove'
/** Longer answers are none: they are kept in memory. */
const MAX_ANSWER = 1 << 20

/** An authorization service that gets the request without its body, or with it (RawHttpClientImpl). */
export class HttpAuthzClient {
  readonly config: HttpServiceConfig
  readonly upstream: NamePatterns
  readonly upstreamAppend: NamePatterns
  readonly client: NamePatterns
  readonly success: NamePatterns
  readonly metadata: NamePatterns
  readonly services: HttpFilterServices
  readonly #selection: HeaderSelection
  readonly #options: CallOptions
  readonly #add: HeaderMutation

  constructor(config: HttpServiceConfig, selection: HeaderSelection, services: HttpFilterServices) {
    this.config = config
    this.services = services
    this.#selection = selection
    this.upstream = new NamePatterns(config.upstreamHeaders)
    this.upstreamAppend = new NamePatterns(config.upstreamHeadersToAppend)
    this.client = new NamePatterns(config.clientHeaders)
    this.success = new NamePatterns(config.clientHeadersOnSuccess)
    this.metadata = new NamePatterns(config.metadataHeaders)
    this.#add = new HeaderMutation(config.headersToAdd, [])
    const retry = config.retry === null ? null : new CompiledRetryPolicy(config.retry, services.runtime)
    this.#options = {
      cluster: config.cluster,
      timeout: config.timeout,
      retry,
      maxBody: MAX_ANSWER,
      forwardedFor: false,
    }
  }

  check(subject: CheckSubject, user: AuthzUser): PendingCall {
    const { config } = this
    const h = new HeaderBlock()
    const body = subject.body === null || subject.body.length === 0 ? null : subject.body
    h.push('content-length', String(body === null ? 0 : body.length))
    const headers = this.#selection.headers(subject)
    for (let i = 0; i < headers.length; i += 2) {
      if (headers[i] === 'content-length') {
        headers.splice(i, 2)
        i -= 2
      }
    }
    putHeaders(h, headers)
    if (config.pathOverride !== '') h.path = config.pathOverride
    else h.path = config.pathPrefix + h.path
    h.scheme = ''
    this.#add.apply(h, subject.stream)
    return this.services.callOuts.http(this.#options, h, body, new HttpCheck(this, user))
  }
}

class HttpCheck implements CallUser {
  readonly #client: HttpAuthzClient
  readonly #user: AuthzUser
  readonly #began: number

  constructor(client: HttpAuthzClient, user: AuthzUser) {
    this.#client = client
    this.#user = user
    this.#began = client.services.timers.now()
  }

  onCallDone(head: HeaderBlock, body: Uint8Array): void {
    const answer = new AuthzAnswer()
    if (head.status >= 200 && head.status < 500) this.#read(head, body, answer)
    this.#user.onAnswer(answer)
  }

  onCallFailed(): void {
    this.#user.onAnswer(new AuthzAnswer())
  }

  #read(head: HeaderBlock, body: Uint8Array, answer: AuthzAnswer): void {
    const client = this.#client
    const allowed = head.status === 200
    answer.decision = allowed ? Decision.Allowed : Decision.Denied
    answer.status = head.status
    // The call is a request to a router in Envoy, which leaves this with every answer.
    const now = client.services.timers.now()
    head.set('x-envoy-upstream-service-time', String(Math.max(0, Math.floor(now - this.#began))))
    if (allowed) removals(head, answer.remove)
    head.remove(REMOVE)
    // The service chooses the names.
    const metadata = Object.create(null) as Record<string, string>
    let found = false
    const { list } = head
    for (let i = 0; i < list.length; i += 2) {
      const name = list[i]!
      const value = list[i + 1]!
      if (allowed) {
        if (client.upstream.has(name)) answer.headers.push({ name, value, change: Change.Set })
        if (client.upstreamAppend.has(name)) answer.headers.push({ name, value, change: Change.Add })
        if (client.success.has(name)) answer.responseHeaders.push({ name, value, change: Change.Add })
      } else if (client.client.empty ? name !== 'host' : client.client.has(name)) {
        answer.headers.push({ name, value, change: Change.Add })
      }
      if (client.metadata.has(name)) {
        found = true
        metadata[name] = value
      }
    }
    orderChanges(answer)
    if (found) answer.metadata = metadata
    if (!allowed) answer.body = Buffer.from(body.buffer, body.byteOffset, body.length).toString('latin1')
  }
}

function removals(head: HeaderBlock, out: string[]): void {
  const { list } = head
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] !== REMOVE) continue
    for (const name of list[i + 1]!.split(',')) {
      const trimmed = name.trim()
      if (trimmed !== '') out.push(trimmed.toLowerCase())
    }
  }
}
