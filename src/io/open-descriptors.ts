import { closeSync } from 'node:fs'

/** A byte for each descriptor below this; the pages of those that are never open are never touched. */
const MOST = 1 << 20

/**
 * Which descriptors a worker has opened by system calls of its own. When it dies nobody closes them, as Node does with those of its
 * handles: main does, from this table.
 */
export class OpenDescriptors {
  /** Main keeps it, and gives it to the worker. */
  readonly memory: SharedArrayBuffer
  readonly #open: Uint8Array

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(MOST)) {
    this.memory = memory
    this.#open = new Uint8Array(memory)
  }

  add(fd: number): void {
    this.#open[fd] = 1
  }

  /** Before it is closed: its number may be another thread's the moment after. */
  remove(fd: number): void {
    this.#open[fd] = 0
  }

  /** The worker is dead. */
  closeAll(): void {
    const open = this.#open
    for (let fd = open.indexOf(1); fd >= 0; fd = open.indexOf(1, fd + 1)) {
      open[fd] = 0
      try {
        closeSync(fd)
      } catch {
        // It died between the two halves of closing it.
      }
    }
  }
}
