import net from 'node:net'
import { constants } from 'node:os'
import { pipeAddress } from './address.ts'
import { NOBODY, type PlainStream, type StreamOwner } from './byte-stream.ts'
import { longReads, reads, spendChunk } from './chunk-pool.ts'
import type { Address, UpstreamSource } from './connection.ts'
import { LATE_CONNECT } from './errno.ts'
import { giveAway, type Libc, libc, systemError } from './libc.ts'
import { newPipe, newTcp } from './libuv.ts'
import { IPPROTO_TCP, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET } from './listen-socket.ts'
import { PendingOutput } from './pending-output.ts'
import { EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, type Pollable, type Poller } from './poller.ts'
import { AF_UNIX, decodeSocketAddress, encodeSocketAddress, familyIn, familyOf } from './socket-address.ts'
import type { SocketLoop } from './socket-loop.ts'
import { addressOf, descriptor, failure, system } from './system-calls.ts'
import { transparentSocket } from './transparent-socket.ts'

export const NO_ADDRESS: Address = pipeAddress('')

const { EAGAIN, ECONNREFUSED, EINPROGRESS, EINTR, EINVAL } = constants.errno
const SHUT_WR = 1n
const SO_ERROR = 4
const SO_LINGER = 13
const TCP_NODELAY = 1

const WATCHED = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP
/** Bytes of one stream in a row, before others have their turn. */
const TURN = 524_288

/** Text is put into bytes here, and small chunks too: that costs less than finding out where they are. */
const SCRATCH_SIZE = 65536
const COPIED = 2048
const scratch = Buffer.allocUnsafeSlow(SCRATCH_SIZE)
const scratchAddress = addressOf(scratch)
const value = Buffer.allocUnsafeSlow(8)
const length = Buffer.allocUnsafeSlow(4)
const name = Buffer.allocUnsafeSlow(128)

/**
 * A TCP or Unix socket on system calls: no handle of libuv, no object for a write, and one call out of libuv for all sockets that have
 * something. Its descriptor is watched once and for all (edge-triggered); to pause is to not look.
 */
export class SocketStream implements PlainStream, Pollable {
  ended = false
  fd: number
  /** The same for system calls. */
  #descriptor: bigint
  readonly #poller: Poller
  #owner: StreamOwner
  readonly #local: boolean
  #place = -1
  #connected: boolean
  #reading = false
  /** There may be something to read. */
  #readable = false
  /** A read that brings less than it could does not mean that all was read: an end, an error or urgent data stand behind it. */
  #more: boolean
  #asked = false
  /** Null until the system has not taken a write. */
  #pending: PendingOutput | null = null
  #endAsked = false
  /** Our end was sent. */
  #finished = false
  /** The last read filled its memory: there is much to read. */
  #filled = false
  #closeWhenFinished = false
  #destroyed = false
  #gone = false

