/** Message shape → protobuf wire format. Fields in order of number, so equal messages give equal bytes. */
import type { AnyMessage } from './any.ts'
import { type FieldType, hasMessageType, type MessageType, messageType, wellKnownHolder } from './descriptors.ts'
import { msToSeconds } from './well-known.ts'
import { WireWriter } from './wire-writer.ts'

/**
 * Fields of a message, whole, whose numbers the descriptors do not have: kept by decodeMessage({ keepUnknownFields: true }) and written
 * behind the others, for those who change something and pass the rest on. No key that Object.keys or JSON would see.
 */
export const UNKNOWN_FIELDS = Symbol('unknown fields')

/** @throws Error when the value has not the shape of the type: that is a mistake of the caller, not of a user */
export function encodeMessage(typeName: string, message: object): Uint8Array<ArrayBuffer> {
  const w = new WireWriter()
  writeMessage(w, messageType(typeName), message as Record<string, unknown>)
  return w.finish()
}

/** The bytes of a google.protobuf.Any. */
export function encodeAny(any: AnyMessage): Uint8Array<ArrayBuffer> {
  const w = new WireWriter()
  writeAny(w, any)
  return w.finish()
}

/** What decodeMessage makes, seen by its unknown fields. */
export interface Kept {
  [UNKNOWN_FIELDS]?: Uint8Array[]
}

function writeMessage(w: WireWriter, type: MessageType, message: Record<string, unknown>): void {
  for (const field of type.ordered) {
    const value = message[field.name]
    if (value === undefined) continue
    if (field.isMap) writeMap(w, field, value as Record<string, unknown>)
    else if (field.packed) {
      w.tag(field.number, 2)
      w.delimited(() => {
        for (const v of value as unknown[]) writeScalar(w, field, v)
      })
    } else if (field.repeated) for (const v of value as unknown[]) writeField(w, field, v)
    else writeField(w, field, value)
  }
  const unknown = (message as Kept)[UNKNOWN_FIELDS]
  if (unknown !== undefined) for (const bytes of unknown) w.raw(bytes)
}

function writeMap(w: WireWriter, field: FieldType, map: Record<string, unknown>): void {
  const key = field.message.byNumber.get(1)!
  const value = field.message.byNumber.get(2)!
  for (const [k, v] of Object.entries(map)) {
    w.tag(field.number, 2)
    w.delimited(() => {
      writeField(w, key, key.type === 9 ? k : key.type === 8 ? k === 'true' : BigInt(k))
      writeField(w, value, v)
    })
  }
}

function writeField(w: WireWriter, field: FieldType, value: unknown): void {
  w.tag(field.number, field.wireType)
  if (field.wellKnown !== null) w.delimited(() => writeWellKnown(w, field, value))
  else if (field.isMessage) w.delimited(() => writeMessage(w, field.message, value as Record<string, unknown>))
  else writeScalar(w, field, value)
}

function writeScalar(w: WireWriter, field: FieldType, value: unknown): void {
  switch (field.type) {
    case 1:
      w.double(value as number)
      return
    case 2:
      w.float(value as number)
      return
    case 6:
    case 16:
      w.fixed64(BigInt(value as number))
      return
    case 7:
    case 15:
      w.fixed32(Number(value))
      return
    case 8:
      w.varint(value === true ? 1 : 0)
      return
    case 9:
      w.text(value as string)
      return
    case 12:
      w.bytes(value as Uint8Array)
      return
    case 14: {
      if (!field.isEnum) {
        w.varint(0)
        return
      }
      const n = typeof value === 'number' ? value : field.enum.byName.get(value as string)
      if (n === undefined) throw new Error(`${String(value)} is not a value of ${field.typeName}`)
      w.bigVarint(BigInt(n))
      return
    }
    case 17: {
      const n = Number(value)
      w.varint((n << 1) ^ (n >> 31))
      return
    }
    case 18: {
      const n = BigInt(value as number)
      w.bigVarint((n << 1n) ^ (n >> 63n))
      return
    }
    default:
      w.bigVarint(BigInt(value as number))
      return
  }
}

