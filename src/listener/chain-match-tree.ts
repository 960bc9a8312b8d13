import type { MatchPredicate, MatchRule, MatchTree, OnMatch } from '../config/match-tree.ts'
import { compileStringMatch } from '../config/string-match.ts'
import { metadataValue } from '../config/value-match.ts'
import { isPipe } from '../io/address.ts'
import { CidrTable } from '../io/cidr-table.ts'
import type { Address, Connection } from '../io/connection.ts'
import { isSameIpOrLoopback } from './filter-chain-match.ts'
import type { ChainInput } from './parse-chain-matcher.ts'

/** filter_chain_matcher, compiled: finds a filter chain by its name (source/common/matcher). */
export class ChainMatchTree {
  readonly #find: Finder
  readonly #names: readonly string[]

  /** `names`: of the filter chains. */
  constructor(tree: MatchTree<ChainInput>, names: readonly string[]) {
    this.#find = compileTree(tree)
    this.#names = names
  }

  /** Index of the chain; -1 = nothing matches, and the default chain's turn; null = a chain that is not there. */
  find(connection: Connection): number | null {
    const name = this.#find(connection)
    if (name === null) return -1
    const index = this.#names.indexOf(name)
    return index < 0 ? null : index
  }
}

/** The action that matches; null = none. */
type Finder = (c: Connection) => string | null
type Reader = (c: Connection) => string | null
type Test = (c: Connection) => boolean

function compileTree({ rule, otherwise }: MatchTree<ChainInput>): Finder {
  const find = compileRule(rule)
  if (otherwise === null) return find
  const fallback = compileOnMatch(otherwise)
  return c => find(c) ?? fallback(c)
}

function compileOnMatch(on: OnMatch<ChainInput>): Finder {
  return 'action' in on ? () => on.action : compileTree(on.tree)
}

function compileRule(rule: MatchRule<ChainInput>): Finder {
  switch (rule.kind) {
    case 'none':
      return () => null
    case 'list': {
      const items = rule.items.map(item => ({ test: compilePredicate(item.when), find: compileOnMatch(item.on) }))
      return c => {
        for (const { test, find } of items) {
          const found = test(c) ? find(c) : null
          if (found !== null) return found
        }
        return null
      }
    }
    case 'exact': {
      const read = readerOf(rule.input)
      const map = new Map(rule.map.map(([key, on]) => [key, compileOnMatch(on)]))
      return c => {
        const value = read(c)
        return value === null ? null : (map.get(value)?.(c) ?? null)
      }
    }
    case 'prefix': {
      const read = readerOf(rule.input)
      const entries = rule.map.map(([prefix, on]) => ({ prefix, find: compileOnMatch(on) }))
      // The longest prefix that leads to an action.
      entries.sort((a, b) => b.prefix.length - a.prefix.length)
      return c => firstOf(entries, read(c), c)
    }
    case 'ip':
      return compileRanges(rule)
  }
}

function firstOf(entries: readonly { prefix: string; find: Finder }[], value: string | null, c: Connection) {
  if (value === null) return null
  for (const { prefix, find } of entries) {
    const found = value.startsWith(prefix) ? find(c) : null
    if (found !== null) return found
  }
  return null
}

function compileRanges({ input, ranges }: Extract<MatchRule<ChainInput>, { kind: 'ip' }>): Finder {
  const read = readerOf(input)
  const compiled = ranges.map(({ range, exclusive, on }) => {
    const table = new CidrTable<true>()
    table.at(range, () => true)
    return { table, exclusive, find: compileOnMatch(on) }
  })
  return c => {
    const ip = read(c)
    if (ip === null) return null
    let first = true
    for (const { table, exclusive, find } of compiled) {
      if (table.find(ip) === null) continue
      const found = first || !exclusive ? find(c) : null
      if (found !== null) return found
      first = false
    }
    return null
  }
}

function compilePredicate(predicate: MatchPredicate<ChainInput>): Test {
  switch (predicate.kind) {
    case 'value': {
      const read = readerOf(predicate.input)
      const match = compileStringMatch(predicate.match)
      return c => {
        const value = read(c)
        return value !== null && match.matches(value)
      }
    }
    case 'not': {
      const test = compilePredicate(predicate.of)
      return c => !test(c)
    }
    case 'and': {
      const tests = predicate.of.map(compilePredicate)
      return c => tests.every(test => test(c))
    }
    case 'or': {
      const tests = predicate.of.map(compilePredicate)
      return c => tests.some(test => test(c))
    }
  }
}

/** Null = there is nothing to match with. */
function readerOf(input: ChainInput): Reader {
  switch (input.kind) {
    case 'destination_ip':
      return c => ipOf(c.local)
    case 'destination_port':
      return c => portOf(c.local)
    case 'source_ip':
      return c => ipOf(c.remote)
    case 'source_port':
      return c => portOf(c.remote)
    case 'direct_source_ip':
      return c => ipOf(c.directRemote)
    case 'source_type':
      return c => (isSameIpOrLoopback(c) ? 'local' : null)
    case 'server_name':
      return c => orNull(c.requestedServerName)
    case 'transport_protocol':
      return c => orNull(c.transportProtocol)
    case 'application_protocols':
      return c => orNull(c.applicationProtocols.map(name => `'${name}'`).join(','))
    case 'filter_state':
      return c => {
        const state = c.streamInfo?.state(input.key)
        return state === undefined ? null : String(state)
      }
    case 'metadata':
      return c => {
        const value = metadataValue(c.streamInfo?.dynamicMetadata ?? null, input.filter, input.path)
        return typeof value === 'string' ? value : null
      }
  }
}

function ipOf(address: Address): string | null {
  return isPipe(address) ? null : address.ip
}

function portOf(address: Address): string | null {
  return isPipe(address) ? null : String(address.port)
}

function orNull(text: string): string | null {
  return text === '' ? null : text
}
