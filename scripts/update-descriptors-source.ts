/**
 * Adds proto/**.proto to what xds-protos has. A message that already exists is extended field by field (a field with the same name
 * or number is replaced), so these files hold only what is newer than xds-protos or belongs to Istio. See proto/README.md.
 */
import protobuf from 'protobufjs'
import type { FieldRules } from '../src/config/descriptors.ts'
import type { FieldInfo, Files, MessageInfo } from './update-descriptors-wire.ts'

const SCALAR_TYPES: Record<string, number> = {
  double: 1,
  float: 2,
  int64: 3,
  uint64: 4,
  int32: 5,
  fixed64: 6,
  fixed32: 7,
  bool: 8,
  string: 9,
  bytes: 12,
  uint32: 13,
  sfixed32: 15,
  sfixed64: 16,
  sint32: 17,
  sint64: 18,
}

/** Call for all sources, then resolveSources(): files refer to each other in any order. */
export function addProtoSource(source: string, file: string, into: Files): void {
  const { root, package: pkg } = protobuf.parse(source, new protobuf.Root(), {
    keepCase: true,
    alternateCommentMode: true,
  })
  const scope = pkg ? root.lookup(pkg) : root
  if (!(scope instanceof protobuf.Namespace)) throw new Error(`${file}: no package`)
  for (const item of scope.nestedArray) addItem(item, pkg ?? '', file, into)
}

function addItem(item: protobuf.ReflectionObject, scope: string, file: string, into: Files): void {
  const fullName = scope ? `${scope}.${item.name}` : item.name
  if (item instanceof protobuf.Enum) {
    const values = into.enums.get(fullName)?.values ?? []
    for (const [name, number] of Object.entries(item.values)) {
      if (!values.some(v => v.name === name)) values.push({ name, number, options: [] })
    }
    into.enums.set(fullName, { fullName, values })
    return
  }
  if (!(item instanceof protobuf.Type)) return
  let message = into.messages.get(fullName)
  if (!message) {
    message = { fullName, file, fields: [], oneofs: [], options: [], mapEntry: false, proto2: false }
    into.messages.set(fullName, message)
  }
  for (const nested of item.nestedArray) addItem(nested, fullName, file, into)
  for (const oneof of item.oneofsArray) {
    if (isSynthetic(oneof)) continue
    const known = message.oneofs.find(o => o.name === oneof.name)
    const required = oneof.options?.['(validate.required)'] === true
    if (known) known.required ??= required
    else message.oneofs.push({ name: oneof.name, options: [], required })
  }
  for (const f of item.fieldsArray) addField(f, message, file, into)
}

const isSynthetic = (o: protobuf.OneOf) => o.name.startsWith('_') && o.fieldsArray.length === 1

function addField(f: protobuf.Field, message: MessageInfo, file: string, into: Files): void {
  const options: Record<string, unknown> = {}
  for (const o of f.parsedOptions ?? []) Object.assign(options, o)
  const info: FieldInfo = {
    name: f.name,
    number: f.id,
    repeated: f.repeated || f instanceof protobuf.MapField,
    required: false,
    type: SCALAR_TYPES[f.type] ?? 0,
    typeName: f.type in SCALAR_TYPES ? '' : f.type,
    oneofIndex: f.partOf && !isSynthetic(f.partOf) ? message.oneofs.findIndex(o => o.name === f.partOf!.name) : -1,
    jsonName: '',
    proto3Optional: f.partOf !== null && isSynthetic(f.partOf),
    options: [],
    default: '',
    source: { deprecated: options['deprecated'] === true, sensitive: options['(udpa.annotations.sensitive)'] === true },
  }
  if (options['(validate.rules)']) info.source!.rules = durations(options['(validate.rules)']) as FieldRules
  if (f instanceof protobuf.MapField) {
    const entry = `${message.fullName}.${f.name.replace(/(^|_)([a-z0-9])/g, (_, __, c: string) => c.toUpperCase())}Entry`
    const part = (name: string, number: number, type: string): FieldInfo => ({
      ...info,
      name,
      number,
      repeated: false,
      oneofIndex: -1,
      proto3Optional: false,
      source: { deprecated: false, sensitive: false },
      type: SCALAR_TYPES[type] ?? 0,
      typeName: type in SCALAR_TYPES ? '' : type,
    })
    const fields = [part('key', 1, f.keyType), part('value', 2, f.type)]
    into.messages.set(entry, { fullName: entry, file, fields, oneofs: [], options: [], mapEntry: true, proto2: false })
    info.type = 11
    info.typeName = entry
  }
  const old = message.fields.findIndex(x => x.name === f.name || x.number === f.id)
  if (old >= 0) message.fields[old] = info
  else message.fields.push(info)
}

/** {seconds: 1} of a rule becomes 1000: rules and messages have durations in milliseconds. */
function durations(v: unknown): unknown {
  if (Array.isArray(v)) return v.map(durations)
  if (typeof v !== 'object' || v === null) return v
  const keys = Object.keys(v)
  const d = v as { seconds?: number; nanos?: number }
  if (keys.length > 0 && keys.every(k => k === 'seconds' || k === 'nanos'))
    return Number(d.seconds ?? 0) * 1000 + Number(d.nanos ?? 0) / 1e6
  return Object.fromEntries(
    Object.entries(v).map(([k, x]) => [k, LISTS.has(k) && !Array.isArray(x) ? [durations(x)] : durations(x)]),
  )
}
const LISTS = new Set(['in', 'not_in'])

/** Fills in full type names and message or enum of all fields that came from source. */
export function resolveSources(files: Files): void {
  for (const m of files.messages.values()) {
    for (const f of m.fields) {
      if (f.type !== 0) continue
      f.typeName = resolve(f.typeName, m.fullName, files)
      f.type = files.enums.has(f.typeName) ? 14 : 11
    }
  }
}

function resolve(name: string, scope: string, files: Files): string {
  const known = (n: string) => files.messages.has(n) || files.enums.has(n) || n.startsWith('google.protobuf.')
  const bare = name.replace(/^\./, '')
  if (known(bare)) return bare
  for (let s = scope; s !== ''; s = s.includes('.') ? s.slice(0, s.lastIndexOf('.')) : '') {
    if (known(`${s}.${bare}`)) return `${s}.${bare}`
  }
  throw new Error(`${scope}: unknown type ${name}`)
}
