import { isObject, type Json, type JsonObject } from './kubernetes.ts'

export interface PatchOperation {
  readonly op: 'add' | 'remove' | 'replace'
  readonly path: string
  readonly value?: Json
}

/** RFC 6902 operations that make `to` of `from`. Lists are compared place by place; what is longer is added to or cut at the end. */
export function jsonPatch(from: JsonObject, to: JsonObject): PatchOperation[] {
  const out: PatchOperation[] = []
  compareObjects(from, to, '', out)
  return out
}

function compare(from: Json, to: Json, path: string, out: PatchOperation[]): void {
  if (isObject(from) && isObject(to)) compareObjects(from, to, path, out)
  else if (Array.isArray(from) && Array.isArray(to)) compareLists(from, to, path, out)
  else if (from !== to) out.push({ op: 'replace', path, value: to })
}

function compareObjects(from: JsonObject, to: JsonObject, path: string, out: PatchOperation[]): void {
  for (const [field, old] of Object.entries(from)) {
    const at = `${path}/${escaped(field)}`
    const value = to[field]
    if (old === undefined) continue
    if (value === undefined) out.push({ op: 'remove', path: at })
    else compare(old, value, at, out)
  }
  for (const [field, value] of Object.entries(to)) {
    if (value !== undefined && from[field] === undefined)
      out.push({ op: 'add', path: `${path}/${escaped(field)}`, value })
  }
}

function compareLists(from: readonly Json[], to: readonly Json[], path: string, out: PatchOperation[]): void {
  const both = Math.min(from.length, to.length)
  for (let i = 0; i < both; i++) compare(from[i]!, to[i]!, `${path}/${i}`, out)
  for (let i = from.length - 1; i >= both; i--) out.push({ op: 'remove', path: `${path}/${i}` })
  for (const value of to.slice(both)) out.push({ op: 'add', path: `${path}/-`, value })
}

/** RFC 6901 §3. */
function escaped(field: string): string {
  return field.replaceAll('~', '~0').replaceAll('/', '~1')
}
