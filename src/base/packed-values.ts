/**
 * Cloneable values as bytes that many threads read in place. Unlike the structured clone of V8 equal parts are written once, names
 * of properties too: ten thousand clusters differ in little, and take a hundred bytes each instead of three thousand. And a
 * reader decodes only what it is asked for.
 *
 * A slot is a number: kind in the low three bits, above them the value or the offset of a node. A node is written before what
 * refers to it: text (length << 1 | two-byte, characters), list (count, slots), object (slot of the list of its names, slots).
 */
import { deserialize, serialize } from 'node:v8'

const Kind = { Constant: 0, Integer: 1, Text: 2, Object: 3, List: 4, Double: 5, Opaque: 6, LazyList: 7 } as const

const CONSTANTS = [undefined, null, true, false, ''] as const
const MAX_INTEGER = 0x0fffffff
/** First byte of an opaque node that is a packed list; V8's form of a value never begins with it. */
const PACKED = 0
/** kFastPropertiesSoftLimit of V8. */
const MANY_NAMES = 12

/** Names of the properties of objects that have the same ones in the same order. */
interface Shape {
  readonly names: readonly string[]
  /** Slot of the list of names. */
  readonly slot: number
}

/** Packs one value. Not to be used again after `pack` or `packList`. */
export class ValueWriter {
  readonly #lazy: ReadonlySet<string>
  /** Slots of objects that are known never to change. */
  readonly #immutable = new Map<object, number>()
  #bytes = Buffer.from(new ArrayBuffer(4096))
  #used = 0
  readonly #texts = new Map<string, number>()
  readonly #doubles = new Map<number, number>()
  /** By the first name. */
  readonly #shapes = new Map<string, Shape[]>()
  /** Hash table of nodes (open addressing): slots, 0 = free, and the hashes of the nodes. Its size is a power of two. */
  #table = new Float64Array(1024)
  #hashes = new Int32Array(1024)
  #count = 0
  /** Slots of the nodes that are being written, the innermost last. */
  readonly #slots: number[] = []

  /** Lists under these names become a `PackedList` when read. */
  constructor(lazy: ReadonlySet<string> = new Set()) {
    this.#lazy = lazy
  }

  /** A number that two values have in common exactly if they are equal. Throws when the value is not cloneable. */
  identify(value: unknown): number {
    return this.#slot(value, false)
  }

  /** An object that was identified and will not change: where it is met again it is not looked into. */
  remember(value: object, id: number): void {
    this.#immutable.set(value, id)
  }

