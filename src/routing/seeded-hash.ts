/**
 * XXH64 with a 64-bit seed, which base/xxhash64.ts does not take: Envoy hashes a repeated header by making each value's hash
 * the seed of the next (HashUtil::xxHash64 over a span). Rare, so plain BigInt arithmetic.
 */
const MASK = (1n << 64n) - 1n
const P1 = 0x9e3779b185ebca87n
const P2 = 0xc2b2ae3d27d4eb4fn
const P3 = 0x165667b19e3779f9n
const P4 = 0x85ebca77c2b2ae63n
const P5 = 0x27d4eb2f165667c5n

/** `text` is latin1. */
export function seededXxHash64(text: string, seed: bigint): bigint {
  const bytes = Buffer.from(text, 'latin1')
  const length = bytes.length
  let i = 0
  let h: bigint
  if (length >= 32) {
    const lanes: [bigint, bigint, bigint, bigint] = [
      (seed + P1 + P2) & MASK,
      (seed + P2) & MASK,
      seed,
      (seed - P1) & MASK,
    ]
    for (; i + 32 <= length; i += 32) {
      lanes[0] = round(lanes[0], bytes.readBigUInt64LE(i))
      lanes[1] = round(lanes[1], bytes.readBigUInt64LE(i + 8))
      lanes[2] = round(lanes[2], bytes.readBigUInt64LE(i + 16))
      lanes[3] = round(lanes[3], bytes.readBigUInt64LE(i + 24))
    }
    h = (rotate(lanes[0], 1n) + rotate(lanes[1], 7n) + rotate(lanes[2], 12n) + rotate(lanes[3], 18n)) & MASK
    for (const lane of lanes) h = ((h ^ round(0n, lane)) * P1 + P4) & MASK
  } else h = (seed + P5) & MASK
  h = (h + BigInt(length)) & MASK
  for (; i + 8 <= length; i += 8) h = (rotate(h ^ round(0n, bytes.readBigUInt64LE(i)), 27n) * P1 + P4) & MASK
  if (i + 4 <= length) {
    h = (rotate(h ^ ((BigInt(bytes.readUInt32LE(i)) * P1) & MASK), 23n) * P2 + P3) & MASK
    i += 4
  }
  for (; i < length; i++) h = (rotate(h ^ ((BigInt(bytes[i]!) * P5) & MASK), 11n) * P1) & MASK
  h = ((h ^ (h >> 33n)) * P2) & MASK
  h = ((h ^ (h >> 29n)) * P3) & MASK
  return h ^ (h >> 32n)
}

function rotate(x: bigint, bits: bigint): bigint {
  return ((x << bits) | (x >> (64n - bits))) & MASK
}

function round(lane: bigint, input: bigint): bigint {
  return (rotate((lane + input * P2) & MASK, 31n) * P1) & MASK
}
