import type { HeaderBlock } from '../../codec/header-block.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { defineSupport } from '../../config/support.ts'
import type { StateObject } from '../../telemetry/format-operators-metadata.ts'
import type { Cluster } from '../../upstream/upstream.ts'
import { DataVerdict, HeadersVerdict, type HttpFilter } from '../filter.ts'
import type { HttpFilterFactory } from '../filter-factory.ts'
import { hasGrpcContentType, isGrpcRequest } from '../grpc.ts'
import { GrpcFrameCounter } from '../grpc-frames.ts'
import type { StreamContext } from '../stream-context.ts'

type Proto = envoy.extensions.filters.http.grpc_stats.v3.FilterConfig

const support = defineSupport<Proto>('envoy.extensions.filters.http.grpc_stats.v3.FilterConfig', {
  emit_filter_state: 'yes',
  individual_method_stats_allowlist: 'yes',
  stats_for_all_methods: 'yes',
  enable_upstream_stats: 'yes',
  replace_dots_in_grpc_service_name: 'yes',
})

interface GrpcStatsConfig {
  readonly emitFilterState: boolean
  /** `/service/method` of those that are counted on their own; null = all. */
  readonly methods: readonly string[] | null
  readonly upstreamStats: boolean
  readonly replaceDots: boolean
}

export const grpcStatsFactory: HttpFilterFactory<Proto, GrpcStatsConfig> = {
  category: 'envoy.filters.http',
  name: 'envoy.filters.http.grpc_stats',
  typeUrls: ['envoy.extensions.filters.http.grpc_stats.v3.FilterConfig'],
  parse(proto, at, warnings) {
    support.check(proto, at, warnings)
    const list = proto.individual_method_stats_allowlist?.services ?? []
    return {
      emitFilterState: proto.emit_filter_state ?? false,
      methods:
        proto.stats_for_all_methods === true
          ? null
          : list.flatMap(s => (s.method_names ?? []).map(method => `/${s.name ?? ''}/${method}`)),
      upstreamStats: proto.enable_upstream_stats ?? false,
      replaceDots: proto.replace_dots_in_grpc_service_name ?? false,
    }
  },
  create: config => new GrpcStatsFilter(config),
}

/** Filter state `envoy.filters.http.grpc_stats`: prints itself as the message and the text of the real filter. */
export class GrpcMessageCounts implements StateObject {
  request = 0
  response = 0

  toJSON(): object {
    return {
      ...(this.request > 0 ? { requestMessageCount: String(this.request) } : {}),
      ...(this.response > 0 ? { responseMessageCount: String(this.response) } : {}),
    }
  }

  toString(): string {
    return `${this.request},${this.response}`
  }
}

/** Key of `GrpcMessageCounts`. */
export const GRPC_STATS = 'envoy.filters.http.grpc_stats'

class GrpcState {
  isGrpc = false
  cluster: Cluster | null = null
  /** Of the stats: `grpc.`, or `grpc.<service>.<method>.`; '' = this method is not counted. */
  prefix = ''
  counts: GrpcMessageCounts | null = null
  readonly requests = new GrpcFrameCounter()
  readonly responses = new GrpcFrameCounter()
}

/** Dynamic names come from requests: after so many methods the rest are not counted on their own. */
const MAX_METHODS = 1024

/** envoy.filters.http.grpc_stats */
class GrpcStatsFilter implements HttpFilter<GrpcState> {
  index = 0
  name = ''
  readonly #config: GrpcStatsConfig
  readonly #prefixes = new Map<string, string>()

  constructor(config: GrpcStatsConfig) {
    this.#config = config
    for (const path of config.methods ?? []) this.#prefixes.set(path, this.#prefixOf(path))
  }

  newState(): GrpcState {
    return new GrpcState()
  }

