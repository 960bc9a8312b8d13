import type { HeaderBlock } from '../../../codec/header-block.ts'
import type { Span } from '../../tracing.ts'
import type { TagType } from '../../tracing-config.ts'
import type { OpenTelemetryTracer } from '../opentelemetry.ts'
import { randomId, replaceHeader } from '../span-text.ts'
import { formatTraceParent } from '../traceparent.ts'

/** Span.Status of OTLP; `None`: the message is not there. */
export const SpanStatus = { None: -1, Unset: 0, Error: 2 } as const

/** A span of OpenTelemetry's model. Pooled by its tracer as long as it is not sampled. */
export class OpenTelemetrySpan implements Span {
  sampled = false
  /** 32 hex digits. */
  traceId = ''
  spanId = ''
  /** '' = none. */
  parentId = ''
  /** The parent is a span of the hop before. */
  remoteParent = false
  traceState = ''
  name = ''
  server = false
  /** No context came with the request, and none has been written yet: nothing need be replaced. */
  fresh = false
  /** ms of the worker's clock. */
  start = 0
  end = 0
  status: number = SpanStatus.None
  /** Name, value, type, name, value, type, …; every name once. */
  attributes: string[] = []
  events: string[] = []
  eventTimes: number[] = []
  private readonly tracer: OpenTelemetryTracer

  constructor(tracer: OpenTelemetryTracer) {
    this.tracer = tracer
  }

  setSampled(sampled: boolean): void {
    this.sampled = sampled
  }

  setOperation(name: string): void {
    this.name = name
  }

  setTag(name: string, value: string): void {
    this.setTypedTag(name, value, 'string')
  }

  setTypedTag(name: string, value: string, type: TagType): void {
    if (name === '') return
    let text = value
    if (name === 'http.method' && !METHODS.has(value)) text = '_OTHER'
    else if (name === 'http.status_code') this.noteHttpStatus(Number(value))
    else if (name === 'grpc.status_code') this.noteGrpcStatus(value)
    const { attributes } = this
    for (let i = 0; i < attributes.length; i += 3) {
      if (attributes[i] !== name) continue
      attributes[i + 1] = text
      attributes[i + 2] = type
      return
    }
    attributes.push(name, text, type)
  }

  log(at: number, event: string): void {
    this.events.push(event)
    this.eventTimes.push(at)
  }

  inject(h: HeaderBlock): void {
    const parent = formatTraceParent(this.traceId, this.spanId, this.sampled)
    // A tracestate also when it is empty, as Envoy.
    if (this.fresh) {
      this.fresh = false
      h.push('traceparent', parent)
      h.push('tracestate', this.traceState)
    } else {
      replaceHeader(h, 'traceparent', parent)
      replaceHeader(h, 'tracestate', this.traceState)
    }
  }

  spawnChild(name: string, at: number): OpenTelemetrySpan {
    const child = this.tracer.newSpan(name, at)
    child.traceId = this.traceId
    child.spanId = randomId(this.tracer.random)
    child.parentId = this.spanId
    child.traceState = this.traceState
    child.sampled = this.sampled
    return child
  }

  finish(): void {
    this.tracer.ended(this)
  }

  /** Semantic conventions for HTTP spans: a 4xx is the client's fault, so only its own span is an error. */
  private noteHttpStatus(status: number): void {
    if (status >= (this.server ? 500 : 400)) this.status = SpanStatus.Error
  }

  /** Semantic conventions for RPC spans. */
  private noteGrpcStatus(status: string): void {
    const error = this.server ? SERVER_ERRORS.has(status) : status !== '0'
    this.status = error ? SpanStatus.Error : SpanStatus.Unset
  }
}

const METHODS: ReadonlySet<string> = new Set([
  'CONNECT',
  'DELETE',
  'GET',
  'HEAD',
  'OPTIONS',
  'PATCH',
  'POST',
  'PUT',
  'TRACE',
])

/** UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS. */
const SERVER_ERRORS: ReadonlySet<string> = new Set(['2', '4', '12', '13', '14', '15'])
