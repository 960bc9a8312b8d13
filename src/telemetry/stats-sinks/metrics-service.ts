import { ConfigError } from '../../base/errors.ts'
import type { FieldPath } from '../../config/field-path.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { type GrpcServiceConfig, parseGrpcService } from '../../config/grpc-service.ts'
import type { GrpcClient, GrpcStream, GrpcStreamUser } from '../../config/services.ts'
import { defineSupport } from '../../config/support.ts'
import { WireWriter } from '../../config/wire-writer.ts'
import { encodeNode } from '../access-loggers/grpc/node.ts'
import { CounterDeltas } from './counter-deltas.ts'
import { FamilyWriter } from './metrics-service/families.ts'
import type { SenderServices, SinkServices, StatsFlush, StatsSender, StatsSink, StatsSinkFactory } from './sink.ts'

type Proto = envoy.config.metrics.v3.MetricsServiceConfig

interface MetricsServiceConfig {
  readonly service: GrpcServiceConfig
  readonly deltas: boolean
  readonly labels: boolean
  readonly summaries: boolean
  readonly histograms: boolean
  /** Metric families of one message; 0: all. */
  readonly batchSize: number
}

const SUPPORT = defineSupport<Proto>('envoy.config.metrics.v3.MetricsServiceConfig', {
  grpc_service: 'yes',
  transport_api_version: 'yes',
  report_counters_as_deltas: 'yes',
  emit_tags_as_labels: 'yes',
  histogram_emit_mode: 'yes',
  batch_size: 'yes',
})

const METHOD = '/envoy.service.metrics.v3.MetricsService/StreamMetrics'
/** StreamMetricsMessage.identifier */
const IDENTIFIER = 1

/** envoy.stat_sinks.metrics_service: a stream of io.prometheus.client.MetricFamily. */
export const metricsServiceFactory: StatsSinkFactory<Proto, MetricsServiceConfig> = {
  category: 'envoy.stats_sinks',
  name: 'envoy.stat_sinks.metrics_service',
  typeUrls: ['envoy.config.metrics.v3.MetricsServiceConfig'],
  samples: false,
  parse,
  create: (config, services) => new MetricsServiceSender(config, services),
  createSink: (config, services) => new MetricsServiceSink(config, services),
  needs: ({ service }) => ({ cluster: service.cluster, otherwise: `Unknown gRPC client cluster '${service.cluster}'` }),
}

function parse(proto: Proto, at: FieldPath, warnings: string[]): MetricsServiceConfig {
  SUPPORT.check(proto, at, warnings)
  if (proto.transport_api_version === 'V2') {
    const text =
      'V2 xDS transport protocol version is deprecated. The v2 xDS major version has been removed and is no longer supported.'
    throw new ConfigError('CONFIG_INVALID', at.field('transport_api_version'), text, { advice: 'set it to V3' })
  }
  const mode = proto.histogram_emit_mode ?? 'SUMMARY_AND_HISTOGRAM'
  return {
    service: parseGrpcService(proto.grpc_service ?? {}, at.field('grpc_service'), warnings),
    deltas: proto.report_counters_as_deltas === true,
    labels: proto.emit_tags_as_labels === true,
    summaries: mode !== 'HISTOGRAM',
    histograms: mode !== 'SUMMARY',
    batchSize: proto.batch_size ?? 0,
  }
}

class MetricsServiceSink implements StatsSink {
  readonly #config: MetricsServiceConfig
  readonly #services: SinkServices
  readonly #deltas = new CounterDeltas()

  constructor(config: MetricsServiceConfig, services: SinkServices) {
    this.#config = config
    this.#services = services
  }

  flush({ counters, gauges, histograms, at }: StatsFlush): void {
    const config = this.#config
    const out = new FamilyWriter(config.labels ? this.#services.tags : null, at, config.batchSize)
    const deltas = config.deltas ? this.#deltas.take(counters) : null
    for (let i = 0; i < counters.length; i++) {
      const { name, value, used } = counters[i]!
      if (used) out.counter(name, deltas === null ? value : deltas[i]!)
    }
    for (const { name, value, exact } of gauges) out.gauge(name, exact === undefined ? value : Number(exact))
    for (const { name, interval } of histograms) {
      if (config.summaries) out.summary(name, interval)
      if (config.histograms) out.histogram(name, interval, this.#services.buckets(name))
    }
    this.#services.deliver(out.finish())
  }
}

/** One stream, opened anew when it ends; who sends is said in its first message only. */
class MetricsServiceSender implements StatsSender, GrpcStreamUser {
  readonly #client: GrpcClient
  readonly #identifier: Uint8Array
  #stream: GrpcStream | null = null
  #ended = false
  /** The stream knows who sends. */
  #introduced = false

  constructor({ service }: MetricsServiceConfig, services: SenderServices) {
    this.#client = services.callOuts.grpc(service)
    const w = new WireWriter()
    w.messageField(IDENTIFIER, () => w.bytesField(1, encodeNode(services.node)))
    this.#identifier = w.finish()
  }

  send(messages: readonly Uint8Array[]): void {
    for (const message of messages) {
      const stream = this.#stream ?? this.#open()
      // Of a service that does not read, or is not there, as much is kept as its cluster's buffers hold.
      if (stream === null || stream.blocked) return
      // Fields of a message may come in any order: what is put before it belongs to it.
      stream.send(this.#introduced ? message : Buffer.concat([this.#identifier, message]))
      this.#introduced = true
    }
  }

  /** The service has nothing to say. */
  onMessage(): void {}

  onClosed(): void {
    this.#ended = true
    this.#stream = null
  }

  #open(): GrpcStream | null {
    this.#ended = false
    this.#introduced = false
    const stream = this.#client.open(METHOD, this, null)
    // It may be over already: no cluster, no host.
    this.#stream = this.#ended ? null : stream
    return this.#stream
  }
}
