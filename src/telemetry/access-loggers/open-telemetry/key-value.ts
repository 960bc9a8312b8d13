import type { opentelemetry } from '../../../config/gen/messages.d.ts'
import { WireWriter } from '../../../config/wire-writer.ts'

type AnyValue = opentelemetry.proto.common.v1.AnyValue
type KeyValue = opentelemetry.proto.common.v1.KeyValue

/** opentelemetry.proto.common.v1.KeyValue as bytes, without descriptors. What is set of a value is written, zeros too: it is a oneof. */
export function encodeKeyValue(entry: KeyValue): Uint8Array {
  const w = new WireWriter()
  writeKeyValue(w, entry)
  return w.finish()
}

function writeKeyValue(w: WireWriter, { key = '', value }: KeyValue): void {
  w.stringField(1, key)
  if (value !== undefined) w.messageField(2, () => writeAny(w, value))
}

function writeAny(w: WireWriter, value: AnyValue): void {
  if (value.string_value !== undefined) {
    w.tag(1, 2)
    w.text(value.string_value)
  } else if (value.bool_value !== undefined) {
    w.tag(2, 0)
    w.varint(value.bool_value ? 1 : 0)
  } else if (value.int_value !== undefined) {
    w.tag(3, 0)
    w.bigVarint(BigInt(value.int_value))
  } else if (value.double_value !== undefined) {
    w.tag(4, 1)
    w.double(value.double_value)
  } else if (value.array_value !== undefined) {
    const items = value.array_value.values ?? []
    w.messageField(5, () => {
      for (const item of items) w.messageField(1, () => writeAny(w, item))
    })
  } else if (value.kvlist_value !== undefined) {
    const entries = value.kvlist_value.values ?? []
    w.messageField(6, () => {
      for (const entry of entries) w.messageField(1, () => writeKeyValue(w, entry))
    })
  } else if (value.bytes_value !== undefined) {
    w.tag(7, 2)
    w.bytes(value.bytes_value)
  }
}
