import { isIPv4, isIPv6 } from 'node:net'
import { literalAddress } from '../../io/address.ts'
import type { Address } from '../../io/connection.ts'
import type { Tlv } from '../../io/proxied.ts'
import {
  Command,
  Family,
  TLV_HEADER,
  Transport,
  V2_HEADER,
  V2_MAX_LENGTH,
  V2_SIGNATURE,
} from '../../io/proxy-header.ts'
import { decodeIpv6, encodeIpv6 } from '../../io/socket-address.ts'

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
/** As Envoy, which reads a number and trims the line. */
const PORT = /^\+?\d+$/
const TRAILING_BLANKS = /[ \t\f\v\r\n]+$/
const NO_TLVS: readonly Tlv[] = []
const MORE: ProxyHeader = { kind: 'more' }
const ABSENT: ProxyHeader = { kind: 'absent' }
const ERROR_1: ProxyHeader = { kind: 'error', version: 1 }
const ERROR_2: ProxyHeader = { kind: 'error', version: 2 }

export const MAX_PROXY_HEADER = V2_HEADER + V2_MAX_LENGTH

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
  const parts = line.replace(TRAILING_BLANKS, '').split(' ')
  if (parts[0] === 'UNKNOWN') return { kind: 'found', version: 1, length, addresses: null, tlvs: NO_TLVS }
  const [family, from = '', to = '', fromPort = '', toPort = ''] = parts
  if (parts.length !== 5) return ERROR_1
  const source = readAddress(family, from, fromPort)
  const destination = readAddress(family, to, toPort)
  if (source === null || destination === null) return ERROR_1
  return { kind: 'found', version: 1, length, addresses: { source, destination }, tlvs: NO_TLVS }
}

function readAddress(family: string | undefined, ip: string, portText: string): Address | null {
  if (!PORT.test(portText) || Number(portText) > 65535) return null
  if (family === 'TCP4' && isIPv4(ip)) return unicast(Uint8Array.from(ip.split('.').map(Number)), Number(portText))
  // The zone is one of another host; Envoy keeps it where an interface happens to have that name, and refuses others.
  if (family === 'TCP6' && isIPv6(ip)) return unicast(encodeIpv6(ip.replace(/%.*/, '')), Number(portText))
  return null
}

function readV2(bytes: Buffer): ProxyHeader {
  const version = bytes[12]! >> 4
  const command = bytes[12]! & 15
  const family = bytes[13]! >> 4
  const transport = bytes[13]! & 15
  const size = bytes.readUInt16BE(14)
  const length = V2_HEADER + size
  if (version !== 2 || command > 1) return ERROR_2
  if (command === Command.Local) {
    if (bytes.length < length) return MORE
    return { kind: 'found', version: 2, length, addresses: null, tlvs: NO_TLVS }
  }
  // As Envoy: a client of another family is refused, though §2.2 has UNSPEC taken for one that is not told.
  const width = family === Family.Inet ? 4 : family === Family.Inet6 ? 16 : 0
  if (width === 0 || (transport !== Transport.Stream && transport !== Transport.Datagram) || size < 2 * width + 4)
    return ERROR_2
  if (bytes.length < length) return MORE
  const body = bytes.subarray(V2_HEADER, length)
  const source = unicast(body.subarray(0, width), body.readUInt16BE(2 * width))
  const destination = unicast(body.subarray(width, 2 * width), body.readUInt16BE(2 * width + 2))
  const tlvs = readTlvs(body.subarray(2 * width + 4))
  if (source === null || destination === null || tlvs === null) return ERROR_2
  return { kind: 'found', version: 2, length, addresses: { source, destination }, tlvs }
}

/** The address of these 4 or 16 bytes; null: nobody can be connected from or to it (Envoy: isUnicastAddress). */
function unicast(raw: Uint8Array, port: number): Address | null {
  if (raw.every(byte => byte === 0)) return null
  if (raw.length === 16) return raw[0] === 0xff ? null : literalAddress(decodeIpv6(raw), port)
  if (raw[0]! >> 4 === 0xe || raw.every(byte => byte === 0xff)) return null
  return literalAddress(raw.join('.'), port)
}

/** §2.2: type, length, value. Null: the last one is cut short. The values are copies: the bytes are the connection's. */
function readTlvs(bytes: Buffer): readonly Tlv[] | null {
  if (bytes.length === 0) return NO_TLVS
  const out: Tlv[] = []
  for (let at = 0; at < bytes.length; ) {
    if (at + TLV_HEADER > bytes.length) return null
    const end = at + TLV_HEADER + bytes.readUInt16BE(at + 1)
    if (end > bytes.length) return null
    out.push({ type: bytes[at]!, value: Uint8Array.from(bytes.subarray(at + TLV_HEADER, end)) })
    at = end
  }
  return out
}
