/**
 * Memory of what is read. Big chunks live in pages that are used again as soon as every byte of them was written out: left to
 * the collector, each 40 MB of traffic cost a full collection (300 µs of a proxied MiB).
 *
 * Who passes a chunk on gives it away. Who passes it on and still needs it (retries, shadows) calls `keepChunk` before. A chunk that
 * is merely dropped is left to the collector, so forgetting `spendChunk` costs time, never data.
 */

const SLAB_SIZE = 65536
/** Up to here chunks share slabs, so that a kept one pins at most one slab. */
const SLAB_CHUNK = 4096
/** Sizes of pages, and how many of each wait for use at most. */
const SMALL_PAGE = 16384
const LARGE_PAGE = 65536
const MAX_FREE = 64

class Page {
  readonly memory: Buffer
  /** Bytes handed out that were not written yet. */
  live = 0
  kept = false

  constructor(size: number) {
    this.memory = Buffer.allocUnsafeSlow(size)
    pages.set(this.memory.buffer, this)
  }
}

const pages = new WeakMap<ArrayBufferLike, Page>()
const freeSmall: Page[] = []
const freeLarge: Page[] = []
let slab: Buffer = Buffer.allocUnsafeSlow(SLAB_SIZE)
let slabUsed = 0
/** Tests set it: a page that is used again too early shows as rubbish. */
const POISON = process.env['REMORA_POISON_CHUNKS'] !== undefined

/** The first `length` bytes of `source` (at most 64 KiB), copied out for their receiver. */
export function takeChunk(source: Buffer, length: number): Buffer {
  if (length > SLAB_CHUNK) {
    const small = length <= SMALL_PAGE
    const page = (small ? freeSmall : freeLarge).pop() ?? new Page(small ? SMALL_PAGE : LARGE_PAGE)
    page.live = length
    source.copy(page.memory, 0, 0, length)
    return page.memory.subarray(0, length)
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
  const page = pages.get(view.buffer)
  if (page === undefined || page.kept) return
  page.live -= count
  if (page.live !== 0) return
  if (POISON) page.memory.fill(0xdb)
  const free = page.memory.length === SMALL_PAGE ? freeSmall : freeLarge
  if (free.length < MAX_FREE) free.push(page)
}

/** The bytes of `view` are needed after they were written: its memory goes to the collector, some day. */
export function keepChunk(view: Uint8Array): void {
  const page = pages.get(view.buffer)
  if (page !== undefined) page.kept = true
}