  /** Names of properties of the objects that were identified. */
  names(): Set<string> {
    return new Set([...this.#shapes.values()].flatMap(shapes => shapes.flatMap(shape => shape.names)))
  }

  /** Throws when the value is not cloneable. */
  pack(value: unknown): SharedArrayBuffer {
    return this.#finish(this.#slot(value, false))
  }

  /** A `PackedList` of values that were identified before. */
  packList(ids: readonly number[]): SharedArrayBuffer {
    const from = this.#slots.length
    for (let i = 0; i < ids.length; i++) this.#slots.push(ids[i]!)
    return this.#finish(this.#node(Kind.List, ids.length, from) - Kind.List + Kind.LazyList)
  }

  #finish(root: number): SharedArrayBuffer {
    const shared = new SharedArrayBuffer(this.#used + 4)
    Buffer.from(shared).set(this.#bytes.subarray(0, this.#used), 4)
    new DataView(shared).setUint32(0, root, true)
    // Megabytes that the collector would find much later.
    for (const array of [this.#bytes, this.#table, this.#hashes]) free(array)
    return shared
  }

  #slot(value: unknown, lazy: boolean): number {
    switch (typeof value) {
      case 'string':
        return value === '' ? this.#constant(4) : this.#text(value)
      case 'number':
        if (Number.isInteger(value) && value >= 0 && value <= MAX_INTEGER && !Object.is(value, -0))
          return value * 8 + Kind.Integer
        return this.#double(value)
      case 'boolean':
        return this.#constant(value ? 2 : 3)
      case 'undefined':
        return this.#constant(0)
      case 'object':
        if (value === null) return this.#constant(1)
        if (this.#immutable.size > 0) {
          const known = this.#immutable.get(value)
          if (known !== undefined) return known
        }
        if (Array.isArray(value)) return this.#list(value, lazy)
        if (value instanceof PackedList) return this.#packed(value)
        if (Object.getPrototypeOf(value) === Object.prototype) return this.#object(value as Record<string, unknown>)
    }
    return this.#opaque(value)
  }

  #constant(index: number): number {
    return index * 8 + Kind.Constant
  }

  #text(value: string): number {
    const known = this.#texts.get(value)
    if (known !== undefined) return known
    const wide = /[^\x00-\xff]/.test(value)
    const size = wide ? value.length * 2 : value.length
    const slot = this.#offset(Kind.Text)
    this.#number(value.length * 2 + (wide ? 1 : 0))
    this.#reserve(size)
    this.#used += this.#bytes.write(value, this.#used, wide ? 'utf16le' : 'latin1')
    this.#texts.set(value, slot)
    return slot
  }

  #list(values: readonly unknown[], lazy: boolean): number {
    const from = this.#slots.length
    for (let i = 0; i < values.length; i++) this.#slots.push(this.#slot(values[i], false))
    const node = this.#node(Kind.List, values.length, from)
    return lazy ? node - Kind.List + Kind.LazyList : node
  }

  #object(value: Record<string, unknown>): number {
    const names = Object.keys(value)
    const from = this.#slots.length
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!
      this.#slots.push(this.#slot(value[name], this.#lazy.has(name)))
    }
    return this.#node(Kind.Object, this.#shape(names), from)
  }

  #shape(names: readonly string[]): number {
    const first = names.length === 0 ? '' : names[0]!
    let shapes = this.#shapes.get(first)
    if (shapes === undefined) {
      shapes = []
      this.#shapes.set(first, shapes)
    }
    for (let i = 0; i < shapes.length; i++) if (sameNames(shapes[i]!.names, names)) return shapes[i]!.slot
    const slot = this.#list(names, false)
    shapes.push({ names, slot })
    return slot
  }

  /** The node of the slots from `from` on, which are taken away: written now and, if it is there already, taken back. */
  #node(kind: number, head: number, from: number): number {
    const slots = this.#slots
    const start = this.#used
    this.#reserve(5 * (slots.length - from + 1))
    this.#number(head)
    for (let i = from; i < slots.length; i++) this.#number(slots[i]!)
    while (slots.length > from) slots.pop()
    const slot = (start + 4) * 8 + kind
    const known = this.#known(kind, start, slot)
    if (known !== slot) this.#used = start
    return known
  }

  /** The node that is equal to the one from `start` to the end: itself, as `slot`, if there was none. */
  #known(kind: number, start: number, slot: number): number {
    if (this.#count * 2 >= this.#table.length) this.#grow()
    const bytes = this.#bytes
    const end = this.#used
    let hash = kind
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
    hash ^= hash >>> 15
    const mask = this.#table.length - 1
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const found = this.#table[at]!
      if (found === 0) {
        this.#table[at] = slot
        this.#hashes[at] = hash
        this.#count++
        return slot
      }
      // Equal beginnings are equal nodes: the head says how many slots there are.
      if (this.#hashes[at] === hash && found % 8 === kind && this.#same(Math.floor(found / 8) - 4, start, end))
        return found
    }
  }

  #same(a: number, b: number, end: number): boolean {
    const bytes = this.#bytes
    for (let i = a, j = b; j < end; i++, j++) if (bytes[i] !== bytes[j]) return false
    return true
  }

  #grow(): void {
    const table = this.#table
    const hashes = this.#hashes
    const mask = table.length * 2 - 1
    this.#table = new Float64Array(mask + 1)
    this.#hashes = new Int32Array(mask + 1)
    for (let i = 0; i < table.length; i++) {
      if (table[i] === 0) continue
      let at = hashes[i]! & mask
      while (this.#table[at] !== 0) at = (at + 1) & mask
      this.#table[at] = table[i]!
      this.#hashes[at] = hashes[i]!
    }
    free(table)
    free(hashes)
  }

  #double(value: number): number {
    // -0 and 0 are one key, and 0 is never written like this.
    const known = this.#doubles.get(value)
    if (known !== undefined) return known
    const slot = this.#offset(Kind.Double)
    this.#reserve(8)
    this.#used = this.#bytes.writeDoubleLE(value, this.#used)
    this.#doubles.set(value, slot)
    return slot
  }

  /** Bytes, maps, big integers …: V8's form, which is also what refuses a function. */
  #opaque(value: unknown): number {
    const bytes = serialize(value)
    const slot = this.#offset(Kind.Opaque)
    this.#number(bytes.length)
    this.#reserve(bytes.length)
    this.#used += bytes.copy(this.#bytes, this.#used)
    return slot
  }

  /** A list that is packed already: all bytes of its reader, with the list as their root. */
  #packed(list: PackedList<object>): number {
    const bytes = list.packed()
    const slot = this.#offset(Kind.Opaque)
    this.#number(bytes.length + 1)
    this.#reserve(bytes.length + 1)
    this.#bytes[this.#used++] = PACKED
    this.#used += bytes.copy(this.#bytes, this.#used)
    return slot
  }

  #offset(kind: number): number {
    return (this.#used + 4) * 8 + kind
  }

  /** Base 128, low digits first. */
  #number(value: number): void {
    this.#reserve(5)
    let rest = value
    while (rest > 127) {
      this.#bytes[this.#used++] = (rest & 127) | 128
      rest = Math.floor(rest / 128)
    }
    this.#bytes[this.#used++] = rest
  }

  #reserve(size: number): void {
    if (this.#used + size <= this.#bytes.length) return
    const { buffer, length } = this.#bytes
    this.#bytes = Buffer.from((buffer as ArrayBuffer).transfer(Math.max(length * 2, this.#used + size)))
  }
}

