import { isPipe } from '../io/address.ts'
import { CidrTable } from '../io/cidr-table.ts'
import type { Address } from '../io/connection.ts'

/** envoy.config.listener.v3.FilterChainMatch, checked and normalised; empty lists and 0 / '' match anything. */
export interface FilterChainMatchConfig {
  readonly destinationPort: number
  /** `10.0.0.0/8`. */
  readonly prefixRanges: readonly string[]
  /** Lower case; `*.example.com` as `.example.com`. */
  readonly serverNames: readonly string[]
  readonly transportProtocol: string
  readonly applicationProtocols: readonly string[]
  readonly directSourcePrefixRanges: readonly string[]
  readonly sourceType: 'ANY' | 'SAME_IP_OR_LOOPBACK' | 'EXTERNAL'
  readonly sourcePrefixRanges: readonly string[]
  readonly sourcePorts: readonly number[]
}

/** What is asked of a connection; `Connection` has it all. */
export interface MatchFacts {
  readonly local: Address
  readonly remote: Address
  readonly directRemote: Address
  readonly requestedServerName: string
  readonly transportProtocol: string
  readonly applicationProtocols: readonly string[]
}

/** The criteria in the order of their precedence. */
export type MatchCriterion =
  | 'destination_port'
  | 'prefix_ranges'
  | 'server_names'
  | 'transport_protocol'
  | 'application_protocols'
  | 'direct_source_prefix_ranges'
  | 'source_type'
  | 'source_prefix_ranges'
  | 'source_ports'

/** Told of every decision on the way: `chosen` is the key that was followed, null where nothing fitted. */
export interface MatchTrace {
  step(criterion: MatchCriterion, asked: string, chosen: string | null): void
}

const ANY = ['']
const ANY_RANGES = ['0.0.0.0/0', '::/0']
const ANY_PORTS = [0]

type SourcePorts = Map<number, number>
type SourceIps = CidrTable<SourcePorts>
interface SourceTypes {
  any: SourceIps | null
  local: SourceIps | null
  external: SourceIps | null
}
type DirectSources = CidrTable<SourceTypes>
type Applications = Map<string, DirectSources>
type Transports = Map<string, Applications>
type Names = Map<string, Transports>
type Destinations = CidrTable<Names>

/**
 * Envoy's FilterChainManagerImpl: nine nested maps, walked without backtracking. A more specific entry that matches at one
 * level hides the others even when nothing under it fits (`destination_port` 80 hides the chains without a port).
 */
export class FilterChainMatcher {
  readonly #ports = new Map<number, Destinations>()

  /**
   * Adds chain number `index`. Returns false when the chain overlaps with an earlier one in some combination: Envoy rejects the
   * listener then.
   */
  add(match: FilterChainMatchConfig, index: number): boolean {
    let unique = true
    const destinations = child(this.#ports, match.destinationPort, () => new CidrTable<Names>())
    for (const range of orAny(match.prefixRanges, ANY_RANGES)) {
      const names = destinations.at(range, () => new Map())
      for (const name of orAny(match.serverNames, ANY)) {
        const transports = child(names, name, () => new Map() as Transports)
        const applications = child(transports, match.transportProtocol, () => new Map() as Applications)
        for (const protocol of orAny(match.applicationProtocols, ANY)) {
          const direct = child(applications, protocol, () => new CidrTable<SourceTypes>())
          for (const source of orAny(match.directSourcePrefixRanges, ANY_RANGES)) {
            const types = direct.at(source, () => ({ any: null, local: null, external: null }))
            if (!addSource(types, match, index)) unique = false
          }
        }
      }
    }
    return unique
  }

  /** Index of the chain, -1 = none (the default chain's turn). */
  find(facts: MatchFacts, trace: MatchTrace | null = null): number {
    const destinations = this.#byPort(facts, trace)
    const names = destinations?.find(facts.local.ip) ?? null
    trace?.step('prefix_ranges', facts.local.ip, names === null ? null : 'a range')
    if (names === null) return -1
    const transports = byName(names, facts.requestedServerName, trace)
    if (transports === null) return -1
    const transport = transports.has(facts.transportProtocol) ? facts.transportProtocol : ''
    const applications = transports.get(transport)
    trace?.step('transport_protocol', facts.transportProtocol, applications === undefined ? null : transport)
    if (applications === undefined) return -1
    const direct = byApplication(applications, facts.applicationProtocols, trace)
    const types = direct?.find(facts.directRemote.ip) ?? null
    trace?.step('direct_source_prefix_ranges', facts.directRemote.ip, types === null ? null : 'a range')
    if (types === null) return -1
    return bySource(types, facts, trace)
  }

  #byPort(facts: MatchFacts, trace: MatchTrace | null): Destinations | null {
    const own = facts.local.port === 0 ? undefined : this.#ports.get(facts.local.port)
    const found = own ?? this.#ports.get(0) ?? null
    const chosen = own !== undefined ? String(facts.local.port) : found === null ? null : ''
    trace?.step('destination_port', String(facts.local.port), chosen)
    return found
  }
}

