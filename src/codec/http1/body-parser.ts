/** How the body of the current message is delimited (RFC 9112 §6.3). */
export const Framing = { None: 0, Length: 1, Chunked: 2, UntilClose: 3 } as const
export type Framing = (typeof Framing)[keyof typeof Framing]

const State = { Size: 0, Extension: 1, SizeLf: 2, Data: 3, DataCr: 4, DataLf: 5, Done: 6 } as const

/** Chunk extensions are read and dropped; this many bytes of them per chunk are refused as an attack. */
const MAX_EXTENSION = 4096
/** 2^53 would do; this keeps sums exact. */
const MAX_CHUNK = 0xffffffffffff

/**
 * Chunked decoder state machine (RFC 9112 §7.1). The owner calls `next` until it returns `Chunk.Need`; data spans are
 * [from, to) in the given bytes. Lines end in CRLF only: where a parser takes a bare LF and another does not, requests are
 * smuggled. After `Last` the trailer section follows, which the owner reads as a head.
 */
export const Chunk = { Need: 0, Data: 1, Last: 2, Error: 3 } as const
export type Chunk = (typeof Chunk)[keyof typeof Chunk]

export class ChunkedDecoder {
  /** Span of the last `Data`; `to` is also where parsing goes on. */
  from = 0
  to = 0
  private state: number = State.Size
  private size = 0
  private sizeDigits = 0
  private extension = 0

  begin(): void {
    this.state = State.Size
    this.size = 0
    this.sizeDigits = 0
    this.extension = 0
  }

  next(bytes: Uint8Array, start: number): Chunk {
    const length = bytes.length
    let at = start
    while (at < length) {
      if (this.state === State.Data) {
        const take = Math.min(this.size, length - at)
        this.from = at
        this.to = at + take
        this.size -= take
        if (this.size === 0) this.state = State.DataCr
        return Chunk.Data
      }
      const byte = bytes[at]!
      at++
      switch (this.state) {
        case State.Size: {
          const digit = hexDigit(byte)
          if (digit >= 0) {
            this.size = this.size * 16 + digit
            if (++this.sizeDigits > 16 || this.size > MAX_CHUNK) return Chunk.Error
          } else if (this.sizeDigits === 0) return Chunk.Error
          else if (byte === 13) this.state = State.SizeLf
          else if (byte === 59 || byte === 32 || byte === 9) this.state = State.Extension
          else return Chunk.Error
          break
        }
        case State.Extension:
          if (byte === 13) this.state = State.SizeLf
          else if (byte === 10 || ++this.extension > MAX_EXTENSION) return Chunk.Error
          break
        case State.SizeLf:
          if (byte !== 10) return Chunk.Error
          if (this.beginData()) return this.last(at)
          break
        case State.DataCr:
          if (byte !== 13) return Chunk.Error
          this.state = State.DataLf
          break
        case State.DataLf:
          if (byte !== 10) return Chunk.Error
          this.beginSize()
          break
        default:
          return Chunk.Error
      }
    }
    this.to = at
    return Chunk.Need
  }

  private last(at: number): Chunk {
    this.to = at
    this.state = State.Done
    return Chunk.Last
  }

  /** True when the size read was 0: the last chunk. */
  private beginData(): boolean {
    if (this.size === 0) return true
    this.state = State.Data
    return false
  }

  private beginSize(): void {
    this.state = State.Size
    this.size = 0
    this.sizeDigits = 0
    this.extension = 0
  }
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48
  const lower = byte | 32
  if (lower >= 97 && lower <= 102) return lower - 87
  return -1
}
