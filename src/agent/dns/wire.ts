/**
 * The part of the DNS wire format (RFC 1035 §4, RFC 6891 §6) that a stub resolver's queries and this agent's own answers need.
 * Answers of other servers are passed on as they are and never read.
 */
import { isIPv4, isIPv6 } from 'node:net'
import { decodeIpv6, encodeIpv6 } from '../../io/socket-address.ts'

export const TYPE_A = 1
export const TYPE_CNAME = 5
export const TYPE_AAAA = 28
const TYPE_OPT = 41

export const NOERROR = 0
const FORMERR = 1
export const SERVFAIL = 2
const NOTIMP = 4

/** RFC 1035 §2.3.4; what fits into an answer over UDP when the client announces nothing. */
const MIN_UDP_SIZE = 512
export const MAX_MESSAGE = 65535

const HEADER = 12
const FLAG_RESPONSE = 0x8000
const FLAG_AUTHORITATIVE = 0x0400
const FLAG_TRUNCATED = 0x0200
const FLAG_RECURSION_DESIRED = 0x0100
const FLAG_CHECKING_DISABLED = 0x0010

/** One question; `name` is absolute (ends in a dot), in the case of the client. */
export interface Query {
  readonly id: number
  readonly flags: number
  readonly name: string
  readonly type: number
  /** The question section as it came: the answer repeats it. */
  readonly question: Uint8Array
  /** Bytes the client takes over UDP: 512, or what its OPT record says. */
  readonly udpSize: number
}

export interface DnsRecord {
  readonly name: string
  readonly type: number
  /** Seconds. */
  readonly ttl: number
  /** 4 or 16 bytes; a name for CNAME. */
  readonly data: Uint8Array | string
}

/**
 * A query, or bytes that refuse it (FORMERR, NOTIMP), or null for what must not be answered at all: responses, which would make two
 * servers talk for ever, and fragments without a header.
 */
export function readQuery(bytes: Uint8Array): Query | Buffer | null {
  if (bytes.length < HEADER) return null
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const id = view.getUint16(0)
  const flags = view.getUint16(2)
  if ((flags & FLAG_RESPONSE) !== 0) return null
  const opcode = (flags >> 11) & 0xf
  // QUERY and NOTIFY, as the server library of Istio's agent.
  if (opcode !== 0 && opcode !== 4) return refusal(id, flags, NOTIMP)
  const additional = view.getUint16(10)
  if (view.getUint16(4) !== 1 || view.getUint16(6) > 1 || view.getUint16(8) > 1 || additional > 2) {
    return refusal(id, flags, FORMERR)
  }
  const name = readName(bytes)
  if (name === null || name.end + 4 > bytes.length) return refusal(id, flags, FORMERR)
  const end = name.end + 4
  const udpSize = announcedSize(bytes, end, view.getUint16(6) + view.getUint16(8) + additional)
  if (udpSize < 0) return refusal(id, flags, FORMERR)
  return {
    id,
    flags,
    name: name.text,
    type: view.getUint16(name.end),
    question: bytes.subarray(HEADER, end),
    udpSize: Math.max(MIN_UDP_SIZE, udpSize),
  }
}

/** The answer to a query, names compressed; records beyond `limit` bytes are left out and TC says so. */
export function writeAnswer(
  query: Query,
  rcode: number,
  authoritative: boolean,
  records: readonly DnsRecord[],
  limit: number,
): Buffer {
  const out = Buffer.alloc(Math.min(limit, MAX_MESSAGE))
  const names = new Map<string, number>()
  out.set(query.question, HEADER)
  noteNames(names, query.name.toLowerCase(), HEADER)
  let at = HEADER + query.question.length
  let count = 0
  for (const record of records) {
    const next = writeRecord(out, at, record, names)
    if (next < 0) break
    at = next
    count++
  }
  out.writeUInt16BE(query.id, 0)
  out.writeUInt16BE(
    replyFlags(query.flags) |
      rcode |
      (authoritative ? FLAG_AUTHORITATIVE : 0) |
      (count < records.length ? FLAG_TRUNCATED : 0),
    2,
  )
  out.writeUInt16BE(1, 4)
  out.writeUInt16BE(count, 6)
  return out.subarray(0, at)
}

/** Whether a name of the table can be written at all: labels of 1 to 63 bytes, 255 in all. */
export function isWritableName(name: string): boolean {
  return (
    name.endsWith('.') &&
    name.length <= 254 &&
    /^[\x21-\x7e]*$/.test(name) &&
    name
      .slice(0, -1)
      .split('.')
      .every(label => label.length > 0 && label.length <= 63)
  )
}

