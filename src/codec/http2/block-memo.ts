import { cut } from '../../base/list.ts'
import { HeaderBlock } from '../header-block.ts'
import type { FieldName } from './field.ts'
import type { BlockKind, HeaderReceiver } from './header-receiver.ts'
import type { HpackDecoder } from './hpack-decoder.ts'

const SLOTS = 4
/** Only short blocks repeat: those that are mostly indexes. */
const MAX_BLOCK = 256

class Entry {
  hash = 0
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
  block: HeaderBlock | null = null
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
  private hash = 0

  /** Fills `to` from memory; false when the block is unknown. */
  recall(hpack: HpackDecoder, kind: BlockKind, from: Buffer, start: number, end: number, to: HeaderReceiver): boolean {
    const length = end - start
    if (length > MAX_BLOCK || hpack.updateDue) return false
    let hash = length
    for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + from[i]!) | 0
    hash ^= hash >>> 16
    this.hash = hash
    const entry = this.entries[hash & (SLOTS - 1)]!
    if (entry === null || entry.hash !== hash) return false
    if (!entry.selfContained && entry.generation !== hpack.generation) return false
    if (entry.kind !== kind || entry.length !== length || entry.block === null) return false
    const bytes = entry.bytes
    for (let i = 0; i < length; i++) if (bytes[i] !== from[start + i]) return false
    const block = to.block
    block.list = entry.block.list.slice()
    block.method = entry.block.method
    block.path = entry.block.path
    block.authority = entry.block.authority
    block.scheme = entry.block.scheme
    block.protocol = entry.block.protocol
    block.status = entry.block.status
    block.pseudoOrder = entry.block.pseudoOrder
    to.contentLength = entry.contentLength
    hpack.replay(entry.insertedNames, entry.insertedValues)
    return true
  }

  /** After a decode that `recall` could not save. */
  keep(hpack: HpackDecoder, kind: BlockKind, from: Buffer, start: number, end: number, done: HeaderReceiver): void {
    const length = end - start
    if (length > MAX_BLOCK || done.error !== '' || done.droppedUnderscores > 0) return
    const slot = this.hash & (SLOTS - 1)
    const { generation, selfContained } = hpack
    // Another block that inserted an entry differs in meaning the next time; its generation has moved, so it is never recalled.
    const mark = selfContained ? this.hash : this.hash ^ Math.imul(generation, 0x9e3779b1)
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
    entry.hash = this.hash
    entry.selfContained = selfContained && whole
    entry.generation = whole ? generation : -1
    entry.kind = kind
    entry.length = length
    entry.contentLength = done.contentLength
    const block = new HeaderBlock()
    block.copyFrom(done.block)
    entry.block = block
  }
}
