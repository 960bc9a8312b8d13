import type { X509Certificate } from 'node:crypto'
import { decodeIpv6 } from '../socket-address.ts'

/** Names of one X.509 certificate (RFC 5280), read from its DER: Node's text forms escape and order them otherwise than Envoy. */
export interface CertificateNames {
  /** RFC 2253, as `CN=client+OU=Dev,O=Test\, Inc`. */
  readonly subject: string
  readonly issuer: string
  /** Lower-case hex without sign byte. */
  readonly serial: string
  /** Of the public key; '' when it is none of these. */
  readonly key: KeyKind
  /** In the order of the certificate. */
  readonly sans: readonly SubjectAltName[]
}

export type KeyKind = 'RSA' | 'P-256' | 'P-384' | 'P-521' | 'Ed25519' | ''

export interface SubjectAltName {
  readonly type: 'EMAIL' | 'DNS' | 'URI' | 'IP_ADDRESS' | 'OTHER_NAME'
  readonly value: string
}

interface Der {
  readonly tag: number
  readonly body: Buffer
}

const EMPTY: CertificateNames = { subject: '', issuer: '', serial: '', key: '', sans: [] }
const OID_SUBJECT_ALT_NAME = '551d11'

/** Never throws: OpenSSL has accepted the certificate before, so an oddity only leaves fields empty. */
export function certificateNames(der: Uint8Array): CertificateNames {
  try {
    const outer = children(Buffer.from(der.buffer, der.byteOffset, der.byteLength))[0]!
    const fields = children(children(outer.body)[0]!.body)
    let at = fields[0]!.tag === 0xa0 ? 1 : 0
    const serial = fields[at++]!.body
    at++
    const issuer = distinguishedName(fields[at++]!.body)
    at++
    const subject = distinguishedName(fields[at++]!.body)
    const key = keyKind(fields[at++]!.body)
    const extensions = fields.find(f => f.tag === 0xa3)
    return {
      subject,
      issuer,
      serial: (serial[0] === 0 && serial.length > 1 ? serial.subarray(1) : serial).toString('hex'),
      key,
      sans: extensions === undefined ? [] : subjectAltNames(extensions.body),
    }
  } catch {
    return EMPTY
  }
}

const PARSED = new WeakMap<X509Certificate, CertificateNames>()

/** `certificateNames` of a certificate that several ask about: it is read once. */
export function namesOf(certificate: X509Certificate): CertificateNames {
  let names = PARSED.get(certificate)
  if (names === undefined) {
    names = certificateNames(certificate.raw)
    PARSED.set(certificate, names)
  }
  return names
}

/** Session id of an OpenSSL SSL_SESSION in DER (`getSession()`), in hex; '' when it has none. */
export function sessionIdOf(session: Buffer | undefined): string {
  return sessionField(session, 3).toString('hex')
}

/** Protocol version of such a session, as on the wire; 0 when it cannot be read. */
export function sessionVersionOf(session: Buffer): number {
  const version = sessionField(session, 1)
  return version.length === 0 ? 0 : version.readUIntBE(0, Math.min(version.length, 4))
}

/** Node puts this and the name of the server, with two bytes of length, before the sessions of clients. */
const WRAPPED = Buffer.from('\0nodejs:tls:session:1\0')

function sessionField(session: Buffer | undefined, index: number): Buffer {
  try {
    if (session !== undefined) {
      const start = session.indexOf(WRAPPED) === 0 ? WRAPPED.length + 2 + session.readUInt16BE(WRAPPED.length) : 0
      return children(children(session.subarray(start))[0]!.body)[index]!.body
    }
  } catch {}
  return Buffer.alloc(0)
}

const KEYS: Readonly<Record<string, KeyKind>> = {
  '2a864886f70d010101': 'RSA',
  '2a8648ce3d030107': 'P-256',
  '2b81040022': 'P-384',
  '2b81040023': 'P-521',
  '2b6570': 'Ed25519',
}

/** SubjectPublicKeyInfo (RFC 5280 §4.1.2.7); elliptic curves are parameters of one algorithm (RFC 5480 §2.1). */
function keyKind(body: Buffer): KeyKind {
  const [algorithm, parameters] = children(children(body)[0]!.body)
  const id = algorithm!.body.toString('hex')
  return KEYS[id === '2a8648ce3d0201' ? parameters!.body.toString('hex') : id] ?? ''
}

