import { createRequire } from 'node:module'

/** The few libc calls that Node lacks. Each returns -1 with `errno()` set on failure. */
export interface Libc {
  socket(domain: number, type: number, protocol: number): number
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, length: number): number
  /** `length`: one int32, in and out. */
  getsockopt(fd: number, level: number, name: number, value: Uint8Array, length: Uint8Array): number
  /** `length`: one int32, in and out. */
  getsockname(fd: number, address: Uint8Array, length: Uint8Array): number
  bind(fd: number, address: Uint8Array, length: number): number
  listen(fd: number, backlog: number): number
  accept4(fd: number, address: Uint8Array | null, length: Uint8Array | null, flags: number): number
  /** Of datagrams. */
  sendto(fd: number, data: Uint8Array, size: number, flags: number, address: Uint8Array, length: number): number
  dup(fd: number): number
  close(fd: number): number
  /** malloc_trim(3): memory that was freed goes back to the kernel. Does nothing where libc is not glibc. */
  trim(): void
  /** Name of the last error, as Node's codes: `EADDRINUSE`. */
  errno(): string
}

interface Koffi {
  load(path: string): { func(prototype: string): (...args: unknown[]) => number }
  errno(): number
  os: { errno: Readonly<Record<string, number>> }
}

const CLOSE_ON_EXEC_DUP = 1030
let resolved: Libc | null | undefined

/** Null where it cannot be had: not Linux, or koffi has no binary for this machine. Symbols are looked up once. */
export function libc(): Libc | null {
  if (resolved === undefined) resolved = process.platform === 'linux' ? load() : null
  return resolved
}

function load(): Libc | null {
  let koffi: Koffi
  let library: ReturnType<Koffi['load']>
  try {
    koffi = createRequire(import.meta.url)('koffi') as Koffi
    library = koffi.load('libc.so.6')
  } catch {
    return null
  }
  const names = new Map<number, string>()
  for (const [name, value] of Object.entries(koffi.os.errno)) names.set(value, name)
  const fcntl = library.func('int fcntl(int fd, int cmd, int arg)')
  const trim = trimmer(library)
  return {
    socket: library.func('int socket(int domain, int type, int protocol)'),
    setsockopt: library.func('int setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t length)'),
    getsockopt: library.func('int getsockopt(int fd, int level, int name, uint8_t *value, uint8_t *length)'),
    getsockname: library.func('int getsockname(int fd, uint8_t *address, uint8_t *length)'),
    bind: library.func('int bind(int fd, const uint8_t *address, uint32_t length)'),
    listen: library.func('int listen(int fd, int backlog)'),
    accept4: library.func('int accept4(int fd, uint8_t *address, uint8_t *length, int flags)'),
    sendto: library.func(
      'long sendto(int fd, const uint8_t *data, size_t size, int flags, const uint8_t *address, uint32_t length)',
    ),
    // A descriptor must not leak into the programs that the agent starts.
    dup: fd => fcntl(fd, CLOSE_ON_EXEC_DUP, 0),
    close: library.func('int close(int fd)'),
    trim,
    errno: () => names.get(koffi.errno()) ?? `errno ${koffi.errno()}`,
  }
}

function trimmer(library: ReturnType<Koffi['load']>): () => void {
  try {
    const malloc_trim = library.func('int malloc_trim(size_t pad)')
    return () => void malloc_trim(0)
  } catch {
    return () => {}
  }
}
