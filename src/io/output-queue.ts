import type net from 'node:net'

/** Up to here one copied buffer beats writev; measured on heads with small bodies. */
const COALESCE_LIMIT = 16384

/** What one connection wants written in this turn of the event loop: it leaves in one write. */
export class OutputQueue {
  /** bytes queued: latin1 text counts one byte a character */
  length = 0
  // Text alone is one growing latin1 string; with bytes among it, a list.
  #text = ''
  readonly #chunks: (Uint8Array | string)[] = []

  push(data: Uint8Array | string): void {
    if (typeof data === 'string' && this.#chunks.length === 0) {
      this.#text += data
    } else {
      if (this.#text !== '') {
        this.#chunks.push(this.#text)
        this.#text = ''
      }
      this.#chunks.push(data)
    }
    this.length += data.length
  }

  /** Empties the queue into the socket; `done` is called when the last of it was taken by the system. */
  writeTo(socket: net.Socket, done: (() => void) | undefined): void {
    const chunks = this.#chunks
    const total = this.length
    this.length = 0
    if (chunks.length === 0) {
      const text = this.#text
      this.#text = ''
      socket.write(text, 'latin1', done)
    } else if (chunks.length === 1) {
      const only = chunks[0]!
      chunks.length = 0
      if (typeof only === 'string') socket.write(only, 'latin1', done)
      else socket.write(only, done)
    } else if (total <= COALESCE_LIMIT) {
      const whole = Buffer.allocUnsafe(total)
      let at = 0
      for (let i = 0; i < chunks.length; i++) {
        const chunk = chunks[i]!
        if (typeof chunk === 'string') whole.write(chunk, at, 'latin1')
        else whole.set(chunk, at)
        at += chunk.length
      }
      chunks.length = 0
      socket.write(whole, done)
    } else {
      socket.cork()
      const last = chunks.length - 1
      for (let i = 0; i <= last; i++) {
        const chunk = chunks[i]!
        const callback = i === last ? done : undefined
        if (typeof chunk === 'string') socket.write(chunk, 'latin1', callback)
        else socket.write(chunk, callback)
      }
      chunks.length = 0
      socket.uncork()
    }
  }

  clear(): void {
    this.length = 0
    this.#text = ''
    this.#chunks.length = 0
  }
}
