import { TimerNode, type TimerOwner } from '../../../base/timer.ts'
import { HeaderBlock } from '../../../codec/header-block.ts'
import { latin1 } from '../../../config/matcher.ts'
import type { CallUser } from '../../../config/services.ts'
import { compileStringMatch, type StringMatch } from '../../../config/string-match.ts'
import { CompiledRetryPolicy } from '../../../routing/retry-policy.ts'
import { AsyncCall, addInternalHeaders } from '../../async-client.ts'
import type { HttpFilterServices } from '../../filter-factory.ts'
import type { ProviderConfig } from './config.ts'
import type { FetchConfig } from './fetch-config.ts'
import { Jwks } from './jwks.ts'
import type { Jwt } from './jwt.ts'
import type { JwtAuthnStats } from './stats.ts'
import { JwtStatus } from './status.ts'

/** A key set larger than this is no key set. */
const MAX_JWKS = 1 << 20
/** Envoy's JwksAsyncFetcher: so long before they expire, keys are fetched again. */
const REFETCH_AHEAD = 5000

/** Told when keys have arrived, or not. */
export interface KeyWaiter {
  onKeys(status: number): void
}

/**
 * A provider on a worker: its keys, and the tokens it has verified. Every worker fetches keys for itself, and the first time when
 * its first connection comes, because filters are made then; async_fetch after that keeps them fresh without a request waiting.
 */
export class JwtProvider implements CallUser {
  readonly config: ProviderConfig
  readonly cache: TokenCache | null
  jwks: Jwks | null = null
  readonly #services: HttpFilterServices
  readonly #stats: JwtAuthnStats
  readonly #subjects: StringMatch | null
  readonly #audiences: AudienceCheck
  readonly #refetch: TimerNode
  #expires = Number.POSITIVE_INFINITY
  #call: AsyncCall | null = null
  #waiters: KeyWaiter[] = []

  constructor(config: ProviderConfig, services: HttpFilterServices, stats: JwtAuthnStats) {
    this.config = config
    this.cache = config.cacheSize === 0 ? null : new TokenCache(config.cacheSize, config.cacheMaxToken)
    this.#services = services
    this.#stats = stats
    this.#subjects = config.subjects === null ? null : compileStringMatch(config.subjects)
    this.#audiences = new AudienceCheck(config.audiences)
    this.#refetch = new TimerNode(new Refetch(this), 0)
    if (config.localJwks !== '') {
      this.jwks = new Jwks(config.localJwks)
    } else if (config.remote?.ahead === true) services.timers.arm(this.#refetch, 0)
  }

  allowsAudiences(audiences: readonly string[]): boolean {
    return this.#audiences.allows(audiences)
  }

  allowsSubject(subject: string): boolean {
    return this.#subjects === null || this.#subjects.matches(latin1(subject))
  }

  /** `now` in seconds. */
  allowsLifetime(now: number, exp: number): boolean {
    const { maxLifetime } = this.config
    return maxLifetime === null || (exp !== 0 && exp - now < maxLifetime)
  }

  get hasKeys(): boolean {
    return this.jwks !== null && this.#services.timers.now() < this.#expires
  }

  /** Calls `waiter` now or later. Requests that wait at the same time share one fetch. */
  fetch(waiter: KeyWaiter): void {
    const { remote } = this.config
    if (remote === null || this.config.localJwks !== '') {
      waiter.onKeys(JwtStatus.JwksNoValidKeys)
      return
    }
    this.#waiters.push(waiter)
    if (this.#call === null) this.#begin(remote)
  }

  forget(waiter: KeyWaiter): void {
    const at = this.#waiters.indexOf(waiter)
    if (at >= 0) this.#waiters.splice(at, 1)
  }

  refetch(): void {
    const { remote } = this.config
    if (remote !== null && this.#call === null) this.#begin(remote)
  }

  onCallDone(head: HeaderBlock, body: Uint8Array): void {
    const jwks = head.status === 200 && body.length > 0 ? new Jwks(Buffer.from(body).toString('utf8')) : null
    if (jwks === null || jwks.status !== JwtStatus.Ok) {
      this.onCallFailed()
      return
    }
    const remote = this.config.remote!
    this.#stats.fetchSuccess.inc()
    this.jwks = jwks
    this.#expires = this.#services.timers.now() + remote.cacheDuration
    if (remote.ahead) {
      const { cacheDuration } = remote
      const ms = cacheDuration > REFETCH_AHEAD ? cacheDuration - REFETCH_AHEAD : cacheDuration
      this.#services.timers.arm(this.#refetch, ms)
    }
    this.#tell(JwtStatus.Ok)
  }

  onCallFailed(): void {
    this.#stats.fetchFailed.inc()
    const remote = this.config.remote!
    if (remote.ahead) this.#services.timers.arm(this.#refetch, remote.failedRefetch)
    this.#tell(JwtStatus.JwksFetchFail)
  }

  #begin(remote: FetchConfig): void {
    const h = new HeaderBlock()
    h.method = 'GET'
    h.path = remote.path
    h.authority = remote.authority
    h.scheme = remote.scheme
    // Some servers refuse requests without one; this is the real proxy's.
    h.push('user-agent', 'Go-browser')
    addInternalHeaders(h, this.#services.localAddress)
    const retry = remote.retry === null ? null : new CompiledRetryPolicy(remote.retry, this.#services.runtime)
    this.#call = new AsyncCall(this.#services, { ...remote, retry, maxBody: MAX_JWKS }, h, null, this)
    this.#call.start()
  }

  #tell(status: number): void {
    const waiters = this.#waiters
    this.#call = null
    this.#waiters = []
    for (const waiter of waiters) waiter.onKeys(status)
  }
}

/** A filter is not told when its listener goes: a provider that nothing else holds any more is not fetched for again. */
class Refetch implements TimerOwner {
  readonly #provider: WeakRef<JwtProvider>

  constructor(provider: JwtProvider) {
    this.#provider = new WeakRef(provider)
  }

  onTimer(): void {
    this.#provider.deref()?.refetch()
  }
}

/** Allowed audiences: scheme and a slash at the end do not count (check_audience.cc). */
export class AudienceCheck {
  readonly #allowed: ReadonlySet<string>

  constructor(audiences: readonly string[]) {
    this.#allowed = new Set(audiences.map(bareAudience))
  }

  allows(audiences: readonly string[]): boolean {
    if (this.#allowed.size === 0) return true
    if (audiences.length === 0) return this.#allowed.has('')
    return audiences.some(audience => this.#allowed.has(bareAudience(audience)))
  }
}

function bareAudience(audience: string): string {
  const bare = audience.replace(/^https?:\/\//, '')
  return bare.endsWith('/') ? bare.slice(0, -1) : bare
}

/** Verified tokens, the least recently used one goes first. */
export class TokenCache {
  readonly #size: number
  readonly #maxToken: number
  readonly #tokens = new Map<string, Jwt>()

  constructor(size: number, maxToken: number) {
    this.#size = size
    this.#maxToken = maxToken
  }

  get(token: string): Jwt | null {
    const jwt = this.#tokens.get(token)
    if (jwt === undefined) return null
    this.#tokens.delete(token)
    this.#tokens.set(token, jwt)
    return jwt
  }

  add(token: string, jwt: Jwt): void {
    if (token.length > this.#maxToken) return
    this.#tokens.set(token, jwt)
    if (this.#tokens.size > this.#size) this.#tokens.delete(this.#tokens.keys().next().value!)
  }
}