  /** `fd`: connected, and this stream's from now on; -1 = `connect` makes one. `local`: a Unix socket. */
  constructor(loop: SocketLoop, fd: number, local: boolean, owner: StreamOwner) {
    this.#poller = fd >= 0 ? loop.clients : loop.upstreams
    this.fd = fd
    this.#descriptor = descriptor(fd)
    this.#local = local
    this.#more = local
    this.#owner = owner
    this.#connected = fd >= 0
    if (fd >= 0) {
      this.#place = this.#poller.add(fd, this, WATCHED)
      if (this.#place < 0) process.nextTick(failed, this, this.#place, 'epoll_ctl')
      if (!local) this.#set(IPPROTO_TCP, TCP_NODELAY, 1)
    }
  }

  get pendingBytes(): number {
    return this.#pending === null ? 0 : this.#pending.length
  }

  /** `source` null: the system chooses. Failures are reported later, never from within. */
  connect(address: Address, source: Address | null, original: UpstreamSource | null = null): void {
    const error = this.#connect(address, source, original)
    if (error === 0) return
    // libuv's and Envoy's refusals of TCP come with the answer, wherever the peer is.
    const call = error === -ECONNREFUSED && !this.#local ? LATE_CONNECT : 'connect'
    process.nextTick(failed, this, error, call)
  }

  writeText(latin1: string): void {
    if (this.#destroyed) return
    if (this.pendingBytes > 0 || latin1.length > SCRATCH_SIZE) {
      this.writeBytes(Buffer.from(latin1, 'latin1'))
      return
    }
    const size = scratch.latin1Write(latin1, 0, SCRATCH_SIZE) | 0
    const sent = system.write(this.#descriptor, scratchAddress, BigInt(size))
    if (sent !== size) this.#unsent(Buffer.from(scratch.subarray(0, size)), sent)
  }

  writeBytes(bytes: Uint8Array): void {
    if (this.#destroyed) return
    if (this.pendingBytes > 0) {
      this.#pending!.push(bytes)
      return
    }
    const size = bytes.length | 0
    let address = scratchAddress
    if (size <= COPIED) scratch.set(bytes, 0)
    else address = addressOf(bytes)
    const sent = system.write(this.#descriptor, address, BigInt(size))
    if (sent !== size) this.#unsent(bytes, sent)
    else spendChunk(bytes, size)
  }

  writeAll(pieces: readonly (Uint8Array | string)[]): void {
    if (this.#destroyed) return
    const pending = this.#keepPending()
    const before = pending.length
    for (let i = 0; i < pieces.length; i++) {
      const piece = pieces[i]!
      pending.push(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)
    }
    if (before === 0) this.#writePending(pending)
  }

  end(): void {
    if (this.#endAsked || this.#destroyed) return
    this.#endAsked = true
    if (this.pendingBytes === 0) this.#finish()
  }

  pause(): void {
    this.#reading = false
  }

  resume(): void {
    if (this.#reading || this.#destroyed || !this.#connected || this.ended) return
    this.#reading = true
    if (this.#readable) this.#again()
  }

  destroySoon(): void {
    if (this.#destroyed) return
    this.#closeWhenFinished = true
    if (this.pendingBytes === 0 || this.#finished) this.destroy()
    else this.end()
  }

  destroy(): void {
    if (this.#destroyed) return
    this.#destroyed = true
    this.#pending?.clear()
    this.#unwatch()
    if (this.fd >= 0) libc()!.close(this.fd)
    this.fd = -1
    this.#descriptor = descriptor(-1)
    this.#again()
  }

  reset(): void {
    if (this.#destroyed) return
    if (this.#connected && !this.#local) {
      value.writeInt32LE(1, 0)
      value.writeInt32LE(0, 4)
      libc()!.setsockopt(this.fd, SOL_SOCKET, SO_LINGER, value, 8)
    }
    this.destroy()
  }

  localAddress(): Address {
    return nameOf(libc()!.getsockname, this.fd) ?? NO_ADDRESS
  }

  /** Gives the descriptor to a net.Socket, which TLS is put over; this stream hears of it no more. */
  release(): net.Socket {
    this.#owner = NOBODY
    this.#destroyed = true
    this.#unwatch()
    const handle = this.#local ? newPipe() : newTcp()
    handle.open(giveAway(this.fd))
    this.fd = -1
    this.#descriptor = descriptor(-1)
    const options: Record<string, unknown> = {
      handle,
      allowHalfOpen: true,
      readable: true,
      writable: true,
      manualStart: true,
    }
    return new net.Socket(options as net.SocketConstructorOpts)
  }

  onReady(events: number): void {
    if (events === 0) {
      this.#asked = false
      if (this.#destroyed) this.#tellGone()
    }
    if (this.#destroyed) return
    if (!this.#connected) {
      if (events !== 0) this.#connectEnded()
      // With the connection may have come what a server says first.
      if (!this.#connected || this.#destroyed) return
    }
    if ((events & EPOLLOUT) !== 0 && this.#pending !== null && this.#pending.length > 0) {
      this.#writePending(this.#pending)
      if (!this.#destroyed) this.#afterWrite(this.#pending)
      if (this.#destroyed) return
    }
    const others = events & ~EPOLLOUT
    if (others !== 0) {
      this.#readable = true
      if (others !== EPOLLIN) this.#more = true
    }
    if (this.#reading && this.#readable) this.#read()
  }

  onFailure(errno: number, call: string): void {
    this.#fail(errno, call)
  }

  #read(): void {
    const owner = this.#owner
    for (let left = TURN; left > 0; ) {
      const into = this.#filled && owner.bufferLimit >= longReads.size ? longReads : reads
      const count = system.read(this.#descriptor, into.address, BigInt(into.size))
      if (count > 0) {
        const short = count < into.size
        this.#filled = !short || (into === longReads && count > reads.size)
        if (short && !this.#more) this.#readable = false
        if (!owner.onBytes(into.take(count))) this.#reading = false
        if (!this.#readable || !this.#reading || this.#destroyed) return
        // What stands behind is told a turn later, when what this made others write has left.
        if (short && !this.#local) break
        left -= count
      } else if (count === 0) {
        if (left < TURN) break
        this.#onEnd()
        return
      } else {
        const error = failure()
        if (error === -EINTR) continue
        if (error === -EAGAIN) {
          this.#readable = false
          this.#more = this.#local
        } else this.#fail(error, 'read')
        return
      }
    }
    this.#again()
  }

  #onEnd(): void {
    this.ended = true
    this.#reading = false
    this.#readable = false
    this.#owner.onEnd()
    if (this.#finished) this.destroy()
  }

  #again(): void {
    if (this.#asked) return
    this.#asked = true
    this.#poller.again(this)
  }

  #tellGone(): void {
    if (this.#gone) return
    this.#gone = true
    this.#owner.onGone()
  }

  #connect(address: Address, source: Address | null, original: UpstreamSource | null): number {
    const c = libc()!
    const to = encodeSocketAddress(address)
    if (to === null) return -EINVAL
    if (original === null) {
      this.fd = c.socket(familyOf(address), SOCK_STREAM)
      if (this.fd < 0) return c.errno()
      const error = source === null ? 0 : this.#bind(c, source)
      if (error !== 0) return error
    } else {
      const fd = transparentSocket(original, address)
      if (fd < 0) return fd
      this.fd = fd
    }
    this.#descriptor = descriptor(this.fd)
    if (c.connect(this.fd, to, to.length) < 0) {
      const error = c.errno()
      if (error !== -EINPROGRESS) return error
    }
    this.#place = this.#poller.add(this.fd, this, WATCHED)
    return Math.min(this.#place, 0)
  }

  #bind(c: Libc, source: Address): number {
    const from = encodeSocketAddress(source)
    if (from === null) return -EINVAL
    this.#set(SOL_SOCKET, SO_REUSEADDR, 1)
    return c.bind(this.fd, from, from.length) < 0 ? c.errno() : 0
  }

  #connectEnded(): void {
    length.writeInt32LE(4, 0)
    libc()!.getsockopt(this.fd, SOL_SOCKET, SO_ERROR, value, length)
    const error = value.readInt32LE(0)
    if (error !== 0) {
      this.#fail(-error, LATE_CONNECT)
      return
    }
    this.#connected = true
    if (!this.#local) this.#set(IPPROTO_TCP, TCP_NODELAY, 1)
    this.#owner.onSocketConnected()
  }

  #unwatch(): void {
    if (this.#place >= 0) this.#poller.remove(this.#place, this.fd)
    this.#place = -1
  }

  /** `sent` is what write(2) said of `bytes`. */
  #unsent(bytes: Uint8Array, sent: number): void {
    const error = sent < 0 ? failure() : 0
    if (error !== 0 && error !== -EAGAIN && error !== -EINTR) {
      this.#fail(error, 'write')
      return
    }
    const pending = this.#keepPending()
    pending.push(bytes)
    if (sent > 0) pending.sent(sent)
    // Interrupted: the room there is will not be told.
    if (error === -EINTR) this.#writePending(pending)
  }

  #keepPending(): PendingOutput {
    this.#pending ??= new PendingOutput()
    return this.#pending
  }

  #writePending(pending: PendingOutput): void {
    const error = pending.writeTo(this.#descriptor)
    if (error !== 0) this.#fail(error, 'write')
  }

  #afterWrite(pending: PendingOutput): void {
    if (pending.length > 0) return
    this.#owner.onWritten()
    if (pending.length === 0 && this.#endAsked && !this.#finished && !this.#destroyed) this.#finish()
  }

  #finish(): void {
    // ENOTCONN: the peer was faster. There is nothing more to send either way.
    system.shutdown(this.#descriptor, SHUT_WR)
    this.#finished = true
    if (this.#closeWhenFinished || this.ended) this.destroy()
  }

  #fail(errno: number, call: string): void {
    if (this.#destroyed) return
    this.#owner.onError(systemError(errno, call))
    this.destroy()
  }

  #set(level: number, option: number, to: number): void {
    value.writeInt32LE(to, 0)
    libc()!.setsockopt(this.fd, level, option, value, 4)
  }
}

/** The peer of an accepted descriptor; null: it is gone already. */
export function acceptedFrom(fd: number): Address | null {
  return nameOf(libc()!.getpeername, fd)
}

function nameOf(ask: Libc['getsockname'], fd: number): Address | null {
  length.writeInt32LE(name.length, 0)
  if (ask(fd, name, length) < 0) return null
  return familyIn(name) === AF_UNIX ? NO_ADDRESS : decodeSocketAddress(name)
}

function failed(stream: SocketStream, errno: number, call: string): void {
  stream.onFailure(errno, call)
}
