import { isIP } from 'node:net'
import { ConfigError } from '../base/errors.ts'
import { lazyCrypto } from '../base/lazy-modules.ts'
import { parseAccessLogs } from '../config/access-log.ts'
import { checkTerminal, DISCOVERED, parseDiscovered } from '../config/discovered.ts'
import { parseSocketAddress } from '../config/endpoint.ts'
import type { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { type ParsedExtension, parseAny } from '../config/registry.ts'
import { defineSupport, unsupportedValue } from '../config/support.ts'
import { internalAddress, pipeAddress } from '../io/address.ts'
import type { SocketOptionConfig } from '../io/listen-socket.ts'
import { FilterChainMatcher } from './filter-chain-match.ts'
import type {
  FilterChainConfig,
  ListenAddressConfig,
  ListenerConfig,
  ListenerFilterConfig,
  PortPredicate,
} from './listener-config.ts'
import { checkChainNames, parseChainMatcher } from './parse-chain-matcher.ts'
import { parseFilterChainMatch } from './parse-filter-chain-match.ts'

type Proto = envoy.config.listener.v3.Listener
type ChainProto = envoy.config.listener.v3.FilterChain
type PredicateProto = envoy.config.listener.v3.ListenerFilterChainMatchPredicate

const support = defineSupport<Proto>('envoy.config.listener.v3.Listener', {
  name: 'yes',
  address: 'yes',
  additional_addresses: 'yes',
  stat_prefix: 'yes',
  filter_chains: 'yes',
  default_filter_chain: 'yes',
  use_original_dst: 'yes',
  per_connection_buffer_limit_bytes: 'yes',
  metadata: 'yes',
  deprecated_v1: 'yes',
  drain_type: 'yes',
  listener_filters: 'yes',
  listener_filters_timeout: 'yes',
  continue_on_listener_filters_timeout: 'yes',
  transparent: 'yes',
  freebind: 'yes',
  socket_options: 'yes',
  tcp_fast_open_queue_length: 'yes',
  traffic_direction: 'yes',
  connection_balance_config: 'yes',
  reuse_port: 'yes',
  enable_reuse_port: 'yes',
  access_log: 'yes',
  tcp_backlog_size: 'yes',
  // Node accepts in a loop until the queue is empty.
  max_connections_to_accept_per_socket_event: 'warn',
  bind_to_port: 'yes',
  ignore_global_conn_limit: 'yes',
  bypass_overload_manager: 'warn',
  enable_mptcp: 'reject',
  internal_listener: 'yes',
  api_listener: 'reject',
  udp_listener_config: 'reject',
  filter_chain_matcher: 'yes',
  fcds_config: 'reject',
})

const chainSupport = defineSupport<ChainProto>('envoy.config.listener.v3.FilterChain', {
  filter_chain_match: 'yes',
  filters: 'yes',
  metadata: 'yes',
  transport_socket: 'yes',
  transport_socket_connect_timeout: 'yes',
  name: 'yes',
})

const DEFAULT_BUFFER_LIMIT = 1024 * 1024
const DEFAULT_FILTERS_TIMEOUT = 15_000
/** The kernel cuts it down to net.core.somaxconn, which is what Envoy takes. */
const DEFAULT_BACKLOG = 4096
const ORIGINAL_DST = 'envoy.extensions.filters.listener.original_dst.v3.OriginalDst'

/** Pure; runs on main. @throws ConfigError in Envoy's words */
export function parseListener(proto: Proto, at: FieldPath, warnings: string[]): ListenerConfig {
  support.check(withoutFalse(proto), at, warnings)
  const name = proto.name ?? ''
  const internal = proto.internal_listener !== undefined
  const addresses = internal ? [internalListenAddress(proto, name, at)] : parseAddresses(proto, name, at)
  const { text } = addresses[0]!.address
  const bindToPort = !internal && (proto.bind_to_port ?? proto.deprecated_v1?.bind_to_port ?? true)
  const useOriginalDst = proto.use_original_dst ?? false
  const listenerFilters = parseListenerFilters(proto, at, warnings)
  // Envoy adds the filter by itself for the old flag.
  if (useOriginalDst && !listenerFilters.some(f => f.typeUrl === ORIGINAL_DST)) {
    const name = 'envoy.filters.listener.original_dst'
    listenerFilters.unshift({
      name,
      category: 'envoy.filters.listener',
      typeUrl: ORIGINAL_DST,
      config: null,
      disabled: null,
    })
  }
  const filterChains = (proto.filter_chains ?? []).map((chain, i) =>
    parseChain(chain, text, at.field('filter_chains').index(i), warnings),
  )
  const fallback = proto.default_filter_chain
  if (filterChains.length === 0 && fallback === undefined) {
    throw new ConfigError(
      'CONFIG_INVALID',
      at.field('filter_chains'),
      `error adding listener '${text}': no filter chains specified`,
    )
  }
  const { filter_chain_matcher: matcher } = proto
  if (matcher === undefined) checkMatches(proto, filterChains, text, at)
  else {
    const names = filterChains.map(chain => chain.name)
    checkChainNames(names, text, at.field('filter_chains'))
  }
  return {
    // Envoy names it so, too; without a name it can be neither updated nor removed.
    name: name === '' ? lazyCrypto().randomUUID() : name,
    addresses,
    statAddress:
      proto.stat_prefix === undefined || proto.stat_prefix === ''
        ? internal
          ? `envoy_internal_${name}`
          : text.replaceAll(':', '_')
        : proto.stat_prefix,
    bindToPort,
    internal,
    useOriginalDst,
    reusePort: proto.enable_reuse_port ?? proto.reuse_port ?? true,
    exactBalance: parseBalance(proto.connection_balance_config, at.field('connection_balance_config')),
    transparent: proto.transparent ?? false,
    freebind: proto.freebind ?? false,
    fastOpen: proto.tcp_fast_open_queue_length ?? 0,
    backlog: proto.tcp_backlog_size ?? DEFAULT_BACKLOG,
    bufferLimit: proto.per_connection_buffer_limit_bytes ?? DEFAULT_BUFFER_LIMIT,
    listenerFilters,
    listenerFiltersTimeout: proto.listener_filters_timeout ?? DEFAULT_FILTERS_TIMEOUT,
    continueOnTimeout: proto.continue_on_listener_filters_timeout ?? false,
    filterChains,
    defaultFilterChain:
      fallback === undefined ? null : parseChain(fallback, text, at.field('default_filter_chain'), warnings),
    chainMatcher: matcher === undefined ? null : parseChainMatcher(matcher, at.field('filter_chain_matcher')),
    modifyOnly: proto.drain_type === 'MODIFY_ONLY' || proto.drain_type === 1,
    trafficDirection: direction(proto.traffic_direction),
    accessLogs: parseAccessLogs(proto.access_log ?? [], at.field('access_log'), warnings),
    // What comes from within has been counted where it came in.
    ignoreGlobalLimit: internal || (proto.ignore_global_conn_limit ?? false),
    metadata: proto.metadata?.filter_metadata ?? null,
  }
}

function parseBalance(proto: Proto['connection_balance_config'], at: FieldPath): boolean {
  if (proto === undefined) return false
  if (proto.extend_balance !== undefined) {
    throw unsupportedValue(at.field('extend_balance'), proto.extend_balance.name ?? '', 'exact_balance is supported')
  }
  if (proto.exact_balance !== undefined) return true
  throw new ConfigError('CONFIG_INVALID', at, 'No valid balance type for connection balance', {
    advice: 'set exact_balance, or remove it',
  })
}

function parseAddresses(proto: Proto, name: string, at: FieldPath): ListenAddressConfig[] {
  if (proto.address === undefined) {
    throw new ConfigError(
      'CONFIG_INVALID',
      at.field('address'),
      `error adding listener named '${name}': address is necessary`,
    )
  }
  const options = socketOptions(proto.socket_options, at.field('socket_options'))
  const addresses = [parseAddress(proto.address, name, at.field('address'), options)]
  for (const [i, more] of (proto.additional_addresses ?? []).entries()) {
    const here = at.field('additional_addresses').index(i)
    if (more.tcp_keepalive !== undefined) throw unsupportedValue(here.field('tcp_keepalive'), 'set')
    const own = more.socket_options === undefined ? options : socketOptions(more.socket_options.socket_options, here)
    addresses.push(parseAddress(more.address ?? {}, name, here.field('address'), own))
  }
  return addresses
}

/** Fields that are about a listening socket of TCP. */
const TCP_FEATURES = [
  'enable_reuse_port',
  'freebind',
  'transparent',
  'tcp_backlog_size',
  'tcp_fast_open_queue_length',
  'connection_balance_config',
] as const

/** ListenerImpl::validateConfig, and what its constructor says of internal listeners. */
function internalListenAddress(proto: Proto, name: string, at: FieldPath): ListenAddressConfig {
  const refuse = (field: keyof Proto & string, text: string): never => {
    throw new ConfigError('CONFIG_INVALID', at.field(field), text)
  }
  if (proto.address !== undefined || (proto.additional_addresses ?? []).length > 0) {
    const text = 'address should not be used when an internal listener config is provided'
    refuse(proto.address === undefined ? 'additional_addresses' : 'address', `error adding listener '${name}': ${text}`)
  }
  for (const field of TCP_FEATURES) {
    if (proto[field] !== undefined)
      refuse(field, `error adding listener named '${name}': has unsupported tcp listener feature`)
  }
  if ((proto.socket_options ?? []).length > 0)
    refuse('socket_options', `error adding listener named '${name}': does not support socket option`)
  return { address: internalAddress(name, ''), ipv4Compat: false, mode: 0, options: [] }
}

function parseAddress(
  proto: envoy.config.core.v3.Address,
  listener: string,
  at: FieldPath,
  options: readonly SocketOptionConfig[],
): ListenAddressConfig {
  if (proto.pipe !== undefined) {
    const path = proto.pipe.path ?? ''
    return { address: pipeAddress(path), ipv4Compat: false, mode: proto.pipe.mode ?? 0, options }
  }
  if (proto.envoy_internal_address !== undefined) {
    const text = `error adding listener named '${listener}': use internal_listener field instead of address for internal listeners`
    throw new ConfigError('CONFIG_INVALID', at.field('envoy_internal_address'), text)
  }
  const socket = proto.socket_address ?? {}
  if (socket.network_namespace_filepath !== undefined && socket.network_namespace_filepath !== '') {
    throw unsupportedValue(
      at.field('socket_address').field('network_namespace_filepath'),
      socket.network_namespace_filepath,
    )
  }
  const address = parseSocketAddress(socket, at.field('socket_address'))
  return { address, ipv4Compat: (socket.ipv4_compat ?? false) && isIP(address.ip) === 6, mode: 0, options }
}

export function socketOptions(
  protos: readonly envoy.config.core.v3.SocketOption[] | undefined,
  at: FieldPath,
): readonly SocketOptionConfig[] {
  return (protos ?? []).map((option, i) => {
    if (option.type !== undefined) throw unsupportedValue(at.index(i).field('type'), 'set')
    const state = option.state ?? 'STATE_PREBIND'
    return {
      level: Number(option.level ?? 0),
      name: Number(option.name ?? 0),
      value: option.buf_value ?? Number(option.int_value ?? 0),
      state: SOCKET_STATES[state] ?? 'STATE_PREBIND',
    }
  })
}

const SOCKET_STATES: Readonly<Record<string, SocketOptionConfig['state']>> = {
  STATE_BOUND: 'STATE_BOUND',
  STATE_LISTENING: 'STATE_LISTENING',
  1: 'STATE_BOUND',
  2: 'STATE_LISTENING',
}

function parseListenerFilters(proto: Proto, at: FieldPath, warnings: string[]): ListenerFilterConfig[] {
  return (proto.listener_filters ?? []).map((filter, i) => {
    const here = at.field('listener_filters').index(i)
    if (filter.config_discovery !== undefined) throw unsupportedValue(here.field('config_discovery'), filter.name ?? '')
    const parsed = parseAny(
      filter.typed_config,
      'envoy.filters.listener',
      filter.name ?? '',
      here.field('typed_config'),
      warnings,
    )
    return {
      ...parsed,
      disabled: filter.filter_disabled === undefined ? null : predicate(filter.filter_disabled, here),
    }
  })
}

function predicate(proto: PredicateProto, at: FieldPath): PortPredicate {
  const rules = (set: envoy.config.listener.v3.ListenerFilterChainMatchPredicate_MatchSet): PortPredicate[] =>
    (set.rules ?? []).map(rule => predicate(rule, at))
  if (proto.or_match !== undefined) return { kind: 'or', rules: rules(proto.or_match) }
  if (proto.and_match !== undefined) return { kind: 'and', rules: rules(proto.and_match) }
  if (proto.not_match !== undefined) return { kind: 'not', rule: predicate(proto.not_match, at) }
  if (proto.any_match !== undefined) return { kind: 'any' }
  const range = proto.destination_port_range
  if (range === undefined)
    throw new ConfigError('CONFIG_INVALID', at.field('filter_disabled'), 'field: "rule", reason: is required')
  return { kind: 'range', start: range.start ?? 0, end: range.end ?? 0 }
}

function parseChain(proto: ChainProto, listener: string, at: FieldPath, warnings: string[]): FilterChainConfig {
  chainSupport.check(withoutFalse(proto), at, warnings)
  const socket = proto.transport_socket
  const protos = proto.filters ?? []
  const filters: ParsedExtension[] = []
  for (const [i, filter] of protos.entries()) {
    const here = at.field('filters').index(i)
    const name = filter.name ?? ''
    const category = 'envoy.filters.network'
    const last = i === protos.length - 1
    if (filter.config_discovery !== undefined) {
      const place = here.field('config_discovery')
      const config = parseDiscovered(filter.config_discovery, category, name, last, place, warnings)
      filters.push({ name, category, typeUrl: DISCOVERED, config })
      continue
    }
    const parsed = parseAny(filter.typed_config, category, name, here.field('typed_config'), warnings)
    checkTerminal(category, name, parsed.typeUrl, last, here)
    filters.push(parsed)
  }
  return {
    name: proto.name ?? '',
    metadata: proto.metadata?.filter_metadata ?? null,
    match: parseFilterChainMatch(
      proto.filter_chain_match ?? {},
      listener,
      proto.name ?? '',
      at.field('filter_chain_match'),
      warnings,
    ),
    filters,
    transportSocket:
      socket === undefined
        ? null
        : parseAny(
            socket.typed_config,
            'envoy.transport_sockets.downstream',
            socket.name ?? '',
            at.field('transport_socket').field('typed_config'),
            warnings,
          ),
    transportSocketConnectTimeout: proto.transport_socket_connect_timeout ?? 0,
  }
}

function checkMatches(proto: Proto, chains: readonly FilterChainConfig[], listener: string, at: FieldPath): void {
  const matcher = new FilterChainMatcher()
  const seen = new Map<string, string>()
  for (const [i, chain] of chains.entries()) {
    const here = at.field('filter_chains').index(i)
    const key = JSON.stringify(chain.match)
    const earlier = seen.get(key)
    if (earlier !== undefined) {
      const match = JSON.stringify(proto.filter_chains?.[i]?.filter_chain_match ?? {})
      throw new ConfigError(
        'CONFIG_DUPLICATE',
        here,
        `error adding listener '${listener}': filter chain '${chain.name}' has the same matching rules defined as '${earlier}'. duplicate matcher is: ${match}`,
      )
    }
    seen.set(key, chain.name)
    if (!matcher.add(chain.match, i)) {
      throw new ConfigError(
        'CONFIG_DUPLICATE',
        here,
        `error adding listener '${listener}': multiple filter chains with overlapping matching rules are defined`,
      )
    }
  }
}

function direction(value: Proto['traffic_direction']): ListenerConfig['trafficDirection'] {
  if (value === 'INBOUND' || value === 1) return 'INBOUND'
  return value === 'OUTBOUND' || value === 2 ? 'OUTBOUND' : 'UNSPECIFIED'
}

/** `false` is the default of every flag: saying so asks for nothing. */
function withoutFalse<T extends object>(proto: T): T {
  return Object.fromEntries(
    Object.entries(proto).filter(([name, value]) => value !== false || name === 'bind_to_port'),
  ) as T
}
