import { Duplex } from 'node:stream'
import type { StreamOwner } from './byte-stream.ts'
import type { InternalStream } from './internal-stream.ts'

/** An end of a connection within a worker as node:tls wants it: there is no handle that it could take over. */
export class InternalDuplex extends Duplex implements StreamOwner {
  readonly #stream: InternalStream
  #written: (() => void) | null = null

  constructor(stream: InternalStream) {
    super({ allowHalfOpen: true })
    this.#stream = stream.own(this)
  }

  get awaitsDrain(): boolean {
    return this.#written !== null
  }

  override _read(): void {
    this.#stream.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#stream.writeBytes(chunk)
    if (this.#stream.pendingBytes === 0) done()
    else this.#written = done
  }

  override _final(done: () => void): void {
    this.#stream.end()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#stream.destroy()
    done(error)
  }

  resetAndDestroy(): this {
    this.#stream.reset()
    return this.destroy()
  }

  onBytes(chunk: Uint8Array): void {
    if (!this.push(chunk)) this.#stream.pause()
  }

  onEnd(): void {
    this.push(null)
  }

  onWritten(): void {
    const done = this.#written
    this.#written = null
    done?.()
  }

  onError(error: NodeJS.ErrnoException): void {
    this.destroy(error)
  }

  onGone(): void {
    this.destroy()
  }

  onSocketConnected(): void {}

  onSecure(): void {}

  onRead(): boolean {
    return false
  }
}