/** Gives the memory back at once, whoever still holds the array. */
function free(array: { readonly buffer: ArrayBufferLike }): void {
  ;(array.buffer as ArrayBuffer).transfer(0)
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** Packs the elements of one list as they come. */
export class ListPacker<T extends object> {
  readonly #writer = new ValueWriter()
  readonly #ids: number[] = []

  get length(): number {
    return this.#ids.length
  }

  /** Throws when the value is not cloneable. */
  add(value: T): void {
    this.#ids.push(this.#writer.identify(value))
  }

  /** Once. */
  finish(): PackedList<T> {
    const list = new ValueReader(this.#writer.packList(this.#ids)).root() as PackedList<T>
    list.names = this.#writer.names()
    return list
  }
}

/** A list of packed objects, each decoded when it is asked for, every time anew. */
export class PackedList<T extends object> implements Iterable<T> {
  readonly length: number
  /** Names of all properties there are in the elements, at any depth; null: not known. */
  names: ReadonlySet<string> | null = null
  readonly #reader: ValueReader
  readonly #slots: Uint32Array
  readonly #slot: number

  constructor(reader: ValueReader, slot: number, slots: Uint32Array) {
    this.#reader = reader
    this.#slot = slot
    this.#slots = slots
    this.length = slots.length
  }

  get(index: number): T {
    return this.#reader.value(this.#slots[index]!) as T
  }

  /** One property of an element, without the others. */
  field<K extends keyof T>(index: number, name: K): T[K] {
    return this.#reader.property(this.#slots[index]!, name as string) as T[K]
  }

  *[Symbol.iterator](): Generator<T> {
    for (let i = 0; i < this.length; i++) yield this.get(i)
  }

  /** What `ValueReader` reads this list from. */
  packed(): Buffer {
    return this.#reader.packed(this.#slot)
  }
}

/** Reads what a `ValueWriter` has packed. What it returns belongs to the caller. */
export class ValueReader {
  readonly #bytes: Buffer
  readonly #names = new Map<number, readonly string[]>()
  readonly #shapes = new Map<number, Record<string, unknown>>()
  #at = 0

  constructor(packed: SharedArrayBuffer | Buffer) {
    this.#bytes = Buffer.isBuffer(packed) ? packed : Buffer.from(packed)
  }

  /** Everything that is packed, with the value in `slot` as root. */
  packed(slot: number): Buffer {
    const bytes = Buffer.from(this.#bytes)
    bytes.writeUInt32LE(slot, 0)
    return bytes
  }

  root(): unknown {
    return this.value(this.#bytes.readUInt32LE(0))
  }

  value(slot: number): unknown {
    const rest = Math.floor(slot / 8)
    switch (slot % 8) {
      case Kind.Constant:
        return CONSTANTS[rest]
      case Kind.Integer:
        return rest
      case Kind.Text:
        return this.#text(rest)
      case Kind.Object:
        return this.#object(rest)
      case Kind.List:
        return this.#list(rest)
      case Kind.Double:
        return this.#bytes.readDoubleLE(rest)
      case Kind.Opaque:
        return this.#opaque(rest)
      default:
        return new PackedList(this, slot, this.#slots(rest))
    }
  }

  /** One property of the object in `slot`; undefined when it has none of that name. */
  property(slot: number, name: string): unknown {
    this.#at = Math.floor(slot / 8)
    const index = this.#namesAt(this.#number()).indexOf(name)
    if (index < 0) return undefined
    for (let i = 0; i < index; i++) this.#number()
    return this.value(this.#number())
  }

  #text(at: number): string {
    this.#at = at
    const head = this.#number()
    const start = this.#at
    return head % 2 === 0
      ? this.#bytes.toString('latin1', start, start + head / 2)
      : this.#bytes.toString('utf16le', start, start + head - 1)
  }

  #object(at: number): object {
    this.#at = at
    const slot = this.#number()
    const names = this.#namesAt(slot)
    const out = names.length > MANY_NAMES ? { ...this.#shape(slot, names) } : {}
    let next = this.#at
    for (const name of names) {
      this.#at = next
      const slot = this.#number()
      next = this.#at
      setOwn(out, name, this.value(slot))
    }
    return out
  }

  /**
   * An object that has these properties, to be copied and filled. V8 makes a hash table of an object that grows name by name beyond
   * a dozen, and the configuration of a connection manager is read with every request; one out of JSON keeps its shape.
   */
  #shape(slot: number, names: readonly string[]): Record<string, unknown> {
    let shape = this.#shapes.get(slot)
    if (shape === undefined) {
      shape = JSON.parse(`{${names.map(name => `${JSON.stringify(name)}:0`).join(',')}}`) as Record<string, unknown>
      this.#shapes.set(slot, shape)
    }
    return shape
  }

  #list(at: number): unknown[] {
    const slots = this.#slots(at)
    const out: unknown[] = []
    for (let i = 0; i < slots.length; i++) out.push(this.value(slots[i]!))
    return out
  }

  #slots(at: number): Uint32Array {
    this.#at = at
    const slots = new Uint32Array(this.#number())
    for (let i = 0; i < slots.length; i++) slots[i] = this.#number()
    return slots
  }

  #opaque(at: number): unknown {
    this.#at = at
    const size = this.#number()
    const bytes = this.#bytes.subarray(this.#at, this.#at + size)
    if (bytes[0] === PACKED) return new ValueReader(bytes.subarray(1)).root()
    // V8 wants ordinary memory.
    return deserialize(Buffer.from(bytes))
  }

  #namesAt(slot: number): readonly string[] {
    let names = this.#names.get(slot)
    if (names === undefined) {
      const at = this.#at
      names = this.#list(Math.floor(slot / 8)) as string[]
      this.#at = at
      this.#names.set(slot, names)
    }
    return names
  }

  #number(): number {
    let value = 0
    let scale = 1
    for (;;) {
      const digit = this.#bytes[this.#at++]!
      value += (digit & 127) * scale
      if (digit < 128) return value
      scale *= 128
    }
  }
}

/** A configuration may have a key of this name (metadata); assignment would set the prototype. */
function setOwn(target: Record<string, unknown>, name: string, value: unknown): void {
  if (name !== '__proto__') target[name] = value
  else Object.defineProperty(target, name, { value, writable: true, enumerable: true, configurable: true })
}
