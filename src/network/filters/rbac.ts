import { ConfigError } from '../../base/errors.ts'
import { TimerNode, type TimerOwner, type Timers } from '../../base/timer.ts'
import { HeaderBlock } from '../../codec/header-block.ts'
import type { FieldPath } from '../../config/field-path.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { defineSupport } from '../../config/support.ts'
import { deniedDetails, RbacEngine, RbacStats } from '../../http/filters/rbac/engine.ts'
import { type ConditionConfig, parseRules, type RulesConfig } from '../../http/filters/rbac/rules-config.ts'
import { CloseHow, type Connection, ReadHold } from '../../io/connection.ts'
import type { StatsScope } from '../../stats/stats.ts'
import { connectionInfo } from '../../telemetry/connection-info.ts'
import { NetVerdict, type NetworkFilter, type NetworkFilterFactory } from '../filter.ts'
import type { NetworkFilterExtension, NetworkFilterServices } from '../filter-factory.ts'

type Proto = envoy.extensions.filters.network.rbac.v3.RBAC

const support = defineSupport<Proto>('envoy.extensions.filters.network.rbac.v3.RBAC', {
  rules: 'yes',
  matcher: 'reject',
  shadow_rules: 'yes',
  shadow_matcher: 'reject',
  shadow_rules_stat_prefix: 'yes',
  stat_prefix: 'yes',
  enforcement_type: 'yes',
  delay_deny: 'yes',
})

interface RbacConfig {
  readonly rules: RulesConfig | null
  readonly shadowRules: RulesConfig | null
  readonly statPrefix: string
  readonly shadowStatPrefix: string
  /** Asked with every piece of data, not only with the first. */
  readonly continuous: boolean
  /** ms before a denied connection is closed; 0 = at once. */
  readonly delayDeny: number
}

/** envoy.filters.network.rbac */
export const networkRbacFactory: NetworkFilterExtension<Proto, RbacConfig> = {
  category: 'envoy.filters.network',
  name: 'envoy.filters.network.rbac',
  typeUrls: ['envoy.extensions.filters.network.rbac.v3.RBAC'],
  terminal: false,
  parse(proto, at, warnings) {
    support.check(proto, at, warnings)
    const { rules, shadow_rules } = proto
    return {
      rules: rules === undefined ? null : parseConnectionRules(rules, at.field('rules'), warnings),
      shadowRules:
        shadow_rules === undefined ? null : parseConnectionRules(shadow_rules, at.field('shadow_rules'), warnings),
      statPrefix: proto.stat_prefix ?? '',
      shadowStatPrefix: proto.shadow_rules_stat_prefix ?? '',
      continuous: proto.enforcement_type === 'CONTINUOUS',
      delayDeny: proto.delay_deny ?? 0,
    }
  },
  create: (config, services) => new NetworkRbac(config, services),
  declareStats: (config, stats) => void statsOf(config, stats),
}

function parseConnectionRules(proto: envoy.config.rbac.v3.RBAC, at: FieldPath, warnings: string[]): RulesConfig {
  const rules = parseRules(proto, at, warnings)
  for (const policy of rules.policies) {
    const header = headerRule(policy.permissions) ?? headerRule(policy.principals)
    if (header !== null) {
      const text = `Found header(${header}) rule,not supported by RBAC network filter`
      throw new ConfigError('CONFIG_INVALID', at.field('policies').key(policy.name), text)
    }
  }
  return rules
}

/** Name of the first header that a rule asks for. */
function headerRule(condition: ConditionConfig): string | null {
  if (condition.kind === 'header') return condition.match.name
  if (condition.kind === 'not') return headerRule(condition.of)
  if (condition.kind !== 'and' && condition.kind !== 'or') return null
  for (const inner of condition.of) {
    const name = headerRule(inner)
    if (name !== null) return name
  }
  return null
}

/** Rules about paths see none. */
const NO_HEADERS = new HeaderBlock()

function statsOf(config: RbacConfig, stats: StatsScope): RbacStats {
  return new RbacStats(stats, config.statPrefix, '', config.shadowStatPrefix)
}

class NetworkRbac implements NetworkFilterFactory {
  readonly config: RbacConfig
  readonly timers: Timers
  readonly #engine: RbacEngine | null
  readonly #shadow: RbacEngine | null
  readonly #stats: RbacStats

  constructor(config: RbacConfig, services: NetworkFilterServices) {
    this.config = config
    this.timers = services.timers
    this.#engine = config.rules === null ? null : new RbacEngine(config.rules)
    this.#shadow = config.shadowRules === null ? null : new RbacEngine(config.shadowRules)
    this.#stats = statsOf(config, services.stats)
  }

  newInstance(): NetworkFilter {
    return new RbacConnection(this)
  }

  checkShadow(c: Connection): void {
    const engine = this.#shadow
    if (engine === null) return
    const info = connectionInfo(c)
    const allowed = engine.allows(c, NO_HEADERS, info)
    if (allowed) this.#stats.shadowAllowed.inc()
    else this.#stats.shadowDenied.inc()
    const prefix = this.config.shadowStatPrefix
    const fields: Record<string, string> = { [`${prefix}shadow_engine_result`]: allowed ? 'allowed' : 'denied' }
    if (engine.effectivePolicy !== '') fields[`${prefix}shadow_effective_policy_id`] = engine.effectivePolicy
    info.mergeMetadata('envoy.filters.network.rbac', fields)
  }

  allows(c: Connection): boolean {
    const engine = this.#engine
    if (engine === null) return true
    const info = connectionInfo(c)
    if (engine.allows(c, NO_HEADERS, info)) {
      this.#stats.allowed.inc()
      return true
    }
    this.#stats.denied.inc()
    info.connectionTerminationDetails = deniedDetails(engine.effectivePolicy)
    return false
  }
}

/** As in Envoy the first bytes bring the decision: the filters behind hear of the connection, and of nothing else. */
class RbacConnection implements NetworkFilter, TimerOwner {
  readonly #rbac: NetworkRbac
  #asked = false
  #denied: Connection | null = null
  #timer: TimerNode | null = null

  constructor(rbac: NetworkRbac) {
    this.#rbac = rbac
  }

  onConnection(): NetVerdict {
    return NetVerdict.Continue
  }

  onData(c: Connection, d: Uint8Array): NetVerdict {
    if (this.#denied !== null) return NetVerdict.Stop
    const rbac = this.#rbac
    if (this.#asked && !rbac.config.continuous) return NetVerdict.Continue
    this.#asked = true
    rbac.checkShadow(c)
    if (rbac.allows(c)) return NetVerdict.Continue
    this.#denied = c
    // Received, though no later filter sees and counts them.
    connectionInfo(c).bytesReceived += d.length
    const delay = rbac.config.delayDeny
    if (delay === 0) c.close(CloseHow.NoFlush)
    else {
      c.holdReading(ReadHold.Overload, true)
      this.#timer = new TimerNode(this, 0)
      rbac.timers.arm(this.#timer, delay)
    }
    return NetVerdict.Stop
  }

  onTimer(): void {
    this.#denied?.close(CloseHow.NoFlush)
  }

  onClose(): void {
    if (this.#timer !== null) this.#rbac.timers.cancel(this.#timer)
  }
}
