/**
 * Writing of DER (X.690), as much as a certificate request and a certificate need. The agent writes one request per half
 * a day: a library of ASN.1 schemas would be the largest thing in its memory.
 */
export function sequence(...parts: readonly Uint8Array[]): Buffer {
  return tagged(0x30, Buffer.concat(parts))
}

/** Sorted by the caller where DER wants an order; the sets of a certificate have one member. */
export function set(...parts: readonly Uint8Array[]): Buffer {
  return tagged(0x31, Buffer.concat(parts))
}

/** A non-negative integer, also from big-endian bytes (serial numbers). */
export function integer(value: number | Uint8Array): Buffer {
  const bytes =
    typeof value === 'number'
      ? Buffer.from(
          value
            .toString(16)
            .padStart(2, '0')
            .replace(/^(.(..)*)$/, '0$1'),
          'hex',
        )
      : value
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start++
  const shortest = bytes.subarray(start)
  // Two's complement: a set top bit would make it negative.
  return tagged(0x02, (shortest[0] as number) > 0x7f ? Buffer.concat([Buffer.of(0), shortest]) : shortest)
}

/** Dotted decimal. */
export function objectIdentifier(dotted: string): Buffer {
  const [first, second, ...rest] = dotted.split('.').map(Number) as [number, number, ...number[]]
  const bytes: number[] = []
  for (const arc of [first * 40 + second, ...rest]) {
    const septets = [arc % 128]
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) septets.unshift((left % 128) | 0x80)
    bytes.push(...septets)
  }
  return tagged(0x06, Buffer.from(bytes))
}

export function octetString(value: Uint8Array): Buffer {
  return tagged(0x04, value)
}

/** Whole bytes, or the given number of unused bits in the last. */
export function bitString(value: Uint8Array, unusedBits = 0): Buffer {
  return tagged(0x03, Buffer.concat([Buffer.of(unusedBits), value]))
}

export function boolean(value: boolean): Buffer {
  return tagged(0x01, Buffer.of(value ? 0xff : 0))
}

export function nullValue(): Buffer {
  return tagged(0x05, Buffer.alloc(0))
}

/** `[number]`, constructed around other values or primitive with bytes of its own (IMPLICIT). */
export function context(number: number, content: Uint8Array, constructed: boolean): Buffer {
  return tagged((constructed ? 0xa0 : 0x80) | number, content)
}

export function pem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

/** `tag`: the identifier octet (X.690 §8.1.2). */
export function tagged(tag: number, content: Uint8Array): Buffer {
  const { length } = content
  if (length < 0x80) return Buffer.concat([Buffer.of(tag, length), content])
  const size = Buffer.alloc(4)
  size.writeUInt32BE(length)
  const significant = size.subarray(size.findIndex(byte => byte !== 0))
  return Buffer.concat([Buffer.of(tag, 0x80 | significant.length), significant, content])
}
