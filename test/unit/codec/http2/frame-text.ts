import { PREFACE } from '../../../../src/codec/http2/frames.ts'

const TYPES = [
  'DATA',
  'HEADERS',
  'PRIORITY',
  'RST_STREAM',
  'SETTINGS',
  'PUSH_PROMISE',
  'PING',
  'GOAWAY',
  'WINDOW_UPDATE',
  'CONTINUATION',
]
const FLAGS: Record<string, number> = { end: 1, ack: 1, endh: 4, padded: 8, prio: 0x20 }

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1')
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes])
  const rest = bytes.length - 127
  return Buffer.concat([Buffer.from([127, (rest & 127) | 128, rest >> 7]), bytes])
}

/** `name=value` pairs as literals without indexing. */
function fields(pairs: string[]): Buffer {
  const parts: Buffer[] = []
  for (const pair of pairs) {
    const cut = pair.indexOf('=', 1)
    parts.push(Buffer.from([0]), literal(pair.slice(0, cut)), literal(pair.slice(cut + 1)))
  }
  return Buffer.concat(parts)
}

/**
 * Lines to bytes. `TYPE stream flags… : payload`, where the payload is `"text"`, `hex …`, `id=value …` for SETTINGS, a
 * number for WINDOW_UPDATE and RST_STREAM, or fields for HEADERS; GET stands for a usual request head. `xN` repeats.
 */
export function assemble(lines: string[], preface: boolean): Buffer {
  const parts: Buffer[] = preface ? [PREFACE] : []
  for (const line of lines) {
    const cut = line.indexOf(' :')
    const head = (cut < 0 ? line : line.slice(0, cut)).split(/\s+/)
    const rest = cut < 0 ? '' : line.slice(cut + 2).trim()
    let repeat = 1
    if (/^x\d+$/.test(head[0]!)) repeat = Number(head.shift()!.slice(1))
    if (head[0] === 'RAW') {
      parts.push(Buffer.from(rest.replace(/\s/g, ''), 'hex'))
      continue
    }
    const type = /^\d+$/.test(head[0]!) ? Number(head[0]) : TYPES.indexOf(head[0]!)
    let flags = 0
    for (const flag of head.slice(2)) flags |= FLAGS[flag]!
    const bytes = frame(type, flags, Number(head[1] ?? 0), payload(type, rest))
    for (let i = 0; i < repeat; i++) parts.push(bytes)
  }
  return Buffer.concat(parts)
}

function payload(type: number, text: string): Buffer {
  if (text.startsWith('hex')) return Buffer.from(text.slice(3).replace(/\s/g, ''), 'hex')
  if (text.startsWith('"')) return Buffer.from(text.slice(1, -1), 'latin1')
  if (text === '') return Buffer.alloc(0)
  if (type === 4) {
    const words = text.split(/\s+/).map(pair => pair.split('=').map(Number))
    const bytes = Buffer.alloc(words.length * 6)
    for (const [i, [id, value]] of words.entries()) {
      bytes.writeUInt16BE(id!, i * 6)
      bytes.writeUInt32BE(value!, i * 6 + 2)
    }
    return bytes
  }
  if (type === 3 || type === 8) {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(Number(text))
    return bytes
  }
  return fields(text.replace(/^GET/, ':method=GET :scheme=http :path=/ :authority=a').split(/\s+/))
}

/** Frames the codec wrote, one line each; SETTINGS and their acknowledgements left out. */
export function describeFrames(bytes: Buffer): string[] {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUIntBE(at, 3)
    const type = bytes[at + 3]!
    const stream = bytes.readUInt32BE(at + 5)
    const body = bytes.subarray(at + 9, at + 9 + length)
    at += 9 + length
    if (type === 4) continue
    if (type === 7) lines.push(`GOAWAY last ${body.readUInt32BE(0)} code ${body.readUInt32BE(4)}`)
    else if (type === 3 || type === 8) lines.push(`${TYPES[type]} ${stream}: ${body.readUInt32BE(0)}`)
    else lines.push(`${TYPES[type]} ${stream} flags ${bytes[at - length - 5]}: ${body.toString('hex')}`)
  }
  return lines
}
