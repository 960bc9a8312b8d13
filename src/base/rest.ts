import { type Clock, systemClock } from './clock.ts'
import { type Collection, collectGarbage } from './collect-garbage.ts'

/** How often a thread looks whether it rests, in ms. */
const LOOK_EVERY = 500
/** A thread that was busy for no more than this share of the time since the last look rests: some hundred requests a second. */
const QUIET_SHARE = 0.02
/** Garbage of less work than this is left alone, in ms. */
const WORTH = 20
/** Looks in a row without traffic until everything is collected, and what counts as none: a timer now and then. */
const LOOKS_UNTIL_DEEP = 4
const STILL_SHARE = 0.004
/**
 * How many still looks one with a little work undoes. Not all: what is done every five seconds for statistics takes longer than usual on a
 * busy machine, and six seconds without would never come. A request every two seconds puts off a deep collection for ever.
 */
const LITTLE_WORK_UNDOES = 3
/** Looks until what is left is moved together: a pause of 10 to 20 ms, for half of the pages that a start has filled. */
const LOOKS_UNTIL_DENSE = 12
/** A larger heap would stand still for too long, and has gaps that it uses itself. */
const LARGEST_DENSE = 32 << 20
/** In how many looks a deep collection that had to wait for a processor is over. */
const LOOKS_OF_COLLECTION = 2
/** Work that a deep collection must be preceded by, in ms per byte of the heap: it takes half of that, on all threads together. */
const DEEP_WORTH = 2 / 1048576

/** What a thread knows of itself, and its collector; tests have their own. */
export interface RestingThread {
  /** How long it has been busy since it began, in ms. */
  busyMs(): number
  usedHeap(): number
  collect(what: Collection): void
}

/**
 * Collects the garbage of a thread whose work is over for now. V8 collects when memory runs short, so that what a burst has left stays
 * for as long as nothing follows: hours, in a sidecar. The young generation is done (a ms) as soon as there is little traffic,
 * everything when there has been none for two seconds, and after six what is left is moved together, once.
 */
export class Rest {
  readonly #onRest: () => void
  readonly #thread: RestingThread
  readonly #clock: Clock
  #busy = 0
  #looked: number
  /** Work since the last collection of either kind, in ms. The start of a thread is work, too. */
  #young = 0
  #old = 0
  #still = 0
  /** Looks whose work is not counted: marking goes on in small steps after the collection was begun. */
  #collecting = 0
  /** Collected, and not yet moved together. */
  #loose = false

  /** `onRest` is called after each collection. */
  constructor(onRest: () => void, thread: RestingThread = thisThread, clock: Clock = systemClock) {
    this.#onRest = onRest
    this.#thread = thread
    this.#clock = clock
    this.#looked = clock.now()
  }

  /** Looks from now on; does not keep the process alive. */
  start(): void {
    setInterval(() => this.look(), LOOK_EVERY).unref()
  }

  look(): void {
    const now = this.#clock.now()
    const busy = this.#thread.busyMs()
    const worked = this.#collecting > 0 ? 0 : busy - this.#busy
    if (this.#collecting > 0) this.#collecting--
    const time = now - this.#looked
    this.#busy = busy
    this.#looked = now
    this.#young += worked
    this.#old += worked
    if (worked > time * QUIET_SHARE) {
      this.#still = 0
      return
    }
    this.#still = worked <= time * STILL_SHARE ? this.#still + 1 : Math.max(0, this.#still - LITTLE_WORK_UNDOES)
    if (this.#loose && this.#still >= LOOKS_UNTIL_DENSE) {
      this.#loose = false
      if (this.#thread.usedHeap() <= LARGEST_DENSE) this.#collect('dense')
      return
    }
    if (this.#still >= LOOKS_UNTIL_DEEP && this.#old >= this.#thread.usedHeap() * DEEP_WORTH) {
      this.#loose = true
      this.#collecting = LOOKS_OF_COLLECTION
      this.#collect('all')
    } else if (this.#young >= WORTH) this.#collect('young')
  }

  #collect(what: Collection): void {
    this.#thread.collect(what)
    if (what !== 'young') this.#old = 0
    this.#young = 0
    this.#onRest()
    // The collection is no work that would have to be followed by another.
    this.#busy = this.#thread.busyMs()
    this.#looked = this.#clock.now()
  }
}

const thisThread: RestingThread = {
  // Not the time that the event loop was busy: on a machine with more work than processors most of that is waiting.
  busyMs: () => {
    const { user, system } = process.threadCpuUsage()
    return (user + system) / 1000
  },
  usedHeap: () => process.memoryUsage().heapUsed,
  collect: collectGarbage,
}