function addSource(types: SourceTypes, match: FilterChainMatchConfig, index: number): boolean {
  let unique = true
  let sources: SourceIps
  if (match.sourceType === 'ANY') sources = types.any ??= new CidrTable<SourcePorts>()
  else if (match.sourceType === 'EXTERNAL') sources = types.external ??= new CidrTable<SourcePorts>()
  else sources = types.local ??= new CidrTable<SourcePorts>()
  for (const range of orAny(match.sourcePrefixRanges, ANY_RANGES)) {
    const ports = sources.at(range, () => new Map())
    for (const port of orAny(match.sourcePorts, ANY_PORTS)) {
      if (ports.has(port)) unique = false
      else ports.set(port, index)
    }
  }
  return unique
}

function byName(names: Names, asked: string, trace: MatchTrace | null): Transports | null {
  let chosen: string | null = names.has(asked) ? asked : null
  // ".example.com", then ".com" for "www.example.com"; the whole name does not count as a wildcard of itself.
  for (let dot = asked.indexOf('.', 1); chosen === null && dot > 0 && dot < asked.length - 1; ) {
    const suffix = asked.slice(dot)
    if (names.has(suffix)) chosen = suffix
    dot = asked.indexOf('.', dot + 1)
  }
  if (chosen === null && names.has('')) chosen = ''
  trace?.step('server_names', asked, chosen)
  return chosen === null ? null : (names.get(chosen) ?? null)
}

function byApplication(all: Applications, asked: readonly string[], trace: MatchTrace | null): DirectSources | null {
  let chosen: string | null = null
  for (let i = 0; i < asked.length && chosen === null; i++) if (all.has(asked[i]!)) chosen = asked[i]!
  if (chosen === null && all.has('')) chosen = ''
  trace?.step('application_protocols', asked.join(','), chosen)
  return chosen === null ? null : (all.get(chosen) ?? null)
}

function bySource(types: SourceTypes, facts: MatchFacts, trace: MatchTrace | null): number {
  let sources = types.any
  let chosen = 'ANY'
  if (types.local !== null || types.external !== null) {
    const local = isSameIpOrLoopback(facts)
    if (local && types.local !== null) {
      sources = types.local
      chosen = 'SAME_IP_OR_LOOPBACK'
    } else if (!local && types.external !== null) {
      sources = types.external
      chosen = 'EXTERNAL'
    }
  }
  trace?.step('source_type', facts.remote.ip, sources === null ? null : chosen)
  const ports = sources?.find(facts.remote.ip) ?? null
  trace?.step('source_prefix_ranges', facts.remote.ip, ports === null ? null : 'a range')
  if (ports === null) return -1
  const found = ports.get(facts.remote.port) ?? ports.get(0)
  trace?.step('source_ports', String(facts.remote.port), found === undefined ? null : 'a port')
  return found ?? -1
}

export function isSameIpOrLoopback(facts: MatchFacts): boolean {
  const { ip } = facts.remote
  if (facts.remote.port === 0 && isPipe(facts.remote)) return true
  return ip === facts.local.ip || ip === '::1' || ip.startsWith('127.')
}

function orAny<T>(list: readonly T[], any: readonly T[]): readonly T[] {
  return list.length > 0 ? list : any
}

function child<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}
