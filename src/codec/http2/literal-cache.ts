import { FieldName } from './field.ts'

const SLOTS = 2048
/** Longer literals are rarely repeated outside the dynamic table, and would let a peer fill memory. */
export const MAX_CACHED = 192

export class Literal {
  readonly bytes: Uint8Array
  readonly huffman: boolean
  readonly text: string
  readonly valid: boolean
  private asName: FieldName | null = null

  constructor(bytes: Uint8Array, huffman: boolean, text: string, valid: boolean) {
    this.bytes = bytes
    this.huffman = huffman
    this.text = text
    this.valid = valid
  }

  name(): FieldName {
    this.asName ??= new FieldName(this.text)
    return this.asName
  }
}

/**
 * Strings by their encoded bytes, shared by all connections of a thread: peers that do not use the dynamic table repeat
 * the same literals, and a lookup is cheaper than decoding, checking and making a string again. Direct-mapped, so bounded.
 * A literal enters at its second sight; values that never repeat cost a hash and nothing else.
 */
const entries: (Literal | null)[] = new Array<Literal | null>(SLOTS).fill(null)
const seen = new Int32Array(SLOTS)

/** FNV-1a over the range, mixed with the Huffman bit. */
export function literalHash(from: Uint8Array, start: number, end: number, huffman: boolean): number {
  let hash = huffman ? 0x2b3c4d5e : 0x11c9dc55
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ from[i]!, 0x01000193)
  return hash ^ (hash >>> 15)
}

export function findLiteral(
  hash: number,
  from: Uint8Array,
  start: number,
  end: number,
  huffman: boolean,
): Literal | null {
  const entry = entries[hash & (SLOTS - 1)]!
  if (entry === null || entry.huffman !== huffman) return null
  const bytes = entry.bytes
  const length = end - start
  if (bytes.length !== length) return null
  for (let i = 0; i < length; i++) if (bytes[i] !== from[start + i]) return null
  return entry
}

/** Remembers a literal that `findLiteral` did not find, if its hash was seen before; returns the entry it made. */
export function noteLiteral(
  hash: number,
  from: Uint8Array,
  start: number,
  end: number,
  huffman: boolean,
  text: string,
  valid: boolean,
): Literal | null {
  const slot = hash & (SLOTS - 1)
  if (seen[slot] !== hash) {
    seen[slot] = hash
    return null
  }
  const entry = new Literal(Uint8Array.prototype.slice.call(from, start, end), huffman, text, valid)
  entries[slot] = entry
  return entry
}
