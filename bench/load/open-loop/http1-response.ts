/** What a reader tells its owner; several answers may be in one read. */
export interface Http1Events {
  /** A final answer is complete. `keep`: the connection can be used again. */
  onAnswer(status: number, keep: boolean): void
}

const State = { Head: 0, Length: 1, ChunkSize: 2, ChunkData: 3, ChunkEnd: 4, Trailers: 5, UntilClose: 6 } as const
const NO_BYTES = Buffer.alloc(0)
const LONGEST_HEAD = 1 << 20

/**
 * Reads HTTP/1.1 answers (RFC 9112) as far as load needs: the status, and where an answer ends. Heads are read in place,
 * and copied only when they came in pieces.
 */
export class Http1ResponseReader {
  private state: number = State.Head
  private partial: Buffer = NO_BYTES
  private remaining = 0
  private status = 0
  private keep = true
  private lineLength = 0
  private sawDigit = false
  private inExtension = false
  private readonly events: Http1Events
  /** The request was HEAD, whose answer has no body. */
  toHead = false

  constructor(events: Http1Events) {
    this.events = events
  }

  /** Takes `bytes[0..end)`. False: this is not HTTP/1.1, the connection is of no more use. */
  push(bytes: Buffer, end: number): boolean {
    let from = bytes
    let at = 0
    if (this.partial.length > 0) {
      from = Buffer.concat([this.partial, bytes.subarray(0, end)])
      end = from.length
      this.partial = NO_BYTES
    }
    while (at < end) {
      if (this.state === State.Head) {
        const next = this.head(from, at, end)
        if (next === -2) return false
        if (next === -1) {
          if (end - at > LONGEST_HEAD) return false
          this.partial = Buffer.from(from.subarray(at, end))
          return true
        }
        at = next
      } else if (this.state === State.UntilClose) return true
      else if (this.state === State.Length || this.state === State.ChunkData) {
        const take = Math.min(this.remaining, end - at)
        at += take
        this.remaining -= take
        if (this.remaining === 0) {
          if (this.state === State.Length) this.finish()
          else this.state = State.ChunkEnd
        }
      } else if (!this.chunkByte(from[at++]!)) return false
    }
    return true
  }

  /** The peer closed. True when that was the regular end of an answer. */
  end(): boolean {
    if (this.state !== State.UntilClose) return false
    this.keep = false
    this.finish()
    return true
  }

  /** Offset after the head; -1 incomplete, -2 no HTTP. */
  private head(from: Buffer, start: number, end: number): number {
    let stop = -1
    for (let i = start + 3; i < end; i++) {
      if (from[i] === 10 && from[i - 1] === 13 && from[i - 2] === 10 && from[i - 3] === 13) {
        stop = i + 1
        break
      }
    }
    if (stop < 0) return -1
    // "HTTP/1.x nnn"
    if (stop - start < 14 || from[start] !== 72 || from[start + 5] !== 49 || from[start + 8] !== 32) return -2
    this.status = digit(from[start + 9]!) * 100 + digit(from[start + 10]!) * 10 + digit(from[start + 11]!)
    if (!(this.status >= 100 && this.status < 600)) return -2
    this.keep = from[start + 7] !== 48
    let length = -1
    let chunked = false
    for (let i = start; i < stop - 2; i++) {
      if (from[i] !== 10) continue
      const first = from[i + 1]! | 32
      if (first === 99 /* c */) {
        if (isName(from, i + 1, 'content-length')) {
          length = decimal(from, i + 16)
          if (length < 0) return -2
        } else if (isName(from, i + 1, 'connection')) {
          const value = lineText(from, i + 12)
          if (value.includes('close')) this.keep = false
          else if (value.includes('keep-alive')) this.keep = true
        }
      } else if (first === 116 /* t */ && isName(from, i + 1, 'transfer-encoding')) {
        chunked = lineText(from, i + 19).includes('chunked')
      }
    }
    if (this.status < 200) {
      // RFC 9110 §15.2: interim answers have no body, the final one follows. A switch of protocols was never asked for.
      return this.status === 101 ? -2 : stop
    }
    if (this.toHead || this.status === 204 || this.status === 304) this.finish()
    else if (chunked) this.startChunk()
    else if (length > 0) {
      this.remaining = length
      this.state = State.Length
    } else if (length === 0) this.finish()
    else this.state = State.UntilClose
    return stop
  }

  private startChunk(): void {
    this.state = State.ChunkSize
    this.remaining = 0
    this.sawDigit = false
    this.inExtension = false
  }

  private chunkByte(byte: number): boolean {
    if (this.state === State.ChunkSize) {
      if (byte === 10) {
        if (!this.sawDigit) return false
        this.state = this.remaining === 0 ? State.Trailers : State.ChunkData
        this.lineLength = 0
        return true
      }
      if (byte === 13 || this.inExtension) return true
      if (byte === 59 /* ; */ || byte === 32) {
        this.inExtension = true
        return true
      }
      const value = hexDigit(byte)
      if (value < 0 || this.remaining > 2 ** 40) return false
      this.sawDigit = true
      this.remaining = this.remaining * 16 + value
      return true
    }
    if (this.state === State.ChunkEnd) {
      if (byte === 10) this.startChunk()
      return byte === 10 || byte === 13
    }
    if (byte === 10) {
      if (this.lineLength === 0) this.finish()
      this.lineLength = 0
    } else if (byte !== 13) this.lineLength++
    return true
  }

  private finish(): void {
    this.state = State.Head
    this.events.onAnswer(this.status, this.keep)
  }
}

function digit(byte: number): number {
  return byte >= 48 && byte <= 57 ? byte - 48 : Number.NaN
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48
  const lower = byte | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}

/** True when a header of this name (lower case) begins at `at`. */
function isName(from: Buffer, at: number, name: string): boolean {
  for (let i = 0; i < name.length; i++) if ((from[at + i]! | 32) !== (name.charCodeAt(i) | 32)) return false
  return from[at + name.length] === 58
}

/** Decimal value of a header that begins at `at`; -1 when it is none. */
function decimal(from: Buffer, at: number): number {
  let value = -1
  for (let i = at; from[i] !== 13; i++) {
    const byte = from[i]!
    if (byte === 32 || byte === 9) continue
    if (byte < 48 || byte > 57) return -1
    value = Math.max(0, value) * 10 + byte - 48
  }
  return value
}

function lineText(from: Buffer, at: number): string {
  let end = at
  while (from[end] !== 13) end++
  return from.latin1Slice(at, end).toLowerCase()
}
