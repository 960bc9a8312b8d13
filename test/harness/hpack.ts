/** HPACK (RFC 7541) for test peers: a literal-only encoder and a full decoder. */
export type Field = readonly [name: string, value: string]

/** Encodes every field as a literal without indexing and without Huffman (section 6.2.2): any bytes may be sent. */
export function encodeFields(fields: readonly Field[]): Buffer {
  const parts: Buffer[] = []
  for (const [name, value] of fields) parts.push(Buffer.from([0]), literal(name), literal(value))
  return Buffer.concat(parts)
}

export class HpackDecoder {
  private dynamic: Field[] = []
  private size = 0
  private limit = 4096

  decode(block: Buffer): Field[] {
    const fields: Field[] = []
    const at = { offset: 0 }
    while (at.offset < block.length) {
      const byte = block[at.offset]!
      if (byte & 0x80) fields.push(this.at(integer(block, at, 7)))
      else if ((byte & 0xe0) === 0x20) this.resize(integer(block, at, 5))
      else {
        const indexed = (byte & 0xc0) === 0x40
        const index = integer(block, at, indexed ? 6 : 4)
        const name = index === 0 ? text(block, at) : this.at(index)[0]
        const field: Field = [name, text(block, at)]
        if (indexed) this.insert(field)
        fields.push(field)
      }
    }
    return fields
  }

  private at(index: number): Field {
    const field = index <= STATIC.length ? STATIC[index - 1] : this.dynamic[index - STATIC.length - 1]
    if (field === undefined) throw new Error(`HPACK index ${index} is not in the tables`)
    return field
  }

  private insert(field: Field): void {
    this.dynamic.unshift(field)
    this.size += field[0].length + field[1].length + 32
    this.evict()
  }

  private resize(limit: number): void {
    this.limit = limit
    this.evict()
  }

  private evict(): void {
    while (this.size > this.limit) {
      const gone = this.dynamic.pop()!
      this.size -= gone[0].length + gone[1].length + 32
    }
  }
}

function literal(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1')
  const head: number[] = []
  let length = bytes.length
  if (length < 127) head.push(length)
  else {
    head.push(127)
    length -= 127
    while (length >= 128) {
      head.push((length & 127) | 128)
      length >>= 7
    }
    head.push(length)
  }
  return Buffer.concat([Buffer.from(head), bytes])
}

function integer(block: Buffer, at: { offset: number }, bits: number): number {
  const mask = (1 << bits) - 1
  let value = block[at.offset++]! & mask
  if (value < mask) return value
  for (let shift = 0; ; shift += 7) {
    const byte = block[at.offset++]!
    value += (byte & 127) * 2 ** shift
    if (byte < 128) return value
  }
}

function text(block: Buffer, at: { offset: number }): string {
  const huffman = (block[at.offset]! & 0x80) !== 0
  const length = integer(block, at, 7)
  const bytes = block.subarray(at.offset, at.offset + length)
  at.offset += length
  return huffman ? unhuffman(bytes) : bytes.toString('latin1')
}

// RFC 7541 appendix B is a canonical code: the lengths alone determine it. Symbols longer than 15 bits (controls,
// backslash, non-ASCII) are not needed by tests; meeting one is an error, not a wrong answer.
const LENGTHS: readonly (readonly [bits: number, symbols: string])[] = [
  [5, '012aceiost'],
  [6, ' %-./3456789=A_bdfghlmnpru'],
  [7, ':BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz'],
  [8, '&*,;XZ'],
  [10, '!"()?'],
  [11, "'+|"],
  [12, '#>'],
  [13, '\0$@[]~'],
  [14, '^}'],
  [15, '<`{'],
]

const CODES = new Map<string, string>()
{
  let code = 0
  let previous = 5
  for (const [bits, symbols] of LENGTHS) {
    code *= 2 ** (bits - previous)
    previous = bits
    for (const symbol of symbols) CODES.set((code++).toString(2).padStart(bits, '0'), symbol)
  }
}

function unhuffman(bytes: Buffer): string {
  let out = ''
  let code = ''
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      code += (byte >> bit) & 1
      const symbol = CODES.get(code)
      if (symbol !== undefined) {
        out += symbol
        code = ''
      } else if (code.length > 30) throw new Error(`Huffman code ${code} is not known to this decoder`)
    }
  }
  return out
}

const STATIC: readonly Field[] = [
  [':authority', ''],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  [':status', '200'],
  [':status', '204'],
  [':status', '206'],
  [':status', '304'],
  [':status', '400'],
  [':status', '404'],
  [':status', '500'],
  ['accept-charset', ''],
  ['accept-encoding', 'gzip, deflate'],
  ...[
    'accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control',
    'content-disposition content-encoding content-language content-length content-location content-range content-type',
    'cookie date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since',
    'last-modified link location max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after',
    'server set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate',
  ]
    .join(' ')
    .split(' ')
    .map((name): Field => [name, '']),
]
