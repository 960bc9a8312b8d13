import type { FieldPath } from '../../config/field-path.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import type { WorkerServices } from '../../config/services.ts'
import { defineSupport } from '../../config/support.ts'
import { ownAddresses, Proxied } from '../../io/proxied.ts'
import { isPassed, type PassedTlvs, parsePassedTlvs } from '../../io/transport-sockets/passed-tlvs.ts'
import type { Counter, StatsScope } from '../../stats/stats.ts'
import {
  type ListenerFilter,
  type ListenerFilterExtension,
  ListenerVerdict,
  type PendingConnection,
} from './listener-filter.ts'
import { MAX_PROXY_HEADER, readProxyHeader } from './proxy-protocol-header.ts'
import { applyTlvRules, type TlvRule } from './proxy-protocol-tlvs.ts'

type Proto = envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol
type RuleProto = envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol_Rule
type PairProto = envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol_KeyValuePair

export interface ProxyProtocolConfig {
  readonly allowWithout: boolean
  readonly allowV1: boolean
  readonly allowV2: boolean
  readonly statPrefix: string
  /** TLVs that upstream PROXY headers may tell on. */
  readonly passed: PassedTlvs
  readonly rules: readonly TlvRule[]
  /** Where the rules put values: dynamic metadata, or one object of the filter state. */
  readonly rulesTo: 'metadata' | 'state'
}

const support = defineSupport<Proto>('envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol', {
  allow_requests_without_proxy_protocol: 'yes',
  disallowed_versions: 'yes',
  stat_prefix: 'yes',
  rules: 'yes',
  pass_through_tlvs: 'yes',
  tlv_location: 'yes',
})
const ruleSupport = defineSupport<RuleProto>('envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol.Rule', {
  tlv_type: 'yes',
  on_tlv_present: 'yes',
})
const pairSupport = defineSupport<PairProto>(
  'envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol.KeyValuePair',
  { metadata_namespace: 'yes', key: 'yes', value_string_encoding: 'yes' },
)

/** envoy.filters.listener.proxy_protocol */
export const proxyProtocolFactory: ListenerFilterExtension<Proto, ProxyProtocolConfig> = {
  category: 'envoy.filters.listener',
  name: 'envoy.filters.listener.proxy_protocol',
  typeUrls: ['envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol'],
  parse(proto, at, warnings) {
    support.check(proto, at, warnings)
    const disallowed = (proto.disallowed_versions ?? []).map(String)
    return {
      allowWithout: proto.allow_requests_without_proxy_protocol ?? false,
      allowV1: !disallowed.includes('V1') && !disallowed.includes('0'),
      allowV2: !disallowed.includes('V2') && !disallowed.includes('1'),
      statPrefix: proto.stat_prefix ?? '',
      passed: parsePassedTlvs(proto.pass_through_tlvs, at.field('pass_through_tlvs'), warnings),
      rules: (proto.rules ?? []).map((rule, i) => parseRule(rule, at.field('rules').index(i), warnings)),
      rulesTo: proto.tlv_location === 'FILTER_STATE' ? 'state' : 'metadata',
    }
  },
  create: (config, services) => new ProxyProtocol(config, services),
}

function parseRule(rule: RuleProto, at: FieldPath, warnings: string[]): TlvRule {
  ruleSupport.check(rule, at, warnings)
  const pair = rule.on_tlv_present ?? {}
  pairSupport.check(pair, at.field('on_tlv_present'), warnings)
  return {
    type: rule.tlv_type ?? 0,
    namespace: pair.metadata_namespace || 'envoy.filters.listener.proxy_protocol',
    key: pair.key ?? '',
    base64: pair.value_string_encoding === 'BASE64',
  }
}

class VersionStats {
  readonly found: Counter
  readonly error: Counter
  readonly disallowed: Counter

  constructor(scope: StatsScope) {
    this.found = scope.counter('found')
    this.error = scope.counter('error')
    this.disallowed = scope.counter('disallowed')
  }
}

class ProxyProtocol implements ListenerFilter {
  readonly maxBytes = MAX_PROXY_HEADER
  readonly #config: ProxyProtocolConfig
  readonly #v1: VersionStats
  readonly #v2: VersionStats
  readonly #notFoundAllowed: Counter
  readonly #notFoundDisallowed: Counter
  readonly #legacyError: Counter

  constructor(config: ProxyProtocolConfig, services: WorkerServices) {
    this.#config = config
    const scope = services.stats.scope(`proxy_proto.${config.statPrefix === '' ? '' : `${config.statPrefix}.`}`)
    this.#v1 = new VersionStats(scope.scope('versions.v1.'))
    this.#v2 = new VersionStats(scope.scope('versions.v2.'))
    this.#notFoundAllowed = scope.counter('not_found_allowed')
    this.#notFoundDisallowed = scope.counter('not_found_disallowed')
    this.#legacyError = services.stats.counter('downstream_cx_proxy_proto_error')
  }

  inspect(pending: PendingConnection): ListenerVerdict {
    const { bytes, connection } = pending
    if (bytes.length === 0) return ListenerVerdict.NeedMore
    const header = readProxyHeader(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    if (header.kind === 'more') return ListenerVerdict.NeedMore
    if (header.kind === 'absent') {
      if (this.#config.allowWithout) {
        this.#notFoundAllowed.inc()
        return ListenerVerdict.Continue
      }
      this.#notFoundDisallowed.inc()
      this.#legacyError.inc()
      return ListenerVerdict.Reject
    }
    const stats = header.version === 1 ? this.#v1 : this.#v2
    if (header.kind === 'error') {
      stats.error.inc()
      this.#legacyError.inc()
      return ListenerVerdict.Reject
    }
    if (header.version === 1 ? !this.#config.allowV1 : !this.#config.allowV2) {
      // With the escape hatch a disallowed version is ordinary data, as in Envoy.
      stats.disallowed.inc()
      if (this.#config.allowWithout) return ListenerVerdict.Continue
      return ListenerVerdict.Reject
    }
    stats.found.inc()
    pending.consume(header.length)
    applyTlvRules(connection, header.tlvs, this.#config)
    if (header.addresses === null) {
      connection.proxied = ownAddresses(connection)
      return ListenerVerdict.Continue
    }
    const { source, destination } = header.addresses
    connection.remote = source
    if (destination.text !== connection.local.text) {
      connection.local = destination
      connection.localRestored = true
    }
    const { passed } = this.#config
    const told = header.tlvs.filter(({ type }) => isPassed(passed, type))
    connection.proxied = new Proxied(source, destination, told)
    return ListenerVerdict.Continue
  }
}
