import { frameHeader } from './http2-frames.ts'

/** What every request says. `headers` are lower-case names and values in order. */
export interface RequestText {
  readonly method: string
  readonly scheme: string
  readonly authority: string
  readonly path: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
}

/**
 * Header blocks of one connection's requests, in the order in which they are asked for. A field enters the peer's dynamic
 * table when it is first sent and is referred to from then on; the path is always sent in full, as nghttp2 and browsers do
 * it. Fields that find no room stay literals: nothing is ever evicted, so blocks soon stop changing and are kept.
 */
export class RequestBlocks {
  private readonly requests: readonly RequestText[]
  private readonly capacity: number
  /** RFC 7541 §4.2: whoever was given a smaller table begins by acknowledging it. */
  private update: Buffer
  private size = 0
  /** Field → how many had entered the table before it. */
  private readonly entered = new Map<string, number>()
  private readonly kept: (Buffer | null)[]
  /** Entries of the table when `kept` was made. */
  private readonly keptAt: number[]

  /** `tableSize`: SETTINGS_HEADER_TABLE_SIZE of the peer. */
  constructor(requests: readonly RequestText[], tableSize: number) {
    this.requests = requests
    this.capacity = Math.min(tableSize, 4096)
    this.update = tableSize < 4096 ? prefixed(0x20, 5, tableSize) : Buffer.alloc(0)
    this.kept = requests.map(() => null)
    this.keptAt = requests.map(() => -1)
  }

  /** The block of a request that is sent now. */
  block(index: number): Buffer {
    const { entered, kept, keptAt } = this
    const before = entered.size
    const known = kept[index]!
    if (known !== null && keptAt[index] === before) return known
    const request = this.requests[index]!
    const block = Buffer.concat([
      this.update,
      methodField(request.method),
      indexedField(request.scheme === 'https' ? 7 : 6),
      pathField(request.path),
      this.field(':authority', request.authority),
      ...request.headers.map(([name, value]) => this.field(name, value)),
      ...(request.body.length > 0 ? [literal(0, 28, '', String(request.body.length))] : []),
    ])
    this.update = Buffer.alloc(0)
    if (entered.size === before) {
      kept[index] = block
      keptAt[index] = before
    }
    return block
  }

  private field(name: string, value: string): Buffer {
    const key = `${name}\0${value}`
    const { entered } = this
    const at = entered.get(key)
    if (at !== undefined) return indexedField(61 + entered.size - at)
    const nameIndex = name === ':authority' ? 1 : 0
    const size = name.length + Buffer.byteLength(value, 'latin1') + 32
    if (this.size + size > this.capacity) return literal(0, nameIndex, name, value)
    this.size += size
    entered.set(key, entered.size)
    return literal(0x40, nameIndex, name, value)
  }
}

/** HEADERS (and DATA) of one request as one buffer; the caller writes the stream id into both frame heads. */
export function requestFrames(block: Buffer, body: Buffer): Buffer {
  const headers = Buffer.concat([frameHeader(1, body.length > 0 ? 4 : 5, 0, block.length), block])
  return body.length === 0 ? headers : Buffer.concat([headers, frameHeader(0, 1, 0, body.length), body])
}

function methodField(method: string): Buffer {
  if (method === 'GET') return indexedField(2)
  return method === 'POST' ? indexedField(3) : literal(0, 2, '', method)
}

function pathField(path: string): Buffer {
  return path === '/' ? indexedField(4) : literal(0, 4, '', path)
}

function indexedField(index: number): Buffer {
  return prefixed(0x80, 7, index)
}

function literal(pattern: number, nameIndex: number, name: string, value: string): Buffer {
  const head = prefixed(pattern, pattern === 0x40 ? 6 : 4, nameIndex)
  return nameIndex > 0 ? Buffer.concat([head, text(value)]) : Buffer.concat([head, text(name), text(value)])
}

function text(value: string): Buffer {
  return Buffer.concat([prefixed(0, 7, Buffer.byteLength(value, 'latin1')), Buffer.from(value, 'latin1')])
}

/** Prefixed integer (RFC 7541 §5.1). */
function prefixed(pattern: number, bits: number, value: number): Buffer {
  const most = 2 ** bits - 1
  if (value < most) return Buffer.from([pattern | value])
  const bytes = [pattern | most]
  let rest = value - most
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  bytes.push(rest)
  return Buffer.from(bytes)
}
