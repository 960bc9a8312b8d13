import type { MatchTree } from '../config/match-tree.ts'
import type { ParsedExtension } from '../config/registry.ts'
import type { Address } from '../io/connection.ts'
import type { SocketOptionConfig } from '../io/listen-socket.ts'
import type { AccessLogConfig } from '../telemetry/access-loggers/config.ts'
import type { FilterChainMatchConfig } from './filter-chain-match.ts'
import type { ChainInput } from './parse-chain-matcher.ts'

/** envoy.config.listener.v3.Listener, parsed: plain data, cloneable, defaults filled in. Times in ms. */
export interface ListenerConfig {
  readonly name: string
  /** The first is `address`, the others `additional_addresses`. */
  readonly addresses: readonly ListenAddressConfig[]
  /** What stands in `listener.<here>.…`: stat_prefix, or the address with `_` for `:`. */
  readonly statAddress: string
  readonly bindToPort: boolean
  /** internal_listener: clusters of this process connect to it by its name. */
  readonly internal: boolean
  readonly useOriginalDst: boolean
  readonly reusePort: boolean
  /** connection_balance_config.exact_balance */
  readonly exactBalance: boolean
  readonly transparent: boolean
  readonly freebind: boolean
  readonly fastOpen: number
  readonly backlog: number
  readonly bufferLimit: number
  readonly listenerFilters: readonly ListenerFilterConfig[]
  /** 0 = no timeout. */
  readonly listenerFiltersTimeout: number
  readonly continueOnTimeout: boolean
  readonly filterChains: readonly FilterChainConfig[]
  readonly defaultFilterChain: FilterChainConfig | null
  /** Finds a chain by its name; null = chains say themselves what they are for. */
  readonly chainMatcher: MatchTree<ChainInput> | null
  /** MODIFY_ONLY: drained when it changes, not by /healthcheck/fail. */
  readonly modifyOnly: boolean
  readonly trafficDirection: 'UNSPECIFIED' | 'INBOUND' | 'OUTBOUND'
  readonly accessLogs: readonly AccessLogConfig[]
  readonly ignoreGlobalLimit: boolean
  /** `filter_metadata` by name; null = none. */
  readonly metadata: Readonly<Record<string, unknown>> | null
}

export interface ListenAddressConfig {
  readonly address: Address
  readonly ipv4Compat: boolean
  /** Mode of a Unix socket; 0 = default. */
  readonly mode: number
  readonly options: readonly SocketOptionConfig[]
}

export interface ListenerFilterConfig extends ParsedExtension {
  /** Null = never disabled. */
  readonly disabled: PortPredicate | null
}

/** envoy.config.listener.v3.ListenerFilterChainMatchPredicate. */
export type PortPredicate =
  | { readonly kind: 'any' }
  | { readonly kind: 'range'; readonly start: number; readonly end: number }
  | { readonly kind: 'not'; readonly rule: PortPredicate }
  | { readonly kind: 'or' | 'and'; readonly rules: readonly PortPredicate[] }

export interface FilterChainConfig {
  readonly name: string
  readonly metadata: Readonly<Record<string, unknown>> | null
  readonly match: FilterChainMatchConfig
  readonly filters: readonly ParsedExtension[]
  /** Null = raw buffer. */
  readonly transportSocket: ParsedExtension | null
  /** 0 = none. */
  readonly transportSocketConnectTimeout: number
}

export function portMatches(predicate: PortPredicate, port: number): boolean {
  switch (predicate.kind) {
    case 'any':
      return true
    case 'range':
      return port >= predicate.start && port < predicate.end
    case 'not':
      return !portMatches(predicate.rule, port)
    case 'or':
      return predicate.rules.some(rule => portMatches(rule, port))
    case 'and':
      return predicate.rules.every(rule => portMatches(rule, port))
  }
}
