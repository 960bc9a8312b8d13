/** The rules of one field; texts are those protoc-gen-validate generates for C++. */
import { isIP, isIPv4, isIPv6 } from 'node:net'
import type { AnyMessage } from './any.ts'
import type { FieldRules, FieldType } from './descriptors.ts'

type Rules = Readonly<Record<string, unknown>>

export class BrokenRule {
  readonly reason: string
  /** index or key when an element broke it */
  readonly element: number | string | null

  constructor(reason: string, element: number | string | null = null) {
    this.reason = reason
    this.element = element
  }
}

/** @param value undefined when absent */
export function checkField(field: FieldType, value: unknown): BrokenRule | null {
  const rules = field.rules!
  // A member of a oneof is ruled only while it is the one that is set.
  if (value === undefined && field.oneof >= 0) return null
  const required = rules['message'] as { required?: boolean } | undefined
  if (required?.required === true && value === undefined) return new BrokenRule('value is required')
  for (const kind of Object.keys(rules)) {
    const r = rules[kind] as Rules
    if (kind === 'message') continue
    if (kind === 'repeated') return checkRepeated(field, r, (value ?? []) as unknown[])
    if (kind === 'map') return checkMap(field, r, (value ?? {}) as Record<string, unknown>)
    const reason = checkValue(field, kind, r, value)
    return reason === null ? null : new BrokenRule(reason)
  }
  return null
}

function checkRepeated(field: FieldType, r: Rules, list: readonly unknown[]): BrokenRule | null {
  const min = r['min_items'] as number | undefined
  const max = r['max_items'] as number | undefined
  if (r['ignore_empty'] === true && list.length === 0) return null
  if (min !== undefined && min === max && list.length !== min)
    return new BrokenRule(`value must contain exactly ${min} item(s)`)
  if (min !== undefined && list.length < min) return new BrokenRule(`value must contain at least ${min} item(s)`)
  if (max !== undefined && list.length > max) return new BrokenRule(`value must contain no more than ${max} item(s)`)
  if (r['unique'] === true && new Set(list).size !== list.length)
    return new BrokenRule('repeated value must contain unique items')
  const items = r['items'] as FieldRules | undefined
  if (items === undefined) return null
  for (let i = 0; i < list.length; i++) {
    const reason = checkElement(field, items, list[i])
    if (reason !== null) return new BrokenRule(reason, i)
  }
  return null
}

function checkMap(field: FieldType, r: Rules, map: Record<string, unknown>): BrokenRule | null {
  const keys = Object.keys(map)
  const min = r['min_pairs'] as number | undefined
  const max = r['max_pairs'] as number | undefined
  if (min !== undefined && keys.length < min) return new BrokenRule(`value must contain at least ${min} pair(s)`)
  if (max !== undefined && keys.length > max) return new BrokenRule(`value must contain no more than ${max} pair(s)`)
  const entry = field.message
  for (const key of keys) {
    const reason =
      (r['keys'] === undefined ? null : checkElement(entry.byNumber.get(1)!, r['keys'] as FieldRules, key)) ??
      (r['values'] === undefined ? null : checkElement(entry.byNumber.get(2)!, r['values'] as FieldRules, map[key]))
    if (reason !== null) return new BrokenRule(reason, key)
  }
  return null
}

function checkElement(field: FieldType, rules: FieldRules, value: unknown): string | null {
  for (const kind of Object.keys(rules)) {
    if (kind !== 'message') return checkValue(field, kind, rules[kind] as Rules, value)
  }
  return null
}

function checkValue(field: FieldType, kind: string, r: Rules, value: unknown): string | null {
  switch (kind) {
    case 'string':
      // An absent wrapper is not checked, an absent plain string is the empty string.
      return value === undefined && field.presence ? null : checkString(r, (value ?? '') as string)
    case 'bytes':
      return value === undefined && field.presence ? null : checkBytes(r, (value ?? new Uint8Array(0)) as Uint8Array)
    case 'bool':
      if (value === undefined && field.presence) return null
      return r['const'] !== undefined && (value ?? false) !== r['const'] ? `value must equal ${r['const']}` : null
    case 'enum':
      return value === undefined && field.presence ? null : checkEnum(field, r, value)
    case 'duration':
      if (value === undefined) return r['required'] === true ? 'value is required' : null
      return checkRange(r, value as number, goDuration)
    case 'timestamp':
      if (value === undefined) return r['required'] === true ? 'value is required' : null
      return checkRange(r, value as number, String)
    case 'any':
      return checkAny(r, value as AnyMessage | undefined)
    default:
      if (value === undefined && field.presence) return null
      if (r['ignore_empty'] === true && (value ?? 0) === 0) return null
      return checkRange(r, (value ?? 0) as number, String)
  }
}

