import type { Clock } from '../../base/clock.ts'
import { ConfigError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { OTLP_USER_AGENT } from '../../base/version.ts'
import type { HeaderBlock } from '../../codec/header-block.ts'
import type { FieldPath } from '../../config/field-path.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { type GrpcServiceConfig, parseGrpcService } from '../../config/grpc-service.ts'
import { type HttpServiceConfig, parseHttpService } from '../../config/http-service.ts'
import { defineSupport } from '../../config/support.ts'
import type { Counter, StatsScope } from '../../stats/stats.ts'
import type { SpanPlace, Tracer, TracerFactory, TracerServices } from '../tracing.ts'
import { type Flushed, FlushTimer } from './flush-timer.ts'
import { type Exporter, GrpcExporter, HttpExporter } from './opentelemetry/exporter.ts'
import { type OtlpResource, otlpRequest } from './opentelemetry/otlp.ts'
import { spanResource } from './opentelemetry/resource.ts'
import { parseSampler, type SamplerConfig, samples } from './opentelemetry/sampler.ts'
import { OpenTelemetrySpan } from './opentelemetry/span.ts'
import { randomId } from './span-text.ts'
import { parseTraceParent, traceState } from './traceparent.ts'

type Proto = envoy.config.trace.v3.OpenTelemetryConfig

/** envoy.config.trace.v3.OpenTelemetryConfig, parsed: one of `grpc` and `http` is set. */
export interface OpenTelemetryConfig {
  readonly grpc: GrpcServiceConfig | null
  readonly http: HttpServiceConfig | null
  readonly resource: OtlpResource
  /** Null: the connection manager decides, and below a parent the parent too. */
  readonly sampler: SamplerConfig | null
  /** Spans that wait for the collector; what comes beyond is dropped. */
  readonly maxCacheSize: number
}

const support = defineSupport<Proto>('envoy.config.trace.v3.OpenTelemetryConfig', {
  grpc_service: 'yes',
  http_service: 'yes',
  exporter: 'reject',
  service_name: 'yes',
  resource_detectors: 'yes',
  sampler: 'yes',
  max_cache_size: 'yes',
  set_telemetry_sdk_resource_attributes: 'yes',
  set_service_name_resource_attribute: 'yes',
  set_instrumentation_scope: 'yes',
})

/** envoy.tracers.opentelemetry */
export const openTelemetryFactory: TracerFactory<Proto, OpenTelemetryConfig> = {
  category: 'envoy.tracers',
  name: 'envoy.tracers.opentelemetry',
  typeUrls: ['envoy.config.trace.v3.OpenTelemetryConfig'],
  parse,
  create: (config, services) => new OpenTelemetryTracer(config, services),
}

function parse(proto: Proto, at: FieldPath, warnings: string[]): OpenTelemetryConfig {
  support.check(proto, at, warnings)
  const { grpc_service: grpc, http_service: http, sampler } = proto
  if ((grpc === undefined) === (http === undefined)) {
    const text = 'OpenTelemetry Tracer must have exactly one of gRPC, HTTP, or custom exporter configured.'
    throw new ConfigError('CONFIG_INVALID', at, text)
  }
  return {
    grpc: grpc === undefined ? null : withUserAgent(parseGrpcService(grpc, at.field('grpc_service'), warnings)),
    http: http === undefined ? null : parseHttpService(http, at.field('http_service'), warnings),
    resource: { attributes: spanResource(proto, at, warnings), scope: proto.set_instrumentation_scope ?? true },
    sampler: sampler === undefined ? null : parseSampler(sampler, at.field('sampler'), warnings),
    maxCacheSize: proto.max_cache_size ?? 1024,
  }
}

function withUserAgent(service: GrpcServiceConfig): GrpcServiceConfig {
  const agent = { name: 'user-agent', value: OTLP_USER_AGENT, action: 'overwrite', keepEmpty: false } as const
  return { ...service, metadata: [...service.metadata, agent] }
}

const METHOD = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'
/** Spans that are not sampled, kept for reuse. */
const MAX_FREE = 256

/** All spans of one worker that go to one collector. */
export class OpenTelemetryTracer implements Tracer, Flushed {
  readonly random: Random
  readonly #config: OpenTelemetryConfig
  readonly #services: TracerServices
  readonly #clock: Clock
  readonly #exporter: Exporter
  readonly #stats: OpenTelemetryStats
  readonly #free: OpenTelemetrySpan[] = []
  #pending: OpenTelemetrySpan[] = []

  constructor(config: OpenTelemetryConfig, services: TracerServices) {
    this.#config = config
    this.#services = services
    this.#clock = services.clock
    this.random = services.random
    this.#exporter =
      config.grpc === null ? new HttpExporter(config.http!, services) : new GrpcExporter(config.grpc, services, METHOD)
    this.#stats = new OpenTelemetryStats(services.stats.scope('tracing.opentelemetry.'))
    new FlushTimer(this, services, 'tracing.opentelemetry.flush_interval_ms')
  }

  startSpan(h: HeaderBlock, at: number, place: SpanPlace, traced: boolean): OpenTelemetrySpan | null {
    const { sampler } = this.#config
    const text = h.get('traceparent')
    const parent = text === undefined ? null : parseTraceParent(text)
    if (text !== undefined && parent === null) return null
    const span = this.newSpan('', at)
    span.spanId = randomId(this.random)
    span.server = place.spawnsUpstream || !place.egress
    if (parent === null) {
      span.traceId = randomId(this.random) + randomId(this.random)
      span.fresh = !h.has('tracestate')
      span.sampled = traced && (sampler === null || samples(sampler, span.traceId, null))
    } else {
      span.traceId = parent.traceId
      span.parentId = parent.parentId
      span.remoteParent = true
      span.traceState = traceState(h)
      // Both must want it: as Envoy, and other than with Zipkin, the connection manager's no holds against the parent's yes.
      span.sampled = traced && (sampler === null ? parent.sampled : samples(sampler, span.traceId, parent.sampled))
    }
    if (span.sampled) span.name = place.egress ? `egress ${h.authority}` : 'ingress'
    return span
  }

  newSpan(name: string, at: number): OpenTelemetrySpan {
    const span = this.#free.pop() ?? new OpenTelemetrySpan(this)
    span.name = name
    span.server = false
    span.parentId = ''
    span.remoteParent = false
    span.traceState = ''
    span.fresh = false
    span.start = at
    return span
  }

  ended(span: OpenTelemetrySpan): void {
    if (!span.sampled) {
      // A span that was sampled for a while has attributes.
      if (span.attributes.length === 0 && this.#free.length < MAX_FREE) this.#free.push(span)
      return
    }
    if (this.#pending.length >= this.#config.maxCacheSize) {
      this.#stats.spansDropped.inc()
      return
    }
    span.end = this.#clock.now()
    this.#pending.push(span)
    if (this.#pending.length >= this.#services.runtime.integer('tracing.opentelemetry.min_flush_spans', 5))
      this.#flush()
  }

  onFlushTimer(): void {
    this.#stats.timerFlushed.inc()
    this.#flush()
  }

  #flush(): void {
    const spans = this.#pending
    if (spans.length === 0) return
    this.#pending = []
    if (this.#exporter.full) {
      this.#stats.spansDropped.add(spans.length)
      return
    }
    this.#exporter.send(otlpRequest(spans, this.#config.resource, this.#clock.wall() - this.#clock.now()))
    this.#stats.spansSent.add(spans.length)
  }
}

/** Names under `tracing.opentelemetry.`. */
class OpenTelemetryStats {
  readonly spansSent: Counter
  readonly spansDropped: Counter
  readonly timerFlushed: Counter

  constructor(scope: StatsScope) {
    this.spansSent = scope.counter('spans_sent')
    this.spansDropped = scope.counter('spans_dropped')
    this.timerFlushed = scope.counter('timer_flushed')
  }
}
