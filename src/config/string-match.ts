import { compileRegex, type Regex } from '../base/regex.ts'
import { asciiLower, type StringMatchConfig } from './matcher.ts'

/** A compiled envoy.type.matcher.v3.StringMatcher. Subjects are latin1 strings. */
export interface StringMatch {
  matches(value: string): boolean
}

export function compileStringMatch(config: StringMatchConfig): StringMatch {
  if (config.kind === 'regex') return new RegexMatch(compileRegex(config.text))
  if (config.ignoreCase) return new FoldedMatch(config.kind, config.text)
  switch (config.kind) {
    case 'exact':
      return new ExactMatch(config.text)
    case 'prefix':
      return new PrefixMatch(config.text)
    case 'suffix':
      return new SuffixMatch(config.text)
    case 'contains':
      return new ContainsMatch(config.text)
  }
}

class ExactMatch implements StringMatch {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  matches(value: string): boolean {
    return value === this.#text
  }
}

class PrefixMatch implements StringMatch {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  matches(value: string): boolean {
    return value.startsWith(this.#text)
  }
}

class SuffixMatch implements StringMatch {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  matches(value: string): boolean {
    return value.endsWith(this.#text)
  }
}

class ContainsMatch implements StringMatch {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  matches(value: string): boolean {
    return value.includes(this.#text)
  }
}

class RegexMatch implements StringMatch {
  readonly #regex: Regex

  constructor(regex: Regex) {
    this.#regex = regex
  }

  matches(value: string): boolean {
    return this.#regex.fullMatch(value)
  }
}

/** ignore_case: ASCII letters only, as absl::EqualsIgnoreCase. */
class FoldedMatch implements StringMatch {
  readonly #kind: 'exact' | 'prefix' | 'suffix' | 'contains'
  readonly #text: string

  constructor(kind: 'exact' | 'prefix' | 'suffix' | 'contains', text: string) {
    this.#kind = kind
    this.#text = text
  }

  matches(value: string): boolean {
    const folded = asciiLower(value)
    switch (this.#kind) {
      case 'exact':
        return folded === this.#text
      case 'prefix':
        return folded.startsWith(this.#text)
      case 'suffix':
        return folded.endsWith(this.#text)
      case 'contains':
        return folded.includes(this.#text)
    }
  }
}
