import { isUtf8 } from 'node:buffer'

/** The bytes with a `!` for each one that is no part of UTF-8 (utf8_range::CoerceToStructurallyValid): for string fields of protobuf. */
export function coerceUtf8(bytes: Buffer): Buffer {
  if (isUtf8(bytes)) return bytes
  const out = Buffer.from(bytes)
  for (let at = 0; at < out.length; ) {
    const length = sequenceLength(out, at)
    if (length === 0) out[at] = 33 /* ! */
    at += Math.max(1, length)
  }
  return out
}

/** Of the well-formed sequence at `at` (Unicode 16, table 3-7); 0 = there is none. */
function sequenceLength(bytes: Buffer, at: number): number {
  const first = bytes[at]!
  if (first < 0x80) return 1
  const length =
    first >= 0xc2 && first <= 0xdf ? 2 : (first & 0xf0) === 0xe0 ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0
  return length > 0 && isUtf8(bytes.subarray(at, at + length)) && at + length <= bytes.length ? length : 0
}
