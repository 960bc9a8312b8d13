import net from 'node:net'
import type tls from 'node:tls'
import type { ByteStream, StreamOwner } from './byte-stream.ts'

/**
 * Less than the buffer that a TLS socket begins with (NodeBIO: 1 KiB). Filled to the brim, as by a ClientHello in one piece, it gets one
 * of 16 KiB beside it, for good: a quarter of what an idle connection took.
 */
const FEED = 1000

/** TLS over a connection, by node:tls. The listeners below are shared by all sockets: no closure per connection. */
export class TlsStream implements ByteStream {
  readonly #tcp: net.Socket
  readonly #tls: tls.TLSSocket
  readonly #owner: StreamOwner
  readonly #written: () => void

  /** `buffer`: where decrypted bytes go; the one that `owner.onRead` reports on. */
  constructor(tcp: net.Socket, secured: tls.TLSSocket, buffer: Buffer, owner: StreamOwner) {
    this.#tcp = tcp
    this.#tls = secured
    this.#owner = owner
    this.#written = () => owner.onWritten()
    adopt(secured, owner)
    // Until this is said, an error after the handshake (a record that is no good) ends nothing: tls.Server and tls.connect say it.
    ;(secured as unknown as { _releaseControl(): boolean })._releaseControl()
    if (!readInto(secured, buffer)) secured.on('data', onData)
  }

  /** Bytes of the TCP stream that were read before: they come first. */
  feed(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += FEED) {
      const { _handle: handle } = this.#tls as unknown as { _handle: { receive(piece: Uint8Array): void } | null }
      // A record that is no good may end it in between.
      if (handle === null) return
      handle.receive(bytes.subarray(at, at + FEED))
    }
  }

  get fd(): number {
    return (this.#tcp as unknown as { _handle: { fd: number } | null })._handle?.fd ?? -1
  }

  get pendingBytes(): number {
    return this.#tls.writableLength
  }

  get ended(): boolean {
    return this.#tls.readableEnded
  }

  writeText(latin1: string): void {
    this.#tls.write(latin1, 'latin1', this.#done())
  }

  writeBytes(bytes: Uint8Array): void {
    this.#tls.write(bytes, this.#done())
  }

  writeAll(pieces: readonly (Uint8Array | string)[]): void {
    const socket = this.#tls
    socket.cork()
    const last = pieces.length - 1
    for (let i = 0; i <= last; i++) {
      const piece = pieces[i]!
      const done = i === last ? this.#done() : undefined
      if (typeof piece === 'string') socket.write(piece, 'latin1', done)
      else socket.write(piece, done)
    }
    socket.uncork()
  }

  /** A record of the peer's before TLS is established, past node:tls. */
  writePlain(latin1: string): void {
    this.#tcp.write(latin1, 'latin1')
  }

  end(): void {
    this.#tls.end()
  }

  pause(): void {
    this.#tls.pause()
  }

  resume(): void {
    this.#tls.resume()
  }

  destroySoon(): void {
    this.#tls.destroySoon()
  }

  destroy(): void {
    this.#tls.destroy()
    this.#tcp.destroy()
  }

  reset(): void {
    if (this.#tcp.remoteAddress === undefined) this.destroy()
    else this.#tcp.resetAndDestroy()
  }

  #done(): (() => void) | undefined {
    return this.#owner.awaitsDrain ? this.#written : undefined
  }

  setKeepAlive(idle: number, interval: number | undefined, probes: number | undefined): void {
    const seconds = (value: number | undefined): number | undefined => (value === undefined ? undefined : value * 1000)
    const options = { enable: true, initialDelay: idle * 1000, interval: seconds(interval), count: probes }
    this.#tcp.setKeepAlive(options as unknown as boolean)
  }
}

const OWNER = Symbol('owner')
type Owned = { [OWNER]: StreamOwner }

function adopt(socket: tls.TLSSocket, owner: StreamOwner): void {
  ;(socket as unknown as Owned)[OWNER] = owner
  socket.on('secure', onSecure)
  socket.on('end', onEnd)
  socket.on('error', onError)
  socket.on('close', onClose)
}

/** For the TCP socket below: the TLS socket reports what happens to it, and an error without a listener would throw. */
export function ignoreErrors(tcp: net.Socket): void {
  tcp.on('error', ignore)
}

/**
 * The `onread` option, which node:tls passes on only when it makes the TCP socket itself. Without it every read allocates an
 * ArrayBuffer and goes through the stream: 5 µs of a request on TLS. False where this Node keeps it elsewhere: `data` events then.
 */
function readInto(socket: tls.TLSSocket, buffer: Buffer): boolean {
  const handle = (socket as unknown as { _handle: { useUserBuffer?(buffer: Buffer): void } | null })._handle
  if (BUFFER === undefined || CALLBACK === undefined || handle?.useUserBuffer === undefined) return false
  const slots = socket as unknown as Record<symbol, unknown>
  slots[BUFFER] = buffer
  slots[CALLBACK] = onRead
  handle.useUserBuffer(buffer)
  return true
}

function onRead(this: unknown, length: number): boolean {
  return (this as Owned)[OWNER].onRead(length)
}

function onSecure(this: unknown): void {
  ;(this as Owned)[OWNER].onSecure()
}

function onData(this: unknown, chunk: Buffer): void {
  ;(this as Owned)[OWNER].onBytes(chunk)
}

function onEnd(this: unknown): void {
  ;(this as Owned)[OWNER].onEnd()
}

function onError(this: unknown, error: NodeJS.ErrnoException): void {
  ;(this as Owned)[OWNER].onError(error)
}

function onClose(this: unknown): void {
  ;(this as Owned)[OWNER].onGone()
}

function ignore(): void {}

/** Where net.Socket keeps its `onread` option. */
const SYMBOLS = Object.getOwnPropertySymbols(new net.Socket())
const BUFFER = SYMBOLS.find(s => s.description === 'kBuffer')
const CALLBACK = SYMBOLS.find(s => s.description === 'kBufferCb')
