import type { Socket } from 'node:dgram'
import { lazyDgram } from '../base/lazy-modules.ts'
import { isPipe } from './address.ts'
import type { Address } from './connection.ts'
import { type Libc, libc } from './libc.ts'
import { encodeSocketAddress, familyOf } from './socket-address.ts'

const SOCK_DGRAM = 2
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000
/** UDP over IPv4: 65,535 less the headers. */
export const MAX_DATAGRAM = 65_507

/** Sends datagrams to one address. Nobody hears of those that are lost, in the kernel or on the way. */
export interface DatagramSocket {
  /** The first `size` bytes of `data`, which stay the caller's. */
  send(data: Uint8Array, size: number): void
}

/** Null where there can be none: a Unix socket without libc, a path that is too long, no descriptor left. */
export function datagramSocket(to: Address, c: Libc | null = libc()): DatagramSocket | null {
  const raw = encodeSocketAddress(to)
  if (c === null || raw === null) return isPipe(to) ? null : new NodeDatagramSocket(to)
  const fd = c.socket(familyOf(to), SOCK_DGRAM)
  return fd < 0 ? null : new LibcDatagramSocket(c, fd, raw)
}

/**
 * Not connected, so that a collector that was away for a while costs no datagram when it is back. A call costs a fraction of one
 * through node:dgram, which makes an object and a callback for every datagram.
 */
class LibcDatagramSocket implements DatagramSocket {
  readonly #libc: Libc
  readonly #fd: number
  readonly #to: Uint8Array

  constructor(c: Libc, fd: number, to: Uint8Array) {
    this.#libc = c
    this.#fd = fd
    this.#to = to
  }

  send(data: Uint8Array, size: number): void {
    this.#libc.sendto(this.#fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL, this.#to, this.#to.length)
  }
}

class NodeDatagramSocket implements DatagramSocket {
  readonly #socket: Socket
  readonly #to: Address

  constructor(to: Address) {
    this.#socket = lazyDgram().createSocket(to.ip.includes(':') ? 'udp6' : 'udp4')
    this.#socket.on('error', () => {})
    this.#socket.unref()
    this.#to = to
  }

  send(data: Uint8Array, size: number): void {
    // A copy: it is sent turns later, when the socket is bound.
    this.#socket.send(Uint8Array.prototype.slice.call(data, 0, size), this.#to.port, this.#to.ip, () => {})
  }
}