function checkRange(r: Rules, v: number | bigint, print: (n: number) => string): string | null {
  const c = r['const'] as number | undefined
  if (c !== undefined) return Number(v) === c ? null : `value must equal ${print(c)}`
  const list = r['in'] as readonly number[] | undefined
  if (list !== undefined && !list.includes(Number(v))) return `value must be in list [${list.map(print).join(' ')}]`
  const not = r['not_in'] as readonly number[] | undefined
  if (not?.includes(Number(v))) return `value must not be in list [${not.map(print).join(' ')}]`
  const lt = (r['lt'] ?? r['lte']) as number | undefined
  const gt = (r['gt'] ?? r['gte']) as number | undefined
  const below = lt === undefined || (r['lt'] === undefined ? v <= lt : v < lt)
  const above = gt === undefined || (r['gt'] === undefined ? v >= gt : v > gt)
  if (lt !== undefined && gt !== undefined) {
    // lt < gt means "outside" in protoc-gen-validate.
    if (lt >= gt) {
      if (below && above) return null
      return `value must be inside range ${r['gt'] === undefined ? '[' : '('}${print(gt)}, ${print(lt)}${r['lt'] === undefined ? ']' : ')'}`
    }
    if (below || above) return null
    return `value must be outside range ${r['lt'] === undefined ? '(' : '['}${print(lt)}, ${print(gt)}${r['gt'] === undefined ? ')' : ']'}`
  }
  if (!below)
    return r['lt'] === undefined
      ? `value must be less than or equal to ${print(lt!)}`
      : `value must be less than ${print(lt!)}`
  if (!above)
    return r['gt'] === undefined
      ? `value must be greater than or equal to ${print(gt!)}`
      : `value must be greater than ${print(gt!)}`
  return null
}

function checkEnum(field: FieldType, r: Rules, value: unknown): string | null {
  const type = field.enum
  if (r['defined_only'] === true && typeof value === 'number') return 'value must be one of the defined enum values'
  const number = value === undefined ? 0 : typeof value === 'number' ? value : type.byName.get(value as string)!
  const name = (n: number) => type.byNumber.get(n) ?? String(n)
  if (r['const'] !== undefined && number !== r['const']) return `value must be ${name(r['const'] as number)}`
  const list = r['in'] as readonly number[] | undefined
  if (list !== undefined && !list.includes(number)) return `value must be in list [${list.map(name).join(' ')}]`
  const not = r['not_in'] as readonly number[] | undefined
  return not?.includes(number) ? `value must not be in list [${not.map(name).join(' ')}]` : null
}

function checkAny(r: Rules, value: AnyMessage | undefined): string | null {
  if (value === undefined) return r['required'] === true ? 'value is required' : null
  const list = r['in'] as readonly string[] | undefined
  if (list !== undefined && !list.includes(value.type_url)) return `type URL must be in list [${list.join(' ')}]`
  const not = r['not_in'] as readonly string[] | undefined
  return not?.includes(value.type_url) ? `type URL must not be in list [${not.join(' ')}]` : null
}

function checkBytes(r: Rules, v: Uint8Array): string | null {
  return checkLength(v.length, 'bytes', r['len'], r['min_len'], r['max_len'])
}

function checkString(r: Rules, v: string): string | null {
  if (r['ignore_empty'] === true && v === '') return null
  const list = r['in'] as readonly string[] | undefined
  if (r['const'] !== undefined && v !== r['const']) return `value must equal ${r['const']}`
  if (list !== undefined && !list.includes(v)) return `value must be in list [${list.join(' ')}]`
  const not = r['not_in'] as readonly string[] | undefined
  if (not?.includes(v)) return `value must not be in list [${not.join(' ')}]`
  return (
    checkLength(codePoints(v), 'characters', r['len'], r['min_len'], r['max_len']) ??
    checkLength(Buffer.byteLength(v), 'bytes', r['len_bytes'], r['min_bytes'], r['max_bytes']) ??
    checkText(r, v)
  )
}

