import type { HeaderBlock } from '../../codec/header-block.ts'
import { HeaderBlock as Headers } from '../../codec/header-block.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { Mismatch, RouteMatcher } from '../../routing/match.ts'
import type { StatsScope } from '../../stats/stats.ts'
import { DataVerdict, HeadersVerdict, type HttpFilter } from '../filter.ts'
import type { HttpFilterFactory, HttpFilterServices } from '../filter-factory.ts'
import type { StreamContext } from '../stream-context.ts'
import {
  type JwtAuthnConfig,
  type PerRouteJwtConfig,
  parseJwtAuthn,
  parsePerRoute,
  type RequirementConfig,
  wrongName,
} from './jwt-authn/config.ts'
import { ProviderSet } from './jwt-authn/provider-set.ts'
import { RequirementTree } from './jwt-authn/requirement.ts'
import { JwtAuthnStats } from './jwt-authn/stats.ts'
import { JwtStatus, statusText } from './jwt-authn/status.ts'
import { Verification, type VerificationUser } from './jwt-authn/verification.ts'
import { joinPrefix } from './rbac/engine.ts'

type Proto = envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication

export const jwtAuthnFactory: HttpFilterFactory<Proto, JwtAuthnConfig, PerRouteJwtConfig> = {
  category: 'envoy.filters.http',
  name: 'envoy.filters.http.jwt_authn',
  typeUrls: ['envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication'],
  overrideTypeUrls: ['envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig'],
  parse: parseJwtAuthn,
  parseOverride: parsePerRoute,
  create: (config, services) => new JwtAuthnFilter(config, services),
  declareStats: (config, stats, httpPrefix) => void statsOf(config, stats, httpPrefix),
}

function statsOf(config: JwtAuthnConfig, stats: StatsScope, httpPrefix: string): JwtAuthnStats {
  const prefix = joinPrefix(joinPrefix(httpPrefix, 'jwt_authn.'), config.statPrefix)
  return new JwtAuthnStats(stats.scope(joinPrefix(prefix, '.').replace(/\.+$/, '.')))
}

/** Envoy cuts the path that www-authenticate quotes. */
const MAX_REALM_PATH = 256

class JwtState {
  verification: Verification | null = null
  /** The filter answered Stop and goes on when keys have come. */
  waiting = false
}

interface Rule {
  readonly match: RouteMatcher
  /** Null: requests that match need no token. */
  readonly tree: RequirementTree | null
}

/** envoy.filters.http.jwt_authn */
class JwtAuthnFilter implements HttpFilter<JwtState>, VerificationUser {
  index = 0
  name = ''
  readonly #config: JwtAuthnConfig
  readonly #stats: JwtAuthnStats
  readonly #rules: readonly Rule[]
  readonly #named: ReadonlyMap<string, RequirementTree>
  readonly #ofState: ReadonlyMap<string, RequirementTree>

