import { multiplexed } from '../../base/multiplexed.ts'

/** What the table needs of its streams. */
export interface Identified {
  /** Stream id, positive; must not change while the stream is in the table. */
  readonly id: number
}

/** A power of two. */
const SMALLEST = 8
/** 2^32 divided by the golden ratio: ids that follow each other land far apart, so that runs of taken slots stay short. */
const SCATTER = 0x9e3779b1

/**
 * The open streams of a connection by id: open addressing, linear probing. A Map under steady coming and going makes itself anew every
 * few dozen streams, each time with a link from the old table to the new one, so that V8's scavenger takes the garbage for alive: half
 * of all that HTTP/2 moved to the old generation. A peer that picks ids which collide makes each step as long as the streams that it
 * may have open (SETTINGS_MAX_CONCURRENT_STREAMS).
 */
export class StreamTable<S extends Identified> {
  size = 0
  private slots: (S | null)[] = emptySlots(SMALLEST)
  /** Bits that the hash of an id is shifted by to become a slot. */
  private shift = Math.clz32(SMALLEST - 1)

  get(id: number): S | undefined {
    const { slots } = this
    const mask = slots.length - 1
    let at = Math.imul(id, SCATTER) >>> this.shift
    for (;;) {
      const s = slots[at]!
      if (s === null) return undefined
      if (s.id === id) return s
      at = (at + 1) & mask
    }
  }

  has(id: number): boolean {
    return this.get(id) !== undefined
  }

  /** `s` must not be in the table. */
  add(s: S): void {
    if ((this.size + 1) * 2 > this.slots.length) this.resize(this.slots.length * 2)
    this.size++
    multiplexed.open++
    multiplexed.begun++
    this.put(s)
  }

  /** No-op for a stream that is not in the table. */
  delete(s: S): void {
    const { slots, shift } = this
    const mask = slots.length - 1
    let hole = Math.imul(s.id, SCATTER) >>> shift
    while (slots[hole] !== s) {
      if (slots[hole] === null) return
      hole = (hole + 1) & mask
    }
    this.size--
    multiplexed.open--
    // What stands behind the hole moves up, unless its own place is behind the hole too: probes end at the first empty slot.
    for (let at = (hole + 1) & mask; slots[at] !== null; at = (at + 1) & mask) {
      const next = slots[at]!
      if (((at - (Math.imul(next.id, SCATTER) >>> shift)) & mask) < ((at - hole) & mask)) continue
      slots[hole] = next
      hole = at
    }
    slots[hole] = null
    // A burst of streams is no reason to keep its table.
    if (this.size === 0 && slots.length > SHRINK_ABOVE) this.resize(SMALLEST)
  }

  /** The streams as they are now, by ascending id, which is the order in which they were begun. */
  snapshot(): S[] {
    const list: S[] = []
    for (const s of this.slots) if (s !== null) list.push(s)
    return list.sort((a, b) => a.id - b.id)
  }

  private put(s: S): void {
    const { slots } = this
    const mask = slots.length - 1
    let at = Math.imul(s.id, SCATTER) >>> this.shift
    while (slots[at] !== null) at = (at + 1) & mask
    slots[at] = s
  }

  private resize(length: number): void {
    const old = this.slots
    this.slots = emptySlots(length)
    this.shift = Math.clz32(length - 1)
    for (const s of old) if (s !== null) this.put(s)
  }
}

/** Slots of an idle connection that are not worth making again: 1 KiB. */
const SHRINK_ABOVE = 128

function emptySlots<S>(length: number): (S | null)[] {
  return new Array<S | null>(length).fill(null)
}