function children(bytes: Buffer): Der[] {
  const out: Der[] = []
  let at = 0
  while (at < bytes.length) {
    const tag = bytes[at++]!
    let length = bytes[at++]!
    if (length >= 0x80) {
      const size = length & 0x7f
      if (size === 0 || size > 4) throw new RangeError('length of DER')
      length = bytes.readUIntBE(at, size)
      at += size
    }
    if (at + length > bytes.length) throw new RangeError('length of DER')
    out.push({ tag, body: bytes.subarray(at, at + length) })
    at += length
  }
  return out
}

const ATTRIBUTES: Readonly<Record<string, string>> = {
  '550403': 'CN',
  '550404': 'SN',
  '550405': 'serialNumber',
  '550406': 'C',
  '550407': 'L',
  '550408': 'ST',
  '550409': 'street',
  '55040a': 'O',
  '55040b': 'OU',
  '55040c': 'title',
  '55042a': 'GN',
  '55042b': 'initials',
  '550461': 'organizationIdentifier',
  '2a864886f70d010901': 'emailAddress',
  '0992268993f22c640119': 'DC',
  '0992268993f22c640101': 'UID',
}

/** X509_NAME_print_ex with XN_FLAG_RFC2253: last relative name first, and inside one the last attribute first. */
function distinguishedName(body: Buffer): string {
  const names = children(body).map(set =>
    children(set.body)
      .map(pair => {
        const [oid, value] = children(pair.body)
        const id = oid!.body.toString('hex')
        return `${ATTRIBUTES[id] ?? dotted(oid!.body)}=${escapeValue(text(value!))}`
      })
      .reverse()
      .join('+'),
  )
  return names.reverse().join(',')
}

function text(value: Der): string {
  // BMPString and UniversalString are UTF-16BE and UTF-32BE; the others are bytes (ASCII, latin1 or UTF-8).
  if (value.tag === 0x1e) return Buffer.from(value.body).swap16().toString('utf16le')
  return value.tag === 0x0c ? value.body.toString('utf8') : value.body.toString('latin1')
}

function escapeValue(value: string): string {
  let out = ''
  for (let i = 0; i < value.length; i++) {
    const c = value[i]!
    const code = value.charCodeAt(i)
    if (code >= 0x80 || code < 0x20 || code === 0x7f) {
      const point = value.codePointAt(i)!
      for (const byte of Buffer.from(String.fromCodePoint(point)))
        out += `\\${byte.toString(16).toUpperCase().padStart(2, '0')}`
      if (point > 0xffff) i++
    } else if (
      ',+"\\<>;'.includes(c) ||
      (i === 0 && (c === '#' || c === ' ')) ||
      (i === value.length - 1 && c === ' ')
    ) {
      out += `\\${c}`
    } else out += c
  }
  return out
}

function dotted(oid: Buffer): string {
  const parts: number[] = []
  let value = 0
  for (const byte of oid) {
    value = value * 128 + (byte & 0x7f)
    if (byte & 0x80) continue
    if (parts.length === 0)
      parts.push(Math.min(2, Math.floor(value / 40)), value - 40 * Math.min(2, Math.floor(value / 40)))
    else parts.push(value)
    value = 0
  }
  return parts.join('.')
}

function subjectAltNames(body: Buffer): SubjectAltName[] {
  const sans: SubjectAltName[] = []
  for (const extension of children(children(body)[0]!.body)) {
    const fields = children(extension.body)
    if (fields[0]!.body.toString('hex') !== OID_SUBJECT_ALT_NAME) continue
    for (const name of children(children(fields.at(-1)!.body)[0]!.body)) {
      const san = generalName(name)
      if (san !== null) sans.push(san)
    }
  }
  return sans
}

function generalName(name: Der): SubjectAltName | null {
  const value = name.body.toString('latin1')
  switch (name.tag) {
    case 0x81:
      return { type: 'EMAIL', value }
    case 0x82:
      return { type: 'DNS', value }
    case 0x86:
      return { type: 'URI', value }
    case 0x87:
      if (name.body.length === 4) return { type: 'IP_ADDRESS', value: name.body.join('.') }
      return name.body.length === 16 ? { type: 'IP_ADDRESS', value: decodeIpv6(name.body) } : null
    case 0xa0: {
      const inner = children(name.body)[1]
      const string = inner === undefined ? undefined : children(inner.body)[0]
      return string === undefined ? null : { type: 'OTHER_NAME', value: text(string) }
    }
    default:
      return null
  }
}
