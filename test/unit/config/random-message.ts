/** Random messages in the decoded shape, for round trips. Deterministic for a seed. */
import { type FieldType, type MessageType, messageType } from '../../../src/config/descriptors.ts'
import { setKey } from '../../../src/config/object-key.ts'

export class RandomMessages {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  /** mulberry32 */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  below(n: number): number {
    return Math.floor(this.next() * n)
  }

  message(type: MessageType, depth = 0): Record<string, unknown> {
    const out: Record<string, unknown> = {}
    const taken = new Set<number>()
    for (const f of type.fields) {
      if (this.next() > (depth === 0 ? 0.7 : 0.4 / depth)) continue
      if (f.oneof >= 0) {
        if (taken.has(f.oneof)) continue
        taken.add(f.oneof)
      }
      const value = this.#field(f, depth)
      if (value !== undefined) out[f.name] = value
    }
    return out
  }

  #field(f: FieldType, depth: number): unknown {
    if (f.isMap) {
      const map: Record<string, unknown> = {}
      for (let i = this.below(3); i >= 0; i--) {
        const key = f.message.byNumber.get(1)!
        setKey(
          map,
          key.type === 9 ? this.#text() : key.type === 8 ? 'true' : String(this.below(99)),
          this.#value(f.message.byNumber.get(2)!, depth),
        )
      }
      return map
    }
    if (f.repeated) return Array.from({ length: 1 + this.below(3) }, () => this.#value(f, depth))
    const value = this.#value(f, depth)
    const zero =
      value === 0 || value === false || value === '' || (f.isEnum && f.enum.byName.get(value as string) === 0)
    return !f.presence && (zero || (value instanceof Uint8Array && value.length === 0)) ? undefined : value
  }

  #value(f: FieldType, depth: number): unknown {
    switch (f.wellKnown) {
      case 'duration':
        return this.below(2) ? this.below(10_000_000) : this.below(1_000_000) + this.below(1_000_000) / 1e6
      case 'timestamp':
        return 1_700_000_000_000 + this.below(1_000_000)
      case 'struct':
        return { [this.#text()]: this.#json(0), other: this.#json(0) }
      case 'value':
        return this.#json(0)
      case 'list':
        return [this.#json(0), this.#json(0)]
      case 'mask':
        return 'a,b.c'
      case 'empty':
        return {}
      case 'any':
        return this.#any(depth)
      default:
    }
    if (f.isMessage) return depth > 4 ? {} : this.message(f.message, depth + 1)
    return this.#scalar(f)
  }

  #any(depth: number): unknown {
    const pick = this.below(4)
    if (pick === 0)
      return { type_url: 'type.googleapis.com/google.protobuf.StringValue', message: { value: this.#text() } }
    if (pick === 1) {
      const value = { a: this.#json(0) }
      const struct = { type_url: 'type.googleapis.com/udpa.type.v1.TypedStruct', value }
      return { type_url: 'type.googleapis.com/not.known.Type', message: value, typed_struct: true, struct }
    }
    const name = pick === 2 ? 'envoy.extensions.filters.http.fault.v3.HTTPFault' : 'stats.PluginConfig'
    return { type_url: `type.googleapis.com/${name}`, message: this.message(messageType(name), depth + 1) }
  }

  #scalar(f: FieldType): unknown {
    switch (f.type) {
      case 1:
        return this.next() * 1e6 - 5e5
      case 2:
        return Math.round(this.next() * 1e4) / 100
      case 3:
      case 16:
      case 18:
        return this.below(3) === 0 ? -(2n ** 62n) : this.below(2 ** 31) - 2 ** 30
      case 4:
      case 6:
        return this.below(3) === 0 ? 2n ** 64n - 1n : this.below(2 ** 31) * 1024
      case 5:
      case 15:
      case 17:
        return this.below(2 ** 32) - 2 ** 31
      case 7:
      case 13:
        return this.below(2 ** 32)
      case 8:
        return this.below(2) === 1
      case 12:
        return Uint8Array.from({ length: this.below(5) }, () => this.below(256))
      case 14: {
        if (!f.isEnum) return null
        const numbers = [...f.enum.byNumber.keys()]
        // An open enum may hold any number.
        return this.below(10) === 0 ? 98765 : f.enum.byNumber.get(numbers[this.below(numbers.length)]!)
      }
      default:
        return this.#text()
    }
  }

  #text(): string {
    return ['', 'a', 'x-y', 'ü→🐟', 'with "quotes" and \\', 'a\nb', '<tag>', '__proto__', '5', 'true'][this.below(10)]!
  }

  #json(depth: number): unknown {
    const pick = this.below(depth > 2 ? 4 : 6)
    if (pick === 0) return null
    if (pick === 1) return this.next() * 100
    if (pick === 2) return this.#text()
    if (pick === 3) return this.below(2) === 0
    if (pick === 4) return [this.#json(depth + 1)]
    return { k: this.#json(depth + 1) }
  }
}
