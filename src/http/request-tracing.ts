import type { HeaderBlock } from '../codec/header-block.ts'
import { type FractionConfig, latin1 } from '../config/matcher.ts'
import type { Runtime } from '../config/services.ts'
import type { Route } from '../routing/route.ts'
import type { Counter, StatsScope } from '../stats/stats.ts'
import { TraceReason } from '../telemetry/access-log-filter.ts'
import { applyCustomTags } from '../telemetry/custom-tags.ts'
import type { Formatter } from '../telemetry/format-context.ts'
import type { Span, SpanPlace, Tracer } from '../telemetry/tracing.ts'
import type { TracingConfig } from '../telemetry/tracing-config.ts'
import { TracingLevel } from '../telemetry/tracing-level.ts'
import { NOT_TRACED, reasonDigit, withReasonDigit } from './request-id.ts'
import { logTimes, tagRequestSpan } from './span-tags.ts'
import type { StreamContext } from './stream-context.ts'

/** Index = TraceReason. */
const REASON_DIGITS: readonly string[] = [NOT_TRACED, '9', 'b', 'a']
const NONE: readonly [] = []

/** What the connection manager's configuration says about its place and its request ids. */
export interface TracingPlace {
  readonly egress: boolean
  readonly packTraceReason: boolean
  readonly sampleByRequestId: boolean
}

/**
 * Tracing of one connection manager on one worker: which requests, the span of each, and what names it
 * (ConnectionManagerUtility::mutateTracingRequestHeader, ActiveStream::traceRequest, HttpTracerUtility).
 */
export class RequestTracing implements SpanPlace {
  readonly egress: boolean
  readonly spawnsUpstream: boolean
  readonly propagates: boolean
  readonly verbose: boolean
  readonly level: TracingLevel
  private readonly tracer: Tracer | null
  private readonly runtime: Runtime
  private readonly place: TracingPlace
  private readonly maxPath: number
  private readonly nodeId: string
  private readonly zone: string
  /** Index = TraceReason. */
  private readonly charges: readonly Counter[]

  constructor(
    config: TracingConfig,
    tracer: Tracer | null,
    place: TracingPlace,
    services: { readonly runtime: Runtime; readonly node: { readonly id: string; readonly zone: string } },
    stats: StatsScope,
  ) {
    this.egress = place.egress
    this.spawnsUpstream = config.spawnUpstreamSpan
    this.propagates = !config.noContextPropagation
    this.verbose = config.verbose
    this.level = new TracingLevel(config)
    this.tracer = tracer
    this.runtime = services.runtime
    this.place = place
    this.maxPath = config.maxPathTagLength
    this.nodeId = latin1(services.node.id)
    this.zone = latin1(services.node.zone)
    // tracing.health_check stays 0, as with Envoy: which requests are health checks is known only after the span has begun.
    this.charges = ['not_traceable', 'random_sampling', 'client_enabled', 'service_forced'].map(name =>
      stats.counter(`tracing.${name}`),
    )
  }

  /** Whether the request is traced, and why; the request id tells the next hop. */
  decide(context: StreamContext, h: HeaderBlock, route: Route | null): void {
    const { info } = context
    if (!this.place.sampleByRequestId) {
      info.traceReason = TraceReason.Sampled
      return
    }
    const id = info.requestId
    const value = leadingHex(id)
    if (value < 0) return
    const level = route === null || route.tracing === null ? this.level : route.tracing
    const known = this.reasonOf(id)
    let reason = known
    if (reason === TraceReason.None) {
      if (h.has('x-client-trace-id') && this.passes(level.client, context.random)) reason = TraceReason.ClientForced
      else if (h.has('x-envoy-force-trace')) reason = TraceReason.ServiceForced
      else if (this.passes(level.random, value % 10_000)) reason = TraceReason.Sampled
    }
    const cut = reason !== TraceReason.None && !this.passes(level.overall, value % 10_000)
    if (cut) reason = TraceReason.None
    info.traceReason = reason
    if ((cut || reason !== known) && this.place.packTraceReason) this.mark(context, h, id, reason)
  }

