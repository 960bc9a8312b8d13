/** What the first flight of a TLS client says before anything is decrypted. */
export interface ClientHello {
  /** server_name (RFC 6066 §3), lower case; '' when none. */
  readonly serverName: string
  /** ALPN offers (RFC 7301), in the client's order. */
  readonly alpn: readonly string[]
  /** supported_versions (RFC 8446 §4.2.1) names TLS 1.3. */
  readonly tls13: boolean
  /** supported_groups (RFC 8446 §4.2.7), as code points. */
  readonly groups: readonly number[]
}

export const HelloState = { NeedMore: 0, NotTls: 1, TooLarge: 2, Malformed: 3, Done: 4 } as const
export type HelloState = (typeof HelloState)[keyof typeof HelloState]

export interface HelloResult {
  readonly state: HelloState
  readonly hello: ClientHello | null
}

/** Envoy's limit (TLS_MAX_CLIENT_HELLO). */
export const MAX_CLIENT_HELLO = 16 * 1024

const HANDSHAKE = 22
const CLIENT_HELLO = 1
const EXT_SERVER_NAME = 0
const EXT_SUPPORTED_GROUPS = 10
const EXT_ALPN = 16
const EXT_SUPPORTED_VERSIONS = 43
const TLS13 = 0x0304

const NEED_MORE: HelloResult = { state: HelloState.NeedMore, hello: null }
const NOT_TLS: HelloResult = { state: HelloState.NotTls, hello: null }
const TOO_LARGE: HelloResult = { state: HelloState.TooLarge, hello: null }
const MALFORMED: HelloResult = { state: HelloState.Malformed, hello: null }

/** Reads `bytes`, the stream from its start; asked again with more after `NeedMore`. Never throws, keeps nothing. */
export function parseClientHello(bytes: Uint8Array, limit = MAX_CLIENT_HELLO): HelloResult {
  if (bytes.length > 0 && bytes[0] !== HANDSHAKE) return NOT_TLS
  if (bytes.length > 1 && bytes[1] !== 3) return NOT_TLS
  if (bytes.length > 5 && bytes[5] !== CLIENT_HELLO) return NOT_TLS
  // A handshake message may span records (RFC 8446 §5.1): put their payloads together.
  const payload: Uint8Array[] = []
  let total = 0
  let need = 4
  let at = 0
  while (at + 5 <= bytes.length) {
    if (bytes[at] !== HANDSHAKE || bytes[at + 1] !== 3) return MALFORMED
    const length = (bytes[at + 3]! << 8) | bytes[at + 4]!
    if (length === 0 || length > 16384 + 256) return MALFORMED
    const part = bytes.subarray(at + 5, at + 5 + length)
    payload.push(part)
    total += part.length
    at += 5 + length
    if (total >= 4 && need === 4) {
      const head = Buffer.concat(payload)
      need = 4 + ((head[1]! << 16) | (head[2]! << 8) | head[3]!)
      if (need > limit) return TOO_LARGE
    }
    if (total >= need && need > 4) {
      const hello = readHello(Buffer.concat(payload).subarray(4, need))
      return hello === null ? MALFORMED : { state: HelloState.Done, hello }
    }
  }
  return bytes.length > limit + 5 ? TOO_LARGE : NEED_MORE
}

/** RFC 8446 §4.1.2; null when a length does not fit. */
function readHello(b: Buffer): ClientHello | null {
  let at = 2 + 32
  if (at >= b.length) return null
  at += 1 + b[at]!
  if (at + 2 > b.length) return null
  at += 2 + b.readUInt16BE(at)
  if (at + 1 > b.length) return null
  at += 1 + b[at]!
  let serverName = ''
  let alpn: string[] = []
  let tls13 = false
  const groups: number[] = []
  // Extensions are optional in TLS 1.2 (RFC 5246 §7.4.1.2).
  if (at === b.length) return { serverName, alpn, tls13, groups }
  if (at + 2 > b.length) return null
  const end = at + 2 + b.readUInt16BE(at)
  if (end !== b.length) return null
  at += 2
  while (at < end) {
    if (at + 4 > end) return null
    const type = b.readUInt16BE(at)
    const size = b.readUInt16BE(at + 2)
    at += 4
    if (at + size > end) return null
    const body = b.subarray(at, at + size)
    at += size
    if (type === EXT_SERVER_NAME) {
      const name = readServerName(body)
      if (name === null) return null
      serverName = name
    } else if (type === EXT_ALPN) {
      const names = readAlpn(body)
      if (names === null) return null
      alpn = names
    } else if (type === EXT_SUPPORTED_GROUPS) {
      for (let i = 2; i + 1 < body.length; i += 2) groups.push(body.readUInt16BE(i))
    } else if (type === EXT_SUPPORTED_VERSIONS) {
      for (let i = 1; i + 1 < body.length; i += 2) if (body.readUInt16BE(i) === TLS13) tls13 = true
    }
  }
  return { serverName, alpn, tls13, groups }
}

function readServerName(body: Buffer): string | null {
  if (body.length < 5 || body.readUInt16BE(0) !== body.length - 2 || body[2] !== 0) return null
  const length = body.readUInt16BE(3)
  if (length === 0 || 5 + length > body.length) return null
  const name = body.toString('latin1', 5, 5 + length)
  // A NUL would let one name look like another further down.
  return name.includes('\0') ? null : name.toLowerCase()
}

function readAlpn(body: Buffer): string[] | null {
  if (body.length < 3 || body.readUInt16BE(0) !== body.length - 2) return null
  const names: string[] = []
  let at = 2
  while (at < body.length) {
    const length = body[at]!
    if (length === 0 || at + 1 + length > body.length) return null
    names.push(body.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return names
}
