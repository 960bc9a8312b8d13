import type { istio } from '../../config/gen/messages.d.ts'
import { defineSupport } from '../../config/support.ts'
import { type AlpnOverride, alpnOverride } from '../../upstream/host-pools.ts'
import type { Cluster } from '../../upstream/upstream.ts'
import { HeadersVerdict, type HttpFilter } from '../filter.ts'
import type { HttpFilterFactory } from '../filter-factory.ts'
import type { StreamContext } from '../stream-context.ts'

type Proto = istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig

const PACKAGE = 'istio.envoy.config.filter.http.alpn.v2alpha1'

const support = defineSupport<Proto>(`${PACKAGE}.FilterConfig`, { alpn_override: 'yes' })

/** Protocols to offer, by what is spoken to the upstream; a list that is empty changes nothing. */
interface AlpnConfig {
  readonly http10: readonly string[]
  readonly http11: readonly string[]
  readonly http2: readonly string[]
}

/**
 * istio.alpn: requests to upstreams of the mesh offer `istio-http/1.1` and the like, by which the sidecar there tells HTTP that
 * comes from a sidecar from TCP and from foreign clients (istio/proxy source/extensions/filters/http/alpn).
 */
export const istioAlpnFactory: HttpFilterFactory<Proto, AlpnConfig> = {
  category: 'envoy.filters.http',
  name: 'istio.alpn',
  typeUrls: [`${PACKAGE}.FilterConfig`],
  parse(proto, at, warnings) {
    support.check(proto, at, warnings)
    // Of several entries for one protocol the first counts (a map's insert).
    const list = (protocol: string): readonly string[] =>
      (proto.alpn_override ?? []).find(o => (o.upstream_protocol ?? 'HTTP10') === protocol)?.alpn_override ?? []
    return { http10: list('HTTP10'), http11: list('HTTP11'), http2: list('HTTP2') }
  },
  create: config => new IstioAlpnFilter(config),
}

class IstioAlpnFilter implements HttpFilter {
  index = 0
  name = ''
  readonly #http10: AlpnOverride | null
  readonly #http11: AlpnOverride | null
  readonly #http2: AlpnOverride | null

  constructor(config: AlpnConfig) {
    const override = (list: readonly string[]) => (list.length === 0 ? null : alpnOverride(list))
    this.#http10 = override(config.http10)
    this.#http11 = override(config.http11)
    this.#http2 = override(config.http2)
  }

  decodeHeaders(s: StreamContext): HeadersVerdict {
    if (s.route() === null) return HeadersVerdict.Continue
    const { cluster } = s
    if (cluster === null || isTurnedOff(cluster)) return HeadersVerdict.Continue
    const { protocol } = cluster.config.http
    if (protocol === 'http2' || protocol === 'auto') s.upstreamAlpn = this.#http2
    else if (protocol !== 'downstream') s.upstreamAlpn = this.#http11
    else if (s.info.protocol === 'HTTP/2') s.upstreamAlpn = this.#http2
    else s.upstreamAlpn = s.info.protocol === 'HTTP/1.0' ? this.#http10 : this.#http11
    return HeadersVerdict.Continue
  }
}

/** Cluster metadata `istio.alpn_override: "false"`: a TLS upstream outside the mesh. */
function isTurnedOff(cluster: Cluster): boolean {
  const own = cluster.metadata?.['istio'] as Readonly<Record<string, unknown>> | undefined
  return own !== undefined && own['alpn_override'] === 'false'
}
