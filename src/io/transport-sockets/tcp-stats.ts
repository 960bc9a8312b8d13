import { TimerNode, type TimerOwner, type Timers } from '../../base/timer.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import type { ExtensionCategory, ExtensionFactory } from '../../config/registry.ts'
import { defineSupport } from '../../config/support.ts'
import type { Counter, Gauge, Histogram, StatsScope } from '../../stats/stats.ts'
import type { SocketWatch } from '../connect-options.ts'
import { libc } from '../libc.ts'
import { closeSocket } from '../listen-socket.ts'
import { segmentsSince, type TcpInfo, tcpInfo } from '../tcp-info.ts'
import { createInner, layerConfig, parseInner, type TransportLayer, type WrappingConfig } from './layers.ts'
import type { ClientTransport, ServerTransport } from './tls.ts'

type Proto = envoy.extensions.transport_sockets.tcp_stats.v3.Config

export const TCP_STATS_SOCKET = 'envoy.extensions.transport_sockets.tcp_stats.v3.Config'

const support = defineSupport<Proto>(TCP_STATS_SOCKET, { transport_socket: 'yes', update_period: 'yes' })

export interface TcpStatsConfig extends WrappingConfig {
  /** Milliseconds; 0 = only when a connection ends. */
  readonly updatePeriod: number
}

/**
 * envoy.transport_sockets.tcp_stats: what the kernel knows of the connections. Whoever makes a connection has it watched
 * (`TcpStats`); as a transport this is the one that it wraps.
 */
function factory<R>(category: ExtensionCategory): ExtensionFactory<Proto, TcpStatsConfig, unknown, R> {
  return {
    category,
    name: 'envoy.transport_sockets.tcp_stats',
    typeUrls: [TCP_STATS_SOCKET],
    parse(proto, at, warnings) {
      support.check(proto, at, warnings)
      return {
        updatePeriod: proto.update_period ?? 0,
        inner: parseInner(proto.transport_socket, category, at, warnings),
      }
    },
    create: createInner<R>,
  }
}

export const downstreamTcpStats = factory<ServerTransport>('envoy.transport_sockets.downstream')
export const upstreamTcpStats = factory<ClientTransport>('envoy.transport_sockets.upstream')

/** Names under the scope of the cluster or listener. */
export const TCP_STATS_NAMES = {
  counters: [
    'cx_tx_segments',
    'cx_rx_segments',
    'cx_tx_data_segments',
    'cx_rx_data_segments',
    'cx_tx_retransmitted_segments',
    'cx_rx_bytes_received',
    'cx_tx_bytes_sent',
  ].map(name => `tcp_stats.${name}`),
  gauges: ['tcp_stats.cx_tx_unsent_bytes', 'tcp_stats.cx_tx_unacked_segments'],
  histograms: ['cx_tx_percent_retransmitted_segments', 'cx_rtt_us', 'cx_rtt_variance_us'].map(
    name => `tcp_stats.${name}`,
  ),
}

/** Null: that transport socket has none. */
export function tcpStatsOf(socket: TransportLayer, scope: StatsScope, timers: Timers): TcpStats | null {
  const config = layerConfig<TcpStatsConfig>(socket, TCP_STATS_SOCKET)
  return config === undefined ? null : new TcpStats(config, scope, timers)
}

/** `tcp_stats.*` of one cluster or listener. */
export class TcpStats {
  readonly timers: Timers
  readonly updatePeriod: number
  readonly segmentsOut: Counter
  readonly segmentsIn: Counter
  readonly dataSegmentsOut: Counter
  readonly dataSegmentsIn: Counter
  readonly retransmitted: Counter
  readonly bytesReceived: Counter
  readonly bytesSent: Counter
  readonly unsentBytes: Gauge
  readonly unackedSegments: Gauge
  readonly percentRetransmitted: Histogram
  readonly rtt: Histogram
  readonly rttVariance: Histogram

