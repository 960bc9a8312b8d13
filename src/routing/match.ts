import { compileRegex, type Regex } from '../base/regex.ts'
import type { HeaderBlock } from '../codec/header-block.ts'
import { allHeadersMatch, compileHeaderMatches, type HeaderMatch } from '../config/header-match.ts'
import { asciiLower, type FractionConfig, type NamedMatchConfig } from '../config/matcher.ts'
import type { Runtime } from '../config/services.ts'
import { compileStringMatch, type StringMatch } from '../config/string-match.ts'
import { parseTemplate } from '../config/uri-template.ts'
import { MetadataMatch } from '../config/value-match.ts'
import { isGrpc } from '../telemetry/format-operators-headers.ts'
import type { StreamInfo } from '../telemetry/stream-info.ts'
import { cookieValue } from './cookies.ts'
import type { RouteMatchConfig } from './route-config.ts'

/** Why a route did not match: the first predicate that failed. `None` = it matched. /explain prints the names. */
export const Mismatch = {
  None: 0,
  Path: 1,
  Fraction: 2,
  Headers: 3,
  Query: 4,
  Cookies: 5,
  Grpc: 6,
  Tls: 7,
  DynamicMetadata: 8,
  FilterState: 9,
} as const
export type Mismatch = (typeof Mismatch)[keyof typeof Mismatch]

/** All predicates of one route, compiled. The same code serves traffic and /explain: it says why instead of yes or no. */
export class RouteMatcher {
  readonly config: RouteMatchConfig
  readonly #path: PathMatch
  readonly #fraction: FractionConfig | null
  readonly #headers: readonly HeaderMatch[] | null
  readonly #query: readonly NamedMatch[] | null
  readonly #cookies: readonly NamedMatch[] | null
  readonly #rest: RestMatch | null
  readonly #runtime: Runtime

  constructor(config: RouteMatchConfig, runtime: Runtime) {
    this.config = config
    this.#path = compilePath(config)
    this.#fraction = config.fraction
    this.#headers = config.headers.length === 0 ? null : compileHeaderMatches(config.headers)
    this.#query = config.query.length === 0 ? null : config.query.map(query => new NamedMatch(query))
    this.#cookies = config.cookies.length === 0 ? null : config.cookies.map(cookie => new NamedMatch(cookie))
    this.#rest = RestMatch.of(config)
    this.#runtime = runtime
  }

