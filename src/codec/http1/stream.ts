import { type Connection, Flow } from '../../io/connection.ts'
import type { CodecStream, ResetReason } from '../codec.ts'
import type { HeaderBlock } from '../header-block.ts'
import type { FieldWriter } from './field-writer.ts'
import { properCaseName } from './names.ts'

const CHUNK_END = '\r\n'
const LAST_CHUNK = '0\r\n\r\n'

/** The half of the codec a stream calls back into. */
export interface Http1StreamOwner {
  readonly connection: Connection
  readonly properCase: boolean
  readonly enableTrailers: boolean
  readonly fields: FieldWriter
  onEncodeComplete(s: Http1Stream): void
  onStreamReset(s: Http1Stream, reason: ResetReason): void
}

/** How the message being sent is delimited. */
const Encoding = { NotBegun: 0, None: 1, Length: 2, Chunked: 3, Raw: 4 } as const

/** One exchange on an HTTP/1 connection; both sides share the body and trailer encoding. */
export abstract class Http1Stream implements CodecStream {
  user: unknown = null
  readonly id = 0
  closeAfter = false
  headerBytesSent = 0
  headerBytesReceived = 0
  wireBytesSent = 0
  wireBytesReceived = 0
  /** The message received / sent is complete. */
  readDone = false
  writeDone = false
  /** The stream was reset or its connection went away: nothing more may be called on it. */
  dead = false
  protected readonly owner: Http1StreamOwner
  protected encoding: number = Encoding.NotBegun

  constructor(owner: Http1StreamOwner) {
    this.owner = owner
  }

  abstract encodeHeaders(h: HeaderBlock, end: boolean): void
  abstract encode1xx(h: HeaderBlock): void

  encodeData(chunk: Uint8Array, end: boolean): Flow {
    const connection = this.owner.connection
    let flow: Flow = Flow.Continue
    const size = chunk.length
    if (size > 0 && this.encoding !== Encoding.None) {
      if (this.encoding === Encoding.Chunked) {
        connection.write(`${size.toString(16)}\r\n`)
        connection.write(chunk)
        flow = connection.write(end ? `\r\n${LAST_CHUNK}` : CHUNK_END)
        this.wireBytesSent += size + 8
        if (end) {
          this.complete()
          return flow
        }
      } else {
        flow = connection.write(chunk)
        this.wireBytesSent += size
      }
    }
    if (end) {
      if (this.encoding === Encoding.Chunked) connection.write(LAST_CHUNK)
      this.complete()
    }
    return flow
  }

  encodeTrailers(t: HeaderBlock): void {
    if (this.encoding === Encoding.Chunked) {
      if (this.owner.enableTrailers && t.list.length > 0) {
        this.owner.connection.write(`0\r\n${this.fieldLines(t)}\r\n`)
      } else this.owner.connection.write(LAST_CHUNK)
    }
    this.complete()
  }

  reset(reason: ResetReason): void {
    if (this.dead) return
    this.dead = true
    this.owner.onStreamReset(this, reason)
  }

  holdReading(bit: number, hold: boolean): void {
    // One exchange at a time: holding the stream is holding the connection.
    this.owner.connection.holdReading(bit, hold)
  }

  get bufferedBytes(): number {
    return this.owner.connection.bufferedBytes
  }

  protected fieldLines(h: HeaderBlock): string {
    const list = h.list
    let text = ''
    if (this.owner.properCase) {
      for (let i = 0; i < list.length; i += 2) text += `${properCaseName(list[i]!)}: ${list[i + 1]!}\r\n`
    } else {
      for (let i = 0; i < list.length; i += 2) text += `${list[i]!}: ${list[i + 1]!}\r\n`
    }
    return text
  }

  protected line(name: string, value: string): string {
    return this.owner.properCase ? `${properCaseName(name)}: ${value}\r\n` : `${name}: ${value}\r\n`
  }

  /** The access log counts field lines only as header bytes: neither the start line nor the empty one. */
  protected send(head: string, startLine: number): void {
    this.headerBytesSent += head.length - startLine - 2
    this.wireBytesSent += head.length
    this.owner.connection.write(head)
  }

  protected begin(chunked: boolean, raw: boolean, bodiless: boolean): void {
    this.encoding = raw ? Encoding.Raw : bodiless ? Encoding.None : chunked ? Encoding.Chunked : Encoding.Length
  }

  protected complete(): void {
    if (this.writeDone || this.dead) return
    this.writeDone = true
    this.owner.onEncodeComplete(this)
  }
}
