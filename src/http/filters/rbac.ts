import type { HeaderBlock } from '../../codec/header-block.ts'
import type { FieldPath } from '../../config/field-path.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { defineSupport } from '../../config/support.ts'
import type { StatsScope } from '../../stats/stats.ts'
import { HeadersVerdict, type HttpFilter } from '../filter.ts'
import type { HttpFilterFactory, HttpFilterServices } from '../filter-factory.ts'
import type { StreamContext } from '../stream-context.ts'
import { deniedDetails, RbacEngine, RbacStats } from './rbac/engine.ts'
import { parseRules, type RulesConfig } from './rbac/rules-config.ts'

type Proto = envoy.extensions.filters.http.rbac.v3.RBAC
type PerRoute = envoy.extensions.filters.http.rbac.v3.RBACPerRoute

const support = defineSupport<Proto>('envoy.extensions.filters.http.rbac.v3.RBAC', {
  rules: 'yes',
  rules_stat_prefix: 'yes',
  matcher: 'reject',
  shadow_rules: 'yes',
  shadow_matcher: 'reject',
  shadow_rules_stat_prefix: 'yes',
  track_per_rule_stats: 'yes',
})

const perRouteSupport = defineSupport<PerRoute>('envoy.extensions.filters.http.rbac.v3.RBACPerRoute', { rbac: 'yes' })

interface RbacConfig {
  /** Null: nothing is enforced. */
  readonly rules: RulesConfig | null
  readonly shadowRules: RulesConfig | null
  readonly rulesStatPrefix: string
  readonly shadowStatPrefix: string
  readonly perRuleStats: boolean
}

export const rbacFactory: HttpFilterFactory<Proto, RbacConfig> = {
  category: 'envoy.filters.http',
  name: 'envoy.filters.http.rbac',
  typeUrls: ['envoy.extensions.filters.http.rbac.v3.RBAC'],
  overrideTypeUrls: ['envoy.extensions.filters.http.rbac.v3.RBACPerRoute'],
  parse,
  parseOverride(proto, at, warnings) {
    perRouteSupport.check(proto, at, warnings)
    return parse((proto as PerRoute).rbac ?? {}, at.field('rbac'), warnings)
  },
  create: (config, services) => new RbacFilter(config, services),
  declareStats: (config, stats, prefix) => void statsOf(config, stats, prefix),
}

function statsOf(config: RbacConfig, stats: StatsScope, httpPrefix: string): RbacStats {
  return new RbacStats(stats, httpPrefix, config.rulesStatPrefix, config.shadowStatPrefix)
}

function parse(proto: Proto, at: FieldPath, warnings: string[]): RbacConfig {
  support.check(proto, at, warnings)
  const { rules, shadow_rules } = proto
  return {
    rules: rules === undefined ? null : parseRules(rules, at.field('rules'), warnings),
    shadowRules: shadow_rules === undefined ? null : parseRules(shadow_rules, at.field('shadow_rules'), warnings),
    rulesStatPrefix: proto.rules_stat_prefix ?? '',
    shadowStatPrefix: proto.shadow_rules_stat_prefix ?? '',
    perRuleStats: proto.track_per_rule_stats ?? false,
  }
}

/** A configuration with its rules compiled. */
class RbacSettings {
  readonly engine: RbacEngine | null
  readonly shadow: RbacEngine | null
  readonly perRuleStats: boolean

  constructor(config: RbacConfig) {
    this.engine = config.rules === null ? null : new RbacEngine(config.rules)
    this.shadow = config.shadowRules === null ? null : new RbacEngine(config.shadowRules)
    this.perRuleStats = config.perRuleStats
  }
}

/** envoy.filters.http.rbac */
class RbacFilter implements HttpFilter {
  index = 0
  name = ''
  readonly #own: RbacSettings
  readonly #overrides = new WeakMap<RbacConfig, RbacSettings>()
  readonly #stats: RbacStats
  readonly #enforced: MetadataKeys
  readonly #shadow: MetadataKeys

  constructor(config: RbacConfig, services: HttpFilterServices) {
    this.#own = new RbacSettings(config)
    // Stats and the names in metadata are the filter's, also where a route has rules of its own.
    this.#stats = statsOf(config, services.stats, services.httpPrefix)
    this.#enforced = new MetadataKeys(config.rulesStatPrefix, 'enforced')
    this.#shadow = new MetadataKeys(config.shadowStatPrefix, 'shadow')
  }

  decodeHeaders(s: StreamContext, h: HeaderBlock): HeadersVerdict {
    const settings = this.#settingsOf(s)
    const connection = s.info.connection!
    const { shadow, engine, perRuleStats } = settings
    if (shadow !== null) {
      const allowed = shadow.allows(connection, h, s.info)
      const policy = shadow.effectivePolicy
      if (allowed) this.#stats.shadowAllowed.inc()
      else this.#stats.shadowDenied.inc()
      if (perRuleStats && policy !== '') this.#stats.countShadowPolicy(policy, allowed)
      this.#shadow.write(s, policy, allowed)
    }
    if (engine === null) return HeadersVerdict.Continue
    const allowed = engine.allows(connection, h, s.info)
    const policy = engine.effectivePolicy
    if (perRuleStats && policy !== '') this.#stats.countPolicy(policy, allowed)
    this.#enforced.write(s, policy, allowed)
    if (allowed) {
      this.#stats.allowed.inc()
      return HeadersVerdict.Continue
    }
    this.#stats.denied.inc()
    s.sendLocalReply(403, 'RBAC: access denied', deniedDetails(policy))
    return HeadersVerdict.StopIteration
  }

  #settingsOf(s: StreamContext): RbacSettings {
    const override = s.route()?.filterConfig(this.name) as RbacConfig | undefined
    if (override === undefined) return this.#own
    let settings = this.#overrides.get(override)
    if (settings === undefined) {
      settings = new RbacSettings(override)
      this.#overrides.set(override, settings)
    }
    return settings
  }
}

/** Dynamic metadata of `envoy.filters.http.rbac`: which policy decided, and what. */
class MetadataKeys {
  readonly #policy: string
  readonly #result: string

  constructor(prefix: string, mode: 'enforced' | 'shadow') {
    this.#policy = `${prefix}${mode}_effective_policy_id`
    this.#result = `${prefix}${mode}_engine_result`
  }

  write(s: StreamContext, policy: string, allowed: boolean): void {
    const fields: Record<string, string> = {}
    if (policy !== '') fields[this.#policy] = policy
    fields[this.#result] = allowed ? 'allowed' : 'denied'
    s.info.mergeMetadata('envoy.filters.http.rbac', fields)
  }
}
