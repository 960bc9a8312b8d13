import type { HeaderBlock } from '../../../codec/header-block.ts'
import type { Span } from '../../tracing.ts'
import type { TagType } from '../../tracing-config.ts'
import { randomId, replaceHeader } from '../span-text.ts'
import { formatTraceParent } from '../traceparent.ts'
import type { ZipkinTracer } from '../zipkin.ts'

/** A span of Zipkin's model. Pooled by its tracer as long as it is not sampled. */
export class ZipkinSpan implements Span {
  sampled = false
  /** 16 or 32 hex digits. */
  traceId = ''
  /** %SPAN_ID% knows none of Zipkin's. */
  readonly spanId = ''
  id = ''
  /** '' = none. */
  parentId = ''
  name = ''
  server = false
  /** The context came in, and goes out, in the single header `b3`. */
  single = false
  /** No context came with the request, and none has been written yet: nothing need be replaced. */
  fresh = false
  /** ms of the worker's clock. */
  start = 0
  end = 0
  /** Name, value, name, value, …; of two with one name the last one counts. */
  tags: string[] = []
  /** Event after event, and when. */
  events: string[] = []
  eventTimes: number[] = []
  private readonly tracer: ZipkinTracer

  constructor(tracer: ZipkinTracer) {
    this.tracer = tracer
  }

  setSampled(sampled: boolean): void {
    this.sampled = sampled
  }

  setOperation(name: string): void {
    this.name = name
  }

  setTag(name: string, value: string): void {
    if (name !== '' && value !== '') this.tags.push(name, value)
  }

  setTypedTag(name: string, value: string, _type: TagType): void {
    this.setTag(name, value)
  }

  log(at: number, event: string): void {
    this.events.push(event)
    this.eventTimes.push(at)
  }

  inject(h: HeaderBlock): void {
    const { traceId, id, parentId, sampled } = this
    const flag = sampled ? '1' : '0'
    if (this.fresh && !this.tracer.w3c) {
      this.fresh = false
      h.push('x-b3-traceid', traceId)
      h.push('x-b3-spanid', id)
      h.push('x-b3-sampled', flag)
      return
    }
    if (this.single) {
      replaceHeader(h, 'b3', `${traceId}-${id}-${flag}${parentId === '' ? '' : `-${parentId}`}`)
    } else {
      replaceHeader(h, 'x-b3-traceid', traceId)
      replaceHeader(h, 'x-b3-spanid', id)
      if (parentId !== '') replaceHeader(h, 'x-b3-parentspanid', parentId)
      replaceHeader(h, 'x-b3-sampled', flag)
    }
    if (this.tracer.w3c) replaceHeader(h, 'traceparent', formatTraceParent(traceId.padStart(32, '0'), id, sampled))
  }

  spawnChild(name: string, at: number): ZipkinSpan {
    const child = this.tracer.newSpan(name, at)
    child.traceId = this.traceId
    child.id = randomId(this.tracer.random)
    child.parentId = this.id
    child.sampled = this.sampled
    child.single = this.single
    return child
  }

  finish(): void {
    this.tracer.ended(this)
  }
}
