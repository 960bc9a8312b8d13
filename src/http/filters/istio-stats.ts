import { TimerNode, type TimerOwner } from '../../base/timer.ts'
import type { HeaderBlock } from '../../codec/header-block.ts'
import type { stats } from '../../config/gen/messages.d.ts'
import { taggedName } from '../../stats/explicit-tags.ts'
import { ISTIO_STATS, type IstioStatsConfig, parseIstioStats } from '../../telemetry/istio-stats/config.ts'
import { LabelFacts, OwnLabels, peerKnown, type Reporter } from '../../telemetry/istio-stats/labels.ts'
import { type CelResult, IstioRecorder, type Series } from '../../telemetry/istio-stats/recorder.ts'
import { HeadersVerdict, type HttpFilter } from '../filter.ts'
import type { HttpFilterFactory, HttpFilterServices } from '../filter-factory.ts'
import { httpToGrpcStatus, isGrpcRequest } from '../grpc.ts'
import type { StreamContext } from '../stream-context.ts'
import { GRPC_STATS, type GrpcMessageCounts } from './grpc-stats.ts'

/** istio.stats: Istio's standard metrics of requests (istio/proxy source/extensions/filters/http/istio_stats). */
export const istioStatsFactory: HttpFilterFactory<stats.PluginConfig, IstioStatsConfig> = {
  category: 'envoy.filters.http',
  name: 'envoy.filters.http.istio_stats',
  typeUrls: [ISTIO_STATS],
  parse: parseIstioStats,
  create: (config, services) => new IstioStatsFilter(config, services),
}

/** Of a gRPC stream: others are only looked at when they end. */
class GrpcReport implements TimerOwner {
  readonly timer = new TimerNode(this, 0)
  stream: StreamContext | null = null
  /** What was known of both ends when the peer became known, during the stream. */
  facts: LabelFacts | null = null
  messages: Series | null = null
  requests = 0
  responses = 0
  readonly #filter: IstioStatsFilter

  constructor(filter: IstioStatsFilter) {
    this.#filter = filter
  }

  onTimer(): void {
    this.#filter.onInterval(this)
  }
}

/** Streams of one kind: equal facts, outcome and values of expressions. */
interface Kind {
  readonly facts: LabelFacts
  readonly values: readonly CelResult[]
  readonly code: number
  /** Null: no gRPC. */
  readonly grpcStatus: string | null
  readonly series: Series
  readonly messages: Series | null
}

/** Kinds that are known for one cluster, and clusters: labels are put together once for each, not for each stream. */
const MAX_KINDS = 32
const MAX_CLUSTERS = 1000

class IstioStatsFilter implements HttpFilter<GrpcReport> {
  index = 0
  name = ''
  readonly #config: IstioStatsConfig
  readonly #services: HttpFilterServices
  readonly #reporter: Reporter
  readonly #own: OwnLabels
  readonly #recorder: IstioRecorder
  readonly #kinds = new Map<string, Kind[]>()
  #facts = new LabelFacts()
  #replaced = 0

