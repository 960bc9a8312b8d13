/** Decodes the protoc-gen-validate options of a field with validate.proto's own descriptor, as canonical JSON-like values. */
import type { FieldRules } from '../src/config/descriptors.ts'
import { type Files, int, type MessageInfo, readWire, text, type WireField } from './update-descriptors-wire.ts'

export function fieldRules(wire: WireField[], files: Files): FieldRules | undefined {
  if (wire.length === 0) return undefined
  return decode(wire, files.messages.get('validate.FieldRules')!, files) as FieldRules
}

function decode(wire: WireField[], type: MessageInfo, files: Files): Record<string, unknown> {
  const out: Record<string, unknown> = {}
  for (const w of wire) {
    const f = type.fields.find(x => x.number === w.number)
    if (!f) throw new Error(`${type.fullName} has no field ${w.number}`)
    let values: unknown[]
    if (f.typeName === 'google.protobuf.Duration') {
      const d = readWire(w.bytes)
      values = [int(d, 1) * 1000 + int(d, 2) / 1e6]
    } else if (f.type === 11) values = [decode(readWire(w.bytes), files.messages.get(f.typeName)!, files)]
    else if (f.type === 9) values = [text([w], w.number)]
    else if (f.type === 12) values = [Buffer.from(w.bytes).toString('base64')]
    else if (f.repeated && w.wireType === 2) values = unpack(w.bytes, f.type)
    else values = [scalar(w, f.type, files, f.typeName)]
    if (f.repeated) out[f.name] = [...((out[f.name] as unknown[]) ?? []), ...values]
    else
      out[f.name] =
        f.type === 11 && f.typeName !== 'google.protobuf.Duration' && out[f.name]
          ? { ...(out[f.name] as object), ...(values[0] as object) }
          : values[0]
  }
  return out
}

function unpack(bytes: Uint8Array, type: number): unknown[] {
  if (type === 1 || type === 2) throw new Error('packed floats are not used by any rule of the API')
  const out: unknown[] = []
  let value = 0n
  let shift = 0n
  for (const b of bytes) {
    value |= BigInt(b & 0x7f) << shift
    shift += 7n
    if (b < 0x80) {
      out.push(Number(BigInt.asIntN(64, value)))
      value = 0n
      shift = 0n
    }
  }
  return out
}

function scalar(w: WireField, type: number, files: Files, typeName: string): unknown {
  const view = new DataView(new ArrayBuffer(8))
  view.setBigUint64(0, w.value, true)
  switch (type) {
    case 1:
      return view.getFloat64(0, true)
    case 2:
      return view.getFloat32(0, true)
    case 8:
      return w.value === 1n
    case 14:
      return files.enums.get(typeName)!.values.find(v => v.number === Number(w.value))!.name
    default:
      return Number(BigInt.asIntN(64, w.value))
  }
}
