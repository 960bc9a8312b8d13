import { FieldName, isFieldValue } from './field.ts'
import type { HeaderReceiver } from './header-receiver.ts'
import { huffmanDecode } from './hpack-huffman.ts'
import { STATIC_LENGTH, STATIC_NAMES, STATIC_VALUES } from './hpack-static.ts'
import { findLiteral, literalHash, MAX_CACHED, noteLiteral } from './literal-cache.ts'

/** Size that SETTINGS_HEADER_TABLE_SIZE has before anybody says otherwise (RFC 9113 §6.5.2). */
export const DEFAULT_TABLE_SIZE = 4096
const ENTRY_OVERHEAD = 32

const staticNames = STATIC_NAMES.map(name => new FieldName(name))

/** Output of Huffman decoding; grows to the longest literal seen, which the header limits bound. */
let scratch: Buffer = Buffer.allocUnsafeSlow(4096)

/**
 * HPACK decoder (RFC 7541) of one connection. The dynamic table is a ring of names and values that were interned and
 * checked when they entered, so that an indexed field costs two array reads.
 */
export class HpackDecoder {
  /** Changes whenever the meaning of an index changes; equal generations decode equal bytes to equal fields. */
  generation = 0
  /** The last block referred to nothing in the dynamic table: its bytes mean the same at any time. */
  selfContained = true
  /** Entries it made there. */
  inserts = 0
  private names: (FieldName | null)[] = []
  private values: string[] = []
  private valid: boolean[] = []
  private mask = -1
  /** Insertions ever; entry k (1 = newest) lives at ring position `total - k`. */
  private total = 0
  private count = 0
  private size = 0
  private capacity = DEFAULT_TABLE_SIZE
  /** Upper bound of size updates: what we announced and the peer acknowledged. */
  private limit = DEFAULT_TABLE_SIZE
  /** RFC 7541 §4.2: after we lowered the limit the next block must begin with a size update. */
  updateDue = false
  // Cursor and results of the readers below, fields because JavaScript has one return value.
  private at = 0
  private text = ''
  private textValid = true

  /** Our SETTINGS_HEADER_TABLE_SIZE was acknowledged. */
  setLimit(limit: number): void {
    this.limit = limit
    if (limit < this.capacity) this.updateDue = true
  }

  /** Decodes one whole block into `to`. False: COMPRESSION_ERROR, the connection cannot go on (RFC 9113 §4.3). */
  decode(from: Buffer, start: number, end: number, to: HeaderReceiver): boolean {
    this.at = start
    this.selfContained = true
    this.inserts = 0
    let fields = 0
    while (this.at < end) {
      const byte = from[this.at]!
      if (byte >= 0x80) {
        const index = this.integer(from, end, 0x7f)
        if (index <= 0) return false
        if (index <= STATIC_LENGTH) to.field(staticNames[index]!, STATIC_VALUES[index]!, true)
        else {
          this.selfContained = false
          const k = index - STATIC_LENGTH
          if (k > this.count) return false
          const slot = (this.total - k) & this.mask
          to.field(this.names[slot]!, this.values[slot]!, this.valid[slot]!)
        }
      } else if (byte >= 0x40) {
        if (!this.literal(from, end, 0x3f, to, true)) return false
      } else if (byte >= 0x20) {
        // §4.2: size updates stand at the beginning of a block; two suffice for any sequence of changes.
        const size = this.integer(from, end, 0x1f)
        if (fields !== 0 || size < 0 || size > this.limit) return false
        this.updateDue = false
        this.selfContained = false
        this.resize(size)
        continue
      } else if (!this.literal(from, end, 0x0f, to, false)) return false
      if (fields++ === 0 && this.updateDue) return false
    }
    return true
  }

  private literal(from: Buffer, end: number, mask: number, to: HeaderReceiver, insert: boolean): boolean {
    const index = this.integer(from, end, mask)
    if (index < 0) return false
    let name: FieldName
    if (index === 0) {
      const named = this.nameLiteral(from, end)
      if (named === null) return false
      name = named
    } else if (index <= STATIC_LENGTH) name = staticNames[index]!
    else {
      this.selfContained = false
      const k = index - STATIC_LENGTH
      if (k > this.count) return false
      name = this.names[(this.total - k) & this.mask]!
    }
    if (!this.string(from, end)) return false
    const value = this.text
    const valid = this.textValid
    if (insert) this.insert(name, value, valid)
    to.field(name, value, valid)
    return true
  }

