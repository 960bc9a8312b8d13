import { type DescriptorHandle, newPipe } from './libuv.ts'
import type { Moderation } from './moderation.ts'
import { addressOf, descriptor, failure, system } from './system-calls.ts'

/** Whose descriptor a poller watches. */
export interface Pollable {
  /** `events`: `EPOLLIN` and its like, each told once when it begins; 0 = asked for by `Poller.again`. */
  onReady(events: number): void
}

export const EPOLLIN = 0x1
export const EPOLLPRI = 0x2
export const EPOLLOUT = 0x4
export const EPOLLRDHUP = 0x2000
const EPOLLET = 1 << 31

const EPOLL_CLOEXEC = 0o2000000n
const EPOLL_CTL_ADD = 1n
const EPOLL_CTL_DEL = 2n

/** Words of a struct epoll_event, and the first of its `data`: packed on x86-64 only (linux/eventpoll.h). */
const WORDS = process.arch === 'x64' ? 3 : 4
const DATA = WORDS - 2

/**
 * The sockets of a thread, in an epoll of their own that libuv watches like any descriptor. A turn leaves libuv once, however many
 * sockets have something, where libuv's own handles leave it for each.
 */
export class Poller {
  readonly #epoll: bigint
  readonly #watch: DescriptorHandle
  readonly #most: bigint
  readonly #events: Int32Array
  readonly #eventsAddress: bigint
  readonly #event = new Int32Array(WORDS)
  readonly #eventAddress: bigint
  /** By place; a place is used again, under another number. */
  readonly #watched: (Pollable | null)[] = []
  readonly #numbers: number[] = []
  readonly #free: number[] = []
  #count = 0
  #again: Pollable[] = []
  #asking: Pollable[] = []
  readonly #askAgain: () => void
  readonly #turnEnded: () => void
  readonly #moderation: Moderation
  /** Sockets are being served: `turnEnded` follows. */
  serving = false

  /**
   * `most`: sockets that are served in one turn. `turnEnded` is called when they have been, and when what they have put off until then
   * (microtasks) has run.
   */
  constructor(most: number, moderation: Moderation, turnEnded: () => void) {
    this.#moderation = moderation
    this.#most = BigInt(most)
    this.#events = new Int32Array(most * WORDS)
    const epoll = system.epoll_create1(EPOLL_CLOEXEC)
    if (epoll < 0) throw new Error('epoll_create1(2) failed: the process has too many descriptors open')
    this.#epoll = descriptor(epoll)
    this.#eventsAddress = addressOf(new Uint8Array(this.#events.buffer))
    this.#eventAddress = addressOf(new Uint8Array(this.#event.buffer))
    this.#askAgain = () => this.#tellAgain()
    this.#turnEnded = turnEnded
    // A handle that is given no memory to read into never reads: it says that there is something (UV_ENOBUFS), and goes on watching.
    this.#watch = newPipe()
    this.#watch.open(epoll)
    this.#watch.useUserBuffer(new Uint8Array(0))
    this.#watch.onread = () => this.#poll()
    this.#watch.readStart()
    this.#watch.unref()
  }

  /** The thread lives on for it. @returns the place to name in `remove`; a negative errno if the kernel refuses */
  add(fd: number, who: Pollable, events: number): number {
    const place = this.#free.pop() ?? this.#watched.length
    const number = ((this.#numbers[place] ?? 0) + 1) | 0
    const event = this.#event
    event[0] = events | EPOLLET
    event[DATA] = place
    event[DATA + 1] = number
    this.#watched[place] = who
    this.#numbers[place] = number
    if (system.epoll_ctl(this.#epoll, EPOLL_CTL_ADD, descriptor(fd), this.#eventAddress) < 0) {
      const error = failure()
      this.#leave(place)
      return error
    }
    if (this.#count++ === 0) this.#watch.ref()
    return place
  }

  /** Before the descriptor is closed, of which there may be duplicates. */
  remove(place: number, fd: number): void {
    this.#leave(place)
    system.epoll_ctl(this.#epoll, EPOLL_CTL_DEL, descriptor(fd), this.#eventAddress)
    if (--this.#count === 0) this.#watch.unref()
  }

  /** Calls `who.onReady(0)` after this turn. The caller sees to it that it asks once. */
  again(who: Pollable): void {
    if (this.#again.length === 0) setImmediate(this.#askAgain)
    this.#again.push(who)
  }

  #leave(place: number): void {
    this.#watched[place] = null
    this.#free.push(place)
  }

  #poll(): void {
    this.#moderation.beforeTurn()
    const count = system.epoll_wait(this.#epoll, this.#eventsAddress, this.#most, 0n)
    const events = this.#events
    this.serving = true
    for (let i = 0; i < count; i++) {
      const at = i * WORDS
      const place = events[at + DATA]!
      // It may have left, and another come to its place, while those before it were served.
      if (this.#numbers[place] === events[at + DATA + 1]) this.#watched[place]?.onReady(events[at]!)
    }
    this.serving = false
    ENDED.then(this.#turnEnded)
  }

  #tellAgain(): void {
    const list = this.#again
    this.#again = this.#asking
    this.#asking = list
    this.serving = true
    for (let i = 0; i < list.length; i++) list[i]!.onReady(0)
    this.serving = false
    while (list.length > 0) list.pop()
    ENDED.then(this.#turnEnded)
  }
}

/** What is to follow it is a microtask like those that are there already; setImmediate would be another round of the loop. */
const ENDED = Promise.resolve()
