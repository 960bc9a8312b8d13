import type { StreamContext } from '../../stream-context.ts'
import type { FoundToken } from './extractor.ts'
import { Jwt } from './jwt.ts'
import type { AudienceCheck, JwtProvider, KeyWaiter } from './provider.ts'
import type { ProviderSet } from './provider-set.ts'
import { JwtStatus, statusText } from './status.ts'
import type { Verification } from './verification.ts'

/** Told once with the outcome of all tokens. */
export interface AuthenticatorUser {
  onAuthenticated(status: number, verification: Verification): void
}

/**
 * Verifies the tokens of one requirement, the last found first (authenticator.cc). All of them must be good, or one that is bad
 * could be used behind us by somebody who trusts this filter; unless missing or failed ones are allowed.
 */
export class Authenticator implements KeyWaiter {
  readonly #verification: Verification
  readonly #user: AuthenticatorUser
  readonly #providers: ProviderSet
  /** Null: whichever provider the issuer of a token belongs to. */
  readonly #wanted: JwtProvider | null
  readonly #audiences: AudienceCheck | null
  readonly #allowFailed: boolean
  readonly #allowMissing: boolean
  readonly #tokens: FoundToken[]
  #token: FoundToken | null = null
  #jwt = new Jwt()
  #provider: JwtProvider | null = null
  #waiting: JwtProvider | null = null

  constructor(
    verification: Verification,
    user: AuthenticatorUser,
    providers: ProviderSet,
    wanted: JwtProvider | null,
    audiences: AudienceCheck | null,
    allow: 'none' | 'missing' | 'failed',
    tokens: FoundToken[],
  ) {
    this.#verification = verification
    this.#user = user
    this.#providers = providers
    this.#wanted = wanted
    this.#audiences = audiences
    this.#allowFailed = allow === 'failed'
    this.#allowMissing = allow !== 'none'
    this.#tokens = tokens
  }

  start(): void {
    if (this.#tokens.length === 0) this.#done(JwtStatus.JwtMissed)
    else this.#next()
  }

  cancel(): void {
    this.#waiting?.forget(this)
  }

  onKeys(status: number): void {
    this.#waiting = null
    this.#done(status === JwtStatus.Ok ? this.#verifyKey() : status)
  }

  #next(): void {
    const token = this.#tokens.pop()!
    this.#token = token
    this.#provider = this.#wanted
    const { stats } = this.#providers
    let cached: Jwt | null = null
    if (this.#wanted !== null) {
      cached = this.#wanted.cache === null ? null : this.#wanted.cache.get(token.token)
      if (cached === null) stats.cacheMiss.inc()
      else stats.cacheHit.inc()
    }
    if (cached === null) {
      this.#jwt = new Jwt()
      const status = this.#jwt.parse(token.token)
      if (status !== JwtStatus.Ok) {
        this.#done(status)
        return
      }
    } else this.#jwt = cached
    const status = this.#checkClaims(token)
    if (status !== JwtStatus.Ok) {
      this.#done(status)
      return
    }
    const provider = this.#provider!
    if (cached !== null) {
      this.#accept(provider)
      this.#done(JwtStatus.Ok)
    } else if (provider.hasKeys) this.#done(this.#verifyKey())
    else {
      this.#waiting = provider
      provider.fetch(this)
    }
  }

  #checkClaims(token: FoundToken): number {
    const jwt = this.#jwt
    if (!token.allowsIssuer(jwt.iss)) return JwtStatus.JwtUnknownIssuer
    const provider = this.#provider ?? this.#providers.ofIssuer(jwt.iss)
    if (provider === null) return JwtStatus.JwtUnknownIssuer
    this.#provider = provider
    const now = Math.floor(this.#providers.wallMs() / 1000)
    const status = jwt.checkTime(now, provider.config.clockSkew)
    if (status !== JwtStatus.Ok) return status
    const allowed =
      this.#audiences === null ? provider.allowsAudiences(jwt.audiences) : this.#audiences.allows(jwt.audiences)
    if (!allowed) return JwtStatus.JwtAudienceNotAllowed
    if (!provider.allowsSubject(jwt.sub)) return JwtStatus.JwtVerificationFail
    return provider.allowsLifetime(now, jwt.exp) ? JwtStatus.Ok : JwtStatus.JwtVerificationFail
  }