  /** Prefixed integer (RFC 7541 §5.1); -1 when cut short or above 2^28, which nothing legitimate needs. */
  private integer(from: Buffer, end: number, mask: number): number {
    if (this.at >= end) return -1
    let value = from[this.at++]! & mask
    if (value < mask) return value
    for (let shift = 0; shift <= 21; shift += 7) {
      if (this.at >= end) return -1
      const byte = from[this.at++]!
      value += (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    return -1
  }

  private nameLiteral(from: Buffer, end: number): FieldName | null {
    if (this.at >= end) return null
    const huffman = from[this.at]! >= 0x80
    const length = this.integer(from, end, 0x7f)
    const start = this.at
    if (length < 0 || length > end - start) return null
    this.at = start + length
    if (length > MAX_CACHED)
      return this.decodeString(from, start, start + length, huffman) ? new FieldName(this.text) : null
    const hash = literalHash(from, start, start + length, huffman)
    const hit = findLiteral(hash, from, start, start + length, huffman)
    if (hit !== null) return hit.name()
    if (!this.decodeString(from, start, start + length, huffman)) return null
    const noted = noteLiteral(hash, from, start, start + length, huffman, this.text, this.textValid)
    return noted === null ? new FieldName(this.text) : noted.name()
  }

  private string(from: Buffer, end: number): boolean {
    if (this.at >= end) return false
    const huffman = from[this.at]! >= 0x80
    const length = this.integer(from, end, 0x7f)
    const start = this.at
    if (length < 0 || length > end - start) return false
    this.at = start + length
    if (length > MAX_CACHED) return this.decodeString(from, start, start + length, huffman)
    const hash = literalHash(from, start, start + length, huffman)
    const hit = findLiteral(hash, from, start, start + length, huffman)
    if (hit !== null) {
      this.text = hit.text
      this.textValid = hit.valid
      return true
    }
    if (!this.decodeString(from, start, start + length, huffman)) return false
    noteLiteral(hash, from, start, start + length, huffman, this.text, this.textValid)
    return true
  }

  private decodeString(from: Buffer, start: number, end: number, huffman: boolean): boolean {
    if (huffman) {
      const most = (((end - start) * 8) / 5 + 1) | 0
      if (scratch.length < most) scratch = Buffer.allocUnsafeSlow(most * 2)
      const length = huffmanDecode(from, start, end, scratch, 0)
      if (length < 0) return false
      this.text = scratch.latin1Slice(0, length)
    } else this.text = from.latin1Slice(start, end)
    this.textValid = isFieldValue(this.text)
    return true
  }

  /** What the last block has put into the table, in its order; false when not all of it is there any more. */
  inserted(names: FieldName[], values: string[]): boolean {
    if (this.inserts > this.count) return false
    for (let k = this.inserts; k > 0; k--) {
      const slot = (this.total - k) & this.mask
      names.push(this.names[slot]!)
      values.push(this.values[slot]!)
    }
    return true
  }

  /** Decodes such a block without reading it: only what it does to the table. */
  replay(names: readonly FieldName[], values: readonly string[]): void {
    for (let i = 0; i < names.length; i++) this.insert(names[i]!, values[i]!, true)
  }

  private insert(name: FieldName, value: string, valid: boolean): void {
    if (this.capacity === 0) {
      // An encoder without a table (nginx says so in its first block) may go on asking for entries. For as long as there is no table.
      this.selfContained = false
      return
    }
    this.generation++
    this.inserts++
    const size = name.name.length + value.length + ENTRY_OVERHEAD
    this.evict(this.capacity - size)
    if (size > this.capacity) return
    if (this.count > this.mask) this.grow()
    const slot = this.total & this.mask
    this.names[slot] = name
    this.values[slot] = value
    this.valid[slot] = valid
    this.total = (this.total + 1) | 0
    this.count++
    this.size += size
  }

  private resize(capacity: number): void {
    if (capacity === this.capacity) return
    this.generation++
    this.capacity = capacity
    this.evict(capacity)
  }

  private evict(room: number): void {
    while (this.count > 0 && this.size > room) {
      const slot = (this.total - this.count) & this.mask
      this.size -= this.names[slot]!.name.length + this.values[slot]!.length + ENTRY_OVERHEAD
      this.names[slot] = null
      this.values[slot] = ''
      this.count--
    }
  }

  private grow(): void {
    const length = this.mask < 0 ? 16 : (this.mask + 1) * 2
    const names = new Array<FieldName | null>(length).fill(null)
    const values = new Array<string>(length).fill('')
    const valid = new Array<boolean>(length).fill(true)
    for (let k = this.count; k > 0; k--) {
      const from = (this.total - k) & this.mask
      const to = (this.total - k) & (length - 1)
      names[to] = this.names[from]!
      values[to] = this.values[from]!
      valid[to] = this.valid[from]!
    }
    this.names = names
    this.values = values
    this.valid = valid
    this.mask = length - 1
  }
}
