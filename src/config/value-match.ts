import { latin1, type MetadataMatchConfig, type ValueMatchConfig } from './matcher.ts'
import { compileStringMatch, type StringMatch } from './string-match.ts'

/** A compiled envoy.type.matcher.v3.ValueMatcher over JSON-like values (google.protobuf.Value). */
export interface ValueMatch {
  matches(value: unknown): boolean
}

export function compileValueMatch(config: ValueMatchConfig): ValueMatch {
  switch (config.kind) {
    case 'string':
      return new StringValueMatch(compileStringMatch(config.match))
    case 'list':
      return new ListMatch(compileValueMatch(config.of))
    case 'or':
      return new OrMatch(config.any.map(compileValueMatch))
    default:
      return new ScalarMatch(config)
  }
}

class ScalarMatch implements ValueMatch {
  readonly #config: ValueMatchConfig

  constructor(config: ValueMatchConfig) {
    this.#config = config
  }

  matches(value: unknown): boolean {
    const config = this.#config
    switch (config.kind) {
      case 'null':
        return value === null
      case 'bool':
        return value === config.value
      case 'present':
        // Envoy: a value that is not set never matches present_match false through this matcher, only `true` is useful.
        return (value !== undefined) === config.value
      case 'double':
        if (typeof value !== 'number') return false
        return config.exact ? value === config.start : value >= config.start && value < config.end
      default:
        return false
    }
  }
}

class StringValueMatch implements ValueMatch {
  readonly #match: StringMatch

  constructor(match: StringMatch) {
    this.#match = match
  }

  matches(value: unknown): boolean {
    // Texts of metadata are Unicode, matchers see bytes.
    return typeof value === 'string' && this.#match.matches(latin1(value))
  }
}

class ListMatch implements ValueMatch {
  readonly #of: ValueMatch

  constructor(of: ValueMatch) {
    this.#of = of
  }

  matches(value: unknown): boolean {
    return Array.isArray(value) && value.some(item => this.#of.matches(item))
  }
}

class OrMatch implements ValueMatch {
  readonly #any: readonly ValueMatch[]

  constructor(any: readonly ValueMatch[]) {
    this.#any = any
  }

  matches(value: unknown): boolean {
    return this.#any.some(match => match.matches(value))
  }
}

/** A compiled envoy.type.matcher.v3.MetadataMatcher. */
export class MetadataMatch {
  readonly filter: string
  readonly path: readonly string[]
  readonly #value: ValueMatch
  readonly #invert: boolean

  constructor(config: MetadataMatchConfig) {
    this.filter = config.filter
    this.path = config.path
    this.#value = compileValueMatch(config.value)
    this.#invert = config.invert
  }

  /** `metadata`: filter name → struct; null when there is none. */
  matches(metadata: Readonly<Record<string, unknown>> | null): boolean {
    return this.#value.matches(metadataValue(metadata, this.filter, this.path)) !== this.#invert
  }
}

/** Envoy's Metadata::metadataValue; undefined when a step is missing. */
export function metadataValue(
  metadata: Readonly<Record<string, unknown>> | null,
  filter: string,
  path: readonly string[],
): unknown {
  let value: unknown = metadata === null ? undefined : own(metadata, filter)
  for (let i = 0; i < path.length && value !== undefined; i++) {
    value = typeof value === 'object' && value !== null && !Array.isArray(value) ? own(value, path[i]!) : undefined
  }
  return value
}

function own(object: object, key: string): unknown {
  return Object.hasOwn(object, key) ? (object as Record<string, unknown>)[key] : undefined
}