/** 4 or 16 bytes, or null when the text is no IP address. */
export function addressBytes(ip: string): Uint8Array | null {
  if (isIPv4(ip)) return Uint8Array.from(ip.split('.'), Number)
  // A zone names an interface of another machine.
  return isIPv6(ip) && !ip.includes('%') ? new Uint8Array(encodeIpv6(ip)) : null
}

export function addressText(bytes: Uint8Array): string {
  return bytes.length === 4 ? bytes.join('.') : decodeIpv6(bytes)
}

function replyFlags(flags: number): number {
  return FLAG_RESPONSE | (flags & (0x7800 | FLAG_RECURSION_DESIRED | FLAG_CHECKING_DISABLED))
}

function refusal(id: number, flags: number, rcode: number): Buffer {
  const out = Buffer.alloc(HEADER)
  out.writeUInt16BE(id, 0)
  out.writeUInt16BE(replyFlags(flags) | rcode, 2)
  return out
}

/** A dot or backslash inside a label is escaped, so that it cannot pass for one between labels. */
function readName(bytes: Uint8Array): { text: string; end: number } | null {
  let at = HEADER
  let text = ''
  for (;;) {
    const length = bytes[at++]
    // Nothing stands before the question, so a compression pointer has nowhere to lead.
    if (length === undefined || length > 63 || at + length > bytes.length || at - HEADER + length > 255) return null
    if (length === 0) return { text: text === '' ? '.' : text, end: at }
    const label = Buffer.from(bytes.buffer, bytes.byteOffset + at, length).toString('latin1')
    text += `${label.replaceAll(/[.\\]/g, c => `\\${c}`)}.`
    at += length
  }
}

/** UDP size of the OPT record; 0 without one; -1 when the records are malformed. */
function announcedSize(bytes: Uint8Array, start: number, records: number): number {
  let at = start
  let size = 0
  for (let i = 0; i < records; i++) {
    for (;;) {
      const length = bytes[at]
      if (length === undefined) return -1
      if (length >= 0xc0) {
        at += 2
        break
      }
      if (length > 63) return -1
      at += 1 + length
      if (length === 0) break
    }
    if (at + 10 > bytes.length) return -1
    if (bytes[at]! * 256 + bytes[at + 1]! === TYPE_OPT) size = bytes[at + 2]! * 256 + bytes[at + 3]!
    at += 10 + bytes[at + 8]! * 256 + bytes[at + 9]!
    if (at > bytes.length) return -1
  }
  return size
}

/** @returns where the record ends, -1 when it does not fit */
function writeRecord(out: Buffer, start: number, record: DnsRecord, names: Map<string, number>): number {
  let at = writeName(out, start, record.name, names)
  if (at < 0 || at + 10 > out.length) return -1
  out.writeUInt16BE(record.type, at)
  out.writeUInt16BE(1, at + 2)
  out.writeUInt32BE(record.ttl, at + 4)
  const lengthAt = at + 8
  at += 10
  if (typeof record.data === 'string') {
    at = writeName(out, at, record.data, names)
    if (at < 0) return -1
  } else {
    if (at + record.data.length > out.length) return -1
    out.set(record.data, at)
    at += record.data.length
  }
  out.writeUInt16BE(at - lengthAt - 2, lengthAt)
  return at
}

function writeName(out: Buffer, start: number, name: string, names: Map<string, number>): number {
  let at = start
  let rest = name
  while (rest !== '' && rest !== '.') {
    const known = names.get(rest)
    if (known !== undefined) {
      if (at + 2 > out.length) return -1
      out.writeUInt16BE(0xc000 | known, at)
      return at + 2
    }
    const dot = labelEnd(rest)
    const label = rest.slice(0, dot).replaceAll(/\\(.)/gs, '$1')
    if (at + 1 + label.length > out.length) return -1
    if (at < 0x4000) names.set(rest, at)
    out[at] = label.length
    out.write(label, at + 1, 'latin1')
    at += 1 + label.length
    rest = rest.slice(dot + 1)
  }
  if (at + 1 > out.length) return -1
  out[at] = 0
  return at + 1
}

/** The suffixes of the question, which answers point to. */
function noteNames(names: Map<string, number>, name: string, start: number): void {
  let at = start
  let rest = name
  while (rest !== '' && rest !== '.') {
    names.set(rest, at)
    const dot = labelEnd(rest)
    at += 1 + rest.slice(0, dot).replaceAll(/\\(.)/gs, '$1').length
    rest = rest.slice(dot + 1)
  }
}

function labelEnd(name: string): number {
  for (let i = 0; i < name.length; i++) {
    if (name[i] === '\\') i++
    else if (name[i] === '.') return i
  }
  return name.length
}
