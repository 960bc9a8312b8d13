import type { HeaderBlock } from '../../../codec/header-block.ts'
import type { Connection } from '../../../io/connection.ts'
import type { Counter, StatsScope } from '../../../stats/stats.ts'
import type { StreamInfo } from '../../../telemetry/stream-info.ts'
import { type Condition, compileCondition } from './condition.ts'
import type { RulesConfig } from './rules-config.ts'

class Policy {
  readonly name: string
  readonly permissions: Condition
  readonly principals: Condition

  constructor(name: string, permissions: Condition, principals: Condition) {
    this.name = name
    this.permissions = permissions
    this.principals = principals
  }
}

/** Rules ready to run (source/extensions/filters/common/rbac/engine_impl.cc). Stateless but for `effectivePolicy`. */
export class RbacEngine {
  readonly #action: RulesConfig['action']
  readonly #policies: readonly Policy[]
  /** Name of the policy that decided the last `allows`; '' = none matched. */
  effectivePolicy = ''

  constructor(config: RulesConfig) {
    this.#action = config.action
    this.#policies = config.policies.map(
      ({ name, permissions, principals }) =>
        new Policy(name, compileCondition(permissions), compileCondition(principals)),
    )
  }

  /** LOG allows everything, and says in dynamic metadata whether the access log should have it. */
  allows(c: Connection, h: HeaderBlock, info: StreamInfo): boolean {
    const matched = this.#firstMatch(c, h, info)
    this.effectivePolicy = matched === null ? '' : matched.name
    if (this.#action === 'ALLOW') return matched !== null
    if (this.#action === 'DENY') return matched === null
    info.mergeMetadata('envoy.common', { access_log_hint: matched !== null })
    return true
  }

  #firstMatch(c: Connection, h: HeaderBlock, info: StreamInfo): Policy | null {
    const policies = this.#policies
    for (let i = 0; i < policies.length; i++) {
      const policy = policies[i]!
      if (policy.permissions.matches(c, h, info) && policy.principals.matches(c, h, info)) return policy
    }
    return null
  }
}

/** Envoy's statPrefixJoin. */
export function joinPrefix(prefix: string, token: string): string {
  if (prefix === '' || token === '' || prefix.endsWith('.')) return prefix + token
  return `${prefix}.${token}`
}

/** `<prefix>rbac.*`; the names of rules and shadow rules may have prefixes of their own. */
export class RbacStats {
  readonly allowed: Counter
  readonly denied: Counter
  readonly shadowAllowed: Counter
  readonly shadowDenied: Counter
  readonly #scope: StatsScope
  readonly #rulePrefix: string
  readonly #shadowRulePrefix: string

  constructor(scope: StatsScope, prefix: string, rulesPrefix: string, shadowPrefix: string) {
    const base = joinPrefix(prefix, 'rbac.')
    const rules = joinPrefix(base, rulesPrefix)
    const shadow = joinPrefix(base, shadowPrefix)
    this.#scope = scope
    this.#rulePrefix = joinPrefix(rules, 'policy.')
    this.#shadowRulePrefix = joinPrefix(shadow, 'policy.')
    this.allowed = scope.counter(joinPrefix(rules, 'allowed'))
    this.denied = scope.counter(joinPrefix(rules, 'denied'))
    this.shadowAllowed = scope.counter(joinPrefix(shadow, 'shadow_allowed'))
    this.shadowDenied = scope.counter(joinPrefix(shadow, 'shadow_denied'))
  }

  /** track_per_rule_stats */
  countPolicy(policy: string, allowed: boolean): void {
    this.#scope.counter(`${this.#rulePrefix}${policy}.${allowed ? 'allowed' : 'denied'}`).inc()
  }

  countShadowPolicy(policy: string, allowed: boolean): void {
    this.#scope.counter(`${this.#shadowRulePrefix}${policy}.shadow_${allowed ? 'allowed' : 'denied'}`).inc()
  }
}

/** Blanks would break the fields of an access log line. */
export function deniedDetails(policy: string): string {
  return `rbac_access_denied_matched_policy[${policy === '' ? 'none' : policy.replace(/\s/g, '_')}]`
}