  constructor(config: IstioStatsConfig, services: HttpFilterServices) {
    this.#config = config
    this.#services = services
    this.#reporter = reporterOf(config, services.trafficDirection)
    this.#own = new OwnLabels(services.node)
    this.#recorder = new IstioRecorder(config, services)
    recordVersion(services, this.#own)
  }

  newState(): GrpcReport {
    return new GrpcReport(this)
  }

  decodeHeaders(s: StreamContext, h: HeaderBlock): HeadersVerdict {
    if (isGrpcRequest(h)) {
      const report = s.slot(this.index) as GrpcReport
      const { reportInterval } = this.#config
      report.stream = s
      if (reportInterval > 0) this.#services.timers.arm(report.timer, reportInterval)
    }
    return HeadersVerdict.Continue
  }

  onInterval(report: GrpcReport): void {
    const s = report.stream!
    if (report.facts === null && peerKnown(this.#reporter, s.info)) {
      report.facts = new LabelFacts()
      this.#read(report.facts, s)
      report.messages = this.#messagesOf(report.facts, this.#recorder.evaluate(s))
    }
    if (report.messages !== null) this.#countMessages(s, report, report.messages)
    this.#services.timers.arm(report.timer, this.#config.reportInterval)
  }

  onDestroy(s: StreamContext): void {
    // A request that never reached the chain is none of ours.
    if (s.requestHeaders === null) return
    const recorder = this.#recorder
    const report = s.hasSlot(this.index) ? (s.slot(this.index) as GrpcReport) : null
    const known = report === null ? null : report.facts
    const facts = known ?? this.#facts
    if (known === null) this.#read(facts, s)
    else facts.readFlags(s.info)
    const kind = this.#kindOf(facts, s, report === null ? null : grpcStatus(s))
    if (report !== null) {
      this.#services.timers.cancel(report.timer)
      this.#countMessages(s, report, report.messages ?? kind.messages!)
      report.stream = null
    }
    const { info } = s
    recorder.use(kind.series)
    recorder.count('requests_total')
    const end = info.end < 0 ? this.#services.timers.now() : info.end
    recorder.record('request_duration_milliseconds', Math.max(0, Math.floor(end - info.start)))
    recorder.record('request_bytes', info.downstreamWireBytesReceived)
    recorder.record('response_bytes', info.downstreamWireBytesSent)
    recorder.recordCustom()
  }

  #read(facts: LabelFacts, s: StreamContext): void {
    const host = this.#config.hostFallback ? s.requestHeaders!.authority : ''
    facts.read(this.#reporter, s.info, s.info, host)
  }

  /** `facts` that make a new kind are kept: the filter takes others for what comes next. */
  #kindOf(facts: LabelFacts, s: StreamContext, grpcStatus: string | null): Kind {
    const values = this.#recorder.evaluate(s)
    const code = s.info.responseCode
    let kinds = this.#kinds.get(facts.cluster)
    if (kinds === undefined) {
      kinds = []
      if (this.#kinds.size === MAX_CLUSTERS) this.#kinds.clear()
      this.#kinds.set(facts.cluster, kinds)
    }
    for (let i = 0; i < kinds.length; i++) {
      const kind = kinds[i]!
      if (kind.code !== code || kind.grpcStatus !== grpcStatus || !kind.facts.equals(facts)) continue
      if (sameTexts(kind.values, values)) return kind
    }
    facts.keep()
    const kind = this.#newKind(facts, values, code, grpcStatus)
    if (facts === this.#facts) this.#facts = new LabelFacts()
    if (kinds.length < MAX_KINDS) kinds.push(kind)
    else kinds[this.#replaced++ % MAX_KINDS] = kind
    return kind
  }

  #newKind(facts: LabelFacts, values: readonly CelResult[], code: number, grpcStatus: string | null): Kind {
    const tags = ['reporter', this.#reporter]
    const mutualTls = facts.peerLabels(tags, this.#reporter, this.#own)
    tags.push('request_protocol', grpcStatus === null ? 'http' : 'grpc')
    tags.push('response_code', String(code))
    tags.push('grpc_response_status', grpcStatus ?? '')
    facts.securityLabels(tags, mutualTls)
    const series = this.#recorder.series(tags, values)
    return {
      facts,
      values: series.values,
      code,
      grpcStatus,
      series,
      messages: grpcStatus === null ? null : this.#messagesOf(facts, values),
    }
  }

  #messagesOf(facts: LabelFacts, values: readonly CelResult[]): Series {
    const tags = ['reporter', this.#reporter]
    facts.peerLabels(tags, this.#reporter, this.#own)
    return this.#recorder.series(tags, values)
  }

  /** What came since the last report; needs envoy.filters.http.grpc_stats with emit_filter_state. */
  #countMessages(s: StreamContext, report: GrpcReport, series: Series): void {
    const counts = s.info.state(GRPC_STATS) as GrpcMessageCounts | undefined
    if (counts === undefined) return
    const recorder = this.#recorder
    recorder.use(series)
    recorder.count('request_messages_total', counts.request - report.requests)
    recorder.count('response_messages_total', counts.response - report.responses)
    report.requests = counts.request
    report.responses = counts.response
  }
}

function sameTexts(a: readonly CelResult[], b: readonly CelResult[]): boolean {
  for (let i = 0; i < a.length; i++) if (a[i]!.text !== b[i]!.text) return false
  return true
}

export function reporterOf(config: IstioStatsConfig, direction: string): Reporter {
  if (config.waypoint) return 'waypoint'
  return direction === 'INBOUND' ? 'destination' : 'source'
}

/** istio_build{component="proxy",tag="<version>"} */
export function recordVersion(services: Pick<HttpFilterServices, 'stats'>, own: OwnLabels): void {
  const tags = ['component', 'proxy', 'tag', own.istioVersion === '' ? 'unknown' : own.istioVersion]
  services.stats.gauge(taggedName('istiocustom.istio_build', tags)).set(1)
}

/** grpc-status of the trailers, else of the head, else what the HTTP status stands for. */
function grpcStatus(s: StreamContext): string {
  const status = s.responseTrailers?.get('grpc-status') ?? s.responseHeaders?.get('grpc-status')
  if (status !== undefined) return /^[0-9]{1,9}$/.test(status) ? String(Number(status)) : ''
  return s.info.responseCode === 0 ? '' : String(httpToGrpcStatus(s.info.responseCode))
}