  #verifyKey(): number {
    const provider = this.#provider!
    const status = provider.jwks!.verify(this.#jwt)
    if (status !== JwtStatus.Ok) return status
    this.#accept(provider)
    if (this.#wanted !== null) provider.cache?.add(this.#token!.token, this.#jwt)
    return JwtStatus.Ok
  }

  /** What a good token changes in the request. */
  #accept(provider: JwtProvider): void {
    const { config } = provider
    const jwt = this.#jwt
    const s: StreamContext = this.#verification.stream
    const h = s.requestHeaders!
    if (config.payloadHeader !== '') {
      const { payloadText } = jwt
      const padding = config.padPayloadHeader ? '='.repeat((4 - (payloadText.length % 4)) % 4) : ''
      h.push(config.payloadHeader, payloadText + padding)
    }
    for (const { header, path } of config.claimToHeaders) {
      const text = claimText(claimAt(jwt.payload, path))
      if (text !== '') h.push(header, text)
    }
    if (!config.forward) this.#token!.removeFrom(h)
    if (config.headerInMetadata !== '') this.#verification.addData(config.headerInMetadata, jwt.header)
    if (config.payloadInMetadata !== '') {
      this.#verification.addData(config.payloadInMetadata, normalized(jwt.payload, config.spaceDelimitedClaims))
    }
    const changes =
      config.payloadHeader !== '' ||
      config.claimToHeaders.length > 0 ||
      config.headerInMetadata !== '' ||
      config.payloadInMetadata !== ''
    if (config.clearRouteCache && changes) s.clearRouteCache()
  }

  #done(status: number): void {
    if (status !== JwtStatus.Ok) {
      const key = (this.#provider ?? this.#wanted)?.config.failedStatusInMetadata ?? ''
      if (key !== '') this.#verification.addFailure(key, { code: status, message: statusText(status) })
    }
    const goOn = status === JwtStatus.Ok || this.#allowFailed || this.#allowMissing
    if (goOn && this.#tokens.length > 0) {
      this.#next()
      return
    }
    const allowed = this.#allowFailed || (this.#allowMissing && status === JwtStatus.JwtMissed)
    this.#user.onAuthenticated(allowed ? JwtStatus.Ok : status, this.#verification)
  }
}

function claimAt(payload: Readonly<Record<string, unknown>>, path: readonly string[]): unknown {
  let value: unknown = payload
  for (const key of path) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, key))
      return undefined
    value = (value as Record<string, unknown>)[key]
  }
  return value
}

/** '' = no header: the claim is missing. Objects and lists go as base64url-free JSON, see `claim_to_headers`. */
function claimText(value: unknown): string {
  if (typeof value === 'string') return Buffer.from(value, 'utf8').toString('latin1')
  if (typeof value === 'boolean') return String(value)
  if (typeof value === 'number') {
    // std::to_string of a double has six digits.
    return value >= 0 && value < 2 ** 64 && Number.isInteger(value) ? BigInt(value).toString() : value.toFixed(6)
  }
  if (typeof value === 'object' && value !== null) return Buffer.from(JSON.stringify(value), 'utf8').toString('base64')
  return ''
}

/** Claims like `scope` are lists in one text; rules match them as lists. */
function normalized(
  payload: Readonly<Record<string, unknown>>,
  claims: readonly string[],
): Readonly<Record<string, unknown>> {
  if (claims.length === 0) return payload
  const out: Record<string, unknown> = { ...payload }
  for (const claim of claims) {
    const value = Object.hasOwn(out, claim) ? out[claim] : undefined
    if (typeof value === 'string') out[claim] = value.split(' ').filter(word => word !== '')
  }
  return out
}
