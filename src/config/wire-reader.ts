/** Primitive reads of the protobuf wire format over one buffer; every read is bounds-checked. */
export class WireError extends Error {}

export class WireReader {
  readonly bytes: Uint8Array
  readonly #view: DataView
  at: number
  readonly end: number

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.at = start
    this.end = end
  }

  /** A tag, length or 32-bit value; higher bits are dropped as protobuf does. */
  uint32(): number {
    let result = 0
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.at >= this.end) throw new WireError('truncated varint')
      const b = this.bytes[this.at++]!
      if (shift < 32) result |= (b & 0x7f) << shift
      if (b < 0x80) return result >>> 0
    }
    throw new WireError('varint is longer than 10 bytes')
  }

  varint(): bigint {
    let low = 0
    let high = 0
    for (let i = 0; i < 10; i++) {
      if (this.at >= this.end) throw new WireError('truncated varint')
      const b = this.bytes[this.at++]!
      const bits = b & 0x7f
      const shift = i * 7
      if (shift < 28) low |= bits << shift
      else if (shift === 28) {
        low |= bits << 28
        high |= bits >>> 4
      } else if (shift < 64) high |= bits << (shift - 32)
      if (b < 0x80) return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
    }
    throw new WireError('varint is longer than 10 bytes')
  }

  /** @returns where the length-delimited value ends */
  delimited(): number {
    const length = this.uint32()
    const end = this.at + length
    if (end > this.end) throw new WireError('truncated field')
    return end
  }

  fixed32(): number {
    this.#need(4)
    const v = this.#view.getUint32(this.at, true)
    this.at += 4
    return v
  }

  fixed64(): bigint {
    this.#need(8)
    const v = this.#view.getBigUint64(this.at, true)
    this.at += 8
    return v
  }

  float(): number {
    this.#need(4)
    const v = this.#view.getFloat32(this.at, true)
    this.at += 4
    return v
  }

  double(): number {
    this.#need(8)
    const v = this.#view.getFloat64(this.at, true)
    this.at += 8
    return v
  }

  skip(wireType: number, depth = 0): void {
    if (wireType === 0) this.varint()
    else if (wireType === 1) this.#advance(8)
    else if (wireType === 2) this.at = this.delimited()
    else if (wireType === 5) this.#advance(4)
    else if (wireType === 3) {
      if (depth > 100) throw new WireError('groups nest too deeply')
      for (;;) {
        const tag = this.uint32()
        if ((tag & 7) === 4) return
        this.skip(tag & 7, depth + 1)
      }
    } else throw new WireError(`wire type ${wireType}`)
  }

  #need(n: number): void {
    if (this.at + n > this.end) throw new WireError('truncated field')
  }

  #advance(n: number): void {
    this.#need(n)
    this.at += n
  }
}