function checkText(r: Rules, v: string): string | null {
  const prefix = r['prefix'] as string | undefined
  if (prefix !== undefined && !v.startsWith(prefix)) return `value does not have prefix ${JSON.stringify(prefix)}`
  const suffix = r['suffix'] as string | undefined
  if (suffix !== undefined && !v.endsWith(suffix)) return `value does not have suffix ${JSON.stringify(suffix)}`
  const contains = r['contains'] as string | undefined
  if (contains !== undefined && !v.includes(contains))
    return `value does not contain substring ${JSON.stringify(contains)}`
  const notContains = r['not_contains'] as string | undefined
  if (notContains !== undefined && v.includes(notContains))
    return `value contains substring ${JSON.stringify(notContains)}`
  const pattern = (r['pattern'] as string | undefined) ?? wellKnownPattern(r)
  if (pattern !== undefined && !compiled(pattern).test(v))
    return `value does not match regex pattern ${quotePattern(pattern)}`
  if (r['ip'] === true && isIP(v) === 0) return 'value must be a valid IP address'
  if (r['ipv4'] === true && !isIPv4(v)) return 'value must be a valid IPv4 address'
  if (r['ipv6'] === true && !isIPv6(v)) return 'value must be a valid IPv6 address'
  if (r['hostname'] === true && !HOSTNAME.test(v)) return 'value must be a valid hostname'
  if (r['address'] === true && isIP(v) === 0 && !HOSTNAME.test(v))
    return 'value must be a valid hostname, or ip address'
  if (r['uri'] === true && !URL.canParse(v)) return 'value must be a valid URI'
  if (r['uri_ref'] === true && !URL.canParse(v, 'http://a')) return 'value must be a valid URI'
  return null
}

function checkLength(n: number, unit: string, len: unknown, min: unknown, max: unknown): string | null {
  if (len !== undefined && n !== len) return `value length must be ${len} ${unit}`
  const low = min as number | undefined
  const high = max as number | undefined
  if ((low === undefined || n >= low) && (high === undefined || n <= high)) return null
  if (low !== undefined && high !== undefined)
    return `value length must be between ${low} and ${high} ${unit}, inclusive`
  return low !== undefined
    ? `value length must be at least ${low} ${unit}`
    : `value length must be at most ${high} ${unit}`
}

const HOSTNAME =
  /^(?=.{1,253}\.?$)[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*\.?$/
const patterns = new Map<string, RegExp>()

/** All patterns come from the API, none from a user; they are anchored and linear. */
function compiled(pattern: string): RegExp {
  let re = patterns.get(pattern)
  if (re === undefined) {
    re = new RegExp(pattern, 's')
    patterns.set(pattern, re)
  }
  return re
}

/** (validate.rules).string.well_known_regex; strict is the default. The generator holds real control characters here. */
function wellKnownPattern(r: Rules): string | undefined {
  const strict = r['strict'] !== false
  const loose = '^[^\u0000\n\r]*$'
  if (r['well_known_regex'] === 'HTTP_HEADER_NAME') return strict ? "^:?[0-9a-zA-Z!#$%&'*+-.^_|~`]+$" : loose
  if (r['well_known_regex'] === 'HTTP_HEADER_VALUE') return strict ? '^[^\u0000-\b\n-\u001f\u007f]*$' : loose
  return undefined
}

const GO_ESCAPES: Record<string, string> = {
  '\b': '\\b',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\f': '\\f',
  '\v': '\\v',
}

/** Go's strconv.Quote, with which the generator prints a pattern. */
function quotePattern(pattern: string): string {
  const escaped = pattern.replace(/[\\"]/g, '\\$&').replace(/[\u0000-\u001f\u007f]/g, c => {
    return GO_ESCAPES[c] ?? `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
  return `"${escaped}"`
}

const SURROGATE = /[\ud800-\udbff]/

function codePoints(v: string): number {
  if (!SURROGATE.test(v)) return v.length
  let n = 0
  for (const _ of v) n++
  return n
}

/** Go's Duration.String(), which the generator uses for its texts: 1ms, 5m0s, 1h0m0s. */
export function goDuration(ms: number): string {
  if (ms === 0) return '0s'
  if (Math.abs(ms) < 1000) return ms >= 1 ? `${ms}ms` : ms >= 0.001 ? `${ms * 1000}µs` : `${ms * 1e6}ns`
  const seconds = ms / 1000
  const h = Math.floor(seconds / 3600)
  const m = Math.floor((seconds % 3600) / 60)
  const s = `${Number((seconds % 60).toFixed(9))}s`
  return h > 0 ? `${h}h${m}m${s}` : m > 0 ? `${m}m${s}` : s
}