  /** `path`: of the request, without query. */
  check(path: string, h: HeaderBlock, info: StreamInfo, random: number): Mismatch {
    if (!this.#path.matches(path, h)) return Mismatch.Path
    const fraction = this.#fraction
    if (fraction !== null && !this.#runtime.fraction(fraction.key, fraction.numerator, fraction.denominator, random)) {
      return Mismatch.Fraction
    }
    if (this.#headers !== null && !allHeadersMatch(this.#headers, h)) return Mismatch.Headers
    if (this.#query !== null && !queryMatches(this.#query, h.path)) return Mismatch.Query
    if (this.#cookies !== null && !cookiesMatch(this.#cookies, h)) return Mismatch.Cookies
    return this.#rest === null ? Mismatch.None : this.#rest.check(h, info)
  }
}

interface PathMatch {
  matches(path: string, h: HeaderBlock): boolean
}

function compilePath(config: RouteMatchConfig): PathMatch {
  switch (config.kind) {
    case 'prefix':
      return new PrefixPath(config.text, config.caseSensitive)
    case 'path':
      return new ExactPath(config.text, config.caseSensitive)
    case 'separated':
      return new SeparatedPath(config.text, config.caseSensitive)
    case 'regex':
      return new RegexPath(config.text)
    case 'connect':
      return new ConnectMatch()
    case 'template': {
      const template = parseTemplate(config.text)
      return new RegexPath(typeof template === 'string' ? '[^\\s\\S]' : template.pattern)
    }
  }
}

class PrefixPath implements PathMatch {
  readonly #text: string
  readonly #exactCase: boolean

  constructor(text: string, exactCase: boolean) {
    this.#text = exactCase ? text : asciiLower(text)
    // Istio's `prefix: /` has no letters.
    this.#exactCase = exactCase || !/[a-z]/.test(this.#text)
  }

  matches(path: string): boolean {
    if (this.#exactCase) return path !== '' && path.startsWith(this.#text)
    return asciiLower(path.slice(0, this.#text.length)) === this.#text
  }
}

class ExactPath implements PathMatch {
  readonly #text: string
  readonly #exactCase: boolean

  constructor(text: string, exactCase: boolean) {
    this.#text = exactCase ? text : asciiLower(text)
    this.#exactCase = exactCase
  }

  matches(path: string): boolean {
    return (this.#exactCase ? path : asciiLower(path)) === this.#text && path !== ''
  }
}

/** path_separated_prefix: the prefix itself, or the prefix and a slash. */
class SeparatedPath implements PathMatch {
  readonly #text: string
  readonly #exactCase: boolean

  constructor(text: string, exactCase: boolean) {
    this.#text = exactCase ? text : asciiLower(text)
    this.#exactCase = exactCase
  }

  matches(path: string): boolean {
    const subject = this.#exactCase ? path : asciiLower(path)
    const length = this.#text.length
    if (!subject.startsWith(this.#text)) return false
    return subject.length === length || subject.charCodeAt(length) === 47 /* / */
  }
}

class RegexPath implements PathMatch {
  readonly #regex: Regex

  constructor(pattern: string) {
    this.#regex = compileRegex(pattern)
  }

  matches(path: string): boolean {
    return path !== '' && this.#regex.fullMatch(path)
  }
}

/** connect_matcher: the only route for requests without a path. */
class ConnectMatch implements PathMatch {
  matches(_path: string, h: HeaderBlock): boolean {
    return h.method === 'CONNECT'
  }
}

/** Query parameter or cookie. */
export class NamedMatch {
  readonly name: string
  readonly #match: StringMatch | null
  readonly #present: boolean
  readonly #invert: boolean

  constructor(config: NamedMatchConfig) {
    this.name = config.name
    this.#match = config.match === null ? null : compileStringMatch(config.match)
    this.#present = config.present
    this.#invert = config.invert
  }

  matches(value: string | undefined): boolean {
    const found =
      this.#match === null ? (value !== undefined) === this.#present : value !== undefined && this.#match.matches(value)
    return found !== this.#invert
  }
}

/** Values as they stand in the path, not decoded; the first one of a repeated name. */
export function queryMatches(matches: readonly NamedMatch[], path: string): boolean {
  const mark = path.indexOf('?')
  for (let i = 0; i < matches.length; i++) {
    const match = matches[i]!
    if (!match.matches(mark < 0 ? undefined : queryValue(path, mark + 1, match.name))) return false
  }
  return true
}

/** Value of a query parameter in `path` from `start` on; '' when it has no `=`, undefined when it is not there. */
export function queryValue(path: string, start: number, name: string): string | undefined {
  const hash = path.indexOf('#', start)
  const stop = hash < 0 ? path.length : hash
  for (let at = start; at < stop; ) {
    let end = path.indexOf('&', at)
    if (end < 0 || end > stop) end = stop
    if (path.startsWith(name, at)) {
      const after = at + name.length
      if (after === end) return ''
      if (path.charCodeAt(after) === 61 /* = */) return path.slice(after + 1, end)
    }
    at = end + 1
  }
  return undefined
}

function cookiesMatch(matches: readonly NamedMatch[], h: HeaderBlock): boolean {
  for (let i = 0; i < matches.length; i++) {
    const match = matches[i]!
    if (!match.matches(cookieValue(h, match.name))) return false
  }
  return true
}

/** What few routes ask for. */
class RestMatch {
  readonly #grpc: boolean
  readonly #tls: RouteMatchConfig['tls']
  readonly #metadata: readonly MetadataMatch[]
  readonly #state: readonly { key: string; match: StringMatch }[]

  static of(config: RouteMatchConfig): RestMatch | null {
    const { grpc, tls, dynamicMetadata, filterState } = config
    return grpc || tls !== null || dynamicMetadata.length + filterState.length > 0 ? new RestMatch(config) : null
  }

  constructor(config: RouteMatchConfig) {
    this.#grpc = config.grpc
    this.#tls = config.tls
    this.#metadata = config.dynamicMetadata.map(match => new MetadataMatch(match))
    this.#state = config.filterState.map(state => ({ key: state.key, match: compileStringMatch(state.match) }))
  }

  check(h: HeaderBlock, info: StreamInfo): Mismatch {
    if (this.#grpc && !isGrpc(h)) return Mismatch.Grpc
    if (this.#tls !== null && !tlsMatches(this.#tls, info)) return Mismatch.Tls
    for (let i = 0; i < this.#metadata.length; i++) {
      if (!this.#metadata[i]!.matches(info.dynamicMetadata)) return Mismatch.DynamicMetadata
    }
    for (let i = 0; i < this.#state.length; i++) {
      const { key, match } = this.#state[i]!
      const state = info.filterState
      const value = state !== null && Object.hasOwn(state, key) ? state[key] : undefined
      if (value === undefined || !match.matches(String(value))) return Mismatch.FilterState
    }
    return Mismatch.None
  }
}

/** TlsContextMatchCriteria: without TLS (or without a client certificate) `presented` and `validated` are false. */
function tlsMatches(tls: NonNullable<RouteMatchConfig['tls']>, info: StreamInfo): boolean {
  const session = info.connection?.tls ?? null
  if (session === null) return tls.presented === null && tls.validated === null
  if (tls.presented !== null && tls.presented !== session.peerCertificatePresented) return false
  return tls.validated === null || tls.validated === session.peerCertificateValidated
}
