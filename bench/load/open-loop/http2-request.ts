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
 * Header blocks of one connection's requests, which are all alike. The first enters its fields into the peer's dynamic
 * table, the others refer to it; the path is always sent in full, as nghttp2 and browsers do it.
 */
export class RequestBlocks {
  readonly first: Buffer
  readonly later: Buffer

  /** `tableSize`: SETTINGS_HEADER_TABLE_SIZE of the peer. */
  constructor(request: RequestText, tableSize: number) {
    const inserted: (readonly [string, string])[] = [[':authority', request.authority], ...request.headers]
    const size = inserted.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0)
    const indexed = size <= Math.min(tableSize, 4096)
    const start = [
      methodField(request.method),
      indexedField(request.scheme === 'https' ? 7 : 6),
      pathField(request.path),
    ]
    const prefix = indexed ? 0x40 : 0
    const literals = inserted.map(([name, value]) => literal(prefix, name === ':authority' ? 1 : 0, name, value))
    const length = request.body.length > 0 ? [literal(0, 28, '', String(request.body.length))] : []
    // RFC 7541 §4.2: whoever was given a smaller table begins by acknowledging it.
    const update = tableSize < 4096 ? [prefixed(0x20, 5, indexed ? tableSize : 0)] : []
    this.first = Buffer.concat([...update, ...start, ...literals, ...length])
    const references = inserted.map((_, index) => indexedField(61 + inserted.length - index))
    this.later = Buffer.concat([...start, ...(indexed ? references : literals), ...length])
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
