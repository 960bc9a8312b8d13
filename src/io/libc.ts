import { getSystemErrorName } from 'node:util'
import { lazyFfi } from '../base/lazy-modules.ts'
import type { OpenDescriptors } from './open-descriptors.ts'
import { addressOf, descriptor, failure, system } from './system-calls.ts'

/** The libc calls that Node lacks, for what happens once a connection or less. Each returns -1 on failure, and `errno()` says why. */
export interface Libc {
  /** Non-blocking, closed on exec. */
  socket(domain: number, type: number): number
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, length: number): number
  /** `length`: one int32, in and out. */
  getsockopt(fd: number, level: number, name: number, value: Uint8Array, length: Uint8Array): number
  /** `length`: one int32, in and out. */
  getsockname(fd: number, address: Uint8Array, length: Uint8Array): number
  /** `length`: one int32, in and out. */
  getpeername(fd: number, address: Uint8Array, length: Uint8Array): number
  bind(fd: number, address: Uint8Array, length: number): number
  listen(fd: number, backlog: number): number
  /** As `socket`. */
  connect(fd: number, address: Uint8Array, length: number): number
  /** As `socket`. */
  accept(fd: number): number
  /** Of datagrams. */
  sendto(fd: number, data: Uint8Array, size: number, flags: number, address: Uint8Array, length: number): number
  /** Closed on exec. */
  dup(fd: number): number
  close(fd: number): number
  /** malloc_trim(3): memory that was freed goes back to the kernel. Does nothing where libc is not glibc. */
  trim(): void
  /** Of the last failure: a negative number, as libuv has them. */
  errno(): number
}

const NONBLOCK_CLOEXEC = 0o2004000
const F_DUPFD_CLOEXEC = 1030n

let resolved: Libc | null | undefined
let open: OpenDescriptors | null = null

/** Null where this is not Linux. */
export function libc(): Libc | null {
  if (resolved === undefined) resolved = process.platform === 'linux' ? load() : null
  return resolved
}

/** Of a worker: what it opens from now on is written down in `table`. */
export function writeDown(table: OpenDescriptors): void {
  open = table
}

/** This thread has a descriptor now that came from elsewhere. Returns it. */
export function adopt(fd: number): number {
  if (fd >= 0) open?.add(fd)
  return fd
}

/** Somebody else closes it: a handle of Node's. Returns it. */
export function giveAway(fd: number): number {
  open?.remove(fd)
  return fd
}

export function systemError(errno: number, call: string): NodeJS.ErrnoException {
  const code = getSystemErrorName(errno)
  const error: NodeJS.ErrnoException = new Error(`${call} ${code}`)
  error.code = code
  error.errno = errno
  error.syscall = call
  return error
}

function load(): Libc {
  return {
    socket: (domain, type) => adopt(system.socket(BigInt(domain), BigInt(type | NONBLOCK_CLOEXEC), 0n)),
    setsockopt: (fd, level, name, value, length) =>
      system.setsockopt(descriptor(fd), BigInt(level), BigInt(name), addressOf(value), BigInt(length)),
    getsockopt: (fd, level, name, value, length) =>
      system.getsockopt(descriptor(fd), BigInt(level), BigInt(name), addressOf(value), addressOf(length)),
    getsockname: (fd, address, length) => system.getsockname(descriptor(fd), addressOf(address), addressOf(length)),
    getpeername: (fd, address, length) => system.getpeername(descriptor(fd), addressOf(address), addressOf(length)),
    bind: (fd, address, length) => system.bind(descriptor(fd), addressOf(address), BigInt(length)),
    listen: (fd, backlog) => system.listen(descriptor(fd), BigInt(backlog)),
    connect: (fd, address, length) => system.connect(descriptor(fd), addressOf(address), BigInt(length)),
    accept: fd => adopt(system.accept4(descriptor(fd), 0n, 0n, BigInt(NONBLOCK_CLOEXEC))),
    sendto: (fd, data, size, flags, address, length) =>
      system.sendto(descriptor(fd), addressOf(data), BigInt(size), BigInt(flags), addressOf(address), BigInt(length)),
    // A descriptor must not leak into the programs that the agent starts.
    dup: fd => adopt(system.fcntl(descriptor(fd), F_DUPFD_CLOEXEC, 0n)),
    close: fd => system.close(descriptor(giveAway(fd))),
    trim: trimmer(),
    errno: failure,
  }
}

function trimmer(): () => void {
  try {
    const { functions } = lazyFfi().dlopen(null, { malloc_trim: { arguments: ['pointer'], return: 'int32' } })
    const trim = functions.malloc_trim as unknown as (pad: bigint) => number
    return () => void trim(0n)
  } catch {
    return () => {}
  }
}
