import { writeSync } from 'node:fs'

/** Straight to the descriptor, before the process can end. Text that nobody takes is lost. */
export function print(fd: number, text: string | Uint8Array): void {
  try {
    if (typeof text === 'string') writeSync(fd, text)
    else writeSync(fd, text)
  } catch {
    // The other end is closed.
  }
}
