import { decodeMessage } from '../../src/config/binary.ts'
import type { UpstreamRecord } from './behaviour.ts'

const OTLP = 'opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest'

/**
 * The spans in the body of a request that a tracer made, tags by name and times as `{time}`: the real proxy writes tags in hash
 * order. What the process says of itself goes before them. Null: it is no such request.
 */
export function exportedSpans(record: UpstreamRecord): object[] | null {
  const has = (line: string): boolean => record.head.some(head => head.toLowerCase().includes(line))
  if (has('/api/v2/spans')) return zipkin(record.body)
  if (has('/v1/traces')) return otlp(record.body)
  if (has('traceservice/export')) return otlp(record.body.subarray(5))
  return null
}

interface ZipkinSpan {
  readonly annotations: readonly { readonly value: string }[]
  readonly localEndpoint: object
  readonly tags: object
}

function zipkin(body: Buffer): object[] {
  return (JSON.parse(body.toString('utf8')) as ZipkinSpan[]).map(span => ({
    ...sorted(span),
    timestamp: '{time}',
    duration: '{time}',
    annotations: span.annotations.map(({ value }) => value),
    localEndpoint: sorted(span.localEndpoint),
    tags: sorted(span.tags),
  }))
}

interface Attribute {
  readonly key: string
  readonly value: object
}

interface OtlpRequest {
  readonly resource_spans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] }
    readonly scope_spans: readonly { readonly scope?: object; readonly spans: readonly Record<string, unknown>[] }[]
  }[]
}

function otlp(body: Buffer): object[] {
  const message = decodeMessage(OTLP, body).message as OtlpRequest
  return message.resource_spans.flatMap(({ resource, scope_spans: scopes }) => [
    { resource: byName(resource.attributes) },
    ...scopes.flatMap(({ scope, spans }) => [
      { scope },
      ...spans.map(span => ({
        ...Object.fromEntries(
          Object.entries(span).map(([name, value]) => [name, value instanceof Uint8Array ? hex(value) : value]),
        ),
        start_time_unix_nano: '{time}',
        end_time_unix_nano: '{time}',
        events: ((span['events'] ?? []) as { name: string }[]).map(({ name }) => name),
        attributes: byName((span['attributes'] ?? []) as Attribute[]),
      })),
    ]),
  ])
}

function byName(attributes: readonly Attribute[]): object {
  return sorted(Object.fromEntries(attributes.map(({ key, value }) => [key, value])))
}

function sorted(object: object): object {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)))
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