  constructor(config: JwtAuthnConfig, services: HttpFilterServices) {
    this.#config = config
    this.#stats = statsOf(config, services.stats, services.httpPrefix)
    const providers = new ProviderSet(config.providers, services, this.#stats)
    const tree = (requirement: RequirementConfig) => new RequirementTree(requirement, providers)
    const trees = (map: Readonly<Record<string, RequirementConfig>>) =>
      new Map(Object.entries(map).map(([name, requirement]) => [name, tree(requirement)]))
    this.#rules = config.rules.map(({ match, requires }) => ({
      match: new RouteMatcher(match, services.runtime),
      tree: requires === null ? null : tree(requires),
    }))
    this.#named = trees(config.named)
    this.#ofState = trees(config.stateRules)
  }

  newState(): JwtState {
    return new JwtState()
  }

  decodeHeaders(s: StreamContext, h: HeaderBlock): HeadersVerdict {
    if (this.#config.bypassCorsPreflight && isPreflight(h)) {
      this.#stats.corsBypassed.inc()
      this.#stats.allowed.inc()
      return HeadersVerdict.Continue
    }
    let tree: RequirementTree | null
    const override = s.route()?.filterConfig(this.name) as PerRouteJwtConfig | undefined
    if (override === undefined) tree = this.#treeFor(s, h)
    else if (override.disabled) tree = null
    else {
      tree = this.#named.get(override.requirement) ?? null
      if (tree === null) return this.#refuseName(s, override.requirement)
    }
    if (tree === null) {
      this.#stats.allowed.inc()
      return HeadersVerdict.Continue
    }
    const state = s.slot(this.index) as JwtState
    const verification = new Verification(s, this, tree.size)
    state.verification = verification
    tree.root.verify(verification)
    if (verification.over)
      return verification.status === JwtStatus.Ok ? HeadersVerdict.Continue : HeadersVerdict.StopIteration
    state.waiting = true
    return HeadersVerdict.StopAllAndWatermark
  }

  decodeData(s: StreamContext): DataVerdict {
    return this.#waits(s) ? DataVerdict.StopAndWatermark : DataVerdict.Continue
  }

  decodeTrailers(s: StreamContext): HeadersVerdict {
    return this.#waits(s) ? HeadersVerdict.StopIteration : HeadersVerdict.Continue
  }

  onDestroy(s: StreamContext): void {
    if (!s.hasSlot(this.index)) return
    const { verification } = s.slot(this.index) as JwtState
    if (verification !== null && !verification.over) verification.cancel()
  }

  onVerified(verification: Verification, status: number): void {
    const s = verification.stream
    const state = s.slot(this.index) as JwtState
    const waited = state.waiting
    state.waiting = false
    if (status === JwtStatus.Ok) {
      this.#stats.allowed.inc()
      if (waited) s.continueDecoding(this.index)
      return
    }
    this.#stats.denied.inc()
    const text = statusText(status)
    const code = status === JwtStatus.JwtAudienceNotAllowed ? 403 : 401
    if (this.#config.stripFailureResponse) {
      s.sendLocalReply(code, '', denied(text))
      return
    }
    const h = new Headers()
    const error = status === JwtStatus.JwtMissed ? '' : ', error="invalid_token"'
    h.push('www-authenticate', `Bearer realm="${originalUri(s.requestHeaders!)}"${error}`)
    s.sendLocalReply(code, text, denied(text), h)
  }

  #treeFor(s: StreamContext, h: HeaderBlock): RequirementTree | null {
    const rules = this.#rules
    const path = bare(h.path)
    for (let i = 0; i < rules.length; i++) {
      const { match, tree } = rules[i]!
      if (match.check(path, h, s.info, 0) === Mismatch.None) return tree
    }
    if (this.#ofState.size === 0) return null
    const value = s.info.state(this.#config.stateKey)
    return value === undefined ? null : (this.#ofState.get(String(value)) ?? null)
  }

  #refuseName(s: StreamContext, name: string): HeadersVerdict {
    const text = wrongName(name, [...this.#named.keys()])
    this.#stats.denied.inc()
    const body = this.#config.stripFailureResponse ? '' : `Failed JWT authentication: ${text}`
    s.sendLocalReply(403, body, denied(text))
    return HeadersVerdict.StopIteration
  }

  #waits(s: StreamContext): boolean {
    return s.hasSlot(this.index) && (s.slot(this.index) as JwtState).waiting
  }
}

function isPreflight(h: HeaderBlock): boolean {
  return (
    h.method === 'OPTIONS' && (h.get('origin') ?? '') !== '' && (h.get('access-control-request-method') ?? '') !== ''
  )
}

function denied(text: string): string {
  return `jwt_authn_access_denied{${text.replace(/\s/g, '_')}}`
}

function originalUri(h: HeaderBlock): string {
  const path = (h.get('x-envoy-original-path') ?? h.path).slice(0, MAX_REALM_PATH)
  return `${h.get('x-forwarded-proto') ?? ''}://${h.authority}${path}`
}

function bare(path: string): string {
  for (let i = 0; i < path.length; i++) {
    const c = path.charCodeAt(i)
    if (c === 63 || c === 35) return path.slice(0, i)
  }
  return path
}
