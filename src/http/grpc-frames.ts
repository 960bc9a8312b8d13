/** Counts the messages of one direction of a gRPC stream as their length-prefixed frames begin (Grpc::FrameInspector). */
export class GrpcFrameCounter {
  messages = 0
  /** Bytes of the prefix that are still missing; 0 = inside a message. */
  #prefix = 5
  #length = 0

  /** @returns how many messages began in `chunk` */
  inspect(chunk: Uint8Array): number {
    const before = this.messages
    for (let at = 0; at < chunk.length; ) {
      if (this.#prefix === 0) {
        const step = Math.min(this.#length, chunk.length - at)
        at += step
        this.#length -= step
        if (this.#length === 0) this.#prefix = 5
        continue
      }
      const byte = chunk[at++]!
      // The first byte says whether the message is compressed, the other four are its length.
      if (this.#prefix === 5) {
        this.messages++
        this.#length = 0
      } else this.#length = this.#length * 256 + byte
      if (--this.#prefix === 0 && this.#length === 0) this.#prefix = 5
    }
    return this.messages - before
  }
}

/**
 * Takes length-prefixed messages apart (gRPC HTTP/2 mapping, "Length-Prefixed-Message"). Give it chunks by `push`, then take
 * messages by `next` until null.
 */
export class GrpcFrameReader {
  /** Why nothing more can be read: a compressed message, or one longer than it may be. */
  error: '' | 'compressed' | 'too large' = ''
  readonly #limit: number
  #chunks: Uint8Array[] = []
  #bytes = 0

  /** `limit`: bytes a message may have. */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** `chunk` is kept until its messages are read, and may be part of them. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0 || this.error !== '') return
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
  }

  /** The next whole message, or null. */
  next(): Uint8Array | null {
    if (this.#bytes < 5 || this.error !== '') return null
    const head = this.#first(5)
    const length = head[1]! * 0x1000000 + ((head[2]! << 16) | (head[3]! << 8) | head[4]!)
    // An empty message may carry the flag.
    if (length > 0 && head[0] !== 0) this.error = 'compressed'
    else if (length > this.#limit) this.error = 'too large'
    if (this.error !== '') {
      this.#chunks = []
      return null
    }
    if (this.#bytes < 5 + length) return null
    const whole = this.#first(5 + length)
    this.#bytes -= 5 + length
    const rest = whole.subarray(5 + length)
    if (rest.length > 0) this.#chunks[0] = rest
    else this.#chunks.shift()
    return whole.subarray(5, 5 + length)
  }

  /** The first chunk, made to have at least `length` bytes; never more bytes are joined than a message may have. */
  #first(length: number): Uint8Array {
    const chunks = this.#chunks
    if (chunks[0]!.length >= length) return chunks[0]!
    let count = 0
    let bytes = 0
    while (bytes < length) bytes += chunks[count++]!.length
    chunks.splice(0, count, Buffer.concat(chunks.slice(0, count)))
    return chunks[0]!
  }
}

/** The message behind its prefix: not compressed. */
export function grpcFrame(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(5 + message.length)
  frame[0] = 0
  frame.writeUInt32BE(message.length, 1)
  frame.set(message, 5)
  return frame
}
