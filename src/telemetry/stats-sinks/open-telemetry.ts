import { VERSION_TEXT } from '../../base/version.ts'
import type { FieldPath } from '../../config/field-path.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { type GrpcServiceConfig, parseGrpcService } from '../../config/grpc-service.ts'
import { type HttpServiceConfig, parseHttpService } from '../../config/http-service.ts'
import { defineSupport } from '../../config/support.ts'
import { detectResource } from '../resource-detectors.ts'
import { type Exporter, GrpcExporter, HttpExporter } from '../tracers/opentelemetry/exporter.ts'
import { CounterDeltas } from './counter-deltas.ts'
import { MetricWriter } from './open-telemetry/metrics.ts'
import type { SenderServices, SinkServices, StatsFlush, StatsSender, StatsSink, StatsSinkFactory } from './sink.ts'

type Proto = envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig

/** envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig, parsed: one of `grpc` and `http` is set. */
export interface OpenTelemetryConfig {
  readonly grpc: GrpcServiceConfig | null
  readonly http: HttpServiceConfig | null
  /** Name, value, name, value, … */
  readonly resource: readonly string[]
  readonly counterDeltas: boolean
  readonly histogramDeltas: boolean
  readonly attributes: boolean
  /** Names without what is in the tags. */
  readonly extractedNames: boolean
  /** With its dot. */
  readonly prefix: string
  /** Data points of one request; 0: all. */
  readonly batchSize: number
}

const SUPPORT = defineSupport<Proto>('envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig', {
  grpc_service: 'yes',
  http_service: 'yes',
  resource_detectors: 'yes',
  report_counters_as_deltas: 'yes',
  report_histograms_as_deltas: 'yes',
  emit_tags_as_attributes: 'yes',
  use_tag_extracted_name: 'yes',
  prefix: 'yes',
  custom_metric_conversions: 'reject',
  max_data_points_per_request: 'yes',
})

const METHOD = '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'

/** envoy.stat_sinks.open_telemetry: OTLP over gRPC or HTTP. */
export const openTelemetrySinkFactory: StatsSinkFactory<Proto, OpenTelemetryConfig> = {
  category: 'envoy.stats_sinks',
  name: 'envoy.stat_sinks.open_telemetry',
  typeUrls: ['envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig'],
  samples: false,
  parse,
  create: (config, services) => new OpenTelemetrySender(config, services),
  createSink: (config, services) => new OpenTelemetrySink(config, services),
  needs: ({ grpc }) =>
    grpc === null ? null : { cluster: grpc.cluster, otherwise: `Unknown gRPC client cluster '${grpc.cluster}'` },
}

function parse(proto: Proto, at: FieldPath, warnings: string[]): OpenTelemetryConfig {
  SUPPORT.check(proto, at, warnings)
  const { grpc_service: grpc, http_service: http } = proto
  const resource = new Map([
    ['telemetry.sdk.language', 'nodejs'],
    ['telemetry.sdk.name', 'envoy'],
    ['telemetry.sdk.version', VERSION_TEXT],
  ])
  detectResource(resource, proto.resource_detectors, at.field('resource_detectors'), warnings)
  return {
    // The rules of the message make one of the two necessary.
    grpc: grpc === undefined ? null : parseGrpcService(grpc, at.field('grpc_service'), warnings),
    http: http === undefined ? null : parseHttpService(http, at.field('http_service'), warnings),
    resource: [...resource].flat(),
    counterDeltas: proto.report_counters_as_deltas === true,
    histogramDeltas: proto.report_histograms_as_deltas === true,
    attributes: proto.emit_tags_as_attributes ?? true,
    extractedNames: proto.use_tag_extracted_name ?? true,
    prefix: proto.prefix ? `${proto.prefix}.` : '',
    batchSize: proto.max_data_points_per_request ?? 0,
  }
}

export class OpenTelemetrySink implements StatsSink {
  readonly #config: OpenTelemetryConfig
  readonly #services: SinkServices
  readonly #deltas = new CounterDeltas()
  readonly #start: number
  #last: number

  /** `now`: ms since the epoch, from when on totals count. */
  constructor(config: OpenTelemetryConfig, services: SinkServices, now = Date.now()) {
    this.#config = config
    this.#services = services
    this.#start = now
    this.#last = now
  }

  /** What did not move between two flushes has no delta to report, and is left out. */
  flush({ counters, gauges, histograms, at }: StatsFlush): void {
    const { counterDeltas, histogramDeltas } = this.#config
    const out = new MetricWriter(this.#config, this.#services.tags, at)
    for (const { name, value, exact } of gauges) out.gauge(name, exact ?? value)
    const deltas = counterDeltas ? this.#deltas.take(counters) : null
    for (let i = 0; i < counters.length; i++) {
      const { name, value, used } = counters[i]!
      if (!used) continue
      if (deltas === null) out.counter(name, value, this.#start, false)
      else if (deltas[i]! > 0) out.counter(name, deltas[i]!, this.#last, true)
    }
    for (const { name, interval, cumulative } of histograms) {
      const bounds = this.#services.buckets(name)
      if (!histogramDeltas) out.histogram(name, cumulative, bounds, this.#start, false)
      else if (interval.count > 0) out.histogram(name, interval, bounds, this.#last, true)
    }
    this.#last = at
    this.#services.deliver(out.finish())
  }
}

class OpenTelemetrySender implements StatsSender {
  readonly #exporter: Exporter

  constructor({ grpc, http }: OpenTelemetryConfig, services: SenderServices) {
    this.#exporter = grpc === null ? new HttpExporter(http!, services) : new GrpcExporter(grpc, services, METHOD)
  }

  /** A flush goes whole or not at all: with max_data_points_per_request it is many calls at once. */
  send(messages: readonly Uint8Array[]): void {
    if (this.#exporter.full) return
    for (const message of messages) this.#exporter.send(message)
  }
}
