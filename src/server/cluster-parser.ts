import { UnderscoreAction } from '../codec/http2/header-receiver.ts'
import { parseHttp1Options, parseHttp2Options } from '../codec/protocol-options.ts'
import type { ClusterParser } from '../config/cluster.ts'
import type { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { parseAny, unregistered } from '../config/registry.ts'
import { unsupportedValue } from '../config/support.ts'
import { type TransportLayer, transportLayers } from '../io/transport-sockets/layers.ts'
import type { TransportSocketConfig } from '../upstream/cluster-config.ts'

const RAW_BUFFER = 'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer'

/** What the parser of clusters needs from the registries of extensions. */
export function clusterParser(warn: (text: string) => void): ClusterParser {
  const warnings: string[] = []
  const tell = (): void => {
    for (const text of warnings.splice(0)) warn(text)
  }
  return {
    transportSocket(proto: envoy.config.core.v3.TransportSocket, at: FieldPath): TransportSocketConfig {
      const name = proto.name ?? ''
      const place = at.field('typed_config')
      if (proto.typed_config === undefined) {
        // Without a typed_config Envoy finds this one, and only this one is worth having, by its name.
        if (name === 'envoy.transport_sockets.raw_buffer') return { name, typeUrl: RAW_BUFFER, config: null }
        throw unregistered('envoy.transport_sockets.upstream', name, '', place)
      }
      const parsed = parseAny(proto.typed_config, 'envoy.transport_sockets.upstream', name, place, warnings)
      tell()
      return { name, typeUrl: parsed.typeUrl, config: parsed.config }
    },
    supportsAlpn,
    httpFilters(protos, at) {
      const parsed = protos.map((filter, i) => {
        const place = at.index(i).field('typed_config')
        return parseAny(filter.typed_config, 'envoy.filters.http.upstream', filter.name ?? '', place, warnings)
      })
      tell()
      return parsed
    },
    networkFilters(protos, at) {
      const parsed = protos.map((filter, i) => {
        const place = at.index(i)
        const name = filter.name ?? ''
        if (filter.config_discovery !== undefined) throw unsupportedValue(place.field('config_discovery'), name)
        const typed = place.field('typed_config')
        return parseAny(filter.typed_config, 'envoy.filters.upstream_network', name, typed, warnings)
      })
      tell()
      return parsed
    },
    protocolOptions(http1, http2, limits, at) {
      // Envoy's defaults for response heads differ by protocol.
      const parsed = {
        http1: parseHttp1Options(http1, { ...limits, maxHeadersKb: limits.maxHeadersKb || 80 }, at, warnings),
        http2: parseHttp2Options(
          http2,
          { ...limits, maxHeadersKb: limits.maxHeadersKb || 60 },
          UnderscoreAction.Allow,
          0,
          at,
          warnings,
        ),
      }
      tell()
      return parsed
    },
    warn,
  }
}

function supportsAlpn(socket: TransportLayer): boolean {
  for (const { typeUrl } of transportLayers(socket)) if (typeUrl.endsWith('UpstreamTlsContext')) return true
  return false
}
