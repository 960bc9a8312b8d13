import { HeaderBlock } from '../../codec/header-block.ts'
import type { FieldPath } from '../../config/field-path.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { type FractionConfig, parseFraction, parseStringMatcher, type StringMatchConfig } from '../../config/matcher.ts'
import { DEPRECATED_CORS } from '../../config/route-filters.ts'
import { compileStringMatch, type StringMatch } from '../../config/string-match.ts'
import { defineSupport } from '../../config/support.ts'
import type { Counter, StatsScope } from '../../stats/stats.ts'
import { HeadersVerdict, type HttpFilter } from '../filter.ts'
import type { HttpFilterFactory, HttpFilterServices } from '../filter-factory.ts'
import type { StreamContext } from '../stream-context.ts'

type Policy = envoy.extensions.filters.http.cors.v3.CorsPolicy

const support = defineSupport<Policy>('envoy.extensions.filters.http.cors.v3.CorsPolicy', {
  allow_origin_string_match: 'yes',
  allow_methods: 'yes',
  allow_headers: 'yes',
  expose_headers: 'yes',
  max_age: 'yes',
  allow_credentials: 'yes',
  filter_enabled: 'yes',
  shadow_enabled: 'yes',
  allow_private_network_access: 'yes',
  forward_not_matching_preflights: 'yes',
})

/** Fields that a policy leaves open are null: a less specific policy may fill them. */
export interface CorsPolicyConfig {
  readonly origins: readonly StringMatchConfig[]
  readonly methods: string
  readonly headers: string
  readonly exposeHeaders: string
  readonly maxAge: string
  readonly credentials: boolean | null
  readonly privateNetwork: boolean | null
  readonly forwardNotMatching: boolean | null
  readonly enabled: FractionConfig
  readonly shadow: FractionConfig | null
}

export const corsFactory: HttpFilterFactory<object, null, CorsPolicyConfig> = {
  category: 'envoy.filters.http',
  name: 'envoy.filters.http.cors',
  typeUrls: ['envoy.extensions.filters.http.cors.v3.Cors'],
  overrideTypeUrls: ['envoy.extensions.filters.http.cors.v3.CorsPolicy'],
  parse: () => null,
  parseOverride: (proto, at, warnings) => parseCorsPolicy(proto as Policy, at, warnings),
  create: (_config, services) => new CorsFilter(services),
  declareStats: (_config, stats, httpPrefix) => void new CorsStats(stats, httpPrefix),
}

export function parseCorsPolicy(proto: Policy, at: FieldPath, warnings: string[]): CorsPolicyConfig {
  support.check(proto, at, warnings)
  const origins = at.field('allow_origin_string_match')
  return {
    origins: (proto.allow_origin_string_match ?? []).map((matcher, i) => parseStringMatcher(matcher, origins.index(i))),
    methods: proto.allow_methods ?? '',
    headers: proto.allow_headers ?? '',
    exposeHeaders: proto.expose_headers ?? '',
    maxAge: proto.max_age ?? '',
    credentials: proto.allow_credentials ?? null,
    privateNetwork: proto.allow_private_network_access ?? null,
    forwardNotMatching: proto.forward_not_matching_preflights ?? null,
    enabled: parseFraction(proto.filter_enabled?.default_value, proto.filter_enabled?.runtime_key ?? '', {
      numerator: 100,
      denominator: 100,
    }),
    shadow:
      proto.shadow_enabled === undefined
        ? null
        : parseFraction(proto.shadow_enabled.default_value, proto.shadow_enabled.runtime_key ?? ''),
  }
}

interface CorsState {
  origin: string
  policies: readonly CompiledPolicy[]
}

class CompiledPolicy {
  readonly config: CorsPolicyConfig
  readonly origins: readonly StringMatch[]

  constructor(config: CorsPolicyConfig) {
    this.config = config
    this.origins = config.origins.map(compileStringMatch)
  }
}

class CorsStats {
  readonly valid: Counter
  readonly invalid: Counter

  constructor(stats: StatsScope, httpPrefix: string) {
    this.valid = stats.counter(`${httpPrefix}cors.origin_valid`)
    this.invalid = stats.counter(`${httpPrefix}cors.origin_invalid`)
  }
}

/** envoy.filters.http.cors: answers preflights and marks cross-origin responses. */
class CorsFilter implements HttpFilter<CorsState> {
  index = 0
  name = ''
  private readonly services: HttpFilterServices
  private readonly stats: CorsStats
  private readonly compiled = new Map<CorsPolicyConfig, CompiledPolicy>()

  constructor(services: HttpFilterServices) {
    this.services = services
    this.stats = new CorsStats(services.stats, services.httpPrefix)
  }

  newState(): CorsState {
    return { origin: '', policies: [] }
  }

