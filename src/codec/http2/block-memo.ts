import { cut } from '../../base/list.ts'
import { HeaderBlock } from '../header-block.ts'
import type { FieldName } from './field.ts'
import { BlockKind, type HeaderReceiver } from './header-receiver.ts'
import type { HpackDecoder } from './hpack-decoder.ts'

const SLOTS = 4
/** Only short blocks repeat: those that are mostly indexes. */
const MAX_BLOCK = 256
/**
 * A response gets x-envoy-upstream-service-time on its way. In a list that is copied with room for it this costs half as much as a list
 * that must grow, and 230 bytes less. What a request gets is too much: taking so many elements away costs more than growing.
 */
const RESPONSE_ROOM = 2

class Entry {
  generation = -1
  kind: BlockKind = 0
  length = 0
  contentLength = -1
  /** It refers to nothing in the dynamic table: the generation does not matter. */
  selfContained = false
  /** What it puts there. */
  readonly insertedNames: FieldName[] = []
  readonly insertedValues: string[] = []
  bytes: Uint8Array = new Uint8Array(0)
  /** A block kept to copy from; nobody else holds it. */
  block = new HeaderBlock()
  /** So many elements at the end of its list stand for nothing. */
  room = 0
}

/**
 * Whole header blocks by their bytes. While the dynamic table does not move, equal bytes mean equal fields, so that a
 * client that repeats a request costs a comparison and a copy. The same holds at any time for blocks that refer to nothing in the
 * table, as those of peers that never use what they put there (nginx): of these the entries are made again. A block is kept at its
 * second sight.
 */
export class BlockMemo {
  private readonly entries: (Entry | null)[] = new Array<Entry | null>(SLOTS).fill(null)
  private readonly seen: number[] = new Array<number>(SLOTS).fill(0)

  /** Fills `to` from memory; false when the block is unknown. */
  recall(hpack: HpackDecoder, kind: BlockKind, from: Buffer, start: number, end: number, to: HeaderReceiver): boolean {
    const entry = this.find(hpack, kind, from, start, end - start)
    if (entry === null) return false
    const list = entry.block.list.slice()
    for (let i = 0; i < entry.room; i++) list.pop()
    const block = new HeaderBlock(list)
    const known = entry.block
    block.method = known.method
    block.path = known.path
    block.authority = known.authority
    block.scheme = known.scheme
    block.protocol = known.protocol
    block.status = known.status
    block.pseudoOrder = known.pseudoOrder
    to.recalled(block, entry.contentLength)
    hpack.replay(entry.insertedNames, entry.insertedValues)
    return true
  }

  /** Entries differ early, in length or in a byte, while a hash would have to be taken of every block to its end. */
  private find(hpack: HpackDecoder, kind: BlockKind, from: Buffer, start: number, length: number): Entry | null {
    if (length > MAX_BLOCK || hpack.updateDue) return null
    for (let slot = 0; slot < SLOTS; slot++) {
      const entry = this.entries[slot]!
      if (entry === null || entry.length !== length || entry.kind !== kind) continue
      if (!entry.selfContained && entry.generation !== hpack.generation) continue
      const { bytes } = entry
      let same = 0
      while (same < length && bytes[same] === from[start + same]) same++
      if (same === length) return entry
    }
    return null
  }

  /** After a decode that `recall` could not save. */
  keep(hpack: HpackDecoder, kind: BlockKind, from: Buffer, start: number, end: number, done: HeaderReceiver): void {
    const length = end - start
    if (length > MAX_BLOCK || done.error !== '' || done.droppedUnderscores > 0) return
    const hash = hashOf(from, start, end)
    const slot = hash & (SLOTS - 1)
    const { generation, selfContained } = hpack
    // Another block that inserted an entry differs in meaning the next time; its generation has moved, so it is never recalled.
    const mark = selfContained ? hash : hash ^ Math.imul(generation, 0x9e3779b1)
    if (this.seen[slot] !== mark) {
      this.seen[slot] = mark
      return
    }
    let entry = this.entries[slot]!
    if (entry === null) {
      entry = new Entry()
      this.entries[slot] = entry
    }
    if (entry.bytes.length < length) entry.bytes = new Uint8Array(MAX_BLOCK)
    for (let i = 0; i < length; i++) entry.bytes[i] = from[start + i]!
    cut(entry.insertedNames, 0)
    cut(entry.insertedValues, 0)
    // Entries that the same block has pushed out again cannot be read back: such a block is decoded each time.
    const whole = !selfContained || hpack.inserted(entry.insertedNames, entry.insertedValues)
    entry.selfContained = selfContained && whole
    entry.generation = whole ? generation : -1
    entry.kind = kind
    entry.length = length
    entry.contentLength = done.contentLength
    const block = new HeaderBlock()
    block.copyFrom(done.block)
    entry.room = kind === BlockKind.Response ? RESPONSE_ROOM : 0
    for (let i = 0; i < entry.room; i++) block.list.push('')
    entry.block = block
  }
}

function hashOf(from: Buffer, start: number, end: number): number {
  let hash = end - start
  for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + from[i]!) | 0
  return hash ^ (hash >>> 16)
}
