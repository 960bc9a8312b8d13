/**
 * Protobuf wire format → message shape, and back (binary-writer.ts). Used for .pb bootstraps and for everything that arrives by xDS.
 */
import { ConfigError } from '../base/errors.ts'
import type { AnyMessage } from './any.ts'
import { type Kept, UNKNOWN_FIELDS } from './binary-writer.ts'
import { type FieldType, hasMessageType, type MessageType, messageType, wellKnownHolder } from './descriptors.ts'
import { FieldPath } from './field-path.ts'
import { emptyValue, readJson, type UnknownField } from './json-reader.ts'
import { setKey } from './object-key.ts'
import { secondsToMs } from './well-known.ts'
import { WireError, WireReader } from './wire-reader.ts'

export { encodeAny, encodeMessage } from './binary-writer.ts'

export interface UnknownNumber {
  /** of the message that holds the field */
  readonly at: FieldPath
  readonly typeName: string
  readonly number: number
}

export interface DecodeResult<T = object> {
  readonly message: T
  /** fields with numbers the descriptors do not have */
  readonly unknownNumbers: readonly UnknownNumber[]
  /** unknown names in TypedStructs, which are JSON inside the bytes */
  readonly unknownFields: readonly UnknownField[]
}

const MAX_DEPTH = 100
const utf8 = new TextDecoder('utf-8', { fatal: true })
const TYPED_STRUCTS = new Set(['xds.type.v3.TypedStruct', 'udpa.type.v1.TypedStruct'])

/**
 * @param options.keepUnknownAny an Any of an unknown type keeps its bytes instead of failing (default true)
 * @param options.keepUnknownFields unknown numbers stay in the message, for encodeMessage (default false)
 * @throws ConfigError CONFIG_BINARY, CONFIG_ANY_TYPE, and what a TypedStruct's JSON may raise
 */
export function decodeMessage<T extends object = object>(
  typeName: string,
  bytes: Uint8Array,
  at: FieldPath = FieldPath.root(),
  options: { keepUnknownAny?: boolean; keepUnknownFields?: boolean } = {},
): DecodeResult<T> {
  const decoder = new Decoder(options.keepUnknownAny ?? true, options.keepUnknownFields ?? false)
  try {
    const message = decoder.message(messageType(typeName), new WireReader(bytes), at, 0) as T
    return { message, unknownNumbers: decoder.unknownNumbers, unknownFields: decoder.unknownFields }
  } catch (e) {
    if (!(e instanceof WireError) && !(e instanceof TypeError && e.message.includes('encoded data'))) throw e
    throw new ConfigError('CONFIG_BINARY', at, `Unable to parse protobuf message of type ${typeName}: ${e.message}`, {
      cause: e,
    })
  }
}

class Decoder {
  readonly unknownNumbers: UnknownNumber[] = []
  readonly unknownFields: UnknownField[] = []
  readonly #keepUnknownAny: boolean
  readonly #keepUnknownFields: boolean

  constructor(keepUnknownAny: boolean, keepUnknownFields: boolean) {
    this.#keepUnknownAny = keepUnknownAny
    this.#keepUnknownFields = keepUnknownFields
  }

  message(type: MessageType, r: WireReader, at: FieldPath, depth: number): Record<string, unknown> {
    const out: Record<string, unknown> = {}
    this.#into(out, type, r, at, depth)
    return out
  }

  #into(out: Record<string, unknown>, type: MessageType, r: WireReader, at: FieldPath, depth: number): void {
    if (depth > MAX_DEPTH) throw new WireError('messages nest too deeply')
    while (r.at < r.end) {
      const start = r.at
      const tag = r.uint32()
      const number = tag >>> 3
      if (number === 0) throw new WireError('field number 0')
      const field = type.byNumber.get(number)
      const wireType = tag & 7
      const packed = wireType === 2 && field?.repeated === true && field.wireType !== 2
      if (field === undefined || (field.wireType !== wireType && !packed)) {
        if (this.unknownNumbers.length < 1000) this.unknownNumbers.push({ at, typeName: type.name, number })
        r.skip(wireType)
        if (this.#keepUnknownFields) keep(out, r.bytes.subarray(start, r.at))
        continue
      }
      // Several members of one oneof on the wire: the last one counts.
      if (field.oneof >= 0) for (const f of type.fields) if (f.oneof === field.oneof && f !== field) delete out[f.name]
      if (field.isMap) this.#entry(out, field, r, at, depth)
      else if (packed) {
        const list = container(out, field.name, false) as unknown[]
        for (const end = r.delimited(), inner = new WireReader(r.bytes, r.at, end); ; ) {
          if (inner.at >= end) {
            r.at = end
            break
          }
          list.push(this.#scalar(field, inner))
        }
        if (list.length === 0) delete out[field.name]
      } else if (field.repeated) {
        const list = container(out, field.name, false) as unknown[]
        list.push(this.#value(field, r, at, depth, list.length))
      } else if (field.isMessage && out[field.name] !== undefined) {
        // A singular message that comes twice is merged.
        const end = r.delimited()
        this.#into(
          out[field.name] as Record<string, unknown>,
          field.message,
          new WireReader(r.bytes, r.at, end),
          at,
          depth + 1,
        )
        r.at = end
      } else {
        const value = this.#value(field, r, at, depth, -1)
        if (field.presence || !isZero(field, value)) out[field.name] = value
        else delete out[field.name]
      }
    }
  }

  #entry(out: Record<string, unknown>, field: FieldType, r: WireReader, at: FieldPath, depth: number): void {
    const map = container(out, field.name, true) as Record<string, unknown>
    const end = r.delimited()
    const entry = this.message(field.message, new WireReader(r.bytes, r.at, end), at.field(field.name), depth + 1)
    r.at = end
    const value = field.message.byNumber.get(2)!
    setKey(map, String(entry['key'] ?? emptyValue(field.message.byNumber.get(1)!)), entry['value'] ?? emptyValue(value))
  }

