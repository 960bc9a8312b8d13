import { ConfigError } from '../../base/errors.ts'
import type { FieldPath } from '../../config/field-path.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import type { ExtensionFactory } from '../../config/registry.ts'
import { defineSupport } from '../../config/support.ts'
import type { Tlv } from '../proxied.ts'
import { createInner, parseInner, type WrappingConfig } from './layers.ts'
import { type PassedTlvs, parsePassedTlvs } from './passed-tlvs.ts'
import type { ClientTransport } from './tls.ts'

type Proto = envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport
type ConfigProto = envoy.config.core.v3.ProxyProtocolConfig
type EntryProto = envoy.config.core.v3.TlvEntry

export const UPSTREAM_PROXY_PROTOCOL =
  'envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport'

/** The one stat, under `cluster.<name>.`. */
export const TOO_LONG_TLVS = 'upstream.proxyprotocol.v2_tlvs_exceed_max_length'

const support = defineSupport<Proto>(UPSTREAM_PROXY_PROTOCOL, {
  config: 'yes',
  transport_socket: 'yes',
  // Envoy has neither in effect: addresses are always told, and here the pool key always has the TLVs.
  allow_unspecified_address: 'warn',
  tlv_as_pool_key: 'warn',
})
const configSupport = defineSupport<ConfigProto>('envoy.config.core.v3.ProxyProtocolConfig', {
  version: 'yes',
  pass_through_tlvs: 'yes',
  added_tlvs: 'yes',
})
const entrySupport = defineSupport<EntryProto>('envoy.config.core.v3.TlvEntry', {
  type: 'yes',
  value: 'yes',
  format_string: 'reject',
})

export interface UpstreamProxyProtocolConfig extends WrappingConfig {
  readonly version: 1 | 2
  readonly passed: PassedTlvs
  readonly added: readonly Tlv[]
}

/**
 * envoy.transport_sockets.upstream_proxy_protocol: a connection begins with a PROXY header. The connector writes it
 * (`ProxyHeaderWriter`); as a transport this is the one that it wraps.
 */
export const upstreamProxyProtocol: ExtensionFactory<Proto, UpstreamProxyProtocolConfig, unknown, ClientTransport> = {
  category: 'envoy.transport_sockets.upstream',
  name: 'envoy.transport_sockets.upstream_proxy_protocol',
  typeUrls: [UPSTREAM_PROXY_PROTOCOL],
  parse(proto, at, warnings) {
    support.check(proto, at, warnings)
    const config = proto.config ?? {}
    const where = at.field('config')
    configSupport.check(config, where, warnings)
    return {
      version: config.version === 'V2' ? 2 : 1,
      passed: parsePassedTlvs(config.pass_through_tlvs, where.field('pass_through_tlvs'), warnings),
      added: parseTlvEntries(config.added_tlvs ?? [], where.field('added_tlvs'), warnings),
      inner: parseInner(proto.transport_socket, 'envoy.transport_sockets.upstream', at, warnings),
    }
  },
  create: createInner<ClientTransport>,
}

export function parseTlvEntries(entries: readonly EntryProto[], at: FieldPath, warnings: string[]): Tlv[] {
  return entries.map((entry, i) => {
    const where = at.index(i)
    entrySupport.check(entry, where, warnings)
    const { type = 0, value } = entry
    if (value === undefined || value.length === 0) {
      const text = "Invalid TLV configuration: one of 'value' or 'format_string' must be set."
      throw new ConfigError('CONFIG_INVALID', where, text)
    }
    return { type, value }
  })
}
