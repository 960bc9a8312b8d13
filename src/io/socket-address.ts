import { isIPv4, isIPv6 } from 'node:net'
import { endianness, networkInterfaces } from 'node:os'
import { ipAddress, isPipe } from './address.ts'
import type { Address } from './connection.ts'

export const AF_UNIX = 1
export const AF_INET = 2
export const AF_INET6 = 10

const UNIX_PATH_MAX = 108
const LITTLE = endianness() === 'LE'

export function familyOf(address: Address): number {
  if (isPipe(address)) return AF_UNIX
  return address.ip.includes(':') ? AF_INET6 : AF_INET
}

/** struct sockaddr_in / sockaddr_in6 / sockaddr_un of Linux; null when the path is too long or the text is no IP address. */
export function encodeSocketAddress(address: Address): Uint8Array | null {
  if (isPipe(address)) return encodePath(address.ip)
  const v4 = isIPv4(address.ip)
  const zone = address.ip.indexOf('%')
  if (!v4 && !isIPv6(address.ip)) return null
  const out = Buffer.alloc(v4 ? 16 : 28)
  writeFamily(out, v4 ? AF_INET : AF_INET6)
  out.writeUInt16BE(address.port, 2)
  if (v4) Buffer.from(address.ip.split('.').map(Number)).copy(out, 4)
  else {
    encodeIpv6(zone < 0 ? address.ip : address.ip.slice(0, zone)).copy(out, 8)
    if (zone >= 0) writeScope(out, scopeOf(address.ip.slice(zone + 1)))
  }
  return out
}

/** Reads what getsockopt or getsockname gave; null for other families. */
export function decodeSocketAddress(raw: Buffer): Address | null {
  const family = familyIn(raw)
  if (family === AF_INET) return ipAddress(raw.subarray(4, 8).join('.'), raw.readUInt16BE(2))
  if (family !== AF_INET6) return null
  const scope = LITTLE ? raw.readUInt32LE(24) : raw.readUInt32BE(24)
  const ip = decodeIpv6(raw.subarray(8, 24))
  return ipAddress(scope === 0 ? ip : `${ip}%${scope}`, raw.readUInt16BE(2))
}

/** `sa_family` of any struct sockaddr. */
export function familyIn(raw: Buffer): number {
  return LITTLE ? raw.readUInt16LE(0) : raw.readUInt16BE(0)
}

/** 16 bytes of a valid IPv6 text (no zone). */
export function encodeIpv6(text: string): Buffer {
  const out = Buffer.alloc(16)
  let groups = text
  const dot = text.lastIndexOf('.')
  if (dot >= 0) {
    const start = text.lastIndexOf(':') + 1
    const [a = 0, b = 0, c = 0, d = 0] = text.slice(start).split('.').map(Number)
    groups = `${text.slice(0, start)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
  }
  const [left = '', right] = groups.split('::')
  const head = left === '' ? [] : left.split(':')
  const tail = right === undefined || right === '' ? [] : right.split(':')
  for (let i = 0; i < head.length; i++) out.writeUInt16BE(Number.parseInt(head[i]!, 16), i * 2)
  for (let i = 0; i < tail.length; i++) out.writeUInt16BE(Number.parseInt(tail[i]!, 16), 16 - (tail.length - i) * 2)
  return out
}

/** RFC 5952 text. */
export function decodeIpv6(raw: Uint8Array): string {
  const groups: string[] = []
  for (let i = 0; i < 16; i += 2) groups.push(((raw[i]! << 8) | raw[i + 1]!).toString(16))
  if (groups.slice(0, 5).every(g => g === '0') && groups[5] === 'ffff')
    return `::ffff:${raw.subarray(12, 16).join('.')}`
  let best = -1
  let bestLength = 1
  for (let i = 0; i < 8; i++) {
    let length = 0
    while (i + length < 8 && groups[i + length] === '0') length++
    if (length > bestLength) {
      best = i
      bestLength = length
    }
  }
  if (best < 0) return groups.join(':')
  return `${groups.slice(0, best).join(':')}::${groups.slice(best + bestLength).join(':')}`
}

function encodePath(path: string): Uint8Array | null {
  const abstract = path[0] === '@'
  const name = Buffer.from(abstract ? `\0${path.slice(1)}` : path)
  // A path needs its final NUL; an abstract name is as long as the address says.
  if (name.length + (abstract ? 0 : 1) > UNIX_PATH_MAX) return null
  const out = Buffer.alloc(2 + name.length + (abstract ? 0 : 1))
  writeFamily(out, AF_UNIX)
  name.copy(out, 2)
  return out
}

/** `sin6_scope_id` of a zone, which is an interface's number or name (RFC 4007 §11.2); 0 = unknown. */
function scopeOf(zone: string): number {
  if (/^\d+$/.test(zone)) return Number(zone) >>> 0
  for (const { scopeid = 0 } of networkInterfaces()[zone] ?? []) if (scopeid > 0) return scopeid
  return 0
}

function writeScope(out: Buffer, scope: number): void {
  if (LITTLE) out.writeUInt32LE(scope, 24)
  else out.writeUInt32BE(scope, 24)
}

function writeFamily(out: Buffer, family: number): void {
  if (LITTLE) out.writeUInt16LE(family, 0)
  else out.writeUInt16BE(family, 0)
}
