/**
 * XXH64 (the xxHash specification, section "XXH64 algorithm"). Envoy hashes header values, ring keys and Maglev keys with
 * it, so equal results are what makes consistent hashing choose the same endpoint. Works on 16-bit limbs in doubles and
 * int32 halves: BigInt arithmetic would allocate a dozen objects per hash on the request path.
 */
export function xxHash64(input: Uint8Array | string, seed = 0): bigint {
  hashInto(typeof input === 'string' ? bytesOf(input) : input, seed)
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
}

/** The same hash modulo a table size below 2^26 (products must stay exact in a double), without making a bigint. */
export function xxHash64Modulo(input: Uint8Array | string, seed: number, modulus: number): number {
  hashInto(typeof input === 'string' ? bytesOf(input) : input, seed)
  return (((high >>> 0) % modulus) * (4294967296 % modulus) + ((low >>> 0) % modulus)) % modulus
}

// The running 64-bit value: results of the arithmetic below are left here instead of in an object.
let high = 0
let low = 0

const P1H = 0x9e3779b1 | 0
const P1L = 0x85ebca87 | 0
const P2H = 0xc2b2ae3d | 0
const P2L = 0x27d4eb4f | 0
const P3H = 0x165667b1 | 0
const P3L = 0x9e3779f9 | 0
const P4H = 0x85ebca77 | 0
const P4L = 0xc2b2ae63 | 0
const P5H = 0x27d4eb2f | 0
const P5L = 0x165667c5 | 0

let scratch = Buffer.allocUnsafe(256)

/** latin1: header values carry one byte per char, addresses and host names are ASCII. */
function bytesOf(text: string): Uint8Array {
  if (text.length > scratch.length) scratch = Buffer.allocUnsafe(text.length * 2)
  scratch.write(text, 0, 'latin1')
  return scratch.subarray(0, text.length)
}

function multiply(bh: number, bl: number): void {
  const ah = high
  const al = low
  const a0 = al & 0xffff
  const a1 = al >>> 16
  const b0 = bl & 0xffff
  const b1 = bl >>> 16
  const middle = a1 * b0 + ((a0 * b0) >>> 16)
  // Exact in a double: below 2^33.
  const middle2 = (middle % 65536) + a0 * b1
  const carry = a1 * b1 + Math.floor(middle / 65536) + Math.floor(middle2 / 65536)
  low = Math.imul(al, bl)
  high = ((carry | 0) + Math.imul(ah, bl) + Math.imul(al, bh)) | 0
}

function add(bh: number, bl: number): void {
  const sum = (low >>> 0) + (bl >>> 0)
  high = (high + bh + (sum > 0xffffffff ? 1 : 0)) | 0
  low = sum | 0
}

function rotate(bits: number): void {
  const h = high
  const l = low
  if (bits < 32) {
    high = (h << bits) | (l >>> (32 - bits))
    low = (l << bits) | (h >>> (32 - bits))
  } else {
    const rest = bits - 32
    high = (l << rest) | (h >>> (32 - rest))
    low = (h << rest) | (l >>> (32 - rest))
  }
}

function xorShiftRight(bits: number): void {
  const h = high
  const l = low
  if (bits < 32) {
    low = l ^ ((l >>> bits) | (h << (32 - bits)))
    high = h ^ (h >>> bits)
  } else {
    low = l ^ (bits === 32 ? h : h >>> (bits - 32))
  }
}

function word(b: Uint8Array, i: number): number {
  return b[i]! | (b[i + 1]! << 8) | (b[i + 2]! << 16) | (b[i + 3]! << 24)
}

/** `high:low` = round(acc, lane): acc += lane * P2, rotl 31, * P1. */
function round(accH: number, accL: number, b: Uint8Array, i: number): void {
  low = word(b, i)
  high = word(b, i + 4)
  multiply(P2H, P2L)
  add(accH, accL)
  rotate(31)
  multiply(P1H, P1L)
}

const laneH = new Int32Array(4)
const laneL = new Int32Array(4)

function hashInto(b: Uint8Array, seed: number): void {
  const length = b.length
  let i = 0
  if (length >= 32) {
    i = consumeStripes(b, seed)
  } else {
    high = 0
    low = seed | 0
    add(P5H, P5L)
  }
  add(0, length | 0)
  for (; i + 8 <= length; i += 8) {
    const h = high
    const l = low
    round(0, 0, b, i)
    high ^= h
    low ^= l
    rotate(27)
    multiply(P1H, P1L)
    add(P4H, P4L)
  }
  if (i + 4 <= length) {
    const h = high
    const l = low
    high = 0
    low = word(b, i)
    multiply(P1H, P1L)
    high ^= h
    low ^= l
    rotate(23)
    multiply(P2H, P2L)
    add(P3H, P3L)
    i += 4
  }
  for (; i < length; i++) {
    const h = high
    const l = low
    high = 0
    low = b[i]!
    multiply(P5H, P5L)
    high ^= h
    low ^= l
    rotate(11)
    multiply(P1H, P1L)
  }
  xorShiftRight(33)
  multiply(P2H, P2L)
  xorShiftRight(29)
  multiply(P3H, P3L)
  xorShiftRight(32)
}

function consumeStripes(b: Uint8Array, seed: number): number {
  const length = b.length
  setLane(0, seed, P1H, P1L, P2H, P2L)
  setLane(1, seed, P2H, P2L, 0, 0)
  setLane(2, seed, 0, 0, 0, 0)
  // seed - P1 = seed + ~P1 + 1
  setLane(3, seed, ~P1H, ~P1L, 0, 1)
  let i = 0
  for (; i + 32 <= length; i += 32) {
    for (let lane = 0; lane < 4; lane++) {
      round(laneH[lane]!, laneL[lane]!, b, i + lane * 8)
      laneH[lane] = high
      laneL[lane] = low
    }
  }
  let sumH = 0
  let sumL = 0
  for (let lane = 0; lane < 4; lane++) {
    high = laneH[lane]!
    low = laneL[lane]!
    rotate(lane === 0 ? 1 : lane === 1 ? 7 : lane === 2 ? 12 : 18)
    add(sumH, sumL)
    sumH = high
    sumL = low
  }
  for (let lane = 0; lane < 4; lane++) {
    high = laneH[lane]!
    low = laneL[lane]!
    multiply(P2H, P2L)
    rotate(31)
    multiply(P1H, P1L)
    high ^= sumH
    low ^= sumL
    multiply(P1H, P1L)
    add(P4H, P4L)
    sumH = high
    sumL = low
  }
  return i
}

function setLane(lane: number, seed: number, h1: number, l1: number, h2: number, l2: number): void {
  high = 0
  low = seed | 0
  add(h1, l1)
  add(h2, l2)
  laneH[lane] = high
  laneL[lane] = low
}
