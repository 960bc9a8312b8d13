/**
 * The message types of the xDS API, from proto/descriptors.jsonl (written by scripts/update-descriptors).
 * Reading the file is all that happens at start; a type is decoded when it is first used.
 */
import { existsSync, readFileSync } from 'node:fs'

export interface FieldRules {
  readonly [kind: string]: unknown
}
/** One field in proto/descriptors.jsonl. Short keys: the file holds some ten thousand of them. */
export interface FieldRecord {
  /** name */
  n: string
  /** number */
  i: number
  /** FieldDescriptorProto.Type */
  t: number
  /** message or enum type */
  m?: string
  /** repeated */
  r?: 1
  /** JSON name where it is not the usual camelCase form */
  j?: string
  /** not packed */
  np?: 1
  /** has presence although scalar: proto3 optional, proto2 */
  p?: 1
  /** index of the oneof */
  o?: number
  /** deprecated since this minor version, '1' when not told */
  d?: string
  /** disallowed by default (fatal unless the runtime allows it) */
  off?: 1
  /** sensitive: redacted in dumps */
  s?: 1
  /** protoc-gen-validate rules */
  v?: FieldRules
}
export interface MessageRecord {
  f: FieldRecord[]
  o?: { n: string; req?: 1 }[]
  /** map entry */
  map?: 1
  /** (validate.disabled) */
  noval?: 1
  file?: string
}
export interface EnumRecord {
  e: [name: string, number: number][]
  d?: Record<string, string>
}

const TYPE_MESSAGE = 11
const TYPE_ENUM = 14
/** wire type of each FieldDescriptorProto.Type */
const WIRE = [0, 1, 5, 0, 0, 0, 1, 5, 0, 2, 3, 2, 2, 0, 0, 5, 1, 0, 0]

/** Message types that have a form of their own, see src/config/gen/messages.d.ts. */
export type WellKnown = 'any' | 'duration' | 'timestamp' | 'wrapper' | 'struct' | 'value' | 'list' | 'mask' | 'empty'

const WELL_KNOWN = new Map<string, WellKnown>([
  ['Any', 'any'],
  ['Duration', 'duration'],
  ['Timestamp', 'timestamp'],
  ['Struct', 'struct'],
  ['Value', 'value'],
  ['ListValue', 'list'],
  ['FieldMask', 'mask'],
  ['Empty', 'empty'],
])
const WRAPPED = new Map([
  ['DoubleValue', 1],
  ['FloatValue', 2],
  ['Int64Value', 3],
  ['UInt64Value', 4],
  ['Int32Value', 5],
  ['BoolValue', 8],
  ['StringValue', 9],
  ['BytesValue', 12],
  ['UInt32Value', 13],
])

export class EnumType {
  readonly name: string
  readonly byName: ReadonlyMap<string, number>
  readonly byNumber: ReadonlyMap<number, string>
  /** value → deprecated since, a trailing '!' means disallowed */
  readonly deprecated: Readonly<Record<string, string>>

  constructor(name: string, record: EnumRecord) {
    this.name = name
    this.byName = new Map(record.e)
    const byNumber = new Map<number, string>()
    // With allow_alias the first name is the canonical one.
    for (const [value, number] of record.e) if (!byNumber.has(number)) byNumber.set(number, value)
    this.byNumber = byNumber
    this.deprecated = record.d ?? {}
  }
}

export class FieldType {
  readonly name: string
  readonly jsonName: string
  readonly number: number
  /** FieldDescriptorProto.Type; for a wrapper the type it wraps */
  readonly type: number
  readonly wellKnown: WellKnown | null
  /** full name of the message or enum, '' for scalars */
  readonly typeName: string
  /** repeated in the descriptor; false for maps */
  readonly repeated: boolean
  readonly packed: boolean
  /** absent differs from default: messages, oneof members, proto3 optional, wrappers */
  readonly presence: boolean
  /** index in MessageType.oneofs, -1 for none */
  readonly oneof: number
  readonly wireType: number
  readonly rules: FieldRules | null
  readonly deprecated: string | null
  readonly disallowed: boolean
  readonly sensitive: boolean
  #message: MessageType | null = null
  #enum: EnumType | null = null
  #map: boolean | null = null

  constructor(r: FieldRecord) {
    this.name = r.n
    this.jsonName = r.j ?? camelCase(r.n)
    this.number = r.i
    this.typeName = r.m ?? ''
    const local = this.typeName.startsWith('google.protobuf.') ? this.typeName.slice(16) : ''
    const wrapped = WRAPPED.get(local)
    this.wellKnown = wrapped === undefined ? (WELL_KNOWN.get(local) ?? null) : 'wrapper'
    this.type = wrapped ?? r.t
    this.repeated = r.r === 1
    this.wireType = wrapped === undefined ? WIRE[r.t]! : 2
    this.packed = this.repeated && this.wireType !== 2 && r.np !== 1
    this.oneof = r.o ?? -1
    this.presence = r.t === TYPE_MESSAGE || this.oneof >= 0 || r.p === 1
    this.rules = r.v ?? null
    this.deprecated = r.d ?? null
    this.disallowed = r.off === 1
    this.sensitive = r.s === 1
  }

  /** true for an ordinary message: neither scalar, enum nor well-known */
  get isMessage(): boolean {
    return this.type === TYPE_MESSAGE && this.wellKnown === null
  }

