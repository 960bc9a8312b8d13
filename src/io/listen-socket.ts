import { chmodSync, unlinkSync } from 'node:fs'
import { getSystemErrorName } from 'node:util'
import type { Address } from './connection.ts'
import { strerror } from './errno.ts'
import { type Libc, libc } from './libc.ts'
import { AF_INET6, AF_UNIX, decodeSocketAddress, encodeSocketAddress, familyOf } from './socket-address.ts'

/** envoy.config.core.v3.SocketOption, cloneable. */
export interface SocketOptionConfig {
  readonly level: number
  readonly name: number
  readonly value: number | Uint8Array
  /** When it is set: before bind, after bind, or once listening. */
  readonly state: 'STATE_PREBIND' | 'STATE_BOUND' | 'STATE_LISTENING'
}

export interface ListenSocketOptions {
  /** One socket per worker, the kernel spreads connections. */
  readonly reusePort: boolean
  /** IPv6 sockets take IPv4 connections too (`ipv4_compat` of `::`). */
  readonly ipv4Compat: boolean
  readonly transparent: boolean
  readonly freebind: boolean
  /** TCP_FASTOPEN queue; 0 = off. */
  readonly fastOpen: number
  /** Mode of a Unix socket's file; 0 = as umask leaves it. */
  readonly mode: number
  readonly options: readonly SocketOptionConfig[]
}

/** Nothing asked for. */
export const PLAIN_SOCKET: ListenSocketOptions = {
  reusePort: false,
  ipv4Compat: false,
  transparent: false,
  freebind: false,
  fastOpen: 0,
  mode: 0,
  options: [],
}

/** Text in Envoy's words: `cannot bind '127.0.0.1:9901': Address already in use`. */
export class ListenError extends Error {
  readonly code: string

  constructor(message: string, code: string) {
    super(message)
    this.name = 'ListenError'
    this.code = code
  }

  /** What the operator can do; '' = nothing known. */
  get advice(): string {
    switch (this.code) {
      case 'EADDRINUSE':
        return 'another process listens on this address (ss -ltnp shows which), or another part of this configuration does'
      case 'EACCES':
        return 'ports below 1024 need CAP_NET_BIND_SERVICE or root; a socket file needs a folder this user may write'
      case 'EADDRNOTAVAIL':
        return 'no interface of this host has this address; 0.0.0.0 or :: means all'
      case 'EAFNOSUPPORT':
        return 'this host has no IPv6: use an IPv4 address'
      default:
        return ''
    }
  }
}

export const SOCK_STREAM = 1
export const SOL_SOCKET = 1
export const SO_REUSEADDR = 2
const SO_REUSEPORT = 15
export const IPPROTO_IP = 0
export const IPPROTO_TCP = 6
export const IPPROTO_IPV6 = 41
const IP_FREEBIND = 15
export const IP_TRANSPARENT = 19
const IPV6_V6ONLY = 26
export const IPV6_TRANSPARENT = 75
const IPV6_FREEBIND = 78
const TCP_FASTOPEN = 23

/**
 * Makes and binds a socket; `startListening` makes it listen. The caller owns the descriptor.
 * Throws ListenError. Linux only.
 */
export function openListenSocket(address: Address, options: ListenSocketOptions): number {
  const c = libc()
  if (c === null) throw new ListenError(`listening sockets need Linux (this is ${process.platform})`, 'ENOTSUP')
  const family = familyOf(address)
  const raw = encodeSocketAddress(address)
  if (raw === null) throw new ListenError(`Address is too long or malformed: ${address.text}`, 'EINVAL')
  const fd = c.socket(family, SOCK_STREAM)
  if (fd < 0) throw failure(c, 'socket(2) failed, got error: ')
  try {
    setOptions(c, fd, family, options)
    // As Envoy: what a previous run left in the file system does not stand in the way.
    if (family === AF_UNIX && address.ip[0] === '/') removeOld(address.ip)
    if (c.bind(fd, raw, raw.length) < 0) throw failure(c, `cannot bind '${address.text}': `)
    if (family === AF_UNIX && options.mode !== 0 && address.ip[0] === '/') chmodSync(address.ip, options.mode)
    apply(c, fd, options.options, 'STATE_BOUND')
    return fd
  } catch (error) {
    c.close(fd)
    throw error
  }
}

/** Makes a bound socket listen: clients queue from now on, and its worker takes them when it is there. Throws ListenError. */
export function startListening(fd: number, backlog: number, options: readonly SocketOptionConfig[] = []): void {
  const c = libc()!
  if (c.listen(fd, backlog) < 0) throw failure(c, 'cannot listen() errno=')
  apply(c, fd, options, 'STATE_LISTENING')
}

/** A second descriptor of the same socket, for a worker: when that worker dies, the queue of the socket lives on. */
export function duplicate(fd: number): number {
  const c = libc()!
  const copy = c.dup(fd)
  if (copy < 0) throw failure(c, 'cannot duplicate a listening socket: ')
  return copy
}

/** The address a socket is bound to: the port is the kernel's choice when 0 was asked for. Null for other than IP sockets. */
export function boundAddress(fd: number): Address | null {
  const raw = Buffer.alloc(128)
  const length = Buffer.alloc(4)
  length.writeInt32LE(raw.length)
  return (libc()?.getsockname(fd, raw, length) ?? -1) < 0 ? null : decodeSocketAddress(raw)
}

export function closeSocket(fd: number): void {
  libc()?.close(fd)
}

function setOptions(c: Libc, fd: number, family: number, options: ListenSocketOptions): void {
  const must = (level: number, name: number, value: number, what: string): void => {
    if (c.setsockopt(fd, level, name, int32(value), 4) < 0) throw failure(c, `cannot set ${what} on socket: `)
  }
  if (family !== AF_UNIX) {
    must(SOL_SOCKET, SO_REUSEADDR, 1, 'SO_REUSEADDR')
    if (options.reusePort) must(SOL_SOCKET, SO_REUSEPORT, 1, 'SO_REUSEPORT')
    if (family === AF_INET6) must(IPPROTO_IPV6, IPV6_V6ONLY, options.ipv4Compat ? 0 : 1, 'IPV6_V6ONLY')
    const v6 = family === AF_INET6
    if (options.transparent) {
      must(v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, 1, 'IP_TRANSPARENT')
    }
    if (options.freebind) must(v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_FREEBIND : IP_FREEBIND, 1, 'IP_FREEBIND')
    if (options.fastOpen > 0) must(IPPROTO_TCP, TCP_FASTOPEN, options.fastOpen, 'TCP_FASTOPEN')
  }
  apply(c, fd, options.options, 'STATE_PREBIND')
}

function apply(c: Libc, fd: number, options: readonly SocketOptionConfig[], state: SocketOptionConfig['state']): void {
  for (const option of options) {
    if (option.state !== state) continue
    const value = typeof option.value === 'number' ? int32(option.value) : option.value
    if (c.setsockopt(fd, option.level, option.name, value, value.length) < 0) {
      throw failure(c, `Setting socket option (${option.level}/${option.name}) failed: `)
    }
  }
}

function removeOld(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw new ListenError(
        `cannot remove '${path}': ${strerror((error as NodeJS.ErrnoException).code ?? '')}`,
        'EEXIST',
      )
    }
  }
}

function failure(c: Libc, before: string): ListenError {
  const code = getSystemErrorName(c.errno())
  return new ListenError(`${before}${strerror(code)}`, code)
}

function int32(value: number): Uint8Array {
  return new Uint8Array(new Int32Array([value]).buffer)
}