  #value(field: FieldType, r: WireReader, at: FieldPath, depth: number, index: number): unknown {
    if (field.wireType !== 2 || (field.type !== 11 && field.wellKnown === null)) return this.#scalar(field, r)
    const end = r.delimited()
    const inner = new WireReader(r.bytes, r.at, end)
    r.at = end
    // The path is only needed below messages and Anys; others fail without one.
    if (field.wellKnown !== null && field.wellKnown !== 'any') return this.wellKnown(field, inner, depth + 1)
    const here = index < 0 ? at.field(field.name) : at.field(field.name).index(index)
    return field.wellKnown === 'any'
      ? this.any(inner, here, depth + 1)
      : this.message(field.message, inner, here, depth + 1)
  }

  #scalar(field: FieldType, r: WireReader): unknown {
    switch (field.type) {
      case 1:
        return r.double()
      case 2:
        return shortFloat(r.float())
      case 3:
        return safe(BigInt.asIntN(64, r.varint()))
      case 4:
        return safe(r.varint())
      case 5:
        return r.uint32() | 0
      case 6:
        return safe(r.fixed64())
      case 7:
        return r.fixed32()
      case 8:
        return r.varint() !== 0n
      case 9: {
        const end = r.delimited()
        const text = utf8.decode(r.bytes.subarray(r.at, end))
        r.at = end
        return text
      }
      case 12: {
        const end = r.delimited()
        const copy = r.bytes.slice(r.at, end)
        r.at = end
        return copy
      }
      case 13:
        return r.uint32()
      case 14: {
        const n = r.uint32() | 0
        return field.isEnum ? (field.enum.byNumber.get(n) ?? n) : null
      }
      case 15:
        return r.fixed32() | 0
      case 16:
        return safe(BigInt.asIntN(64, r.fixed64()))
      case 17: {
        const n = r.uint32()
        return (n >>> 1) ^ -(n & 1)
      }
      case 18: {
        const n = r.varint()
        return safe((n >> 1n) ^ -(n & 1n))
      }
      default:
        throw new WireError(`field type ${field.type}`)
    }
  }

  wellKnown(field: FieldType, r: WireReader, depth: number): unknown {
    if (depth > MAX_DEPTH) throw new WireError('messages nest too deeply')
    switch (field.wellKnown) {
      case 'duration':
      case 'timestamp': {
        let seconds = 0
        let nanos = 0
        eachField(
          r,
          number => {
            if (number === 1) seconds = Number(BigInt.asIntN(64, r.varint()))
            else nanos = r.uint32() | 0
          },
          [0, 0],
        )
        return field.wellKnown === 'duration' ? secondsToMs(seconds, nanos) : seconds * 1000 + nanos / 1e6
      }
      case 'wrapper': {
        let value = emptyValue(field)
        eachField(r, () => (value = this.#scalar(field, r)), [WIRE_OF_SCALAR[field.type]!])
        return value
      }
      case 'struct':
        return this.#struct(r, depth)
      case 'value':
        return this.#plain(r, depth)
      case 'list': {
        const list: unknown[] = []
        eachField(r, () => list.push(this.#plain(this.#sub(r), depth + 1)), [2])
        return list
      }
      case 'mask': {
        const paths: string[] = []
        eachField(r, () => paths.push(this.#text(r)), [2])
        return paths.map(p => p.replace(/_([a-z])/g, (_, c: string) => c.toUpperCase())).join(',')
      }
      default:
        return {}
    }
  }

  #struct(r: WireReader, depth: number): Record<string, unknown> {
    if (depth > MAX_DEPTH) throw new WireError('messages nest too deeply')
    const out: Record<string, unknown> = {}
    eachField(r, () => {
      const entry = this.#sub(r)
      let key = ''
      let value: unknown = null
      eachField(
        entry,
        n => {
          if (n === 1) key = this.#text(entry)
          else value = this.#plain(this.#sub(entry), depth + 1)
        },
        [2, 2],
      )
      setKey(out, key, value)
    }, [2])
    return out
  }

  /** google.protobuf.Value: 1 null, 2 number, 3 string, 4 bool, 5 struct, 6 list. */
  #plain(r: WireReader, depth: number): unknown {
    if (depth > MAX_DEPTH) throw new WireError('messages nest too deeply')
    let out: unknown = null
    eachField(
      r,
      n => {
        if (n === 1) {
          r.varint()
          out = null
        } else if (n === 2) out = r.double()
        else if (n === 3) out = this.#text(r)
        else if (n === 4) out = r.varint() !== 0n
        else if (n === 5) out = this.#struct(this.#sub(r), depth + 1)
        else {
          const inner = this.#sub(r)
          const list: unknown[] = []
          eachField(inner, () => list.push(this.#plain(this.#sub(inner), depth + 1)), [2])
          out = list
        }
      },
      [0, 1, 2, 0, 2, 2],
    )
    return out
  }

  any(r: WireReader, at: FieldPath, depth: number): AnyMessage {
    let url = ''
    let value: Uint8Array = new Uint8Array(0)
    eachField(
      r,
      n => {
        if (n === 1) url = this.#text(r)
        else {
          const inner = this.#sub(r)
          value = inner.bytes.subarray(inner.at, inner.end)
        }
      },
      [2, 2],
    )
    const name = url.slice(url.lastIndexOf('/') + 1)
    if (TYPED_STRUCTS.has(name)) return this.#typedStruct(name, url, value, at.any(), depth)
    if (hasMessageType(name))
      return { type_url: url, message: this.message(messageType(name), new WireReader(value), at.any(), depth + 1) }
    if (url === '' && value.length === 0) return { type_url: '' }
    const holder = wellKnownHolder(name)
    if (holder !== null && name !== 'google.protobuf.Any') {
      const content = this.wellKnown(holder.fields[0]!, new WireReader(value), depth + 1)
      return { type_url: url, message: name === 'google.protobuf.Empty' ? {} : { value: content } }
    }
    // The copy frees the push it came in.
    if (this.#keepUnknownAny) return { type_url: url, value: value.slice() }
    throw new ConfigError('CONFIG_ANY_TYPE', at, `could not find @type '${url}'`)
  }

  #typedStruct(name: string, outerUrl: string, value: Uint8Array, at: FieldPath, depth: number): AnyMessage {
    const outer = this.message(messageType(name), new WireReader(value), at, depth + 1) as {
      type_url?: string
      value?: object
    }
    const url = outer.type_url ?? ''
    const inner = url.slice(url.lastIndexOf('/') + 1)
    const struct = { type_url: outerUrl, value: outer.value ?? {} }
    if (!hasMessageType(inner)) return { type_url: url, message: struct.value, typed_struct: true, struct }
    const read = readJson(inner, outer.value ?? {}, at)
    for (const u of read.unknownFields) this.unknownFields.push(u)
    return { type_url: url, message: read.message, struct }
  }

  #sub(r: WireReader): WireReader {
    const end = r.delimited()
    const inner = new WireReader(r.bytes, r.at, end)
    r.at = end
    return inner
  }

  #text(r: WireReader): string {
    const end = r.delimited()
    const text = utf8.decode(r.bytes.subarray(r.at, end))
    r.at = end
    return text
  }
}

const WIRE_OF_SCALAR: Record<number, number> = { 1: 1, 2: 5, 3: 0, 4: 0, 5: 0, 8: 0, 9: 2, 12: 2, 13: 0 }

/** Calls `read` for fields 1..n whose wire type is wireTypes[number-1], skips all others. */
function eachField(r: WireReader, read: (number: number) => void, wireTypes: readonly number[]): void {
  while (r.at < r.end) {
    const tag = r.uint32()
    if (wireTypes[(tag >>> 3) - 1] === (tag & 7)) read(tag >>> 3)
    else r.skip(tag & 7)
  }
}

function safe(n: bigint): number | bigint {
  return n >= Number.MIN_SAFE_INTEGER && n <= Number.MAX_SAFE_INTEGER ? Number(n) : n
}

/** The shortest decimal that is this float: 0.1, not 0.10000000149011612. */
function shortFloat(n: number): number {
  if (!Number.isFinite(n)) return n
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(n.toPrecision(digits))
    if (Math.fround(short) === n) return short
  }
  return n
}

/** The list or map of a field, made when its first element comes. */
function container(out: Record<string, unknown>, name: string, map: boolean): unknown {
  let c = out[name]
  if (c === undefined) {
    c = map ? {} : []
    out[name] = c
  }
  return c
}

function isZero(field: FieldType, value: unknown): boolean {
  if (field.isEnum) return field.enum.byName.get(value as string) === 0
  return value === 0 || value === false || value === '' || (value instanceof Uint8Array && value.length === 0)
}

function keep(message: Kept, field: Uint8Array): void {
  const kept = message[UNKNOWN_FIELDS]
  if (kept === undefined) message[UNKNOWN_FIELDS] = [field]
  else kept.push(field)
}
