import { internalized } from '../base/internalized.ts'
import type { HeaderBlock } from '../codec/header-block.ts'
import type { HeaderMatchConfig } from './matcher.ts'
import { compileStringMatch, type StringMatch } from './string-match.ts'

/** A compiled envoy.config.route.v3.HeaderMatcher (source/common/http/header_utility.h). */
export class HeaderMatch {
  readonly name: string
  readonly #match: StringMatch | null
  readonly #present: boolean
  readonly #invert: boolean
  readonly #missingAsEmpty: boolean

  constructor(config: HeaderMatchConfig) {
    // Envoy keeps Host and :authority in one slot.
    this.name = config.name === 'host' ? ':authority' : internalized(config.name)
    this.#present = config.present
    this.#invert = config.invert
    this.#missingAsEmpty = config.missingAsEmpty
    if (config.match === null) this.#match = null
    else if (config.match.kind === 'range') this.#match = new RangeMatch(config.match.start, config.match.end)
    else this.#match = compileStringMatch(config.match)
  }

  /** Each value of a repeated header is matched on its own; one that fits is enough (match_headers_individually). */
  matches(h: HeaderBlock): boolean {
    const match = this.#match
    const value = h.get(this.name)
    if (match === null) {
      // A missing header "treated as empty" is present.
      return ((value !== undefined || this.#missingAsEmpty) === this.#present) !== this.#invert
    }
    // Envoy: without a value nothing matches, inverted or not.
    if (value === undefined) return this.#missingAsEmpty && match.matches('') !== this.#invert
    return (match.matches(value) || this.#laterMatches(h, match)) !== this.#invert
  }

  #laterMatches(h: HeaderBlock, match: StringMatch): boolean {
    const list = h.list
    let first = true
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] !== this.name) continue
      if (!first && match.matches(list[i + 1]!)) return true
      first = false
    }
    return false
  }
}

export function compileHeaderMatches(configs: readonly HeaderMatchConfig[]): HeaderMatch[] {
  return configs.map(config => new HeaderMatch(config))
}

export function allHeadersMatch(matches: readonly HeaderMatch[], h: HeaderBlock): boolean {
  for (let i = 0; i < matches.length; i++) if (!matches[i]!.matches(h)) return false
  return true
}

export function anyHeaderMatches(matches: readonly HeaderMatch[], h: HeaderBlock): boolean {
  for (let i = 0; i < matches.length; i++) if (matches[i]!.matches(h)) return true
  return false
}

/** range_match: a decimal int64 in [start, end). */
class RangeMatch implements StringMatch {
  readonly #start: number
  readonly #end: number

  constructor(start: number, end: number) {
    this.#start = start
    this.#end = end
  }

  matches(value: string): boolean {
    if (!/^\s*[-+]?[0-9]+\s*$/.test(value)) return false
    const number = Number(value)
    return number >= this.#start && number < this.#end
  }
}
