import net from 'node:net'
import type tls from 'node:tls'
import { getSystemErrorName } from 'node:util'
import type { ByteStream, StreamOwner } from './byte-stream.ts'
import { spendChunk, takeChunk } from './chunk-pool.ts'
import { kReadBytesOrError, type StreamHandle, streamState, type WriteRequest, WriteWrap } from './libuv.ts'

/**
 * Less than the buffer that a TLS socket begins with (NodeBIO: 1 KiB). Filled to the brim, as by a ClientHello in one piece, it gets one
 * of 16 KiB beside it, for good: a quarter of what an idle connection took.
 */
const FEED = 1000

/** Bytes of one read. */
const READ_SIZE = 65536

/** Of what waits, this much is written at once. */
const PORTION = 65536

/** A write up to here leaves the handle in one piece. */
const QUIET_LIMIT = 16384

/** The handle of a TLS socket: TLSWrap of Node. */
interface TlsHandle extends StreamHandle {
  reading: boolean
  receive(piece: Uint8Array): void
}

type Owned = { [OWNER]: StreamOwner }
type Streamed = { [STREAM]: TlsStream }
const OWNER = Symbol('owner')
const STREAM = Symbol('stream')

/**
 * TLS over a connection, by node:tls. The listeners below are shared by all sockets: no closure per connection. Writes go to the
 * handle itself: the machinery of streams above it takes 7 % of a small request.
 */
export class TlsStream implements ByteStream {
  readonly #tcp: net.Socket
  readonly #tls: tls.TLSSocket
  readonly #owner: StreamOwner
  /** Bytes of the write that the handle has: it takes one at a time, and a second one ends the process. */
  #inFlight = 0
  /** The object of that write, or of one that is done with and can be used again. */
  #request: WriteRequest | null = null
  /** The system has taken the write: its end is not reported. */
  #quiet = false
  /** What came meanwhile, and its bytes. */
  readonly #waiting: (Uint8Array | string)[] = []
  #waitingBytes = 0
  #endWhenWritten = false
  #closeWhenWritten = false

  constructor(tcp: net.Socket, secured: tls.TLSSocket, owner: StreamOwner) {
    this.#tcp = tcp
    this.#tls = secured
    this.#owner = owner
    adopt(secured, owner)
    // Until this is said, an error after the handshake (a record that is no good) ends nothing: tls.Server and tls.connect say it.
    ;(secured as unknown as { _releaseControl(): boolean })._releaseControl()
    if (!readInto(secured)) secured.on('data', onData)
  }

