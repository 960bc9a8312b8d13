/** One value of a DER encoding. */
export interface DerValue {
  readonly tag: number
  readonly content: Buffer
  /** Tag, length and content. */
  readonly whole: Buffer
}

/** The values of a constructed content, in order. Throws Error when lengths do not add up. */
export function derValues(bytes: Buffer): DerValue[] {
  const values: DerValue[] = []
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at] as number
    let length = bytes[at + 1] ?? -1
    let start = at + 2
    if (length > 0x84 || length === 0x80) throw new Error('DER: length is not supported')
    if (length > 0x80) {
      const size = length & 0x7f
      if (start + size > bytes.length) throw new Error('DER: truncated length')
      length = bytes.readUIntBE(start, size)
      start += size
    }
    if (length < 0 || start + length > bytes.length) throw new Error('DER: truncated value')
    values.push({ tag, content: bytes.subarray(start, start + length), whole: bytes.subarray(at, start + length) })
    at = start + length
  }
  return values
}

/** The only value of a text in PEM, whatever its label. */
export function derOfPem(pem: string): DerValue {
  const body = /-----BEGIN [^-]+-----([A-Za-z0-9+/=\s]+)-----END/.exec(pem)
  if (body === null) throw new Error('no PEM block')
  const values = derValues(Buffer.from(body[1] as string, 'base64'))
  if (values.length !== 1) throw new Error('DER: more than one value')
  return values[0] as DerValue
}
