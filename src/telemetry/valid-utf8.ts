import { isUtf8 } from 'node:buffer'

const NON_ASCII = /[\x80-\xff]/

/**
 * A text for a protobuf string, in and out as bytes in a latin1 string. Header values are bytes of anybody's choice, and receivers
 * refuse a whole message for one string that is not UTF-8: wrong bytes become `!`, as in Envoy (MessageUtil::sanitizeUtf8String).
 */
export function validUtf8(text: string): string {
  if (!NON_ASCII.test(text)) return text
  const bytes = Buffer.from(text, 'latin1')
  if (isUtf8(bytes)) return text
  for (let at = 0; at < bytes.length; ) {
    const length = sequenceLength(bytes[at]!)
    if (length > 0 && isUtf8(bytes.subarray(at, at + length))) at += length
    else bytes[at++] = 0x21
  }
  return bytes.toString('latin1')
}

/** Bytes of the UTF-8 sequence that begins so (RFC 3629 section 3); 0 = none does. A sequence cut short is no UTF-8 either. */
function sequenceLength(first: number): number {
  if (first < 0x80) return 1
  if (first < 0xc2 || first > 0xf4) return 0
  return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
}
