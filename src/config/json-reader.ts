/**
 * proto3 JSON (already parsed, from JSON or YAML) → message. As strict as Envoy: unknown fields and enum names are collected, every
 * other mistake throws. As lenient as Envoy's "legacy" mode too, each seen on the real one: snake_case and camelCase names, enums by
 * number or in any case, numbers and booleans in strings, one element in place of a list, null elements, wrappers and durations
 * written as objects.
 */
import { ConfigError } from '../base/errors.ts'
import { putAway } from '../base/shelf.ts'
import type { AnyMessage } from './any.ts'
import {
  type FieldType,
  hasMessageType,
  type MessageType,
  messageType,
  messageTypeNames,
  wellKnownHolder,
} from './descriptors.ts'
import { FieldPath } from './field-path.ts'
import { firstCharacter, kindName, readScalar } from './json-scalars.ts'
import { JsonTrail, type TrailKind } from './json-trail.ts'
import { nearestName } from './nearest-name.ts'
import { setKey } from './object-key.ts'
import { ReadElements } from './read-elements.ts'
import { checkDuration, checkTimestamp, parseDuration, parseTimestamp, secondsToMs, ValueError } from './well-known.ts'

/** An unknown field or an unknown enum name: whether that is an error is the caller's policy. */
export interface UnknownField {
  /** of the unknown thing itself, names as they were written */
  readonly at: FieldPath
  readonly name: string
  /** message type (unknown field) or enum type (unknown value) */
  readonly typeName: string
  readonly isEnumValue: boolean
  /** the nearest valid name */
  readonly suggestion: string | null
  /** the type that was read: the root, or the inner type of a TypedStruct */
  readonly rootType: string
  /** "invalid JSON in … no such field: 'x'", the words of protobuf's reader */
  readonly reason: string
}

export interface ReadResult<T = object> {
  readonly message: T
  readonly unknownFields: readonly UnknownField[]
}

/** protobuf's own limit; also bounds our recursion. */
const MAX_DEPTH = 100
const MAX_UNKNOWN = 1000
const TYPED_STRUCTS = new Set(['xds.type.v3.TypedStruct', 'udpa.type.v1.TypedStruct'])

/**
 * @param typeName full message name
 * @param at where the value stands, for errors
 * @param above how deep it stands, at most; protobuf's limit is for the whole document
 * @throws ConfigError CONFIG_TYPE, CONFIG_ONEOF, CONFIG_ANY_TYPE
 */
export function readJson<T extends object = object>(
  typeName: string,
  value: unknown,
  at: FieldPath = FieldPath.root(),
  above = 0,
): ReadResult<T> {
  const reader = new JsonReader(typeName, at, above)
  return { message: reader.message(messageType(typeName), value, null) as T, unknownFields: reader.unknownFields }
}

class JsonReader {
  readonly unknownFields: UnknownField[] = []
  readonly #trail: JsonTrail

  constructor(rootType: string, root: FieldPath, above: number) {
    this.#trail = new JsonTrail(rootType, root, above)
  }

