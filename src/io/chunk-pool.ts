import { addressOf } from './system-calls.ts'

/**
 * Memory of what is read. Big chunks live in pages that are used again as soon as every byte of them was written out: left to
 * the collector, each 40 MB of traffic cost a full collection (300 µs of a proxied MiB).
 *
 * Who passes a chunk on gives it away. Who passes it on and still needs it (retries, shadows) calls `keepChunk` before, and `releaseChunk`
 * if it was passed on once only after all. A chunk that is merely dropped is left to the collector, so forgetting `spendChunk` or
 * `releaseChunk` costs time, never data.
 */

const SLAB_SIZE = 65536
/** Up to here chunks share slabs, so that a kept one pins at most one slab: of them nothing has to be spent. */
export const SLAB_CHUNK = 4096

/** Bytes of pages of one size that wait for use at most: sixteen bodies of 1 MiB that routes keep for retries. */
const MOST_FREE = 16_777_216

/** Pages of one size. */
class Pages {
  readonly size: number
  readonly #free: Page[] = []

  constructor(size: number) {
    this.size = size
  }

  take(): Page {
    return this.#free.pop() ?? new Page(this)
  }

  putBack(page: Page): void {
    if (POISON) page.memory.fill(0xdb)
    if (this.#free.length * this.size < MOST_FREE) this.#free.push(page)
  }

  drop(): void {
    this.#free.length = 0
  }
}

class Page {
  readonly pages: Pages
  readonly memory: Buffer
  /** Bytes handed out that were not written yet. */
  live = 0
  /** Holders who may pass it on again. */
  keepers = 0
  #address = 0n

  constructor(pages: Pages) {
    this.pages = pages
    this.memory = Buffer.allocUnsafeSlow(pages.size)
    pageOf.set(this.memory.buffer, this)
  }

  get address(): bigint {
    if (this.#address === 0n) this.#address = addressOf(this.memory)
    return this.#address
  }

  hand(length: number): Buffer {
    this.live = length
    return this.memory.subarray(0, length)
  }
}

/** Tests set it: a page that is used again too early shows as rubbish. */
const POISON = process.env['REMORA_POISON_CHUNKS'] !== undefined
const pageOf = new WeakMap<ArrayBufferLike, Page>()
const small = new Pages(16384)
const large = new Pages(65536)
const huge = new Pages(524288)
let slab: Buffer = Buffer.allocUnsafeSlow(SLAB_SIZE)
let slabUsed = 0

/**
 * Memory that system calls read into, of one size: what comes is looked at before the next read, so one piece serves all sockets of a
 * thread. A read that fills enough of it takes it along, and a fresh one takes its place.
 */
class ReadMemory {
  readonly size: number
  readonly #pages: Pages
  /** Less is copied out, to pin no more memory than it is worth. */
  readonly #worth: number
  #page: Page | null = null

  constructor(pages: Pages, worth: number) {
    this.size = pages.size
    this.#pages = pages
    this.#worth = worth
  }

  get address(): bigint {
    this.#page ??= this.#pages.take()
    return this.#page.address
  }

  /** The first `length` bytes of what was just read, for their receiver. */
  take(length: number): Buffer {
    const page = this.#page!
    if (length <= this.#worth) return takeChunk(page.memory, length)
    this.#page = null
    return page.hand(length)
  }
}

export const reads = new ReadMemory(large, small.size)
/** For who has just filled `reads`: a proxied GiB costs two thirds in pieces of 512 KiB of what it does in pieces of 64. */
export const longReads = new ReadMemory(huge, large.size)

/** The first `length` bytes of `source` (at most 64 KiB), copied out for their receiver. */
export function takeChunk(source: Buffer, length: number): Buffer {
  if (length > SLAB_CHUNK) {
    const page = (length <= small.size ? small : large).take()
    source.copy(page.memory, 0, 0, length)
    return page.hand(length)
  }
  if (slabUsed + length > SLAB_SIZE) {
    slab = Buffer.allocUnsafeSlow(SLAB_SIZE)
    slabUsed = 0
  }
  const chunk = slab.subarray(slabUsed, slabUsed + length)
  source.copy(chunk, 0, 0, length)
  slabUsed += length
  return chunk
}

/** `count` bytes of the chunk that `view` shows are done with: written out, or understood. */
export function spendChunk(view: Uint8Array, count: number): void {
  const page = pageOf.get(view.buffer)
  if (page === undefined) return
  page.live -= count
  if (page.live === 0 && page.keepers === 0) page.pages.putBack(page)
}

/** The bytes of `view` are needed after they were written: its memory goes to the collector, some day, if it is not released. */
export function keepChunk(view: Uint8Array): void {
  const page = pageOf.get(view.buffer)
  if (page !== undefined) page.keepers++
}

/** Takes one `keepChunk` back. Only for bytes that were passed on once: the count of what is written fits no second time. */
export function releaseChunk(view: Uint8Array): void {
  const page = pageOf.get(view.buffer)
  if (page === undefined) return
  page.keepers--
  if (page.live === 0 && page.keepers === 0) page.pages.putBack(page)
}

/** Leaves the pages that wait for use to the collector: their thread rests. */
export function dropFreePages(): void {
  small.drop()
  large.drop()
  huge.drop()
}