function writeWellKnown(w: WireWriter, field: FieldType, value: unknown): void {
  switch (field.wellKnown) {
    case 'duration':
      writeTime(w, msToSeconds(value as number))
      return
    case 'timestamp': {
      const { seconds, nanos } = msToSeconds(value as number)
      writeTime(w, nanos < 0 ? { seconds: seconds - 1, nanos: nanos + 1e9 } : { seconds, nanos })
      return
    }
    case 'wrapper':
      if (value === 0 || value === false || value === '') return
      w.tag(1, field.type === 1 ? 1 : field.type === 2 ? 5 : field.type === 9 || field.type === 12 ? 2 : 0)
      writeScalar(w, field, value)
      return
    case 'struct':
      writeStruct(w, value as Record<string, unknown>)
      return
    case 'value':
      writePlain(w, value)
      return
    case 'list':
      writeList(w, value as unknown[])
      return
    case 'mask':
      for (const path of (value as string).split(',').filter(p => p !== '')) {
        w.tag(1, 2)
        w.text(path.replace(/[A-Z]/g, c => `_${c.toLowerCase()}`))
      }
      return
    case 'any':
      writeAny(w, value as AnyMessage)
      return
    default:
  }
}

function writeTime(w: WireWriter, t: { seconds: number; nanos: number }): void {
  if (t.seconds !== 0) {
    w.tag(1, 0)
    w.bigVarint(BigInt(t.seconds))
  }
  if (t.nanos !== 0) {
    w.tag(2, 0)
    w.bigVarint(BigInt(t.nanos))
  }
}

function writeStruct(w: WireWriter, struct: Record<string, unknown>): void {
  for (const [k, v] of Object.entries(struct)) {
    w.tag(1, 2)
    w.delimited(() => {
      w.tag(1, 2)
      w.text(k)
      w.tag(2, 2)
      w.delimited(() => writePlain(w, v))
    })
  }
}

function writeList(w: WireWriter, list: readonly unknown[]): void {
  for (const v of list) {
    w.tag(1, 2)
    w.delimited(() => writePlain(w, v))
  }
}

function writePlain(w: WireWriter, v: unknown): void {
  if (v === null) {
    w.tag(1, 0)
    w.varint(0)
  } else if (typeof v === 'number') {
    w.tag(2, 1)
    w.double(v)
  } else if (typeof v === 'string') {
    w.tag(3, 2)
    w.text(v)
  } else if (typeof v === 'boolean') {
    w.tag(4, 0)
    w.varint(v ? 1 : 0)
  } else if (Array.isArray(v)) {
    w.tag(6, 2)
    w.delimited(() => writeList(w, v))
  } else {
    w.tag(5, 2)
    w.delimited(() => writeStruct(w, v as Record<string, unknown>))
  }
}

const TYPED_STRUCT = 'type.googleapis.com/xds.type.v3.TypedStruct'

function writeAny(w: WireWriter, any: AnyMessage): void {
  // A TypedStruct goes out as the TypedStruct it came in.
  const struct = any.struct ?? (any.typed_struct === true ? { type_url: TYPED_STRUCT, value: any.message ?? {} } : null)
  const url = struct?.type_url ?? any.type_url
  if (url !== '') {
    w.tag(1, 2)
    w.text(url)
  }
  // Both TypedStruct types have the same fields.
  const typed = struct === null ? null : { type_url: any.type_url, value: struct.value }
  const content = typed === null ? (any.value ?? anyContent(any)) : encodeMessage('xds.type.v3.TypedStruct', typed)
  if (content.length > 0) {
    w.tag(2, 2)
    w.bytes(content)
  }
}

function anyContent(any: AnyMessage): Uint8Array {
  const name = any.type_url.slice(any.type_url.lastIndexOf('/') + 1)
  if (any.message === undefined) return new Uint8Array(0)
  if (hasMessageType(name)) return encodeMessage(name, any.message)
  const holder = wellKnownHolder(name)
  if (holder === null) throw new Error(`no message ${name} in proto/descriptors.jsonl`)
  const w = new WireWriter()
  const value = (any.message as { value?: unknown }).value
  if (value !== undefined) writeWellKnown(w, holder.fields[0]!, value)
  return w.finish()
}
