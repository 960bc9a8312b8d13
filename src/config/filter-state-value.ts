import { ConfigError } from '../base/errors.ts'
import type { FieldPath } from './field-path.ts'
import type { FormatConfig } from './format-string.ts'
import type { envoy } from './gen/messages.d.ts'
import { parseSubstitutionFormat } from './substitution-format.ts'
import { defineSupport, unsupportedValue } from './support.ts'

type Proto = envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue

const support = defineSupport<Proto>('envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue', {
  object_key: 'yes',
  factory_key: 'yes',
  format_string: 'yes',
  // Deprecated, and without effect in Envoy 1.40, too.
  read_only: 'yes',
  shared_with_upstream: 'yes',
  skip_if_empty: 'yes',
})

/** What is made of the text: itself, the same as part of what pools are told apart by, or an address `ip:port`. */
export type StateObjectKind = 'string' | 'hashable' | 'address'

/** How far an object of the filter state goes: into no upstream connection, into the next internal listener, or into all behind it. */
export type StateSharing = 'none' | 'once' | 'transitive'

/** One value that set_filter_state sets. Cloneable. */
export interface FilterStateValueConfig {
  readonly key: string
  readonly kind: StateObjectKind
  readonly format: FormatConfig
  readonly sharing: StateSharing
  readonly skipIfEmpty: boolean
}

/** ORIGINAL_DST clusters connect there. */
export const DESTINATION_STATE = 'envoy.network.transport_socket.original_dst_address'
/** What the original_dst listener filter of an internal listener takes for the two ends of the connection. */
export const LOCAL_STATE = 'envoy.filters.listener.original_dst.local_ip'
export const REMOTE_STATE = 'envoy.filters.listener.original_dst.remote_ip'
/** The cluster that tcp_proxy takes instead of its own. */
export const TCP_CLUSTER_STATE = 'envoy.tcp_proxy.cluster'
/** tcp_proxy connects without its tunnel. */
export const NO_TUNNEL_STATE = 'envoy.tcp_proxy.disable_tunneling'

/** Object factories by name (envoy.filter_state.object). */
const FACTORIES: Readonly<Record<string, StateObjectKind>> = {
  'envoy.string': 'string',
  'envoy.hashable_string': 'hashable',
  'istio.hashable_string': 'hashable',
  [DESTINATION_STATE]: 'address',
  [LOCAL_STATE]: 'address',
  [REMOTE_STATE]: 'address',
  [TCP_CLUSTER_STATE]: 'string',
  [NO_TUNNEL_STATE]: 'string',
}

/** Factories of the real Envoy whose objects nothing here would read. */
const UNREAD = new Set([
  'envoy.network.application_protocols',
  'envoy.network.ip',
  'envoy.network.upstream_server_name',
  'envoy.network.upstream_subject_alt_names',
  'envoy.ratelimit.hits_addend',
  'envoy.tcp_proxy.per_connection_idle_timeout_ms',
  'envoy.tls.cert_validator.subject_alt_names',
  'envoy.upstream.dynamic_host',
  'envoy.upstream.dynamic_port',
])

export function parseFilterStateValues(
  protos: readonly Proto[],
  at: FieldPath,
  warnings: string[],
): readonly FilterStateValueConfig[] {
  return protos.map((proto, i) => parseValue(proto, at.index(i), warnings))
}

function parseValue(proto: Proto, at: FieldPath, warnings: string[]): FilterStateValueConfig {
  support.check(proto, at, warnings)
  const key = proto.object_key ?? ''
  const { factory_key: named = '' } = proto
  const factory = named === '' ? key : named
  const kind = FACTORIES[factory]
  if (kind === undefined) {
    const field = at.field(named === '' ? 'object_key' : 'factory_key')
    if (UNREAD.has(factory)) throw unsupportedValue(field, factory, 'nothing acts on such an object')
    throw new ConfigError('CONFIG_INVALID', field, `'${key}' does not have an object factory`, {
      advice: 'name a factory in factory_key: envoy.string keeps the text as it is',
    })
  }
  return {
    key,
    kind,
    format: parseSubstitutionFormat(proto.format_string ?? {}, at.field('format_string')),
    sharing: sharing(proto.shared_with_upstream),
    skipIfEmpty: proto.skip_if_empty ?? false,
  }
}

function sharing(proto: Proto['shared_with_upstream']): StateSharing {
  if (proto === 'ONCE' || proto === 1) return 'once'
  return proto === 'TRANSITIVE' || proto === 2 ? 'transitive' : 'none'
}
