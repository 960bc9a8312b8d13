import { type HeaderBlock, PseudoOrder } from '../header-block.ts'
import { huffmanEncode, huffmanLength } from './hpack-huffman.ts'
import { STATIC_LENGTH, STATIC_NAMES, STATIC_VALUES } from './hpack-static.ts'

const DEFAULT_TABLE_SIZE = 4096
const ENTRY_OVERHEAD = 32
/** Values of one name that were seen once and wait to be seen again. */
const CANDIDATES = 4
/** So many values of a name that never came twice make the next ones unlikely to. */
const UNIQUE = 32
/** Names a connection learns; more than that are spelled out each time. */
const MAX_NAMES = 512

/** What the encoder knows about a name on this connection. */
class EncoderName {
  readonly name: string
  /** Static index of the name; 0 when it has none. */
  readonly staticIndex: number
  /** RFC 9113 §8.2.2: not to be sent. */
  readonly skip: boolean
  /** RFC 7541 §7.1.3: short secrets can be guessed through the table, so they are sent never-indexed. */
  readonly sensitive: boolean
  readonly values = new Map<string, number>()
  readonly candidates: string[] = ['', '', '', '']
  nextCandidate = 0
  /** Absolute number of the newest table entry with this name, evicted or not; 0 when there was none. */
  latest = 0
  uses = 0
  /** Values in a row that were not met before: request ids and their like, for which looking is in vain. */
  strangers = 0

  constructor(name: string) {
    this.name = name
    this.staticIndex = STATIC_BY_NAME.get(name) ?? 0
    this.skip = SKIPPED.has(name)
    this.sensitive = SENSITIVE.has(name)
    for (let i = this.staticIndex; i > 0 && STATIC_NAMES[i] === name; i++) {
      if (STATIC_VALUES[i] !== '') this.values.set(STATIC_VALUES[i]!, -i)
    }
  }

  /** True when `value` was met lately, so that it is worth a table entry; else it is noted. */
  repeats(value: string): boolean {
    const candidates = this.candidates
    for (let i = 0; i < CANDIDATES; i++) if (candidates[i] === value) return true
    candidates[this.nextCandidate] = value
    this.nextCandidate = (this.nextCandidate + 1) % CANDIDATES
    return false
  }
}

