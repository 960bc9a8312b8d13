import { lazyFfi } from '../base/lazy-modules.ts'

type Call = (...numbers: bigint[]) => number

/** How many arguments a call has. */
const ARGUMENTS = {
  accept4: 4,
  bind: 3,
  close: 1,
  connect: 3,
  epoll_create1: 1,
  epoll_ctl: 4,
  epoll_wait: 4,
  fcntl: 3,
  getpeername: 3,
  getsockname: 3,
  getsockopt: 5,
  listen: 2,
  nanosleep: 2,
  prctl: 5,
  read: 3,
  sendto: 6,
  setsockopt: 5,
  shutdown: 2,
  socket: 3,
  write: 3,
  writev: 3,
} as const

/**
 * The system calls of sockets, and what goes with them, as libc has them, by node:ffi; a failed one returns -1, and `failure` says why if
 * it is asked at once.
 *
 * To node:ffi all arguments are pointers: only such a function comes without a wrapper in JavaScript that checks its arguments. A call
 * from compiled code then costs 4 ns, with an int32 among them 60 to 250. They are 64 bits wide, as a size must be, and BigInts; compiled
 * code does not allocate those of numbers that it knows to be int32 (`| 0`). Linux only; elsewhere each throws.
 */
export const system: Readonly<Record<keyof typeof ARGUMENTS, Call>> = load()
const errno = process.platform === 'linux' ? findErrno() : new Int32Array(1)

/** Where the memory of `array` begins. Nothing but `array` keeps it alive: who keeps the address must use the array later. */
export function addressOf(array: Uint8Array): bigint {
  return lazyFfi().getRawPointer(array)
}

/** A descriptor as an argument: -1 too, which node:ffi would not take for a pointer. */
export function descriptor(fd: number): bigint {
  return BigInt(fd >>> 0)
}

/** The error of the call that has just failed in this thread, as a negative number (libuv's way). */
export function failure(): number {
  return -errno[0]!
}

function load(): typeof system {
  const calls: Record<string, Call> = {}
  if (process.platform === 'linux') {
    const definitions: Record<string, { arguments: 'pointer'[]; return: 'int32' }> = {}
    for (const [name, count] of Object.entries(ARGUMENTS)) {
      definitions[name] = { arguments: Array<'pointer'>(count).fill('pointer'), return: 'int32' }
    }
    Object.assign(calls, lazyFfi().dlopen(null, definitions).functions)
  } else {
    const refuse = (): never => {
      throw new Error(`the proxy needs Linux (this is ${process.platform})`)
    }
    for (const name of Object.keys(ARGUMENTS)) calls[name] = refuse
  }
  return calls as typeof system
}

/** `errno` is a variable of the thread, at an address that stays. */
function findErrno(): Int32Array {
  const { functions } = lazyFfi().dlopen(null, { __errno_location: { arguments: [], return: 'pointer' } })
  const location = functions.__errno_location as unknown as () => bigint
  return new Int32Array(lazyFfi().toArrayBuffer(location(), 4, false))
}