  /** The span, and the names that hops give each other for it. */
  start(context: StreamContext, h: HeaderBlock, route: Route | null): void {
    const { info } = context
    const traced = info.traceReason !== TraceReason.None
    const span = this.tracer === null ? null : this.tracer.startSpan(h, info.start, this, traced)
    context.span = span
    if (span !== null) {
      info.traceId = span.traceId
      info.spanId = span.spanId
      if (span.sampled) {
        span.setTag('node_id', this.nodeId)
        span.setTag('zone', this.zone)
      }
    }
    // A configured `operation` takes the place of decorators altogether.
    if (this.operationOf(route) !== null) return
    let operation = ''
    const decorator = route === null ? null : route.decorator
    if (decorator !== null) {
      if (span !== null && decorator.operation !== '') span.setOperation(decorator.operation)
      if (decorator.propagate) operation = decorator.operation
    }
    if (this.egress) {
      if (operation !== '') h.set('x-envoy-decorator-operation', operation)
    } else {
      const asked = h.get('x-envoy-decorator-operation')
      if (asked !== undefined) {
        if (asked !== '') {
          span?.setOperation(asked)
          operation = ''
        }
        h.remove('x-envoy-decorator-operation')
      }
    }
    context.decorates = true
    context.operation = operation
  }

  /** The response head on its way to the client: Envoy counts here, and it is the other half of the decorator's conversation. */
  onResponse(context: StreamContext, h: HeaderBlock): void {
    this.charge(context)
    if (!context.decorates) return
    if (!this.egress) {
      if (context.operation !== '') h.set('x-envoy-decorator-operation', context.operation)
      return
    }
    const told = h.get('x-envoy-decorator-operation')
    if (told === undefined) return
    if (told !== '') context.span?.setOperation(told)
    h.remove('x-envoy-decorator-operation')
  }

  /** The request is over. Those that were refused before they had a route have no span. */
  finish(context: StreamContext): void {
    const { span, info } = context
    if (span === null) return
    context.span = null
    if (span.sampled) {
      const route = context.route()
      tagRequestSpan(span, context, this.maxPath)
      if (this.verbose) logTimes(span, info, true)
      this.complete(span, context, this.operationOf(route))
    }
    span.finish()
  }

  /** An internal redirect begins a stream anew, and nobody decides about that one: it is traced only where the tracer says so. */
  restart(context: StreamContext): void {
    this.charge(context)
    this.finish(context)
    context.info.traceReason = TraceReason.None
    context.decorates = false
    context.operation = ''
  }

  /** Once per response head, interim ones included. */
  charge(context: StreamContext): void {
    this.charges[context.info.traceReason]!.inc()
  }

  /** Custom tags, and the name by `operation`. */
  complete(span: Span, context: StreamContext, operation: Formatter | null): void {
    const route = context.route()
    applyCustomTags(
      span,
      this.level.tags,
      route === null || route.tracing === null ? NONE : route.tracing.tags,
      context,
    )
    const name = operation === null ? '' : operation.format(context)
    if (name !== '') span.setOperation(name)
  }

  upstreamOperationOf(route: Route | null): Formatter | null {
    return (
      (route === null || route.tracing === null ? null : route.tracing.upstreamOperation) ??
      this.level.upstreamOperation
    )
  }

  private operationOf(route: Route | null): Formatter | null {
    return (route === null || route.tracing === null ? null : route.tracing.operation) ?? this.level.operation
  }

  private passes(share: FractionConfig, random: number): boolean {
    return this.runtime.fraction(share.key, share.numerator, share.denominator, random)
  }

  private reasonOf(id: string): TraceReason {
    if (!this.place.packTraceReason) return TraceReason.None
    switch (reasonDigit(id)) {
      case '9':
        return TraceReason.Sampled
      case 'a':
        return TraceReason.ServiceForced
      case 'b':
        return TraceReason.ClientForced
      default:
        return TraceReason.None
    }
  }

  private mark(context: StreamContext, h: HeaderBlock, id: string, reason: TraceReason): void {
    const marked = withReasonDigit(id, REASON_DIGITS[reason]!)
    if (marked === id) return
    h.set('x-request-id', marked)
    context.info.requestId = marked
  }
}

/** The first eight digits of a request id as a number, which all hops share; -1 when they are no hex digits. */
function leadingHex(id: string): number {
  if (id.length < 8) return -1
  let value = 0
  for (let i = 0; i < 8; i++) {
    const digit = hexDigit(id.charCodeAt(i))
    if (digit < 0) return -1
    value = value * 16 + digit
  }
  return value
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}
