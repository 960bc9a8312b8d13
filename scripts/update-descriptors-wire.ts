/** A reader for FileDescriptorProto (google/protobuf/descriptor.proto) that keeps options as raw bytes, extensions included. */
import type { FieldRules } from '../src/config/descriptors.ts'

export interface FieldInfo {
  name: string
  number: number
  repeated: boolean
  required: boolean
  /** FieldDescriptorProto.Type */
  type: number
  typeName: string
  oneofIndex: number
  jsonName: string
  proto3Optional: boolean
  options: WireField[]
  default: string
  /** what a field from proto/*.proto says about itself; such a field has no option bytes */
  source?: { deprecated: boolean; sensitive: boolean; rules?: FieldRules }
}
export interface EnumInfo {
  fullName: string
  values: { name: string; number: number; options: WireField[] }[]
}
export interface MessageInfo {
  fullName: string
  file: string
  fields: FieldInfo[]
  oneofs: { name: string; options: WireField[]; required?: boolean }[]
  options: WireField[]
  mapEntry: boolean
  proto2: boolean
}
export interface WireField {
  number: number
  wireType: number
  /** varint and fixed values */
  value: bigint
  bytes: Uint8Array
}

const EMPTY = new Uint8Array(0)

export function readWire(bytes: Uint8Array): WireField[] {
  const out: WireField[] = []
  let at = 0
  const varint = () => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const b = bytes[at++]!
      value |= BigInt(b & 0x7f) << shift
      if (b < 0x80) return value
    }
  }
  while (at < bytes.length) {
    const tag = Number(varint())
    const number = tag >>> 3
    const wireType = tag & 7
    let value = 0n
    let body: Uint8Array = EMPTY
    if (wireType === 0) value = varint()
    else {
      const length = wireType === 2 ? Number(varint()) : wireType === 1 ? 8 : 4
      body = bytes.subarray(at, at + length)
      at += length
      if (wireType !== 2) for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(body[i]!)
    }
    out.push({ number, wireType, value, bytes: body })
  }
  return out
}

const utf8 = new TextDecoder()
export const text = (f: WireField[], n: number) => utf8.decode(f.findLast(x => x.number === n)?.bytes ?? EMPTY)
export const int = (f: WireField[], n: number) => Number(f.findLast(x => x.number === n)?.value ?? 0n)
export const all = (f: WireField[], n: number) => f.filter(x => x.number === n)
export const sub = (f: WireField[], n: number) => all(f, n).flatMap(x => readWire(x.bytes))

export interface Files {
  messages: Map<string, MessageInfo>
  enums: Map<string, EnumInfo>
}

export function readFile(bytes: Uint8Array, into: Files): void {
  const file = readWire(bytes)
  const name = text(file, 1)
  const pkg = text(file, 2)
  const proto2 = text(file, 12) !== 'proto3'
  for (const m of all(file, 4)) readMessage(readWire(m.bytes), pkg, name, proto2, into)
  for (const e of all(file, 5)) readEnum(readWire(e.bytes), pkg, into)
}

function readMessage(m: WireField[], scope: string, file: string, proto2: boolean, into: Files): void {
  const fullName = `${scope}.${text(m, 1)}`
  const options = sub(m, 7)
  into.messages.set(fullName, {
    fullName,
    file,
    proto2,
    options,
    mapEntry: int(options, 7) === 1,
    oneofs: all(m, 8).map(o => ({ name: text(readWire(o.bytes), 1), options: sub(readWire(o.bytes), 2) })),
    fields: all(m, 2).map(x => {
      const f = readWire(x.bytes)
      return {
        name: text(f, 1),
        number: int(f, 3),
        repeated: int(f, 4) === 3,
        required: int(f, 4) === 2,
        type: int(f, 5),
        typeName: text(f, 6).replace(/^\./, ''),
        oneofIndex: f.some(y => y.number === 9) ? int(f, 9) : -1,
        jsonName: text(f, 10),
        proto3Optional: int(f, 17) === 1,
        options: sub(f, 8),
        default: text(f, 7),
      }
    }),
  })
  for (const n of all(m, 3)) readMessage(readWire(n.bytes), fullName, file, proto2, into)
  for (const e of all(m, 4)) readEnum(readWire(e.bytes), fullName, into)
}

function readEnum(e: WireField[], scope: string, into: Files): void {
  const fullName = `${scope}.${text(e, 1)}`
  const values = all(e, 2).map(x => {
    const v = readWire(x.bytes)
    return { name: text(v, 1), number: Number(BigInt.asIntN(32, BigInt(int(v, 2)))), options: sub(v, 3) }
  })
  into.enums.set(fullName, { fullName, values })
}
