import { libc } from '../../../src/io/libc.ts'

/** A number that getsockopt(2) gives. */
export function socketOption(fd: number, level: number, name: number): number {
  const value = Buffer.alloc(4)
  const length = Buffer.from(Int32Array.of(4).buffer)
  if (libc()!.getsockopt(fd, level, name, value, length) < 0) throw new Error(`getsockopt: errno ${libc()!.errno()}`)
  return value.readInt32LE(0)
}