  decodeHeaders(s: StreamContext, h: HeaderBlock): HeadersVerdict {
    if (!isGrpcRequest(h)) return HeadersVerdict.Continue
    const state = s.slot(this.index) as GrpcState
    state.isGrpc = true
    s.route()
    state.cluster = s.cluster
    if (state.cluster !== null) state.prefix = this.#statPrefix(h.path)
    return HeadersVerdict.Continue
  }

  decodeData(s: StreamContext, d: Uint8Array): DataVerdict {
    if (!s.hasSlot(this.index)) return DataVerdict.Continue
    const state = s.slot(this.index) as GrpcState
    const messages = state.requests.inspect(d)
    if (messages === 0) return DataVerdict.Continue
    this.#emit(s, state).request = state.requests.messages
    if (state.prefix !== '') state.cluster!.stats.counter(`${state.prefix}request_message_count`).add(messages)
    return DataVerdict.Continue
  }

  encodeHeaders(s: StreamContext, h: HeaderBlock, end: boolean): HeadersVerdict {
    if (s.hasSlot(this.index)) this.#status(s, h, end)
    return HeadersVerdict.Continue
  }

  encodeData(s: StreamContext, d: Uint8Array): DataVerdict {
    if (!s.hasSlot(this.index)) return DataVerdict.Continue
    const state = s.slot(this.index) as GrpcState
    const response = s.responseHeaders
    if (response === null || response.status !== 200 || !hasGrpcContentType(response)) return DataVerdict.Continue
    const messages = state.responses.inspect(d)
    if (messages === 0) return DataVerdict.Continue
    this.#emit(s, state).response = state.responses.messages
    if (state.prefix !== '') state.cluster!.stats.counter(`${state.prefix}response_message_count`).add(messages)
    return DataVerdict.Continue
  }

  encodeTrailers(s: StreamContext, t: HeaderBlock): HeadersVerdict {
    if (s.hasSlot(this.index)) this.#status(s, t, true)
    return HeadersVerdict.Continue
  }

  #emit(s: StreamContext, state: GrpcState): GrpcMessageCounts {
    if (state.counts === null) {
      state.counts = new GrpcMessageCounts()
      if (this.#config.emitFilterState) s.info.setState(GRPC_STATS, state.counts)
    }
    return state.counts
  }

  #status(s: StreamContext, h: HeaderBlock, end: boolean): void {
    const { prefix, cluster } = s.slot(this.index) as GrpcState
    if (prefix === '' || cluster === null) return
    const status = h.get('grpc-status')
    if (status !== undefined) {
      // A status that is no number is one name more per client: those beyond the known range are not told apart.
      cluster.stats.counter(`${prefix}${/^(1?[0-9])$/.test(status) && Number(status) <= 16 ? status : 'unknown'}`).inc()
      cluster.stats.counter(`${prefix}${status === '0' ? 'success' : 'failure'}`).inc()
      cluster.stats.counter(`${prefix}total`).inc()
    }
    const { lastUpstreamRx, lastUpstreamTx } = s.info
    if (end && this.#config.upstreamStats && lastUpstreamRx >= 0 && lastUpstreamTx >= 0) {
      cluster.stats.histogram(`${prefix}upstream_rq_time`).record(Math.max(0, lastUpstreamRx - lastUpstreamTx))
    }
  }

  #statPrefix(path: string): string {
    const known = this.#prefixes.get(path)
    if (known !== undefined) return known
    if (this.#config.methods !== null) return 'grpc.'
    const prefix = this.#prefixes.size < MAX_METHODS ? this.#prefixOf(path) : ''
    if (prefix !== '') this.#prefixes.set(path, prefix)
    return prefix
  }

  /** `/service/method`; '' for anything else. */
  #prefixOf(path: string): string {
    const match = /^\/([^/?]+)\/([^/?]+)(?:\?|$)/.exec(path)
    if (match === null) return ''
    const service = this.#config.replaceDots ? match[1]!.replaceAll('.', '_') : match[1]!
    return `grpc.${service}.${match[2]!}.`
  }
}
