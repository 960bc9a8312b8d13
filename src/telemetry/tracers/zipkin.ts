import type { Clock } from '../../base/clock.ts'
import { ConfigError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import type { HeaderBlock } from '../../codec/header-block.ts'
import type { FieldPath } from '../../config/field-path.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { type HttpServiceConfig, parseHttpService } from '../../config/http-service.ts'
import type { CallUser } from '../../config/services.ts'
import { defineSupport, unsupportedValue } from '../../config/support.ts'
import type { Counter, StatsScope } from '../../stats/stats.ts'
import { ServiceRequest } from '../service-request.ts'
import type { SpanPlace, Tracer, TracerFactory, TracerServices } from '../tracing.ts'
import { type Flushed, FlushTimer } from './flush-timer.ts'
import { hex32, randomId } from './span-text.ts'
import { parseTraceParent } from './traceparent.ts'
import { type B3Context, b3Sampled, readB3 } from './zipkin/b3.ts'
import { zipkinJson, zipkinProto } from './zipkin/report.ts'
import { ZipkinSpan } from './zipkin/span.ts'

type Proto = envoy.config.trace.v3.ZipkinConfig

/** envoy.config.trace.v3.ZipkinConfig, parsed. */
export interface ZipkinConfig {
  readonly service: HttpServiceConfig
  /** Reports are protobuf, else JSON. */
  readonly proto: boolean
  readonly traceId128: boolean
  /** The upper half of a new 128 bit trace id begins with the second it was made in. */
  readonly timestampIds: boolean
  /** A server span has the id of the client span it answers. */
  readonly shared: boolean
  /** Spans of requests are server spans whatever the direction of traffic. */
  readonly split: boolean
  /** W3C trace context is read where there is no B3, and written besides it. */
  readonly w3c: boolean
}

const support = defineSupport<Proto>('envoy.config.trace.v3.ZipkinConfig', {
  collector_cluster: 'yes',
  collector_endpoint: 'yes',
  trace_id_128bit: 'yes',
  shared_span_context: 'yes',
  collector_endpoint_version: 'yes',
  collector_hostname: 'yes',
  split_spans_for_request: 'yes',
  trace_context_option: 'yes',
  collector_service: 'yes',
  timestamp_trace_ids: 'yes',
})

/** envoy.tracers.zipkin */
export const zipkinFactory: TracerFactory<Proto, ZipkinConfig> = {
  category: 'envoy.tracers',
  name: 'envoy.tracers.zipkin',
  typeUrls: ['envoy.config.trace.v3.ZipkinConfig'],
  parse(proto, at, warnings) {
    support.check(proto, at, warnings)
    const version = proto.collector_endpoint_version
    // GRPC ends the real one; the default is a version that has been taken out.
    if (version !== 'HTTP_JSON' && version !== 'HTTP_PROTO') {
      const field = at.field('collector_endpoint_version')
      throw unsupportedValue(
        field,
        String(version ?? 'DEPRECATED_AND_UNAVAILABLE_DO_NOT_USE'),
        'set HTTP_JSON or HTTP_PROTO',
      )
    }
    return {
      service: collector(proto, at, warnings),
      proto: version === 'HTTP_PROTO',
      traceId128: proto.trace_id_128bit ?? false,
      timestampIds: proto.timestamp_trace_ids ?? false,
      shared: proto.shared_span_context ?? true,
      split: proto.split_spans_for_request ?? false,
      w3c: proto.trace_context_option === 'USE_B3_WITH_W3C_PROPAGATION',
    }
  },
  create: (config, services) => new ZipkinTracer(config, services),
}

function collector(proto: Proto, at: FieldPath, warnings: string[]): HttpServiceConfig {
  if (proto.collector_service !== undefined) {
    return parseHttpService(proto.collector_service, at.field('collector_service'), warnings)
  }
  const { collector_cluster: cluster = '', collector_endpoint: path = '', collector_hostname: host = '' } = proto
  if (cluster === '' || path === '') {
    const text = 'collector_cluster and collector_endpoint must be specified when not using collector_service'
    throw new ConfigError('CONFIG_INVALID', at, text)
  }
  return { cluster, path, authority: host === '' ? cluster : host, timeout: 0, headers: [], extensions: [] }
}

/** Spans that are not sampled, kept for reuse. */
const MAX_FREE = 256
/** A collector's answer is of no interest; one that does not end is cut. */
const MAX_ANSWER = 64 * 1024
/** The reports of a collector that is slow: those beyond this many are not sent. */
const MAX_UNDER_WAY = 64

/** All spans of one worker that go to one collector. */
export class ZipkinTracer implements Tracer, Flushed, CallUser {
  readonly random: Random
  readonly w3c: boolean
  readonly #config: ZipkinConfig
  readonly #services: TracerServices
  readonly #clock: Clock
  readonly #request: ServiceRequest
  readonly #stats: ZipkinStats
  readonly #free: ZipkinSpan[] = []
  #pending: ZipkinSpan[] = []
  #underWay = 0

  constructor(config: ZipkinConfig, services: TracerServices) {
    this.#config = config
    this.#services = services
    this.#clock = services.clock
    this.random = services.random
    this.w3c = config.w3c
    const type = config.proto ? 'application/x-protobuf' : 'application/json'
    this.#request = new ServiceRequest(config.service, ['content-type', type])
    this.#stats = new ZipkinStats(services.stats.scope('tracing.zipkin.'))
    new FlushTimer(this, services, 'tracing.zipkin.flush_interval_ms')
  }

  startSpan(h: HeaderBlock, at: number, place: SpanPlace, traced: boolean): ZipkinSpan | null {
    if (!hasContext(h)) {
      const span = this.#spanOf(h, at, place, traced)
      span.fresh = true
      this.#root(span)
      return span
    }
    const single = h.get('b3')
    let sampled = b3Sampled(h, single, traced)
    let context: B3Context | null | undefined = readB3(h, single)
    if (context === null) return null
    if (context === undefined && this.w3c) {
      const text = h.get('traceparent')
      const parent = text === undefined ? null : parseTraceParent(text)
      if (parent !== null) {
        context = { traceId: parent.traceId, spanId: parent.parentId, parentId: '' }
        sampled = parent.sampled
      }
    }
    const span = this.#spanOf(h, at, place, sampled)
    span.single = single !== undefined
    if (context === undefined) this.#root(span)
    else {
      span.traceId = context.traceId
      if (span.server && this.#config.shared) {
        span.id = context.spanId
        span.parentId = context.parentId
      } else {
        span.id = randomId(this.random)
        span.parentId = context.spanId
      }
    }
    return span
  }

  newSpan(name: string, at: number): ZipkinSpan {
    const span = this.#free.pop() ?? new ZipkinSpan(this)
    span.name = name
    span.server = false
    span.single = false
    span.fresh = false
    span.parentId = ''
    span.start = at
    return span
  }

  ended(span: ZipkinSpan): void {
    if (!span.sampled) {
      // A span that was sampled for a while has tags.
      if (span.tags.length === 0 && this.#free.length < MAX_FREE) this.#free.push(span)
      return
    }
    span.end = this.#clock.now()
    span.log(span.end, span.server ? 'ss' : 'cr')
    this.#pending.push(span)
    if (this.#pending.length >= this.#services.runtime.integer('tracing.zipkin.min_flush_spans', 5)) this.#flush()
  }

  onFlushTimer(): void {
    this.#stats.timerFlushed.inc()
    this.#flush()
  }

  onCallDone(head: HeaderBlock): void {
    this.#underWay--
    if (head.status === 202) this.#stats.reportsSent.inc()
    else this.#stats.reportsDropped.inc()
  }

  onCallFailed(status: number): void {
    this.#underWay--
    // What the router would answer counts as an answer of the collector, as with Envoy's client.
    if (status > 0) this.#stats.reportsDropped.inc()
    else if (status === 0) this.#stats.reportsSkippedNoCluster.inc()
    else this.#stats.reportsFailed.inc()
  }

  #spanOf(h: HeaderBlock, at: number, place: SpanPlace, sampled: boolean): ZipkinSpan {
    const span = this.newSpan(h.authority, at)
    span.server = place.spawnsUpstream || this.#config.split || !place.egress
    span.sampled = sampled
    return span
  }

  #root(span: ZipkinSpan): void {
    const id = randomId(this.random)
    span.id = id
    span.traceId = id
    if (!this.#config.traceId128) return
    const high = randomId(this.random)
    span.traceId = (this.#config.timestampIds ? hex32(this.#clock.wall() / 1000) + high.slice(8) : high) + id
  }

  #flush(): void {
    const spans = this.#pending
    if (spans.length === 0) return
    this.#pending = []
    this.#stats.spansSent.add(spans.length)
    if (this.#underWay >= MAX_UNDER_WAY) {
      this.#stats.reportsDropped.inc()
      return
    }
    const { service, shared, proto } = this.#config
    const place = {
      service: this.#services.node.cluster,
      address: this.#services.localAddress,
      shared,
      epoch: this.#clock.wall() - this.#clock.now(),
    }
    const body = proto ? zipkinProto(spans, place) : zipkinJson(spans, place)
    const timeout = this.#services.runtime.integer('tracing.zipkin.request_timeout', 5000)
    const options = { cluster: service.cluster, timeout, retry: null, maxBody: MAX_ANSWER }
    this.#underWay++
    this.#services.callOuts.http(options, this.#request.head(), body, this)
  }
}

/** Anything of a trace context. Most requests from outside have nothing, and one look at the names tells. */
function hasContext(h: HeaderBlock): boolean {
  const { list } = h
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]!
    if (name.startsWith('x-b3-') || name === 'b3' || name === 'traceparent') return true
  }
  return false
}

/** Names under `tracing.zipkin.`. */
class ZipkinStats {
  readonly spansSent: Counter
  readonly timerFlushed: Counter
  readonly reportsSkippedNoCluster: Counter
  readonly reportsSent: Counter
  readonly reportsDropped: Counter
  readonly reportsFailed: Counter

  constructor(scope: StatsScope) {
    this.spansSent = scope.counter('spans_sent')
    this.timerFlushed = scope.counter('timer_flushed')
    this.reportsSkippedNoCluster = scope.counter('reports_skipped_no_cluster')
    this.reportsSent = scope.counter('reports_sent')
    this.reportsDropped = scope.counter('reports_dropped')
    this.reportsFailed = scope.counter('reports_failed')
  }
}
