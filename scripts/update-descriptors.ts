/**
 * Writes proto/descriptors.jsonl (what src/config/descriptors.ts reads) and src/config/gen/messages.d.ts.
 * Usage: node scripts/update-descriptors.ts FILES, where FILES comes from update-descriptors-extract.py.
 *
 * One line per message or enum, `full.name\t{json}`, sorted: a reader finds a line without parsing the others, and a
 * change of the API shows in a diff. The protoc-gen-validate rules stand beside the field they rule.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { FieldRecord, MessageRecord } from '../src/config/descriptors.ts'
import { fieldRules } from './update-descriptors-rules.ts'
import { addProtoSource, resolveSources } from './update-descriptors-source.ts'
import { typeDeclarations } from './update-descriptors-types.ts'
import { type FieldInfo, type Files, int, type MessageInfo, readFile, sub, text } from './update-descriptors-wire.ts'

const PGV = 1071
const DEPRECATED_AT = 157299826
const DISALLOWED_BY_DEFAULT = 189503723
const ENUM_DEPRECATED_AT = 181198657
const ENUM_DISALLOWED_BY_DEFAULT = 70100853
const SENSITIVE = 76569463

const all: Files = { messages: new Map(), enums: new Map() }
const input = readFileSync(process.argv[2]!)
for (let at = 0; at < input.length; ) {
  const length = input.readUInt32BE(at)
  readFile(input.subarray(at + 4, at + 4 + length), all)
  at += 4 + length
}
for (const name of readdirSync('proto', { recursive: true, encoding: 'utf8' }).sort()) {
  if (name.endsWith('.proto')) addProtoSource(readFileSync(`proto/${name}`, 'utf8'), name, all)
}
resolveSources(all)

const kept = reachable(all)
const lines: string[] = []
for (const name of [...kept].sort()) {
  const message = all.messages.get(name)
  lines.push(`${name}\t${JSON.stringify(message ? messageRecord(message) : enumRecord(name))}`)
}
writeFileSync('proto/descriptors.jsonl', `${lines.join('\n')}\n`)
writeFileSync('src/config/gen/messages.d.ts', typeDeclarations(kept, all))
console.log(`${lines.length} types, ${lines.reduce((n, l) => n + l.length + 1, 0)} bytes`)

/** Everything of the current API and what it refers to; annotations and the removed v2 API only where something refers to them. */
function reachable(files: Files): Set<string> {
  const root =
    /^(envoy\.(?!api\.|annotations\.)(?!.*\.v2(alpha\d?|beta\d?)?\.)|xds\.(?!annotations\.)|udpa\.type\.|istio\.|io\.(istio|prometheus)\.|stats\.|opentelemetry\.)/
  const keep = new Set<string>()
  const visit = (name: string) => {
    if (keep.has(name) || name.startsWith('google.protobuf.')) return
    const message = files.messages.get(name)
    if (!message && !files.enums.has(name)) throw new Error(`type ${name} is not in the input`)
    keep.add(name)
    for (const f of message?.fields ?? []) if (f.typeName) visit(f.typeName)
  }
  const forced = /^(istio\.envoy\.|envoy\.tcp\.)/
  for (const name of [...files.messages.keys(), ...files.enums.keys()]) {
    if (forced.test(name) || root.test(name)) visit(name)
  }
  return keep
}

function messageRecord(m: MessageInfo): MessageRecord {
  const record: MessageRecord = { f: m.fields.map(f => fieldRecord(f, m)) }
  const oneofs = m.oneofs
    .map((o, i) => ({ o, i }))
    .filter(({ i }) => m.fields.some(f => f.oneofIndex === i && !f.proto3Optional))
  if (oneofs.length > 0)
    record.o = oneofs.map(({ o }) =>
      (o.required ?? int(o.options, PGV) === 1) ? { n: o.name, req: 1 as const } : { n: o.name },
    )
  if (m.mapEntry) record.map = 1
  if (int(m.options, PGV) === 1) record.noval = 1
  record.file = m.file
  return record
}

function fieldRecord(f: FieldInfo, m: MessageInfo): FieldRecord {
  const r: FieldRecord = { n: f.name, i: f.number, t: f.type }
  if (f.typeName) r.m = f.typeName
  if (f.repeated) r.r = 1
  if (f.jsonName && f.jsonName !== camel(f.name)) r.j = f.jsonName
  const packed = int(f.options, 2)
  if (f.repeated && (m.proto2 ? packed !== 1 : f.options.some(x => x.number === 2) && packed === 0)) r.np = 1
  if (f.proto3Optional || (m.proto2 && !f.repeated)) r.p = 1
  if (f.oneofIndex >= 0 && !f.proto3Optional) r.o = f.oneofIndex
  if (f.source?.deprecated) r.d = '1'
  if (f.source?.sensitive) r.s = 1
  if (f.source?.rules) r.v = f.source.rules
  if (int(f.options, 3) === 1) r.d = text(f.options, DEPRECATED_AT) || '1'
  if (int(f.options, DISALLOWED_BY_DEFAULT) === 1) r.off = 1
  if (int(f.options, SENSITIVE) === 1) r.s = 1
  const rules = fieldRules(sub(f.options, PGV), all)
  if (rules) r.v = rules
  return r
}

function enumRecord(name: string) {
  const e: Record<string, unknown> = { e: all.enums.get(name)!.values.map(v => [v.name, v.number]) }
  const deprecated: Record<string, string> = {}
  for (const v of all.enums.get(name)!.values) {
    if (int(v.options, 1) === 1) deprecated[v.name] = text(v.options, ENUM_DEPRECATED_AT) || '1'
    if (int(v.options, ENUM_DISALLOWED_BY_DEFAULT) === 1) deprecated[v.name] = `${deprecated[v.name] ?? ''}!`
  }
  if (Object.keys(deprecated).length > 0) e.d = deprecated
  return e
}

function camel(name: string): string {
  return name.replace(/_(.)?/g, (_, c: string | undefined) => (c ?? '').toUpperCase())
}
