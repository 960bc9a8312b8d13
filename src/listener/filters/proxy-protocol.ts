import type { envoy } from '../../config/gen/messages.d.ts'
import type { WorkerServices } from '../../config/services.ts'
import { defineSupport } from '../../config/support.ts'
import type { Counter, StatsScope } from '../../stats/stats.ts'
import {
  type ListenerFilter,
  type ListenerFilterExtension,
  ListenerVerdict,
  type PendingConnection,
} from './listener-filter.ts'
import { MAX_PROXY_HEADER, readProxyHeader } from './proxy-protocol-header.ts'

type Proto = envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol

export interface ProxyProtocolConfig {
  readonly allowWithout: boolean
  readonly allowV1: boolean
  readonly allowV2: boolean
  readonly statPrefix: string
}

const support = defineSupport<Proto>('envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol', {
  allow_requests_without_proxy_protocol: 'yes',
  disallowed_versions: 'yes',
  stat_prefix: 'yes',
  // TLVs are skipped; who wants them kept must not lose them silently.
  rules: 'reject',
  pass_through_tlvs: 'reject',
  tlv_location: 'reject',
})

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
    }
  },
  create: (config, services) => new ProxyProtocol(config, services),
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
    if (header.addresses !== null) {
      const { source, destination } = header.addresses
      connection.remote = source
      if (destination.text !== connection.local.text) {
        connection.local = destination
        connection.localRestored = true
      }
    }
    return ListenerVerdict.Continue
  }
}