  message(type: MessageType, value: unknown, skip: string | null): Record<string, unknown> {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw this.#fail(`message ${type.name}`, `unexpected character: '${firstCharacter(value)}'; expected '{'`)
    }
    const out: Record<string, unknown> = {}
    let seen: (string | null)[] | null = null
    for (const key of Object.keys(value)) {
      if (key === skip) continue
      const field = type.byName.get(key)
      if (field === undefined) {
        this.#unknown(key, type.name, false, nearestName(key, fieldNames(type)))
        continue
      }
      const v = (value as Record<string, unknown>)[key]
      // null is absent, also for a member of a oneof.
      if (v === null && field.wellKnown !== 'value' && field.typeName !== 'google.protobuf.NullValue') continue
      this.#enter('field', key)
      if (field.oneof >= 0) {
        seen ??= new Array(type.oneofs.length).fill(null)
        if (seen[field.oneof] !== null) {
          const text = `'${field.name}' has already been set (either directly or as part of a oneof)`
          const advice = `'${seen[field.oneof]}' and '${field.name}' exclude each other: remove one`
          throw this.#fail(kindName(field), text, 'CONFIG_ONEOF', advice)
        }
        seen[field.oneof] = field.name
      } else if (field.name in out)
        throw this.#fail(
          kindName(field),
          `'${field.name}' has already been set (either directly or as part of a oneof)`,
          'CONFIG_ONEOF',
        )
      if (v instanceof ReadElements) {
        putAway(out, field.name, v.take(field))
        this.#trail.leave()
        continue
      }
      const read = field.isMap ? this.#map(field, v) : field.repeated ? this.#list(field, v) : this.#value(field, v)
      if (read !== undefined && (field.presence || !isDefault(field, read))) setKey(out, field.name, read)
      this.#trail.leave()
    }
    return out
  }

  #list(field: FieldType, value: unknown): unknown[] {
    if (!Array.isArray(value)) {
      const one = this.#value(field, value)
      return one === undefined ? [] : [one]
    }
    const out: unknown[] = []
    this.#elements(field, value, out, 0)
    return out
  }

  /** A list inside a list is flattened, as in protobuf's legacy mode. @returns the next position, for errors */
  #elements(field: FieldType, list: readonly unknown[], out: unknown[], first: number, depth = 0): number {
    let position = first
    for (const element of list) {
      if (Array.isArray(element) && field.wellKnown !== 'value' && field.wellKnown !== 'list') {
        if (depth > MAX_DEPTH) throw this.#fail(kindName(field), 'JSON content was too deeply nested')
        position = this.#elements(field, element, out, position + 1, depth + 1)
        continue
      }
      this.#enter('index', position++)
      const read = element === null && field.wellKnown !== 'value' ? emptyValue(field) : this.#value(field, element)
      if (read !== undefined) out.push(read)
      this.#trail.leave()
    }
    return position
  }

  #map(field: FieldType, value: unknown): Record<string, unknown> {
    const entry = field.message
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw this.#fail(`message ${entry.name}`, `unexpected character: '${firstCharacter(value)}'; expected '{'`)
    }
    const keyType = entry.byNumber.get(1)!
    const valueType = entry.byNumber.get(2)!
    const out: Record<string, unknown> = {}
    let i = 0
    for (const key of Object.keys(value)) {
      this.#enter('key', key, i++)
      this.#trail.entryType = entry.name
      // Map keys of other types than string are JSON strings that must read as that type.
      const k = keyType.type === 9 ? key : String(this.#scalar(keyType, key))
      const v = (value as Record<string, unknown>)[key]
      const read = v === null && valueType.wellKnown !== 'value' ? emptyValue(valueType) : this.#value(valueType, v)
      if (read !== undefined) setKey(out, k, read)
      this.#trail.leave()
    }
    return out
  }

  #value(field: FieldType, value: unknown): unknown {
    if (field.wellKnown !== null) return this.#wellKnown(field, value)
    if (field.isMessage) return this.message(field.message, value, null)
    if (field.isEnum) return this.#enum(field, value)
    if (field.type === 14) return null
    return this.#scalar(field, value)
  }

  #scalar(field: FieldType, value: unknown): unknown {
    try {
      return readScalar(field.type, value)
    } catch (e) {
      if (e instanceof ValueError) throw this.#fail(kindName(field), e.message)
      throw e
    }
  }

  #enum(field: FieldType, value: unknown): unknown {
    const type = field.enum
    if (typeof value === 'number') {
      if (!Number.isInteger(value))
        throw this.#fail(kindName(field), 'expected integer, but JSON number had fractional part')
      if (value !== (value | 0)) throw this.#fail(kindName(field), 'integer out of range')
      return type.byNumber.get(value) ?? value
    }
    if (typeof value !== 'string') throw this.#fail(kindName(field), 'expected number or string')
    if (type.byName.has(value)) return type.byNumber.get(type.byName.get(value)!)
    if (/^-?\d+$/.test(value) && Math.abs(Number(value)) < 2 ** 31)
      return type.byNumber.get(Number(value)) ?? Number(value)
    const upper = value.toUpperCase().replaceAll('-', '_')
    for (const [name, number] of type.byName) if (name.toUpperCase() === upper) return type.byNumber.get(number)
    this.#unknown(value, type.name, true, nearestName(value, type.byName.keys()))
    return undefined
  }

  #wellKnown(field: FieldType, value: unknown): unknown {
    switch (field.wellKnown) {
      case 'wrapper':
        if (isObject(value)) return this.#boxed(field, value)
        return this.#scalar(field, value)
      case 'duration':
      case 'timestamp':
        return this.#time(field, value)
      case 'any':
        return this.#any(value)
      case 'struct':
        if (!isObject(value)) {
          this.#enter('field', '<struct>')
          throw this.#fail(
            'message google.protobuf.Struct.FieldsEntry',
            `unexpected character: '${firstCharacter(value)}'; expected '{'`,
          )
        }
        return this.#plain(value, 0)
      case 'list':
        if (!Array.isArray(value))
          throw this.#fail(
            'message google.protobuf.ListValue',
            `unexpected character: '${firstCharacter(value)}'; expected '['`,
          )
        return this.#plain(value, 0)
      case 'value':
        return this.#plain(value, 0)
      case 'mask':
        if (typeof value !== 'string')
          throw this.#fail(kindName(field), `unexpected character: '${firstCharacter(value)}'; expected '"'`)
        return value
      default: {
        // Empty: an object without fields.
        if (!isObject(value))
          throw this.#fail(
            'message google.protobuf.Empty',
            `unexpected character: '${firstCharacter(value)}'; expected '{'`,
          )
        for (const key of Object.keys(value)) this.#unknown(key, 'google.protobuf.Empty', false, null)
        return {}
      }
    }
  }

  /** {value: 5} for a wrapper. */
  #boxed(field: FieldType, value: object): unknown {
    let out: unknown = emptyValue(field)
    for (const [key, v] of Object.entries(value)) {
      this.#enter('field', key)
      if (key === 'value') out = v === null ? out : this.#scalar(field, v)
      else this.#unknown(key, field.typeName, false, null, true)
      this.#trail.leave()
    }
    return out
  }

  #time(field: FieldType, value: unknown): number {
    try {
      if (typeof value === 'string')
        return field.wellKnown === 'duration' ? parseDuration(value) : parseTimestamp(value)
      if (!isObject(value)) throw new ValueError(`unexpected character: '${firstCharacter(value)}'; expected '"'`)
      const parts = { seconds: 0, nanos: 0 }
      for (const [key, v] of Object.entries(value)) {
        if (key !== 'seconds' && key !== 'nanos') this.#unknown(key, field.typeName, false, null)
        else if (v !== null) parts[key] = Number(readScalar(key === 'seconds' ? 3 : 5, v))
      }
      if (field.wellKnown === 'duration') checkDuration(parts.seconds, parts.nanos)
      else checkTimestamp(parts.seconds)
      // Timestamp nanos count forward even before 1970.
      return field.wellKnown === 'duration'
        ? secondsToMs(parts.seconds, parts.nanos)
        : parts.seconds * 1000 + parts.nanos / 1e6
    } catch (e) {
      if (!(e instanceof ValueError)) throw e
      throw this.#fail(`message ${field.typeName}`, e.message, 'CONFIG_TYPE', durationAdvice(value))
    }
  }

  /** Copies Struct content; whatever JSON holds is allowed, only the depth is bounded. */
  #plain(value: unknown, depth: number): unknown {
    if (depth + this.#trail.nesting > MAX_DEPTH)
      throw this.#fail('message google.protobuf.Struct', 'JSON content was too deeply nested')
    if (Array.isArray(value)) return value.map(v => this.#plain(v, depth + 1))
    if (typeof value === 'bigint') return Number(value)
    if (!isObject(value)) return value
    const out: Record<string, unknown> = {}
    for (const [k, v] of Object.entries(value)) setKey(out, k, this.#plain(v, depth + 1))
    return out
  }

  #any(value: unknown): AnyMessage | undefined {
    if (!isObject(value))
      throw this.#fail('message google.protobuf.Any', `unexpected character: '${firstCharacter(value)}'; expected '{'`)
    const url = (value as Record<string, unknown>)['@type']
    if (url === undefined) {
      if (Object.keys(value).length === 0) return { type_url: '' }
      const text = 'in legacy mode, missing @type in Any is only allowed for an empty object'
      throw this.#fail(
        'message google.protobuf.Any',
        text,
        'CONFIG_ANY_TYPE',
        'add "@type": type.googleapis.com/<message name>',
      )
    }
    if (typeof url !== 'string')
      throw this.#fail(
        'message google.protobuf.Any',
        `unexpected character: '${firstCharacter(url)}'; expected '"'`,
        'CONFIG_ANY_TYPE',
      )
    const slash = url.lastIndexOf('/')
    if (slash <= 0)
      throw this.#anyType(
        `@type must contain at least one / and a nonempty host; got: ${url}`,
        `write "type.googleapis.com/${url}"`,
      )
    const name = url.slice(slash + 1)
    this.#enter('any', '')
    const out = TYPED_STRUCTS.has(name)
      ? this.#typedStruct(name, url, value)
      : { type_url: url, message: this.#anyContent(name, url, value) }
    this.#trail.leave()
    return out
  }

  #anyContent(name: string, url: string, value: object): object {
    if (name.startsWith('google.protobuf.')) return this.#anyWellKnown(name, url, value)
    if (!hasMessageType(name)) {
      const near = nearestName(name, messageTypeNames())
      const old = /\.v2(alpha\d*)?\./.test(name)
        ? 'this is a type of the v2 API, which is gone: use its v3 successor'
        : undefined
      throw this.#anyType(`could not find @type '${url}'`, near === null ? old : `did you mean '${near}'?`)
    }
    return this.message(messageType(name), value, '@type')
  }

  /** {"@type": "…/google.protobuf.StringValue", "value": "x"} → {value: 'x'}. */
  #anyWellKnown(name: string, url: string, value: object): object {
    const type = wellKnownHolder(name)
    if (type === null) throw this.#anyType(`could not find @type '${url}'`, undefined)
    const field = type.fields[0]!
    const out: Record<string, unknown> = {}
    for (const [key, v] of Object.entries(value)) {
      if (key === '@type') continue
      if (key !== 'value')
        throw this.#fail(`message ${name}`, 'fields in a well-known-typed Any must be @type or value')
      if (v !== null || field.wellKnown === 'value') out['value'] = this.#wellKnown(field, v)
    }
    return name === 'google.protobuf.Empty' ? {} : out
  }

  /** The inner type decides how the struct is read; its errors are told from that type, as Envoy converts it by itself. */
  #typedStruct(name: string, outerUrl: string, value: object): AnyMessage {
    const outer = this.message(messageType(name), value, '@type') as { type_url?: string; value?: object }
    const url = outer.type_url ?? ''
    const inner = url.slice(url.lastIndexOf('/') + 1)
    const struct = { type_url: outerUrl, value: outer.value ?? {} }
    if (!hasMessageType(inner)) return { type_url: url, message: struct.value, typed_struct: true, struct }
    this.#enter('field', 'value')
    const { rootType, rootDepth } = this.#trail
    this.#trail.rootType = inner
    this.#trail.rootDepth = this.#trail.depth
    const message = this.message(messageType(inner), outer.value ?? {}, null)
    this.#trail.rootType = rootType
    this.#trail.rootDepth = rootDepth
    this.#trail.leave()
    return { type_url: url, message, struct }
  }

  #enter(kind: TrailKind, step: string | number, position = 0): void {
    if (this.#trail.nesting >= MAX_DEPTH * 2) throw this.#fail('', 'JSON content was too deeply nested')
    this.#trail.enter(kind, step, position)
  }

  /** @param named the path already ends in the unknown name */
  #unknown(name: string, typeName: string, isEnumValue: boolean, suggestion: string | null, named = isEnumValue): void {
    if (this.unknownFields.length >= MAX_UNKNOWN) return
    const path = this.#trail.path()
    const at = named ? path : path.field(name)
    const kind = `message ${typeName}`
    const where = this.#trail.where(kind, named ? this.#trail.depth - 1 : this.#trail.depth)
    const { rootType } = this.#trail
    const reason = isEnumValue
      ? `unknown enum value: '${name}'`
      : `invalid JSON in ${rootType}${where}: no such field: '${name}'`
    this.unknownFields.push({ at, name, typeName, isEnumValue, suggestion, rootType, reason })
  }

  #anyType(text: string, advice: string | undefined): ConfigError {
    return new ConfigError(
      'CONFIG_ANY_TYPE',
      this.#trail.path(),
      `Unable to parse JSON as proto (INVALID_ARGUMENT: ${text})`,
      { advice },
    )
  }

  #fail(
    kind: string,
    text: string,
    code: 'CONFIG_TYPE' | 'CONFIG_ONEOF' | 'CONFIG_ANY_TYPE' = 'CONFIG_TYPE',
    advice?: string,
  ): ConfigError {
    const at = this.#trail.path()
    const where = this.#trail.where(kind)
    return new ConfigError(
      code,
      at,
      `Unable to parse JSON as proto (INVALID_ARGUMENT: invalid JSON in ${this.#trail.rootType}${where}: ${text})`,
      { advice },
    )
  }
}

