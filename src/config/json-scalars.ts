/** Scalars of proto3 JSON, as lenient and as strict as the reader in Envoy; errors carry that reader's words. */
import type { FieldType } from './descriptors.ts'
import { parseBase64, ValueError } from './well-known.ts'

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/
const INTEGER = /^-?\d+$/
const LIMITS: Record<number, readonly [bigint, bigint]> = {
  3: [-(2n ** 63n), 2n ** 63n - 1n],
  4: [0n, 2n ** 64n - 1n],
  5: [-(2n ** 31n), 2n ** 31n - 1n],
  6: [0n, 2n ** 64n - 1n],
  7: [0n, 2n ** 32n - 1n],
  13: [0n, 2n ** 32n - 1n],
  15: [-(2n ** 31n), 2n ** 31n - 1n],
  16: [-(2n ** 63n), 2n ** 63n - 1n],
  17: [-(2n ** 31n), 2n ** 31n - 1n],
  18: [-(2n ** 63n), 2n ** 63n - 1n],
}
const SCALAR_NAMES: Record<number, string> = {
  1: 'double',
  2: 'float',
  3: 'int64',
  4: 'uint64',
  5: 'int32',
  6: 'fixed64',
  7: 'fixed32',
  8: 'bool',
  9: 'string',
  12: 'bytes',
  13: 'uint32',
  15: 'sfixed32',
  16: 'sfixed64',
  17: 'sint32',
  18: 'sint64',
}

/** How an error names the kind of a field: 'uint32', 'enum envoy.…', 'message envoy.…'. */
export function kindName(f: FieldType): string {
  if (f.isEnum) return `enum ${f.typeName}`
  if (f.wellKnown !== null || f.type === 11 || f.type === 14) return `message ${f.typeName}`
  return SCALAR_NAMES[f.type]!
}

/** @param type FieldDescriptorProto.Type @throws ValueError */
export function readScalar(type: number, value: unknown): unknown {
  switch (type) {
    case 8:
      if (typeof value === 'boolean') return value
      if (value === 'true') return true
      if (value === 'false') return false
      throw new ValueError("expected 'true' or 'false'")
    case 9:
      if (typeof value === 'string') return value
      throw new ValueError(`unexpected character: '${firstCharacter(value)}'; expected '"'`)
    case 12:
      if (typeof value === 'string') return parseBase64(value)
      throw new ValueError(`unexpected character: '${firstCharacter(value)}'; expected '"'`)
    case 1:
    case 2:
      return readFloat(value, type)
    default:
      return readInteger(value, type)
  }
}

/** The character that protobuf's JSON lexer stumbles over. */
export function firstCharacter(value: unknown): string {
  if (Array.isArray(value)) return '['
  if (typeof value === 'object' && value !== null) return '{'
  return typeof value === 'string' ? '"' : String(value)[0]!
}

function readFloat(value: unknown, type: number): number {
  let n: number
  if (typeof value === 'number') n = value
  else if (typeof value === 'bigint') n = Number(value)
  else if (typeof value !== 'string') throw new ValueError('expected number or string')
  else if (value === 'NaN') return Number.NaN
  else if (value === 'Infinity') return Number.POSITIVE_INFINITY
  else if (value === '-Infinity') return Number.NEGATIVE_INFINITY
  else if (NUMBER.test(value)) n = Number(value)
  else throw new ValueError('non-number characters in quoted number')
  if (type === 1) return n
  const narrow = Math.fround(n)
  if (!Number.isFinite(narrow)) throw new ValueError('number exceeds float range')
  // 0.1f is 0.10000000149…; keep what was written while it denotes the same float.
  return n
}

function readInteger(value: unknown, type: number): number | bigint {
  let n: bigint
  if (typeof value === 'number') {
    if (!Number.isInteger(value)) throw new ValueError('expected integer, but JSON number had fractional part')
    n = BigInt(value)
  } else if (typeof value === 'bigint') n = value
  else if (typeof value !== 'string') throw new ValueError('expected number or string')
  else if (INTEGER.test(value) && NUMBER.test(value)) n = BigInt(value)
  else if (NUMBER.test(value)) {
    const float = Number(value)
    if (!Number.isInteger(float)) throw new ValueError('expected integer, but JSON number had fractional part')
    n = BigInt(float)
  } else if (/\s/.test(value)) throw new ValueError('non-number characters in quoted number')
  else throw new ValueError(`invalid number: '${value}'`)
  const [low, high] = LIMITS[type]!
  if (n < low || n > high)
    throw new ValueError(n < 0n && low === 0n ? 'JSON number out of range for int' : 'integer out of range')
  return n >= Number.MIN_SAFE_INTEGER && n <= Number.MAX_SAFE_INTEGER ? Number(n) : n
}