  constructor({ updatePeriod }: TcpStatsConfig, parent: StatsScope, timers: Timers) {
    const scope = parent.scope('tcp_stats.')
    this.timers = timers
    this.updatePeriod = updatePeriod
    this.segmentsOut = scope.counter('cx_tx_segments')
    this.segmentsIn = scope.counter('cx_rx_segments')
    this.dataSegmentsOut = scope.counter('cx_tx_data_segments')
    this.dataSegmentsIn = scope.counter('cx_rx_data_segments')
    this.retransmitted = scope.counter('cx_tx_retransmitted_segments')
    this.bytesReceived = scope.counter('cx_rx_bytes_received')
    this.bytesSent = scope.counter('cx_tx_bytes_sent')
    this.unsentBytes = scope.gauge('cx_tx_unsent_bytes')
    this.unackedSegments = scope.gauge('cx_tx_unacked_segments')
    this.percentRetransmitted = scope.histogram('cx_tx_percent_retransmitted_segments')
    this.rtt = scope.histogram('cx_rtt_us')
    this.rttVariance = scope.histogram('cx_rtt_variance_us')
  }

  watch(): SocketWatch {
    return new TcpWatch(this)
  }
}

/**
 * Reads the counts of one connection, last when it has ended. By then its own descriptor is closed, so it looks through a
 * duplicate; the FIN does not wait for that, as shutdown(2) is about the socket.
 */
class TcpWatch implements SocketWatch, TimerOwner {
  readonly #stats: TcpStats
  #fd = -1
  #timer: TimerNode | null = null
  #segmentsOut = 0
  #segmentsIn = 0
  #dataSegmentsOut = 0
  #dataSegmentsIn = 0
  #retransmitted = 0
  #bytesReceived = 0
  #bytesSent = 0
  #unsentBytes = 0
  #unackedSegments = 0

  constructor(stats: TcpStats) {
    this.#stats = stats
  }

  start(fd: number): void {
    if (fd < 0) return
    this.#fd = libc()?.dup(fd) ?? -1
    const { updatePeriod, timers } = this.#stats
    if (this.#fd < 0 || updatePeriod === 0) return
    this.#timer = new TimerNode(this, 0)
    timers.arm(this.#timer, updatePeriod)
  }

  stop(): void {
    if (this.#fd < 0) return
    if (this.#timer !== null) this.#stats.timers.cancel(this.#timer)
    this.#record()
    closeSocket(this.#fd)
    this.#fd = -1
    this.#gauges(0, 0)
  }

  onTimer(): void {
    this.#record()
    this.#stats.timers.arm(this.#timer!, this.#stats.updatePeriod)
  }

  #record(): void {
    const info = tcpInfo(this.#fd)
    if (info === null) return
    const stats = this.#stats
    const sent = segmentsSince(this.#dataSegmentsOut, info.dataSegmentsOut)
    const again = segmentsSince(this.#retransmitted, info.retransmittedSegments)
    // Those that were sent again count among those that were sent.
    if (sent > 0) stats.percentRetransmitted.record(again / sent)
    this.#count(info)
    this.#gauges(info.unsentBytes, info.unackedSegments)
    stats.rtt.record(info.rtt)
    stats.rttVariance.record(info.rttVariance)
  }

  #count(info: TcpInfo): void {
    const stats = this.#stats
    stats.segmentsOut.add(segmentsSince(this.#segmentsOut, info.segmentsOut))
    stats.segmentsIn.add(segmentsSince(this.#segmentsIn, info.segmentsIn))
    stats.dataSegmentsOut.add(segmentsSince(this.#dataSegmentsOut, info.dataSegmentsOut))
    stats.dataSegmentsIn.add(segmentsSince(this.#dataSegmentsIn, info.dataSegmentsIn))
    stats.retransmitted.add(segmentsSince(this.#retransmitted, info.retransmittedSegments))
    stats.bytesReceived.add(info.bytesReceived - this.#bytesReceived)
    stats.bytesSent.add(info.bytesSent - this.#bytesSent)
    this.#segmentsOut = info.segmentsOut
    this.#segmentsIn = info.segmentsIn
    this.#dataSegmentsOut = info.dataSegmentsOut
    this.#dataSegmentsIn = info.dataSegmentsIn
    this.#retransmitted = info.retransmittedSegments
    this.#bytesReceived = info.bytesReceived
    this.#bytesSent = info.bytesSent
  }

  #gauges(unsent: number, unacked: number): void {
    this.#stats.unsentBytes.add(unsent - this.#unsentBytes)
    this.#stats.unackedSegments.add(unacked - this.#unackedSegments)
    this.#unsentBytes = unsent
    this.#unackedSegments = unacked
  }
}
