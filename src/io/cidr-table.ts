import { isIPv4, isIPv6 } from 'node:net'
import { decodeIpv6, encodeIpv6 } from './socket-address.ts'

/** Longest-prefix match over IPv4 and IPv6. Few distinct lengths occur, so a hash lookup per length beats a trie. */
export class CidrTable<T> {
  readonly #v4: { bits: number; entries: Map<number, T> }[] = []
  readonly #v6: { bits: number; entries: Map<string, T> }[] = []

  /** The value of exactly this prefix; made by `make` when it is new. `prefix` as `10.0.0.0/8` or `fd00::/8`. */
  at(prefix: string, make: () => T): T {
    const slash = prefix.indexOf('/')
    const ip = slash < 0 ? prefix : prefix.slice(0, slash)
    const v4 = isIPv4(ip)
    const bits = slash < 0 ? (v4 ? 32 : 128) : Number(prefix.slice(slash + 1))
    if (v4) return entry(level(this.#v4, bits), maskV4(ipv4(ip), bits), make)
    return entry(level(this.#v6, bits), maskV6(encodeIpv6(ip), bits), make)
  }

  /** Null when no prefix covers `ip`. What is no IP address (Unix sockets) matches the /0 of IPv4, as in Envoy. */
  find(ip: string): T | null {
    if (isIPv6(ip)) {
      const zone = ip.indexOf('%')
      const raw = encodeIpv6(zone < 0 ? ip : ip.slice(0, zone))
      for (const { bits, entries } of this.#v6) {
        const hit = entries.get(maskV6(raw, bits))
        if (hit !== undefined) return hit
      }
      return null
    }
    const value = isIPv4(ip) ? ipv4(ip) : 0x7fffffff
    for (const { bits, entries } of this.#v4) {
      const hit = entries.get(maskV4(value, bits))
      if (hit !== undefined) return hit
    }
    return null
  }
}

function level<K, T>(levels: { bits: number; entries: Map<K, T> }[], bits: number): Map<K, T> {
  const found = levels.find(l => l.bits === bits)
  if (found !== undefined) return found.entries
  const entries = new Map<K, T>()
  levels.push({ bits, entries })
  levels.sort((a, b) => b.bits - a.bits)
  return entries
}

function entry<K, T>(entries: Map<K, T>, key: K, make: () => T): T {
  let value = entries.get(key)
  if (value === undefined) {
    value = make()
    entries.set(key, value)
  }
  return value
}

function ipv4(ip: string): number {
  let value = 0
  let octet = 0
  for (let i = 0; i < ip.length; i++) {
    const c = ip.charCodeAt(i)
    if (c === 46) {
      value = (value << 8) | octet
      octet = 0
    } else octet = octet * 10 + (c - 48)
  }
  return ((value << 8) | octet) >>> 0
}

function maskV4(value: number, bits: number): number {
  return bits === 0 ? 0 : (value & (-1 << (32 - bits))) >>> 0
}

function maskV6(raw: Buffer, bits: number): string {
  const whole = bits >> 3
  const rest = bits & 7
  let key = raw.toString('latin1', 0, whole)
  if (rest !== 0) key += String.fromCharCode(raw[whole]! & (0xff << (8 - rest)) & 0xff)
  return key
}

/** The first address of the range of `bits` that `ip` is in, in its usual text. */
export function maskedAddress(ip: string, bits: number): string {
  if (isIPv4(ip)) {
    const value = maskV4(ipv4(ip), Math.min(bits, 32))
    return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`
  }
  const raw = Buffer.alloc(16)
  raw.write(maskV6(encodeIpv6(ip), Math.min(bits, 128)), 'latin1')
  return decodeIpv6(raw)
}
