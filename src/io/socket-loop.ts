import { lastMade } from '../base/specimens.ts'
import type { Timers } from '../base/timer.ts'

/** What has bytes to send when the turn ends. */
export interface Flushable {
  flush(): void
}

const READ_SIZE = 65536

/** What all connections of one worker share: read buffer, dirty list, ids and timers. */
export class SocketLoop {
  readonly timers: Timers
  /** Every read of every socket lands here first; libuv reads and calls back in one go, so one buffer serves all. */
  readonly readBuffer: Buffer = Buffer.allocUnsafeSlow(READ_SIZE)
  #nextId: number
  #dirty: Flushable[] = []
  #flushing: Flushable[] = []
  readonly #endTurn: () => void

  constructor(timers: Timers, workerIndex = 0) {
    this.timers = timers
    // 2^40 connections per worker before ids of two workers could meet.
    this.#nextId = workerIndex * 2 ** 40
    this.#endTurn = () => this.#flush()
  }

  nextId(): number {
    return ++this.#nextId
  }

  /** Calls `who.flush()` when the callbacks of this turn have run. The caller sees to it that it asks once. */
  flushLater(who: Flushable): void {
    if (this.#dirty.length === 0) lastMade.immediate = setImmediate(this.#endTurn)
    this.#dirty.push(who)
  }

  #flush(): void {
    const list = this.#dirty
    // What gets dirty while flushing waits for the next turn, or a fast reader could hold the loop for itself.
    this.#dirty = this.#flushing
    this.#flushing = list
    for (let i = 0; i < list.length; i++) list[i]!.flush()
    // Popped, not cut: setting a length of 0 gives the memory of the list away.
    while (list.length > 0) list.pop()
  }
}
