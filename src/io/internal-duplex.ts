import type net from 'node:net'
import type { Duplex } from 'node:stream'
import { lazyStream } from '../base/lazy-modules.ts'
import type { StreamOwner } from './byte-stream.ts'
import type { InternalStream } from './internal-stream.ts'

/** An end of a connection within a worker as node:tls wants it: there is no handle that it could take over. */
export function duplexOf(stream: InternalStream): net.Socket {
  return new InternalDuplex(stream).duplex as unknown as net.Socket
}

class InternalDuplex implements StreamOwner {
  readonly duplex: Duplex
  readonly #stream: InternalStream
  #written: (() => void) | null = null

  constructor(stream: InternalStream) {
    this.#stream = stream.own(this)
    this.duplex = new (lazyStream().Duplex)({
      allowHalfOpen: true,
      read: () => stream.resume(),
      write: (chunk: Buffer, _encoding, done) => {
        stream.writeBytes(chunk)
        if (stream.pendingBytes === 0) done()
        else this.#written = done
      },
      final: done => {
        stream.end()
        done()
      },
      destroy: (error, done) => {
        stream.destroy()
        done(error)
      },
    })
    Object.assign(this.duplex, { remoteAddress: '', resetAndDestroy: () => stream.reset() })
  }

  get awaitsDrain(): boolean {
    return this.#written !== null
  }

  get bufferLimit(): number {
    return this.duplex.readableHighWaterMark
  }

  onBytes(chunk: Uint8Array): boolean {
    const more = this.duplex.push(chunk)
    if (!more) this.#stream.pause()
    return more
  }

  onEnd(): void {
    this.duplex.push(null)
  }

  onWritten(): void {
    const done = this.#written
    this.#written = null
    done?.()
  }

  onError(error: NodeJS.ErrnoException): void {
    this.duplex.destroy(error)
  }

  onGone(): void {
    this.duplex.destroy()
  }

  onSocketConnected(): void {}

  onSecure(): void {}
}
