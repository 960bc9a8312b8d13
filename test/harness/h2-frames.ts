import type { Duplex } from 'node:stream'
import { encodeFields, type Field, HpackDecoder } from './hpack.ts'

/** HTTP/2 frame types (RFC 9113 section 6). */
export const DATA = 0
export const HEADERS = 1
export const RST_STREAM = 3
export const SETTINGS = 4
export const PING = 6
export const GOAWAY = 7
export const WINDOW_UPDATE = 8
export const CONTINUATION = 9

export const END_STREAM = 1
export const END_HEADERS = 4
export const ACK = 1

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

export function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

export function settingsFrame(values: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(values.length * 6)
  values.forEach(([id, value], index) => {
    payload.writeUInt16BE(id, index * 6)
    payload.writeUInt32BE(value, index * 6 + 2)
  })
  return frame(SETTINGS, 0, 0, payload)
}

/** HEADERS, cut into CONTINUATION frames of 16 KiB where needed. */
export function headersFrames(stream: number, fields: readonly Field[], endStream: boolean): Buffer {
  const block = encodeFields(fields)
  const parts: Buffer[] = []
  for (let offset = 0; offset === 0 || offset < block.length; offset += 16384) {
    const last = offset + 16384 >= block.length
    const flags = (last ? END_HEADERS : 0) | (offset === 0 && endStream ? END_STREAM : 0)
    parts.push(frame(offset === 0 ? HEADERS : CONTINUATION, flags, stream, block.subarray(offset, offset + 16384)))
  }
  return Buffer.concat(parts)
}

export function dataFrame(stream: number, body: Buffer, endStream: boolean): Buffer {
  return frame(DATA, endStream ? END_STREAM : 0, stream, body)
}

export function word(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

/** What a peer is told; stream errors and protocol violations are for the test to judge. */
export interface H2Events {
  onHeaders(stream: number, fields: Field[], endStream: boolean): void
  onData(stream: number, bytes: Buffer, endStream: boolean): void
  onReset(stream: number, code: number): void
  onGoaway(lastStream: number, code: number, debug: string): void
}

/** Either end of an HTTP/2 connection: answers SETTINGS and PING, returns flow-control credit at once. */
export class H2Peer {
  private buffered: Buffer = Buffer.alloc(0)
  private readonly hpack = new HpackDecoder()
  private block: { stream: number; endStream: boolean; parts: Buffer[] } | null = null
  private awaitPreface: boolean
  private readonly socket: Duplex
  private readonly events: H2Events

  constructor(socket: Duplex, role: 'client' | 'server', events: H2Events, settings: [number, number][] = []) {
    this.socket = socket
    this.events = events
    this.awaitPreface = role === 'server'
    if (role === 'client') this.write(PREFACE)
    this.write(settingsFrame(settings))
    socket.on('data', (bytes: Buffer) => this.push(bytes))
  }

  write(bytes: Buffer): void {
    if (!this.socket.destroyed && this.socket.writable) this.socket.write(bytes)
  }

  private push(bytes: Buffer): void {
    this.buffered = Buffer.concat([this.buffered, bytes])
    if (this.awaitPreface) {
      if (this.buffered.length < PREFACE.length) return
      this.buffered = this.buffered.subarray(PREFACE.length)
      this.awaitPreface = false
    }
    while (this.buffered.length >= 9) {
      const length = this.buffered.readUIntBE(0, 3)
      if (this.buffered.length < 9 + length) return
      const head = this.buffered.subarray(0, 9)
      const payload = this.buffered.subarray(9, 9 + length)
      this.buffered = this.buffered.subarray(9 + length)
      this.onFrame(head[3]!, head[4]!, head.readUInt32BE(5) & 0x7fffffff, payload)
    }
  }

  private onFrame(type: number, flags: number, stream: number, payload: Buffer): void {
    const endStream = (flags & END_STREAM) !== 0
    if (type === DATA) {
      const body = unpad(flags, payload)
      if (payload.length > 0) {
        this.write(frame(WINDOW_UPDATE, 0, 0, word(payload.length)))
        if (!endStream) this.write(frame(WINDOW_UPDATE, 0, stream, word(payload.length)))
      }
      this.events.onData(stream, body, endStream)
    } else if (type === HEADERS) {
      let fragment = unpad(flags, payload)
      if (flags & 0x20) fragment = fragment.subarray(5)
      this.block = { stream, endStream, parts: [fragment] }
    } else if (type === CONTINUATION) this.block?.parts.push(payload)
    else if (type === RST_STREAM) this.events.onReset(stream, payload.readUInt32BE(0))
    else if (type === SETTINGS && !(flags & ACK)) this.write(frame(SETTINGS, ACK, 0))
    else if (type === PING && !(flags & ACK)) this.write(frame(PING, ACK, 0, payload))
    else if (type === GOAWAY) {
      this.events.onGoaway(payload.readUInt32BE(0), payload.readUInt32BE(4), payload.toString('latin1', 8))
    }
    if ((type === HEADERS || type === CONTINUATION) && flags & END_HEADERS && this.block !== null) {
      const done = this.block
      this.block = null
      this.events.onHeaders(done.stream, this.hpack.decode(Buffer.concat(done.parts)), done.endStream)
    }
  }
}

function unpad(flags: number, payload: Buffer): Buffer {
  return flags & 8 ? payload.subarray(1, payload.length - payload[0]!) : payload
}
