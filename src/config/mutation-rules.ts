import { compileRegex, type Regex } from '../base/regex.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'
import { parseRegex } from './matcher.ts'
import { defineSupport } from './support.ts'

type Proto = envoy.config.common.mutation_rules.v3.HeaderMutationRules

const SUPPORT = defineSupport<Proto>('envoy.config.common.mutation_rules.v3.HeaderMutationRules', {
  allow_all_routing: 'yes',
  allow_envoy: 'yes',
  disallow_system: 'yes',
  disallow_all: 'yes',
  allow_expression: 'yes',
  disallow_expression: 'yes',
  disallow_is_error: 'yes',
})

/** Which headers a service outside may change. */
export interface MutationRulesConfig {
  readonly allowRouting: boolean
  readonly allowEnvoy: boolean
  readonly disallowSystem: boolean
  readonly disallowAll: boolean
  /** Patterns of whole names; '' = none. */
  readonly allow: string
  readonly disallow: string
  /** What is not allowed makes the whole answer invalid, else it is left out. */
  readonly isError: boolean
}

export function parseMutationRules(proto: Proto, at: FieldPath, warnings: string[]): MutationRulesConfig {
  SUPPORT.check(proto, at, warnings)
  const { allow_expression: allow, disallow_expression: disallow } = proto
  return {
    allowRouting: proto.allow_all_routing ?? false,
    allowEnvoy: proto.allow_envoy ?? false,
    disallowSystem: proto.disallow_system ?? false,
    disallowAll: proto.disallow_all ?? false,
    allow: allow === undefined ? '' : parseRegex(allow, at.field('allow_expression')),
    disallow: disallow === undefined ? '' : parseRegex(disallow, at.field('disallow_expression')),
    isError: proto.disallow_is_error ?? false,
  }
}

/** Compiled (extensions/filters/common/mutation_rules Checker). Names are lower case. */
export class MutationRules {
  readonly isError: boolean
  readonly #config: MutationRulesConfig
  readonly #allow: Regex | null
  readonly #disallow: Regex | null

  constructor(config: MutationRulesConfig) {
    this.isError = config.isError
    this.#config = config
    this.#allow = config.allow === '' ? null : compileRegex(config.allow)
    this.#disallow = config.disallow === '' ? null : compileRegex(config.disallow)
  }

  mayRemove(name: string): boolean {
    return isRemovable(name) && this.#allows(name, false)
  }

  /** `append`: to a value that is there. */
  maySet(name: string, value: string, append: boolean): boolean {
    return this.#allows(name, append) && isValidFor(name, value)
  }

  #allows(name: string, append: boolean): boolean {
    const { allowRouting, allowEnvoy, disallowSystem, disallowAll } = this.#config
    if (this.#disallow?.fullMatch(name) === true) return false
    if (this.#allow?.fullMatch(name) === true) return true
    if (disallowAll) return false
    if (!allowRouting && ROUTING.has(name)) return false
    // There is never more than one value of these.
    if (name.startsWith(':') && (append || disallowSystem)) return false
    return allowEnvoy || !name.startsWith('x-envoy')
  }
}

const ROUTING: ReadonlySet<string> = new Set(['host', ':authority', ':method', ':scheme'])

/** Without these there is no request. */
export function isRemovable(name: string): boolean {
  return !name.startsWith(':') && name !== 'host'
}

function isValidFor(name: string, value: string): boolean {
  switch (name) {
    case 'host':
    case ':authority':
      return /^[A-Za-z0-9\-._~!$&'()*+,;=:@[\]%]*$/.test(value)
    case ':scheme':
      return /^[A-Za-z][A-Za-z0-9+\-.]*$/.test(value)
    default:
      return name.startsWith(':') || isFieldValue(value)
  }
}

/** RFC 9110 §5.1: a token. */
export function isFieldName(name: string): boolean {
  return /^:?[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/.test(name)
}

/** RFC 9110 §5.5, without what would end the field. */
export function isFieldValue(value: string): boolean {
  return !/[\0\r\n]/.test(value)
}