  get isEnum(): boolean {
    return this.type === TYPE_ENUM && this.typeName !== 'google.protobuf.NullValue'
  }

  get isMap(): boolean {
    if (this.#map === null) this.#map = this.repeated && this.isMessage && this.message.isMapEntry
    return this.#map
  }

  get message(): MessageType {
    if (this.#message === null) this.#message = messageType(this.typeName)
    return this.#message
  }

  get enum(): EnumType {
    if (this.#enum === null) this.#enum = enumType(this.typeName)
    return this.#enum
  }
}

export class MessageType {
  /** full name, 'envoy.config.cluster.v3.Cluster' */
  readonly name: string
  readonly fields: readonly FieldType[]
  /** by proto name and by JSON name */
  readonly byName: ReadonlyMap<string, FieldType>
  readonly byNumber: ReadonlyMap<number, FieldType>
  readonly oneofs: readonly { readonly name: string; readonly required: boolean }[]
  readonly isMapEntry: boolean
  readonly validationDisabled: boolean
  readonly file: string
  #ordered: readonly FieldType[] | null = null

  constructor(name: string, record: MessageRecord) {
    this.name = name
    this.fields = record.f.map(f => new FieldType(f))
    const byName = new Map<string, FieldType>()
    const byNumber = new Map<number, FieldType>()
    for (const f of this.fields) {
      byName.set(f.jsonName, f)
      byName.set(f.name, f)
      byNumber.set(f.number, f)
    }
    this.byName = byName
    this.byNumber = byNumber
    this.oneofs = (record.o ?? []).map(o => ({ name: o.n, required: o.req === 1 }))
    this.isMapEntry = record.map === 1
    this.validationDisabled = record.noval === 1
    this.file = record.file ?? ''
  }

  /** By number: the order on the wire and in printed JSON. */
  get ordered(): readonly FieldType[] {
    this.#ordered ??= [...this.fields].sort((a, b) => a.number - b.number)
    return this.#ordered
  }
}

/** @throws Error when the API has no such message; use hasMessageType() for names that come from outside. */
export function messageType(name: string): MessageType {
  let type = messages.get(name)
  if (type === undefined) {
    const record = readRecord(name) as MessageRecord | null
    if (record?.f === undefined) throw new Error(`no message ${name} in proto/descriptors.jsonl`)
    type = new MessageType(name, record)
    messages.set(name, type)
  }
  return type
}

export function enumType(name: string): EnumType {
  let type = enums.get(name)
  if (type === undefined) {
    const record = readRecord(name) as EnumRecord | null
    if (record?.e === undefined) throw new Error(`no enum ${name} in proto/descriptors.jsonl`)
    type = new EnumType(name, record)
    enums.set(name, type)
  }
  return type
}

export function hasMessageType(name: string): boolean {
  if (messages.has(name)) return true
  const at = find(name)
  return at >= 0 && source().startsWith('{"f"', at)
}

/**
 * A message with the one field `value` of a google.protobuf type: the form such a type has inside an Any. Null for other names.
 */
export function wellKnownHolder(name: string): MessageType | null {
  const field = new FieldType({ n: 'value', i: 1, t: TYPE_MESSAGE, m: name })
  return field.wellKnown === null
    ? null
    : new MessageType(name, { f: [{ n: 'value', i: 1, t: TYPE_MESSAGE, m: name }] })
}

/** Full names of all messages, sorted. */
export function messageTypeNames(): string[] {
  const names = source().match(/^[^\t\n]+(?=\t\{"f")/gm)
  return names ?? []
}

const messages = new Map<string, MessageType>()
const enums = new Map<string, EnumType>()
let text: string | null = null

/** The file: lines of a name, a tab and a record, sorted by name (test/unit/config/descriptors.test.ts). */
function source(): string {
  if (text === null) {
    const file = descriptorFile()
    const read = readFileSync(file, 'latin1')
    // Without its last line end a search in it would not end either.
    if (!read.endsWith('\n')) throw new Error(`${file.pathname} is cut short: install again`)
    text = read
  }
  return text
}

/** Where the record of `name` begins, -1 when there is none. Types are looked up once: an index of its 1,900 lines would cost more. */
function find(name: string): number {
  const lines = source()
  const wanted = `${name}\t`
  let low = 0
  let high = lines.length
  // Both stand at beginnings of lines.
  while (low < high) {
    const at = lines.lastIndexOf('\n', ((low + high) >>> 1) - 1) + 1
    if (lines.startsWith(wanted, at)) return at + wanted.length
    if (lines.slice(at, at + wanted.length) < wanted) low = lines.indexOf('\n', at) + 1
    else high = at
  }
  return -1
}

function readRecord(name: string): unknown {
  const at = find(name)
  return at < 0 ? null : JSON.parse(source().slice(at, source().indexOf('\n', at)))
}

/** proto/ stands beside src/ in the repository and beside dist/ in the package. */
function descriptorFile(): URL {
  for (const up of ['../../proto/', '../proto/', './proto/']) {
    const url = new URL(`${up}descriptors.jsonl`, import.meta.url)
    if (existsSync(url)) return url
  }
  throw new Error('proto/descriptors.jsonl is missing from the installation: install again')
}

function camelCase(name: string): string {
  return name.includes('_') ? name.replace(/_(.)?/g, (_, c: string | undefined) => (c ?? '').toUpperCase()) : name
}
