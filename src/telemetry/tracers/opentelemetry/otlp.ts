import { VERSION_TEXT } from '../../../base/version.ts'
import { WireWriter } from '../../../config/wire-writer.ts'
import { unicode } from '../span-text.ts'
import { type OpenTelemetrySpan, SpanStatus } from './span.ts'

export interface OtlpResource {
  /** Name, value, name, value, …. */
  readonly attributes: readonly string[]
  /** instrumentation_scope is said. */
  readonly scope: boolean
}

/**
 * opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest.
 *
 * @param epoch wall clock minus the worker's, ms
 */
export function otlpRequest(spans: readonly OpenTelemetrySpan[], resource: OtlpResource, epoch: number): Uint8Array {
  const w = new WireWriter()
  w.messageField(1, () => {
    w.messageField(1, () => {
      const { attributes } = resource
      for (let i = 0; i < attributes.length; i += 2) writeAttribute(w, 1, attributes[i]!, attributes[i + 1]!, 'string')
    })
    w.messageField(2, () => {
      if (resource.scope) {
        w.messageField(1, () => {
          w.stringField(1, 'envoy')
          w.stringField(2, VERSION_TEXT)
        })
      }
      for (const span of spans) w.messageField(2, () => writeSpan(w, span, epoch))
    })
  })
  return w.finish()
}

const SERVER = 2
const CLIENT = 3
/** SpanFlags: whether the parent is remote is known, and it is. */
const HAS_IS_REMOTE = 0x100
const IS_REMOTE = 0x200

function writeSpan(w: WireWriter, span: OpenTelemetrySpan, epoch: number): void {
  w.bytesField(1, Buffer.from(span.traceId, 'hex'))
  w.bytesField(2, Buffer.from(span.spanId, 'hex'))
  w.stringField(3, unicode(span.traceState))
  if (span.parentId !== '') w.bytesField(4, Buffer.from(span.parentId, 'hex'))
  w.stringField(5, unicode(span.name))
  w.uintField(6, span.server ? SERVER : CLIENT)
  writeTime(w, 7, epoch + span.start)
  writeTime(w, 8, epoch + span.end)
  const { attributes, events } = span
  for (let i = 0; i < attributes.length; i += 3) {
    writeAttribute(w, 9, attributes[i]!, attributes[i + 1]!, attributes[i + 2]!)
  }
  for (let i = 0; i < events.length; i++) {
    w.messageField(11, () => {
      writeTime(w, 1, epoch + span.eventTimes[i]!)
      w.stringField(2, events[i]!)
    })
  }
  if (span.status !== SpanStatus.None) w.messageField(15, () => w.uintField(3, span.status))
  w.tag(16, 5)
  w.fixed32(HAS_IS_REMOTE | (span.remoteParent ? IS_REMOTE : 0) | 1)
}

function writeTime(w: WireWriter, field: number, ms: number): void {
  w.tag(field, 1)
  w.fixed64(BigInt(Math.round(ms * 1000)) * 1000n)
}

const INTEGER = /^[+-]?[0-9]{1,19}$/
const DOUBLE = /^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?$/i
const TRUE = /^(true|t|yes|y|1)$/i
const FALSE = /^(false|f|no|n|0)$/i

/** A KeyValue. A text that is none of its type goes out as the text it is. */
function writeAttribute(w: WireWriter, field: number, name: string, value: string, type: string): void {
  w.messageField(field, () => {
    w.stringField(1, unicode(name))
    w.messageField(2, () => {
      if (type === 'int' && INTEGER.test(value)) {
        w.tag(3, 0)
        w.bigVarint(BigInt(value.startsWith('+') ? value.slice(1) : value))
      } else if (type === 'double' && DOUBLE.test(value)) {
        w.tag(4, 1)
        w.double(Number(value))
      } else if (type === 'bool' && (TRUE.test(value) || FALSE.test(value))) {
        w.tag(2, 0)
        w.varint(TRUE.test(value) ? 1 : 0)
      } else {
        // One of a oneof is written even when it is empty.
        w.tag(1, 2)
        w.text(unicode(value))
      }
    })
  })
}