  decodeHeaders(s: StreamContext, h: HeaderBlock): HeadersVerdict {
    const origin = h.get('origin')
    if (origin === undefined || origin === '') return HeadersVerdict.Continue
    const route = s.route()
    if (route === null) return HeadersVerdict.Continue
    let configs = route.filterConfigs(this.name) as readonly CorsPolicyConfig[]
    // One per-filter policy, wherever it stands, and the deprecated ones do not count.
    if (configs.length === 0) configs = route.filterConfigs(DEPRECATED_CORS) as readonly CorsPolicyConfig[]
    if (configs.length === 0) return HeadersVerdict.Continue
    const policies = this.compile(configs)
    const enabled = this.isOn(policies[0]!.config.enabled)
    const shadow = policies[0]!.config.shadow
    if (!enabled && (shadow === null || !this.isOn(shadow))) return HeadersVerdict.Continue
    const preflight = h.method === 'OPTIONS' && (h.get('access-control-request-method') ?? '') !== ''
    if (!allowed(policies, origin)) {
      this.stats.invalid.inc()
      if (enabled && preflight && firstOf(policies, p => p.forwardNotMatching) === false) {
        s.sendLocalReply(200, '', 'cors_response')
        return HeadersVerdict.StopIteration
      }
      return HeadersVerdict.Continue
    }
    this.stats.valid.inc()
    if (!enabled) return HeadersVerdict.Continue
    const state = s.slot(this.index) as CorsState
    state.origin = origin
    state.policies = policies
    if (!preflight) return HeadersVerdict.Continue
    const reply = new HeaderBlock()
    reply.push('access-control-allow-origin', origin)
    if (firstOf(policies, p => p.credentials) === true) reply.push('access-control-allow-credentials', 'true')
    add(reply, 'access-control-allow-methods', policies, p => p.methods)
    add(reply, 'access-control-allow-headers', policies, p => p.headers)
    add(reply, 'access-control-max-age', policies, p => p.maxAge)
    if (
      firstOf(policies, p => p.privateNetwork) === true &&
      h.get('access-control-request-private-network') === 'true'
    ) {
      reply.push('access-control-allow-private-network', 'true')
    }
    s.sendLocalReply(200, '', 'cors_response', reply)
    return HeadersVerdict.StopIteration
  }

  encodeHeaders(s: StreamContext, h: HeaderBlock): HeadersVerdict {
    if (!s.hasSlot(this.index)) return HeadersVerdict.Continue
    const state = s.slot(this.index) as CorsState
    if (state.origin === '') return HeadersVerdict.Continue
    h.set('access-control-allow-origin', state.origin)
    if (firstOf(state.policies, p => p.credentials) === true) h.set('access-control-allow-credentials', 'true')
    const expose = text(state.policies, p => p.exposeHeaders)
    if (expose !== '') h.set('access-control-expose-headers', expose)
    return HeadersVerdict.Continue
  }

  /** Most specific first. */
  private compile(configs: readonly CorsPolicyConfig[]): readonly CompiledPolicy[] {
    const policies: CompiledPolicy[] = []
    for (let i = configs.length - 1; i >= 0; i--) {
      const config = configs[i]!
      let policy = this.compiled.get(config)
      if (policy === undefined) {
        // Configuration objects come anew with every push.
        if (this.compiled.size >= 256) this.compiled.clear()
        policy = new CompiledPolicy(config)
        this.compiled.set(config, policy)
      }
      policies.push(policy)
    }
    return policies
  }

  private isOn(fraction: FractionConfig): boolean {
    return this.services.runtime.fraction(
      fraction.key,
      fraction.numerator,
      fraction.denominator,
      this.services.random.next(),
    )
  }
}

function allowed(policies: readonly CompiledPolicy[], origin: string): boolean {
  for (const policy of policies) {
    if (policy.origins.length === 0) continue
    // A matcher that takes a literal `*` takes every origin, as the real filter has it.
    for (const match of policy.origins) if (match.matches('*') || match.matches(origin)) return true
    return false
  }
  return false
}

function firstOf(policies: readonly CompiledPolicy[], field: (p: CorsPolicyConfig) => boolean | null): boolean | null {
  for (const policy of policies) {
    const value = field(policy.config)
    if (value !== null) return value
  }
  return null
}

function text(policies: readonly CompiledPolicy[], field: (p: CorsPolicyConfig) => string): string {
  for (const policy of policies) {
    const value = field(policy.config)
    if (value !== '') return value
  }
  return ''
}

function add(
  h: HeaderBlock,
  name: string,
  policies: readonly CompiledPolicy[],
  field: (p: CorsPolicyConfig) => string,
): void {
  const value = text(policies, field)
  if (value !== '') h.push(name, value)
}
