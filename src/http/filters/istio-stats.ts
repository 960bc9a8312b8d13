import { TimerNode, type TimerOwner } from '../../base/timer.ts'
import type { HeaderBlock } from '../../codec/header-block.ts'
import type { stats } from '../../config/gen/messages.d.ts'
import { taggedName } from '../../stats/explicit-tags.ts'
import { ISTIO_STATS, type IstioStatsConfig, parseIstioStats } from '../../telemetry/istio-stats/config.ts'
import { OwnLabels, peerKnown, peerLabels, type Reporter, securityLabels } from '../../telemetry/istio-stats/labels.ts'
import { type CelResult, IstioRecorder } from '../../telemetry/istio-stats/recorder.ts'
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
  /** Null until the peer is known. */
  tags: string[] | null = null
  mutualTls: boolean | null = null
  values: readonly CelResult[] = []
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

class IstioStatsFilter implements HttpFilter<GrpcReport> {
  index = 0
  name = ''
  readonly #config: IstioStatsConfig
  readonly #services: HttpFilterServices
  readonly #reporter: Reporter
  readonly #own: OwnLabels
  readonly #recorder: IstioRecorder

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
      report.stream = s
      this.#services.timers.arm(report.timer, this.#config.reportInterval)
    }
    return HeadersVerdict.Continue
  }

  onInterval(report: GrpcReport): void {
    const s = report.stream!
    if (report.tags === null && peerKnown(this.#reporter, s.info)) this.#open(s, report)
    if (report.tags !== null) this.#countMessages(s, report)
    this.#services.timers.arm(report.timer, this.#config.reportInterval)
  }

  onDestroy(s: StreamContext): void {
    // A request that never reached the chain is none of ours.
    if (s.requestHeaders === null) return
    const recorder = this.#recorder
    const report = s.hasSlot(this.index) ? (s.slot(this.index) as GrpcReport) : null
    let tags: string[]
    let mutualTls: boolean | null
    if (report === null) {
      tags = ['reporter', this.#reporter]
      mutualTls = this.#labels(tags, s)
    } else {
      this.#services.timers.cancel(report.timer)
      if (report.tags === null) this.#open(s, report)
      this.#countMessages(s, report)
      tags = report.tags!
      mutualTls = report.mutualTls
      report.stream = null
    }
    const { info } = s
    tags.push('request_protocol', report === null ? 'http' : 'grpc')
    tags.push('response_code', String(info.responseCode))
    tags.push('grpc_response_status', report === null ? '' : grpcStatus(s))
    securityLabels(tags, info, mutualTls)
    recorder.use(tags, recorder.evaluate(s))
    recorder.count('requests_total')
    const end = info.end < 0 ? this.#services.timers.now() : info.end
    recorder.record('request_duration_milliseconds', Math.max(0, Math.floor(end - info.start)))
    recorder.record('request_bytes', info.downstreamWireBytesReceived)
    recorder.record('response_bytes', info.downstreamWireBytesSent)
    recorder.recordCustom()
  }

  #open(s: StreamContext, report: GrpcReport): void {
    report.tags = ['reporter', this.#reporter]
    report.mutualTls = this.#labels(report.tags, s)
    report.values = this.#recorder.evaluate(s)
  }

  #labels(tags: string[], s: StreamContext): boolean | null {
    const host = this.#config.hostFallback ? s.requestHeaders!.authority : ''
    return peerLabels(tags, this.#reporter, this.#own, s.info, s.info, host)
  }

  /** What came since the last report; needs envoy.filters.http.grpc_stats with emit_filter_state. */
  #countMessages(s: StreamContext, report: GrpcReport): void {
    const counts = s.info.state(GRPC_STATS) as GrpcMessageCounts | undefined
    if (counts === undefined) return
    const recorder = this.#recorder
    recorder.use(report.tags!, report.values)
    recorder.count('request_messages_total', counts.request - report.requests)
    recorder.count('response_messages_total', counts.response - report.responses)
    report.requests = counts.request
    report.responses = counts.response
  }
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