const STATIC_BY_NAME = new Map<string, number>()
for (let i = STATIC_LENGTH; i > 0; i--) STATIC_BY_NAME.set(STATIC_NAMES[i]!, i)
const SKIPPED = new Set(['connection', 'proxy-connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'host'])
const SENSITIVE = new Set(['authorization', 'proxy-authorization', 'cookie', 'set-cookie'])

const ALL_PSEUDO = 0b111110
/** Host is a field of the head, the rest of the request line is known at its end. */
const HTTP1_ORDER =
  (PseudoOrder.Authority << 9) | (PseudoOrder.Path << 6) | (PseudoOrder.Method << 3) | PseudoOrder.Scheme

/**
 * HPACK encoder (RFC 7541) of one connection. A value enters the dynamic table when it comes the second time, so that
 * request ids and the like never push out what repeats. Beside the table it remembers, per position in the list, what was
 * sent last: heads on one connection look alike, and the common field costs two pointer comparisons and one byte.
 */
export class HpackEncoder {
  private readonly names = new Map<string, EncoderName>()
  /** Ring of table entries; absolute number n (1 = first ever) lives at n & mask. */
  private ringNames: (EncoderName | null)[] = []
  private ringValues: string[] = []
  private mask = -1
  private inserted = 0
  private count = 0
  private size = 0
  private capacity = DEFAULT_TABLE_SIZE
  private readonly maxCapacity: number
  /** Smallest capacity since the last block, and whether the peer must be told (§4.2). */
  private lowest = DEFAULT_TABLE_SIZE
  private changed = false
  private readonly lastKnown: (EncoderName | null)[] = []
  private readonly lastNames: string[] = []
  private readonly lastValues: string[] = []
  /** Absolute entry number when positive, static index when negative, 0 for none. */
  private readonly lastEntries: number[] = []
  private position = 0

  /** `maxCapacity`: Http2ProtocolOptions.hpack_table_size; 0 turns compression by table off. */
  constructor(maxCapacity: number) {
    this.maxCapacity = maxCapacity
    if (maxCapacity < DEFAULT_TABLE_SIZE) this.setCapacity(maxCapacity)
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  setPeerLimit(limit: number): void {
    // A larger table than the default only costs memory here, so it needs both sides to ask for it.
    this.setCapacity(Math.min(limit, this.maxCapacity))
  }

  /** Upper bound of what `encode` writes for `block`. */
  static bound(block: HeaderBlock): number {
    const list = block.list
    let bytes = 128 + block.path.length + block.authority.length + block.method.length + block.scheme.length
    bytes += block.protocol.length + list.length * 6
    for (let i = 0; i < list.length; i++) bytes += list[i]!.length
    return bytes
  }

  /** Writes `block` to `to` at `start`, pseudo headers first, and returns the end. */
  encode(block: HeaderBlock, to: Buffer, start: number): number {
    let at = this.changed ? this.writeSizeUpdates(to, start) : start
    this.position = 0
    if (block.status !== 0) at = this.field(':status', statusText(block.status), to, at)
    else if (block.method !== '') at = this.pseudo(block, to, at)
    const list = block.list
    for (let i = 0; i < list.length; i += 2) at = this.field(list[i]!, list[i + 1]!, to, at)
    return at
  }

  /** In the order in which they came, as Envoy's header map keeps it; what was added on the way comes last. */
  private pseudo(block: HeaderBlock, to: Buffer, start: number): number {
    let at = start
    let missing = ALL_PSEUDO
    let order = block.pseudoOrder === 0 ? HTTP1_ORDER : block.pseudoOrder
    for (let shift = 12; shift >= 0; shift -= 3) {
      const digit = (order >> shift) & 7
      if (digit === 0) continue
      missing &= ~(1 << digit)
      at = this.pseudoField(digit, block, to, at)
    }
    for (order = 1; missing !== 0; order++) {
      if ((missing & (1 << order)) === 0) continue
      missing &= ~(1 << order)
      at = this.pseudoField(order, block, to, at)
    }
    return at
  }

  private pseudoField(digit: number, block: HeaderBlock, to: Buffer, at: number): number {
    switch (digit) {
      case PseudoOrder.Method:
        return this.field(':method', block.method, to, at)
      case PseudoOrder.Path:
        return block.path === '' ? at : this.field(':path', block.path, to, at)
      case PseudoOrder.Authority:
        return block.authority === '' ? at : this.field(':authority', block.authority, to, at)
      case PseudoOrder.Scheme:
        return block.scheme === '' ? at : this.field(':scheme', block.scheme, to, at)
      default:
        return block.protocol === '' ? at : this.field(':protocol', block.protocol, to, at)
    }
  }

  private field(name: string, value: string, to: Buffer, at: number): number {
    const position = this.position++
    if (position < this.lastNames.length && this.lastNames[position] === name && this.lastValues[position] === value) {
      const entry = this.lastEntries[position]!
      if (entry < 0) {
        to[at] = 0x80 | -entry
        return at + 1
      }
      const k = this.inserted - entry
      if (entry !== 0 && k < this.count) return writeInteger(0x80, 0x7f, STATIC_LENGTH + 1 + k, to, at)
    }
    return this.lookUp(position, name, value, to, at)
  }

  private lookUp(position: number, name: string, value: string, to: Buffer, at: number): number {
    const known = this.known(position, name)
    if (known.skip) {
      this.position--
      return at
    }
    // Hashing and comparing text that was just made costs more than writing it; now and then it is tried again.
    if (known.strangers >= UNIQUE && (known.strangers & 63) !== 0 && (known.staticIndex | known.latest) !== 0) {
      if (position < this.lastNames.length) this.lastNames[position] = ''
      known.strangers++
      return writeRaw(value, to, this.writeName(known, 0, 0x0f, to, at))
    }
    // Bounded: a list may be long once, and memory must not follow.
    const remember = position < 64
    if (remember) {
      this.lastNames[position] = name
      this.lastValues[position] = value
      this.lastEntries[position] = 0
    }
    const entry = known.values.get(value)
    if (entry !== undefined) {
      known.strangers = 0
      if (remember) this.lastEntries[position] = entry
      if (entry < 0) {
        to[at] = 0x80 | -entry
        return at + 1
      }
      return writeInteger(0x80, 0x7f, STATIC_LENGTH + 1 + this.inserted - entry, to, at)
    }
    const sensitive = known.sensitive && value.length < 20
    const size = name.length + value.length + ENTRY_OVERHEAD
    if (sensitive || size * 2 > this.capacity || !(known.repeats(value) || this.wantsName(known))) {
      known.strangers++
      const end = this.writeName(known, sensitive ? 0x10 : 0, 0x0f, to, at)
      return writeRaw(value, to, end)
    }
    known.strangers = 0
    const end = writeHuffman(value, to, this.writeName(known, 0x40, 0x3f, to, at))
    this.insert(known, value, size)
    if (remember) this.lastEntries[position] = this.inserted
    return end
  }

  /** Found where it stood in the last head, else by its name. */
  private known(position: number, name: string): EncoderName {
    const last = position < this.lastKnown.length ? this.lastKnown[position]! : null
    if (last !== null && last.name === name) return last
    let known = this.names.get(name)
    if (known === undefined) {
      known = new EncoderName(name)
      if (this.names.size >= MAX_NAMES) return known
      this.names.set(name, known)
    }
    // Places are filled in turn: a list with holes is slower to read.
    if (position < this.lastKnown.length) this.lastKnown[position] = known
    else if (position === this.lastKnown.length && position < 64) this.lastKnown.push(known)
    return known
  }

  /** One entry per name that is used again spares later values, unique as they may be, the literal name. */
  private wantsName(known: EncoderName): boolean {
    if (known.staticIndex !== 0 || ++known.uses < 2) return false
    return known.latest === 0 || this.inserted - known.latest >= this.count
  }

  private writeName(known: EncoderName, pattern: number, mask: number, to: Buffer, at: number): number {
    if (known.staticIndex !== 0) return writeInteger(pattern, mask, known.staticIndex, to, at)
    const k = this.inserted - known.latest
    if (known.latest !== 0 && k < this.count) return writeInteger(pattern, mask, STATIC_LENGTH + 1 + k, to, at)
    to[at] = pattern
    return writeHuffman(known.name, to, at + 1)
  }

  private insert(known: EncoderName, value: string, size: number): void {
    this.evict(this.capacity - size)
    if (this.count >= this.mask) this.grow()
    const entry = ++this.inserted
    this.ringNames[entry & this.mask] = known
    this.ringValues[entry & this.mask] = value
    known.values.set(value, entry)
    known.latest = entry
    this.count++
    this.size += size
  }

  private evict(room: number): void {
    while (this.count > 0 && this.size > room) {
      const entry = this.inserted - this.count + 1
      const slot = entry & this.mask
      const name = this.ringNames[slot]!
      const value = this.ringValues[slot]!
      this.size -= name.name.length + value.length + ENTRY_OVERHEAD
      name.values.delete(value)
      this.ringNames[slot] = null
      this.ringValues[slot] = ''
      this.count--
    }
  }

  private grow(): void {
    const length = this.mask < 0 ? 16 : (this.mask + 1) * 2
    const names = new Array<EncoderName | null>(length).fill(null)
    const values = new Array<string>(length).fill('')
    for (let k = 0; k < this.count; k++) {
      const entry = this.inserted - k
      names[entry & (length - 1)] = this.ringNames[entry & this.mask]!
      values[entry & (length - 1)] = this.ringValues[entry & this.mask]!
    }
    this.ringNames = names
    this.ringValues = values
    this.mask = length - 1
  }

  private setCapacity(capacity: number): void {
    if (capacity === this.capacity) return
    if (!this.changed) this.lowest = this.capacity
    this.changed = true
    this.capacity = capacity
    if (capacity < this.lowest) this.lowest = capacity
    this.evict(capacity)
  }

  private writeSizeUpdates(to: Buffer, start: number): number {
    let at = start
    if (this.lowest < this.capacity) at = writeInteger(0x20, 0x1f, this.lowest, to, at)
    at = writeInteger(0x20, 0x1f, this.capacity, to, at)
    this.changed = false
    return at
  }
}

/** Prefixed integer (RFC 7541 §5.1) under `pattern`. */
export function writeInteger(pattern: number, mask: number, value: number, to: Buffer, at: number): number {
  if (value < mask) {
    to[at] = pattern | value
    return at + 1
  }
  to[at++] = pattern | mask
  let rest = value - mask
  while (rest >= 0x80) {
    to[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  to[at++] = rest
  return at
}

/** One-time values go without Huffman: the bytes saved on a local link are worth less than the cycles. */
function writeRaw(value: string, to: Buffer, at: number): number {
  const length = value.length
  let out = writeInteger(0, 0x7f, length, to, at)
  if (length > 40) return out + to.latin1Write(value, out, length)
  for (let i = 0; i < length; i++) to[out++] = value.charCodeAt(i)
  return out
}

function writeHuffman(value: string, to: Buffer, at: number): number {
  const length = huffmanLength(value)
  if (length >= value.length) return writeRaw(value, to, at)
  return huffmanEncode(value, to, writeInteger(0x80, 0x7f, length, to, at))
}

const STATUS_TEXT: string[] = []
for (let status = 100; status < 600; status++) STATUS_TEXT[status] = String(status)

function statusText(status: number): string {
  return STATUS_TEXT[status] ?? String(status)
}
