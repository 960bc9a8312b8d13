import { WireError, WireReader } from './wire-reader.ts'

/**
 * google.protobuf.Struct as bytes, for data-plane messages: workers have no descriptors. Fields are written in the order of their
 * names, as protobuf's deterministic serialisation does.
 */
export type StructValue = null | boolean | number | string | StructValue[] | { readonly [key: string]: StructValue }
export type StructFields = { readonly [key: string]: StructValue }

/** Deeper messages are refused: they come from peers. */
const MAX_DEPTH = 32

export function encodeStruct(fields: StructFields): Buffer {
  const parts: Buffer[] = []
  for (const key of Object.keys(fields).sort(byBytes)) {
    const entry = Buffer.concat([delimited(1, Buffer.from(key, 'utf8')), delimited(2, encodeValue(fields[key]!))])
    parts.push(delimited(1, entry))
  }
  return Buffer.concat(parts)
}

/** @throws WireError for anything that is no Struct */
export function decodeStruct(bytes: Uint8Array): Record<string, StructValue> {
  return readStruct(new WireReader(bytes), 0)
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

function encodeValue(value: StructValue): Buffer {
  if (value === null) return Buffer.from([8, 0])
  if (typeof value === 'number') {
    const out = Buffer.alloc(9)
    out[0] = 17
    out.writeDoubleLE(value, 1)
    return out
  }
  if (typeof value === 'string') return delimited(3, Buffer.from(value, 'utf8'))
  if (typeof value === 'boolean') return Buffer.from([32, value ? 1 : 0])
  if (Array.isArray(value)) return delimited(6, Buffer.concat(value.map(item => delimited(1, encodeValue(item)))))
  return delimited(5, encodeStruct(value))
}

/** A length-delimited field. */
export function delimited(field: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([(field << 3) | 2]), varint(bytes.length), bytes])
}

function varint(n: number): Buffer {
  const out: number[] = []
  let rest = n
  while (rest > 127) {
    out.push((rest & 127) | 128)
    rest >>>= 7
  }
  out.push(rest)
  return Buffer.from(out)
}

function readStruct(r: WireReader, depth: number): Record<string, StructValue> {
  if (depth > MAX_DEPTH) throw new WireError('struct is nested too deeply')
  const fields: Record<string, StructValue> = {}
  while (r.at < r.end) {
    if (r.uint32() !== 10) throw new WireError('not a Struct')
    const end = r.delimited()
    let key = ''
    let value: StructValue = null
    const entry = new WireReader(r.bytes, r.at, end)
    while (entry.at < entry.end) {
      const tag = entry.uint32()
      if (tag !== 10 && tag !== 18) throw new WireError('not an entry of a Struct')
      const stop = entry.delimited()
      if (tag === 10) key = utf8(entry, stop)
      else value = readValue(new WireReader(entry.bytes, entry.at, stop), depth)
      entry.at = stop
    }
    Object.defineProperty(fields, key, { value, enumerable: true, configurable: true, writable: true })
    r.at = end
  }
  return fields
}

function readValue(r: WireReader, depth: number): StructValue {
  let value: StructValue = null
  while (r.at < r.end) {
    const tag = r.uint32()
    if (tag === 8) {
      r.uint32()
      value = null
    } else if (tag === 17) {
      if (r.at + 8 > r.end) throw new WireError('truncated double')
      value = Buffer.from(r.bytes.buffer, r.bytes.byteOffset + r.at, 8).readDoubleLE()
      r.at += 8
    } else if (tag === 32) value = r.uint32() !== 0
    else if (tag === 26 || tag === 42 || tag === 50) {
      const end = r.delimited()
      if (tag === 26) value = utf8(r, end)
      else if (tag === 42) value = readStruct(new WireReader(r.bytes, r.at, end), depth + 1)
      else value = readList(new WireReader(r.bytes, r.at, end), depth + 1)
      r.at = end
    } else throw new WireError('not a Value')
  }
  return value
}

function readList(r: WireReader, depth: number): StructValue[] {
  if (depth > MAX_DEPTH) throw new WireError('list is nested too deeply')
  const items: StructValue[] = []
  while (r.at < r.end) {
    if (r.uint32() !== 10) throw new WireError('not a ListValue')
    const end = r.delimited()
    items.push(readValue(new WireReader(r.bytes, r.at, end), depth))
    r.at = end
  }
  return items
}

function utf8(r: WireReader, end: number): string {
  return Buffer.from(r.bytes.buffer, r.bytes.byteOffset + r.at, end - r.at).toString('utf8')
}
