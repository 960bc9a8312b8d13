import { TimerNode, type TimerOwner, type Timers } from '../../base/timer.ts'
import type { stats } from '../../config/gen/messages.d.ts'
import { recordVersion, reporterOf } from '../../http/filters/istio-stats.ts'
import type { Connection } from '../../io/connection.ts'
import { connectionInfo } from '../../telemetry/connection-info.ts'
import type { FormatContext } from '../../telemetry/format-context.ts'
import { ISTIO_STATS, type IstioStatsConfig, parseIstioStats } from '../../telemetry/istio-stats/config.ts'
import { LabelFacts, OwnLabels, peerKnown, type Reporter } from '../../telemetry/istio-stats/labels.ts'
import { IstioRecorder, type Series } from '../../telemetry/istio-stats/recorder.ts'
import type { StreamInfo } from '../../telemetry/stream-info.ts'
import { NetVerdict, type NetworkFilter, type NetworkFilterFactory } from '../filter.ts'
import type { NetworkFilterExtension, NetworkFilterServices } from '../filter-factory.ts'

/** istio.stats of connections: opened, closed, bytes in both directions while they live. */
export const networkIstioStatsFactory: NetworkFilterExtension<stats.PluginConfig, IstioStatsConfig> = {
  category: 'envoy.filters.network',
  name: 'envoy.filters.network.istio_stats',
  typeUrls: [ISTIO_STATS],
  terminal: false,
  parse: parseIstioStats,
  create: (config, services) => new IstioTcpStats(config, services),
}

class IstioTcpStats implements NetworkFilterFactory {
  readonly config: IstioStatsConfig
  readonly timers: Timers
  readonly reporter: Reporter
  readonly own: OwnLabels
  readonly recorder: IstioRecorder

  constructor(config: IstioStatsConfig, services: NetworkFilterServices) {
    this.config = config
    this.timers = services.timers
    this.reporter = reporterOf(config, services.trafficDirection)
    this.own = new OwnLabels(services.node)
    this.recorder = new IstioRecorder(config, services)
    recordVersion(services, this.own)
  }

  newInstance(c: Connection): NetworkFilter {
    return new TcpReport(this, c)
  }
}

class TcpReport implements NetworkFilter, TimerOwner, FormatContext {
  readonly info: StreamInfo
  readonly requestHeaders = null
  readonly responseHeaders = null
  readonly responseTrailers = null
  readonly localReplyBody = ''
  readonly #stats: IstioTcpStats
  readonly #timer = new TimerNode(this, 0)
  /** Null until the peer is known or the connection is over. */
  #series: Series | null = null
  #sent = 0
  #received = 0
  #over = false

  constructor(stats: IstioTcpStats, c: Connection) {
    this.#stats = stats
    this.info = connectionInfo(c)
  }

  onConnection(): NetVerdict {
    const { config, timers } = this.#stats
    if (config.reportInterval > 0) timers.arm(this.#timer, config.reportInterval)
    return NetVerdict.Continue
  }

  onData(): NetVerdict {
    return NetVerdict.Continue
  }

  onTimer(): void {
    this.#report(false)
    this.#stats.timers.arm(this.#timer, this.#stats.config.reportInterval)
  }

  onClose(): void {
    if (this.#over) return
    this.#over = true
    this.#stats.timers.cancel(this.#timer)
    this.#report(true)
  }

  #report(end: boolean): void {
    const { reporter, recorder, own } = this.#stats
    const { info } = this
    // The client side learns of its peer on the upstream connection.
    const peers = reporter === 'source' && info.upstream !== null ? info.upstream : info
    if (this.#series === null) {
      if (!end && !peerKnown(reporter, peers)) return
      const facts = new LabelFacts()
      facts.read(reporter, info, peers, '')
      const tags = ['reporter', reporter]
      const mutualTls = facts.peerLabels(tags, reporter, own)
      tags.push('request_protocol', 'tcp')
      facts.securityLabels(tags, mutualTls)
      this.#series = recorder.series(tags, recorder.evaluate(this))
      recorder.use(this.#series)
      recorder.count('tcp_connections_opened_total')
    }
    recorder.use(this.#series)
    recorder.count('tcp_sent_bytes_total', info.bytesSent - this.#sent)
    recorder.count('tcp_received_bytes_total', info.bytesReceived - this.#received)
    this.#sent = info.bytesSent
    this.#received = info.bytesReceived
    if (!end) return
    recorder.count('tcp_connections_closed_total')
    recorder.recordCustom()
  }
}
