import type { ByteStream } from './byte-stream.ts'
import { spendChunk } from './chunk-pool.ts'

/** Up to here one copied buffer beats writev; measured on heads with small bodies. */
const COALESCE_LIMIT = 16384

/** Small bodies join the text of their head: one string to write instead of two copies into a buffer. */
const TEXT_LIMIT = 256
const latin1 = Buffer.prototype.latin1Slice

/** What one connection wants written in this turn of the event loop: it leaves in one write. */
export class OutputQueue {
  /** bytes queued: latin1 text counts one byte a character */
  length = 0
  // Text alone is one growing latin1 string; with bytes among it, a list.
  #text = ''
  readonly #chunks: (Uint8Array | string)[] = []

  push(data: Uint8Array | string): void {
    if (this.#chunks.length === 0 && (typeof data === 'string' || data.length <= TEXT_LIMIT)) {
      if (typeof data === 'string') this.#text += data
      else {
        this.#text += latin1.call(data, 0, data.length)
        spendChunk(data, data.length)
      }
    } else {
      if (this.#text !== '') {
        this.#chunks.push(this.#text)
        this.#text = ''
      }
      this.#chunks.push(data)
    }
    this.length += data.length
  }

  /** Empties the queue into the stream. */
  writeTo(stream: ByteStream): void {
    const chunks = this.#chunks
    const total = this.length
    this.length = 0
    if (chunks.length === 0) {
      const text = this.#text
      this.#text = ''
      stream.writeText(text)
      return
    }
    if (chunks.length === 1) {
      const only = chunks[0]!
      if (typeof only === 'string') stream.writeText(only)
      else stream.writeBytes(only)
    } else if (total <= COALESCE_LIMIT) {
      const whole = Buffer.allocUnsafe(total)
      let at = 0
      for (let i = 0; i < chunks.length; i++) {
        const chunk = chunks[i]!
        if (typeof chunk === 'string') whole.latin1Write(chunk, at, chunk.length)
        else {
          whole.set(chunk, at)
          spendChunk(chunk, chunk.length)
        }
        at += chunk.length
      }
      stream.writeBytes(whole)
    } else stream.writeAll(chunks)
    while (chunks.length > 0) chunks.pop()
  }

  clear(): void {
    this.length = 0
    this.#text = ''
    this.#chunks.length = 0
  }
}