  /** Bytes of the TCP stream that were read before: they come first. */
  feed(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += FEED) {
      const handle = this.#handle
      // A record that is no good may end it in between.
      if (handle === null) return
      handle.receive(bytes.subarray(at, at + FEED))
    }
  }

  get fd(): number {
    return (this.#tcp as unknown as { _handle: { fd: number } | null })._handle?.fd ?? -1
  }

  get pendingBytes(): number {
    return this.#quiet ? 0 : this.#inFlight + this.#waitingBytes
  }

  get ended(): boolean {
    return this.#tls.readableEnded
  }

  writeText(latin1: string): void {
    if (this.#busy()) this.#wait(latin1)
    else {
      const handle = this.#handle
      if (handle === null) return
      const request = this.#begin(latin1.length)
      this.#began(handle.writeLatin1String(request, latin1))
    }
  }

  writeBytes(bytes: Uint8Array): void {
    if (this.#busy()) this.#wait(bytes)
    else {
      const handle = this.#handle
      if (handle === null) return
      const request = this.#begin(bytes.length)
      this.#began(handle.writeBuffer(request, bytes))
      // What was not encrypted at once was copied.
      spendChunk(bytes, bytes.length)
    }
  }

  writeAll(pieces: readonly (Uint8Array | string)[]): void {
    if (this.#busy()) {
      for (let i = 0; i < pieces.length; i++) this.#wait(pieces[i]!)
      return
    }
    const handle = this.#handle
    if (handle === null) return
    const list: unknown[] = []
    let length = 0
    for (let i = 0; i < pieces.length; i++) {
      const piece = pieces[i]!
      length += piece.length
      list.push(piece, typeof piece === 'string' ? 'latin1' : 'buffer')
    }
    this.#began(handle.writev(this.#begin(length), list, false))
    for (let i = 0; i < pieces.length; i++) {
      const piece = pieces[i]!
      if (typeof piece !== 'string') spendChunk(piece, piece.length)
    }
  }

  onWriteDone(status: number): void {
    this.#inFlight = 0
    // Node is not through with the object yet.
    this.#request = null
    if (this.#tls.destroyed) return
    if (status !== 0) {
      this.#check(status)
      return
    }
    if (this.#waitingBytes > 0) this.writeAll(this.#next())
    if ((this.#closeWhenWritten || this.#endWhenWritten) && !this.#tls.destroyed && !this.#busy()) {
      if (this.#closeWhenWritten) this.#tls.destroySoon()
      else this.#tls.end()
    }
    this.#owner.onWritten()
  }

  /** A record of the peer's before TLS is established, past node:tls. */
  writePlain(latin1: string): void {
    this.#tcp.write(latin1, 'latin1')
  }

  end(): void {
    if (this.#busy()) this.#endWhenWritten = true
    else this.#tls.end()
  }

  pause(): void {
    this.#tls.pause()
  }

  resume(): void {
    this.#tls.resume()
  }

  destroySoon(): void {
    if (this.#busy()) this.#closeWhenWritten = true
    else this.#tls.destroySoon()
  }

  destroy(): void {
    this.#tls.destroy()
    this.#tcp.destroy()
  }

  reset(): void {
    if (this.#tcp.remoteAddress === undefined) this.destroy()
    else this.#tcp.resetAndDestroy()
  }

  /** Null: closed. */
  get #handle(): TlsHandle | null {
    return (this.#tls as unknown as { _handle: TlsHandle | null })._handle
  }

  /** What waits first, in portions: how far a slow peer gets is seen by them. */
  #next(): (Uint8Array | string)[] {
    const waiting = this.#waiting
    let length = 0
    let count = 0
    while (count < waiting.length && (count === 0 || length + waiting[count]!.length <= PORTION))
      length += waiting[count++]!.length
    this.#waitingBytes -= length
    return waiting.splice(0, count)
  }

  #wait(piece: Uint8Array | string): void {
    this.#waiting.push(piece)
    this.#waitingBytes += piece.length
  }

  #begin(length: number): WriteRequest {
    const request = this.#request ?? new WriteWrap()
    request.oncomplete = onWriteDone
    ;(request as unknown as Streamed)[STREAM] = this
    this.#request = request
    // Before the call: an end of the connection within it completes the request.
    this.#inFlight = length
    return request
  }

  /**
   * Node reports the end of a write a turn later even when the system took it at once (TLSWrap::EncOut). Of such a write nobody
   * needs to hear, and the report is a call into JavaScript of its own: whether the handle is free is asked before it is used again.
   */
  #began(errno: number): void {
    this.#check(errno)
    const request = this.#request
    if (request === null || this.#inFlight === 0 || this.#inFlight > QUIET_LIMIT) return
    if ((this.#tcp as unknown as { _handle: StreamHandle | null })._handle?.writeQueueSize !== 0) return
    request.oncomplete = null
    request.buffer = undefined
    this.#quiet = true
  }

  /** The handle has a write still, whose end will be reported. */
  #busy(): boolean {
    if (this.#inFlight === 0) return false
    if (!this.#quiet) return true
    this.#quiet = false
    const request = this.#request!
    if (request.getAsyncId() === -1) {
      this.#inFlight = 0
      return false
    }
    // A second write in one turn, or one that waits for the peer's part of a handshake.
    request.oncomplete = onWriteDone
    return true
  }

  #check(errno: number): void {
    if (errno === 0) return
    this.#inFlight = 0
    this.#request = null
    const code = getSystemErrorName(errno)
    const error: NodeJS.ErrnoException = new Error(`write ${code}`)
    error.code = code
    error.errno = errno
    error.syscall = 'write'
    this.#tls.destroy(error)
  }
}

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
function readInto(socket: tls.TLSSocket): boolean {
  const { _handle: handle } = socket as unknown as { _handle: TlsHandle | null }
  if (BUFFER === undefined || CALLBACK === undefined || handle === null) return false
  const slots = socket as unknown as Record<symbol, unknown>
  decrypted ??= Buffer.allocUnsafeSlow(READ_SIZE)
  slots[BUFFER] = decrypted
  slots[CALLBACK] = onRead
  handle.useUserBuffer(decrypted)
  afterRead ??= handle.onread
  handle.onread = onTlsRead
  ;(handle as unknown as Owned)[OWNER] = (socket as unknown as Owned)[OWNER]
  return true
}

/** Where the bytes of any of them land first: they are looked at before the next read. */
let decrypted: Buffer | undefined

/** Node's own callback: the end of the stream and errors are left to it. */
let afterRead: TlsHandle['onread'] | undefined

/** What Node's does with the `onread` option, less what is for others. */
function onTlsRead(this: StreamHandle): void {
  const count = streamState[kReadBytesOrError]!
  if (count <= 0) afterRead!.call(this)
  else if (!onRead.call(this, count)) {
    ;(this as TlsHandle).reading = false
    this.readStop()
  }
}

function onWriteDone(this: WriteRequest, status: number): void {
  ;(this as unknown as Streamed)[STREAM].onWriteDone(status)
}

function onRead(this: unknown, length: number): boolean {
  return (this as Owned)[OWNER].onBytes(takeChunk(decrypted!, length))
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