function durationAdvice(value: unknown): string | undefined {
  if (typeof value === 'number') return `write "${value}s", durations are seconds with the unit`
  const m = typeof value === 'string' ? /^(\d+(?:\.\d+)?) *(ms|m|min|h|)$/.exec(value) : null
  if (m === null) return undefined
  const factor = { ms: 0.001, m: 60, min: 60, h: 3600, '': 1 }[m[2] as 'ms' | 'm' | 'min' | 'h' | '']
  return `write "${Number((Number(m[1]) * factor).toFixed(9))}s", durations are seconds with the unit`
}

/** `Protobuf message (type … reason INVALID_ARGUMENT: …) has unknown fields`, Envoy's words. */
export function unknownFieldText(u: UnknownField): string {
  return `Protobuf message (type ${u.rootType} reason INVALID_ARGUMENT: ${u.reason}) has unknown fields`
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isDefault(field: FieldType, value: unknown): boolean {
  if (field.repeated) return Array.isArray(value) ? value.length === 0 : Object.keys(value as object).length === 0
  if (field.isEnum) return field.enum.byName.get(value as string) === 0
  return value === 0 || value === false || value === '' || (value instanceof Uint8Array && value.length === 0)
}

/** What null stands for inside a list or map. */
export function emptyValue(field: FieldType): unknown {
  if (field.wellKnown === 'duration' || field.wellKnown === 'timestamp') return 0
  if (field.wellKnown === 'any') return { type_url: '' }
  if (field.wellKnown === 'list') return []
  if (field.type === 9 || field.wellKnown === 'mask') return ''
  if (field.type === 8) return false
  if (field.type === 12) return new Uint8Array(0)
  if (field.isEnum) return field.enum.byNumber.get(0) ?? 0
  if (field.type === 11) return {}
  return field.type === 14 ? null : 0
}

function fieldNames(type: MessageType): string[] {
  return type.fields.map(f => f.name)
}
