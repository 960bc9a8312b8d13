/**
 * The Huffman code of RFC 7541 appendix B. The code is canonical, so the code lengths alone determine it. Decoding walks
 * an automaton one nibble at a time: 16 KiB of table stay in the first-level cache, and a nibble ends at most one symbol.
 */

// biome-ignore format: one row per sixteen octets
const LENGTHS = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30, // EOS
]
const EOS = 256

const codes = new Uint32Array(257)
const lengths = Uint8Array.from(LENGTHS)

/** Entry: next state in the low byte, symbol in bits 8–15, and these flags. */
const EMIT = 1 << 16
const FAIL = 1 << 17
/** The input may end after this nibble: what is left over is at most seven 1 bits, the beginning of EOS (§5.2). */
const ACCEPT = 1 << 18
const automaton = new Int32Array(256 * 16)
let built = false

buildCodes()

/**
 * Decodes `from[start, end)` into `to` at `at`; `to` must have room for 8/5 of the input. Returns the end of the output,
 * or -1 when the input is not a valid encoding (RFC 7541 §5.2: EOS inside, padding over 7 bits or not all ones).
 */
export function huffmanDecode(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): number {
  let state = 0
  let out = at
  let entry = ACCEPT
  for (let i = start; i < end; i++) {
    const byte = from[i]!
    entry = automaton[(state << 4) | (byte >> 4)]!
    if ((entry & (EMIT | FAIL)) !== 0) {
      if ((entry & FAIL) !== 0) return -1
      to[out++] = (entry >> 8) & 0xff
    }
    entry = automaton[((entry & 0xff) << 4) | (byte & 15)]!
    if ((entry & (EMIT | FAIL)) !== 0) {
      if ((entry & FAIL) !== 0) return -1
      to[out++] = (entry >> 8) & 0xff
    }
    state = entry & 0xff
  }
  return (entry & ACCEPT) === 0 ? unaccepted(from, start, end, to, at) : out
}

/** Before it is built, which takes a millisecond of each thread, the automaton never fails and accepts nothing. */
function unaccepted(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): number {
  if (built) return -1
  buildAutomaton()
  built = true
  return huffmanDecode(from, start, end, to, at)
}

/** Bytes that `text` (latin1) takes when encoded. */
export function huffmanLength(text: string): number {
  let bits = 0
  for (let i = 0; i < text.length; i++) bits += lengths[text.charCodeAt(i) & 0xff]!
  return (bits + 7) >> 3
}

/** Encodes `text` (latin1) into `to` at `at` and returns the end; padding is the beginning of EOS. */
export function huffmanEncode(text: string, to: Uint8Array, at: number): number {
  let out = at
  let pending = 0
  let bits = 0
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i) & 0xff
    let length = lengths[symbol]!
    let code = codes[symbol]!
    // Codes go up to 28 bits and 7 may be pending, which would overflow 32: long ones go in two steps.
    if (length > 24) {
      length -= 8
      pending = (pending << 8) | (code >>> length)
      to[out++] = (pending >>> bits) & 0xff
      pending &= (1 << bits) - 1
      code &= (1 << length) - 1
    }
    pending = (pending << length) | code
    bits += length
    while (bits >= 8) {
      bits -= 8
      to[out++] = (pending >>> bits) & 0xff
    }
    pending &= (1 << bits) - 1
  }
  if (bits > 0) to[out++] = ((pending << (8 - bits)) | (0xff >> bits)) & 0xff
  return out
}

function buildCodes(): void {
  const next = new Uint32Array(32)
  for (let symbol = 0; symbol <= EOS; symbol++) next[lengths[symbol]! + 1]!++
  // So far the number of codes that are one bit shorter.
  for (let length = 1; length <= 30; length++) next[length] = (next[length - 1]! + next[length]!) * 2
  for (let symbol = 0; symbol <= EOS; symbol++) codes[symbol] = next[lengths[symbol]!]!++
}

function buildAutomaton(): void {
  // A binary tree of 256 inner nodes: children ≥ 0 are nodes, -1 - symbol are leaves.
  const children: number[] = [0, 0]
  const depth = [0]
  const ones = [true]
  for (let symbol = 0; symbol <= EOS; symbol++) {
    let node = 0
    for (let bit = lengths[symbol]! - 1; bit >= 0; bit--) {
      const branch = (codes[symbol]! >>> bit) & 1
      if (bit === 0) {
        children[node * 2 + branch] = -1 - symbol
        break
      }
      let next = children[node * 2 + branch]!
      if (next === 0) {
        next = depth.length
        children[node * 2 + branch] = next
        children.push(0, 0)
        depth.push(depth[node]! + 1)
        ones.push(ones[node]! && branch === 1)
      }
      node = next
    }
  }
  for (let state = 0; state < 256; state++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      let node = state
      let entry = 0
      for (let bit = 3; bit >= 0; bit--) {
        const next = children[node * 2 + ((nibble >> bit) & 1)]!
        if (next === -1 - EOS) {
          entry = FAIL
          break
        }
        if (next < 0) entry |= EMIT | ((-1 - next) << 8)
        node = Math.max(next, 0)
      }
      if (entry !== FAIL && depth[node]! <= 7 && ones[node]!) entry |= ACCEPT
      automaton[(state << 4) | nibble] = entry === FAIL ? FAIL : entry | node
    }
  }
}
