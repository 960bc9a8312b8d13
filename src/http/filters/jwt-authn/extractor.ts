import type { HeaderBlock } from '../../../codec/header-block.ts'
import { latin1 } from '../../../config/matcher.ts'
import { cookieValue } from '../../../routing/cookies.ts'
import type { ProviderConfig } from './config.ts'
import { removeParameter, tokenParameter } from './query.ts'

/** Which issuers named a place; '' among them allows every issuer. */
class Issuers {
  #all = false
  readonly #names = new Set<string>()

  add(issuer: string): void {
    if (issuer === '') this.#all = true
    else this.#names.add(issuer)
  }

  allows(issuer: string): boolean {
    return this.#all || this.#names.has(issuer)
  }
}

/** A token as it was found. */
export class FoundToken {
  readonly token: string
  readonly #issuers: Issuers
  readonly #kind: 'header' | 'param' | 'cookie'
  readonly #name: string

  constructor(token: string, issuers: Issuers, kind: 'header' | 'param' | 'cookie', name: string) {
    this.token = token
    this.#issuers = issuers
    this.#kind = kind
    this.#name = name
  }

  allowsIssuer(issuer: string): boolean {
    return this.#issuers.allows(issuer)
  }

  /** `forward: false`. A cookie stays, as in Envoy. */
  removeFrom(h: HeaderBlock): void {
    if (this.#kind === 'header') h.remove(this.#name)
    else if (this.#kind === 'param') h.path = removeParameter(h.path, this.#name)
  }
}

interface HeaderPlace {
  readonly name: string
  readonly prefix: string
  readonly issuers: Issuers
}

interface NamedPlace {
  readonly name: string
  readonly issuers: Issuers
}

/** Finds the tokens of a request in the places that some providers name (extractor.cc): headers, then query, then cookies. */
export class Extractor {
  readonly #headers: readonly HeaderPlace[]
  readonly #params: readonly NamedPlace[]
  readonly #cookies: readonly NamedPlace[]
  /** Headers that only this filter may set. */
  readonly #sanitized: readonly string[]

  constructor(providers: readonly ProviderConfig[]) {
    // std::map: ordered by name, and for headers by name and prefix.
    const headers = new Map<string, HeaderPlace>()
    const params = new Map<string, NamedPlace>()
    const cookies = new Map<string, NamedPlace>()
    const header = (name: string, prefix: string, issuer: string): void => {
      place(headers, name + prefix, () => ({ name, prefix: latin1(prefix), issuers: new Issuers() })).issuers.add(
        issuer,
      )
    }
    const named = (places: Map<string, NamedPlace>, name: string, issuer: string): void => {
      place(places, name, () => ({ name: latin1(name), issuers: new Issuers() })).issuers.add(issuer)
    }
    for (const { issuer, fromHeaders, fromParams, fromCookies } of providers) {
      for (const { name, prefix } of fromHeaders) header(name, prefix, issuer)
      for (const name of fromParams) named(params, name, issuer)
      for (const name of fromCookies) named(cookies, name, issuer)
      if (fromHeaders.length + fromParams.length + fromCookies.length === 0) {
        header('authorization', 'Bearer ', issuer)
        named(params, 'access_token', issuer)
      }
    }
    this.#headers = sorted(headers)
    this.#params = sorted(params)
    this.#cookies = sorted(cookies)
    this.#sanitized = providers.flatMap(p => [
      ...(p.payloadHeader === '' ? [] : [p.payloadHeader]),
      ...p.claimToHeaders.map(claim => claim.header),
    ])
  }

  sanitize(h: HeaderBlock): void {
    for (let i = 0; i < this.#sanitized.length; i++) h.remove(this.#sanitized[i]!)
  }

  extract(h: HeaderBlock): FoundToken[] {
    const found: FoundToken[] = []
    for (const { name, prefix, issuers } of this.#headers) {
      const list = h.list
      for (let i = 0; i < list.length; i += 2) {
        if (list[i] !== name) continue
        // Envoy has one slot for authorization: repeated ones are one value, and no token.
        const value = name === 'authorization' ? h.getAll(name)! : list[i + 1]!
        const token = prefix === '' ? value : afterPrefix(value, prefix)
        if (token !== null) found.push(new FoundToken(token, issuers, 'header', name))
        if (name === 'authorization') break
      }
    }
    if (h.path !== '') {
      for (const { name, issuers } of this.#params) {
        const token = tokenParameter(h.path, name)
        if (token !== undefined) found.push(new FoundToken(token, issuers, 'param', name))
      }
    }
    for (const { name, issuers } of this.#cookies) {
      const token = cookieValue(h, name)
      if (token !== undefined) found.push(new FoundToken(token, issuers, 'cookie', name))
    }
    return found
  }
}

/** The prefix may stand anywhere; what is no base64url after it is skipped. Null without the prefix. */
function afterPrefix(value: string, prefix: string): string | null {
  const at = value.indexOf(prefix)
  if (at < 0) return null
  for (let i = at + prefix.length; i < value.length; i++) if (/[A-Za-z0-9\-_.]/.test(value[i]!)) return value.slice(i)
  return value
}

function place<T>(places: Map<string, T>, key: string, make: () => T): T {
  let found = places.get(key)
  if (found === undefined) {
    found = make()
    places.set(key, found)
  }
  return found
}

function sorted<T>(places: Map<string, T>): T[] {
  return [...places.keys()].sort().map(key => places.get(key)!)
}
