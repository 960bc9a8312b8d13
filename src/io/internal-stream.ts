import type net from 'node:net'
import { internalAddress } from './address.ts'
import { NOBODY, type PlainStream, type StreamOwner } from './byte-stream.ts'
import type { Address } from './connection.ts'
import { duplexOf } from './internal-duplex.ts'
import type { Flushable, SocketLoop } from './socket-loop.ts'

/** What all connections to internal listeners come from (Envoy: internal_client_connection_impl). */
const CLIENT: Address = internalAddress('internal_client_address', '')

/**
 * One end of a connection within a worker (Envoy: IoSocket::UserSpace). Bytes given to one end are handed over as they are in the next
 * turn of the event loop, and count as pending while the other end has more than `limit` of them unread.
 */
export class InternalStream implements PlainStream, Flushable {
  ended = false
  readonly fd = -1
  readonly #loop: SocketLoop
  readonly #limit: number
  readonly #local: Address
  readonly #remote: Address
  #peer!: InternalStream
  #owner: StreamOwner = NOBODY
  readonly #inbox: Uint8Array[] = []
  #unread = 0
  #reading = false
  #awake = false
  /** The other end has said its last word, or has broken off. */
  #peerEnded = false
  #peerReset = false
  /** Our end was said. */
  #finished = false
  #closeWhenTaken = false
  #destroyed = false

  private constructor(loop: SocketLoop, limit: number, local: Address, remote: Address) {
    this.#loop = loop
    this.#limit = limit
    this.#local = local
    this.#remote = remote
  }

  /** A client and the server at `address`. `limit`: bytes that either end holds unread before the other is to wait. */
  static pair(
    loop: SocketLoop,
    address: Address,
    limit: number,
  ): readonly [client: InternalStream, server: InternalStream] {
    const client = new InternalStream(loop, limit, CLIENT, address)
    const server = new InternalStream(loop, limit, address, CLIENT)
    client.#peer = server
    server.#peer = client
    return [client, server]
  }

  /** A client's end for an address where nobody listens. */
  static refused(loop: SocketLoop, address: Address): InternalStream {
    const [client, server] = InternalStream.pair(loop, address, 0)
    server.#destroyed = true
    return client
  }

  /** From now on `owner` hears of it. */
  own(owner: StreamOwner): this {
    this.#owner = owner
    return this
  }

  get pendingBytes(): number {
    return this.#destroyed ? 0 : Math.max(0, this.#peer.#unread - this.#limit)
  }

  /** The two ends are connected already: it fails when the other one is gone by the next turn of the event loop. */
  connect(): void {
    setImmediate(connected, this)
  }

  onConnect(): void {
    if (this.#destroyed) return
    if (this.#peer.#destroyed) this.#fail(failure('EINVAL', 'connect'))
    else this.#owner.onSocketConnected()
  }

  localAddress(): Address {
    return this.#local
  }

  peerAddress(): Address {
    return this.#remote
  }

  writeText(latin1: string): void {
    this.#give(Buffer.from(latin1, 'latin1'))
  }

  writeBytes(bytes: Uint8Array): void {
    this.#give(bytes)
  }

  writeAll(pieces: readonly (Uint8Array | string)[]): void {
    for (let i = 0; i < pieces.length && !this.#destroyed; i++) {
      const piece = pieces[i]!
      this.#give(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)
    }
  }

  end(): void {
    if (this.#finished || this.#destroyed) return
    this.#finished = true
    this.#peer.#peerEnded = true
    this.#peer.#wake()
    if (this.ended) this.destroy()
  }

  pause(): void {
    this.#reading = false
  }

  resume(): void {
    if (this.#reading || this.#destroyed || this.ended) return
    this.#reading = true
    this.#wake()
  }

  destroySoon(): void {
    if (this.#destroyed) return
    if (this.pendingBytes === 0) this.destroy()
    else {
      this.#closeWhenTaken = true
      this.end()
    }
  }

  destroy(): void {
    this.#destroy(false)
  }

  reset(): void {
    this.#destroy(true)
  }

  /** Makes a stream of Node's of it, which TLS is put over; the owner hears of it no more. */
  release(): net.Socket {
    this.pause()
    return duplexOf(this)
  }

  /** Called by the loop: what has come for this end. */
  flush(): void {
    this.#awake = false
    const inbox = this.#inbox
    if (this.#peerReset && !this.#destroyed) {
      this.#fail(failure('ECONNRESET', 'read'))
      return
    }
    let taken = 0
    while (this.#reading && !this.#destroyed && taken < inbox.length) {
      const chunk = inbox[taken++]!
      this.#unread -= chunk.length
      this.#owner.onBytes(chunk)
    }
    if (this.#destroyed) return
    inbox.splice(0, taken)
    if (taken > 0) this.#peer.#taken()
    if (inbox.length > 0 || !this.#peerEnded || this.ended || !this.#reading) return
    this.ended = true
    this.#reading = false
    this.#owner.onEnd()
    if (this.#finished) this.destroy()
  }

  onGone(): void {
    this.#owner.onGone()
  }

  #give(bytes: Uint8Array): void {
    if (this.#destroyed) return
    const peer = this.#peer
    if (peer.#destroyed) {
      this.#fail(failure('EPIPE', 'write'))
      return
    }
    peer.#inbox.push(bytes)
    peer.#unread += bytes.length
    peer.#wake()
  }

  /** The other end has read. */
  #taken(): void {
    if (this.#destroyed || this.pendingBytes > 0) return
    if (this.#closeWhenTaken) this.destroy()
    else this.#owner.onWritten()
  }

  #wake(): void {
    if (this.#awake || this.#destroyed) return
    if (!this.#reading && !this.#peerReset) return
    this.#awake = true
    this.#loop.flushLater(this)
  }

  #destroy(reset: boolean): void {
    if (this.#destroyed) return
    this.#destroyed = true
    const peer = this.#peer
    peer.#peerEnded = true
    // As with TCP the other end is to know that what was unread here is lost.
    peer.#peerReset ||= reset || this.#unread > 0
    this.#inbox.length = 0
    this.#unread = 0
    peer.#wake()
    process.nextTick(gone, this)
  }

  #fail(error: NodeJS.ErrnoException): void {
    this.#owner.onError(error)
    this.destroy()
  }
}

function connected(stream: InternalStream): void {
  stream.onConnect()
}

function gone(stream: InternalStream): void {
  stream.onGone()
}

function failure(code: string, call: string): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error(`${call} ${code}`)
  error.code = code
  error.syscall = call
  return error
}
