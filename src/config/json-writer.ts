/** Message shape → proto3 JSON as Envoy's admin endpoints print it: proto names, enum names, 64-bit integers as strings. */
import type { AnyMessage } from './any.ts'
import { type FieldType, hasMessageType, type MessageType, messageType, wellKnownHolder } from './descriptors.ts'
import { emptyValue } from './json-reader.ts'
import { setKey } from './object-key.ts'
import { formatDuration, formatTimestamp } from './well-known.ts'

export interface JsonOptions {
  /** print fields that are at their default too, except messages and oneof members (server_info does) */
  defaults?: boolean
  /** replaces values of fields marked sensitive by "[redacted]", as config_dump does */
  redact?: boolean
}

const REDACTED = '[redacted]'

/** The JSON value; key order is that of field numbers, as protobuf prints, '@type' first. */
export function toJson(typeName: string, message: object, options: JsonOptions = {}): Record<string, unknown> {
  return messageJson(messageType(typeName), message as Record<string, unknown>, options, false)
}

/** Pretty JSON with one blank of indentation, as protobuf prints it. Empty objects and lists stay on one line. */
export function printJson(value: unknown, indent = ''): string {
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]'
    const inner = `${indent} `
    return `[\n${value.map(v => inner + printJson(v, inner)).join(',\n')}\n${indent}]`
  }
  if (typeof value === 'object' && value !== null) {
    const keys = Object.keys(value)
    if (keys.length === 0) return '{}'
    const inner = `${indent} `
    const lines = keys.map(k => `${inner}${printString(k)}: ${printJson((value as Record<string, unknown>)[k], inner)}`)
    return `{\n${lines.join(',\n')}\n${indent}}`
  }
  return typeof value === 'string' ? printString(value) : JSON.stringify(value)
}

/** protobuf also escapes <, > and DEL, so that its JSON can stand in HTML. */
function printString(s: string): string {
  return JSON.stringify(s).replace(
    /[<>\u007f-\u009f\u2028\u2029]/g,
    c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

function messageJson(
  type: MessageType,
  message: Record<string, unknown>,
  o: JsonOptions,
  hidden: boolean,
): Record<string, unknown> {
  const out: Record<string, unknown> = {}
  for (const field of type.ordered) {
    const value = message[field.name]
    const hide = hidden || (o.redact === true && field.sensitive)
    if (value === undefined) {
      if (o.defaults === true) addDefault(out, field)
    } else if (field.isMap) out[field.name] = mapJson(field, value as Record<string, unknown>, o, hide)
    else if (field.repeated) out[field.name] = (value as unknown[]).map(v => valueJson(field, v, o, hide))
    else out[field.name] = valueJson(field, value, o, hide)
  }
  return out
}

function addDefault(out: Record<string, unknown>, field: FieldType): void {
  if (field.isMap) out[field.name] = {}
  else if (field.repeated) out[field.name] = []
  else if (!field.presence) out[field.name] = valueJson(field, emptyValue(field), {}, false)
}

function mapJson(
  field: FieldType,
  map: Record<string, unknown>,
  o: JsonOptions,
  hidden: boolean,
): Record<string, unknown> {
  const value = field.message.byNumber.get(2)!
  const out: Record<string, unknown> = {}
  for (const [k, v] of Object.entries(map)) setKey(out, k, valueJson(value, v, o, hidden))
  return out
}

function valueJson(field: FieldType, value: unknown, o: JsonOptions, hidden: boolean): unknown {
  switch (field.wellKnown) {
    case 'duration':
      return formatDuration(value as number)
    case 'timestamp':
      return formatTimestamp(value as number)
    case 'any':
      return anyJson(value as AnyMessage, o, hidden)
    case null:
    case 'wrapper':
      break
    default:
      return hidden ? redactPlain(value) : value
  }
  if (field.isMessage) return messageJson(field.message, value as Record<string, unknown>, o, hidden)
  if (field.type === 12)
    return hidden ? Buffer.from(REDACTED).toString('base64') : Buffer.from(value as Uint8Array).toString('base64')
  if (field.type === 9) return hidden ? REDACTED : value
  if (field.type === 3 || field.type === 4 || field.type === 6 || field.type === 16 || field.type === 18)
    return hidden ? '0' : String(value)
  if (typeof value === 'number' && !Number.isFinite(value))
    return Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity'
  if (hidden) return field.type === 8 ? false : field.isEnum ? field.enum.byNumber.get(0) : 0
  return value
}

function redactPlain(value: unknown): unknown {
  if (typeof value === 'string') return REDACTED
  if (Array.isArray(value)) return value.map(redactPlain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, redactPlain(v)]))
}

function anyJson(any: AnyMessage, o: JsonOptions, hidden: boolean): Record<string, unknown> {
  if (any.type_url === '') return {}
  if (any.struct !== undefined || any.typed_struct === true) {
    const value = any.struct?.value ?? any.message
    const type = any.struct?.type_url ?? 'type.googleapis.com/xds.type.v3.TypedStruct'
    return { '@type': type, type_url: any.type_url, value: hidden ? redactPlain(value) : value }
  }
  const out: Record<string, unknown> = { '@type': any.type_url }
  const name = any.type_url.slice(any.type_url.lastIndexOf('/') + 1)
  if (any.message === undefined) {
    // Its type is unknown here, so the bytes are all there is to show.
    if (any.value !== undefined) out['value'] = Buffer.from(any.value).toString('base64')
    return out
  }
  const type = hasMessageType(name) ? messageType(name) : wellKnownHolder(name)
  if (type === null) throw new Error(`no message ${name} in proto/descriptors.jsonl`)
  return Object.assign(out, messageJson(type, any.message as Record<string, unknown>, o, hidden))
}
