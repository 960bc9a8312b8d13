const SHORT = 32

/**
 * Writes the protobuf wire format field by field. No descriptors are needed, so that workers can write messages of the data plane:
 *
 *     const w = new WireWriter()
 *     w.stringField(1, 'name')            // skipped when ''
 *     w.messageField(2, () => w.stringField(1, 'inner'))
 *     w.finish()
 */
export class WireWriter {
  #buffer: Buffer<ArrayBuffer>
  #at = 0

  /** `size`: bytes there is room for at first. */
  constructor(size = 1024) {
    this.#buffer = Buffer.allocUnsafe(size)
  }

  finish(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#buffer.subarray(0, this.#at))
  }

  #grow(n: number): void {
    if (this.#at + n <= this.#buffer.length) return
    const next = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#at + n))
    this.#buffer.copy(next, 0, 0, this.#at)
    this.#buffer = next
  }

  varint(n: number): void {
    this.#grow(5)
    let v = n >>> 0
    while (v > 0x7f) {
      this.#buffer[this.#at++] = (v & 0x7f) | 0x80
      v >>>= 7
    }
    this.#buffer[this.#at++] = v
  }

  bigVarint(n: bigint): void {
    this.#grow(10)
    let v = BigInt.asUintN(64, n)
    while (v > 0x7fn) {
      this.#buffer[this.#at++] = Number(v & 0x7fn) | 0x80
      v >>= 7n
    }
    this.#buffer[this.#at++] = Number(v)
  }

  tag(number: number, wireType: number): void {
    this.varint((number << 3) | wireType)
  }

  fixed32(n: number): void {
    this.#grow(4)
    this.#at = this.#buffer.writeUInt32LE(n >>> 0, this.#at)
  }

  fixed64(n: bigint): void {
    this.#grow(8)
    this.#at = this.#buffer.writeBigUInt64LE(BigInt.asUintN(64, n), this.#at)
  }

  float(n: number): void {
    this.#grow(4)
    this.#at = this.#buffer.writeFloatLE(n, this.#at)
  }

  double(n: number): void {
    this.#grow(8)
    this.#at = this.#buffer.writeDoubleLE(n, this.#at)
  }

  bytes(b: Uint8Array): void {
    this.varint(b.length)
    this.#grow(b.length)
    this.#buffer.set(b, this.#at)
    this.#at += b.length
  }

  text(s: string): void {
    const length = Buffer.byteLength(s)
    this.varint(length)
    this.#grow(length)
    this.#at += this.#buffer.write(s, this.#at)
  }

  /** A value whose characters are bytes, as everything that formatters make. */
  latin1(s: string): void {
    const { length } = s
    this.varint(length)
    this.#grow(length)
    const buffer = this.#buffer
    const at = this.#at
    this.#at = at + length
    // A call into native code costs more than a few characters.
    if (length > SHORT) buffer.latin1Write(s, at, length)
    else for (let i = 0; i < length; i++) buffer[at + i] = s.charCodeAt(i)
  }

  /** Bytes that are encoded fields already. */
  raw(b: Uint8Array): void {
    this.#grow(b.length)
    this.#buffer.set(b, this.#at)
    this.#at += b.length
  }

  /** Writes the content first and puts its length in front: lengths are not known before. */
  delimited(write: () => void): void {
    const start = this.open()
    write()
    this.close(start)
  }

  /** Begins a length-delimited value; what is written until `close` of the returned mark is its content. */
  open(): number {
    this.#grow(1)
    return this.#at++
  }

  /** `open` behind the tag of a length-delimited field. */
  tagged(number: number): number {
    this.varint((number << 3) | 2)
    return this.open()
  }

  /** @returns the length of the content */
  close(mark: number): number {
    const length = this.#at - mark - 1
    let extra = 0
    for (let v = length >>> 7; v > 0; v >>>= 7) extra++
    if (extra > 0) {
      this.#grow(extra)
      this.#buffer.copyWithin(mark + 1 + extra, mark + 1, this.#at)
    }
    const end = this.#at + extra
    this.#at = mark
    this.varint(length)
    this.#at = end
    return length
  }

  get length(): number {
    return this.#at
  }

  /** What was written, without a copy: nothing may be written any more. */
  take(): Uint8Array {
    return this.view()
  }

  /** What was written; only good until the next write. */
  view(): Uint8Array {
    return this.#buffer.subarray(0, this.#at)
  }

  /** To write the next message with the same memory. */
  clear(): void {
    this.#at = 0
  }

  /** proto3: a default value is not written. Text is UTF-8. */
  stringField(number: number, value: string): void {
    if (value === '') return
    this.tag(number, 2)
    this.text(value)
  }

  bytesField(number: number, value: Uint8Array): void {
    if (value.length === 0) return
    this.tag(number, 2)
    this.bytes(value)
  }

  /** Unsigned, or a signed integer that is not negative; up to 2^53. Also enums. */
  uintField(number: number, value: number): void {
    if (value === 0) return
    this.tag(number, 0)
    if (value <= 0xffffffff) this.varint(value)
    else this.bigVarint(BigInt(value))
  }

  boolField(number: number, value: boolean): void {
    if (!value) return
    this.tag(number, 0)
    this.varint(1)
  }

  doubleField(number: number, value: number): void {
    if (value === 0 && !Object.is(value, -0)) return
    this.tag(number, 1)
    this.double(value)
  }

  /** Written even when `write` writes nothing: a message field that is set. */
  messageField(number: number, write: () => void): void {
    this.tag(number, 2)
    this.delimited(write)
  }
}
