import { isIPv4, isIPv6 } from 'node:net'
import { ipAddress } from '../../io/address.ts'
import type { Address } from '../../io/connection.ts'
import type { Tlv } from '../../io/proxied.ts'
import { decodeIpv6 } from '../../io/socket-address.ts'

/** A PROXY header (haproxy.org/download/1.8/doc/proxy-protocol.txt), or what stands in its place. */
export type ProxyHeader =
  | { readonly kind: 'more' }
  /** These bytes do not begin a header. */
  | { readonly kind: 'absent' }
  | { readonly kind: 'error'; readonly version: 1 | 2 }
  | {
      readonly kind: 'found'
      readonly version: 1 | 2
      readonly length: number
      /** Null for UNKNOWN and LOCAL: the addresses of the connection itself stay. */
      readonly addresses: { readonly source: Address; readonly destination: Address } | null
      readonly tlvs: readonly Tlv[]
    }

const V1_MAX = 108
const V2_HEADER = 16
const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const NO_TLVS: readonly Tlv[] = []
const MORE: ProxyHeader = { kind: 'more' }
const ABSENT: ProxyHeader = { kind: 'absent' }
const ERROR_1: ProxyHeader = { kind: 'error', version: 1 }
const ERROR_2: ProxyHeader = { kind: 'error', version: 2 }

export const MAX_PROXY_HEADER = V2_HEADER + 65535

export function readProxyHeader(bytes: Buffer): ProxyHeader {
  const seen = Math.min(bytes.length, V2_SIGNATURE.length)
  if (bytes.subarray(0, seen).equals(V2_SIGNATURE.subarray(0, seen))) {
    return bytes.length < V2_HEADER ? MORE : readV2(bytes)
  }
  const start = bytes.toString('latin1', 0, 6)
  if (!'PROXY '.startsWith(start.slice(0, 6))) return ABSENT
  const end = bytes.subarray(0, V1_MAX).indexOf('\r\n')
  if (end < 0) return bytes.length >= V1_MAX ? ERROR_1 : MORE
  return readV1(bytes.toString('latin1', 6, end), end + 2)
}

function readV1(line: string, length: number): ProxyHeader {
  const parts = line.split(' ')
  if (parts[0] === 'UNKNOWN') return { kind: 'found', version: 1, length, addresses: null, tlvs: NO_TLVS }
  const [family, from = '', to = '', fromPort = '', toPort = ''] = parts
  const isIp = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isIPv6 : null
  if (isIp === null || parts.length !== 5 || !isIp(from) || !isIp(to)) return ERROR_1
  const a = port(fromPort)
  const b = port(toPort)
  if (a < 0 || b < 0) return ERROR_1
  const addresses = { source: ipAddress(from, a), destination: ipAddress(to, b) }
  return { kind: 'found', version: 1, length, addresses, tlvs: NO_TLVS }
}

function port(text: string): number {
  if (!/^\d{1,5}$/.test(text)) return -1
  const value = Number(text)
  return value <= 65535 ? value : -1
}

function readV2(bytes: Buffer): ProxyHeader {
  const version = bytes[12]! >> 4
  const command = bytes[12]! & 15
  const family = bytes[13]! >> 4
  const transport = bytes[13]! & 15
  const size = bytes.readUInt16BE(14)
  const length = V2_HEADER + size
  if (version !== 2 || command > 1 || family > 3) return ERROR_2
  const local = command === 0
  if (!local && family === 1 && (transport !== 1 || size < 12)) return ERROR_2
  if (!local && family === 2 && (transport !== 1 || size < 36)) return ERROR_2
  if (bytes.length < length) return MORE
  if (local || family === 0 || family === 3)
    return { kind: 'found', version: 2, length, addresses: null, tlvs: NO_TLVS }
  const body = bytes.subarray(V2_HEADER, length)
  const width = family === 1 ? 4 : 16
  const tlvs = readTlvs(body.subarray(2 * width + 4))
  if (tlvs === null) return ERROR_2
  const ip = (at: number): string =>
    family === 1 ? body.subarray(at, at + 4).join('.') : decodeIpv6(body.subarray(at, at + 16))
  return {
    kind: 'found',
    version: 2,
    length,
    addresses: {
      source: ipAddress(ip(0), body.readUInt16BE(2 * width)),
      destination: ipAddress(ip(width), body.readUInt16BE(2 * width + 2)),
    },
    tlvs,
  }
}

/** §2.2: type, length, value. Null: the last one is cut short. The values are copies: the bytes are the connection's. */
function readTlvs(bytes: Buffer): readonly Tlv[] | null {
  if (bytes.length === 0) return NO_TLVS
  const out: Tlv[] = []
  for (let at = 0; at < bytes.length; ) {
    if (at + 3 > bytes.length) return null
    const end = at + 3 + bytes.readUInt16BE(at + 1)
    if (end > bytes.length) return null
    out.push({ type: bytes[at]!, value: Uint8Array.from(bytes.subarray(at + 3, end)) })
    at = end
  }
  return out
}
