import { internName } from '../header-block.ts'
import { type InlineHeader, inlineHeader } from '../inline-header.ts'

/** Headers the framing depends on; everything else is `Other`. */
export const NameKind = {
  Other: 0,
  Host: 1,
  ContentLength: 2,
  TransferEncoding: 3,
  Connection: 4,
  Upgrade: 5,
  Http2Settings: 6,
  ProxyConnection: 7,
} as const
export type NameKind = (typeof NameKind)[keyof typeof NameKind]

export class NameEntry {
  readonly name: string
  readonly kind: NameKind
  readonly inline: InlineHeader | null

  constructor(name: string, kind: NameKind) {
    this.name = name
    this.kind = kind
    this.inline = inlineHeader(name)
  }
}

const kinds: Readonly<Record<string, NameKind>> = {
  host: NameKind.Host,
  'content-length': NameKind.ContentLength,
  'transfer-encoding': NameKind.TransferEncoding,
  connection: NameKind.Connection,
  upgrade: NameKind.Upgrade,
  'http2-settings': NameKind.Http2Settings,
  'proxy-connection': NameKind.ProxyConnection,
}

/** RFC 9110 §5.6.2 token. */
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

const known = new Map<string, NameEntry>()
/** Names come from peers: beyond this many spellings the rest are looked at afresh each time. */
const MAX_KNOWN = 4096

/** Name as spelled on the wire → entry; null when it is no token. A hit in the table needs no validation. */
export function nameEntry(raw: string): NameEntry | null {
  const hit = known.get(raw)
  if (hit !== undefined) return hit
  if (!token.test(raw)) return null
  const name = internName(raw)
  const entry = new NameEntry(name, Object.hasOwn(kinds, name) ? kinds[name]! : NameKind.Other)
  if (known.size < MAX_KNOWN) known.set(raw, entry)
  return entry
}

/** As Envoy sends names by default. */
export function plainName(name: string): string {
  return name
}

const proper = new Map<string, string>()

/** `content-type` → `Content-Type`, as proper_case_words does: a letter after the start or any non-letter. */
export function properCaseName(name: string): string {
  let cased = proper.get(name)
  if (cased === undefined) {
    cased = name.replace(/(^|[^a-z])([a-z])/g, (_, before: string, letter: string) => before + letter.toUpperCase())
    if (proper.size < MAX_KNOWN) proper.set(name, cased)
  }
  return cased
}
