import { internName } from '../header-block.ts'
import { type InlineHeader, inlineHeader } from '../inline-header.ts'

/** What a field name means to the codec, found once per name and kept beside table entries. */
export const FieldKind = {
  Regular: 0,
  Method: 1,
  Path: 2,
  Authority: 3,
  Scheme: 4,
  Protocol: 5,
  Status: 6,
  /** The last pseudo header; every smaller non-zero kind is one too. */
  UnknownPseudo: 7,
  /** Never allowed in HTTP/2 (RFC 9113 §8.2.2), or not a lower-case token at all. */
  Forbidden: 8,
  Te: 9,
  ContentLength: 10,
  Cookie: 11,
  Host: 12,
  /** Contains an underscore: `headers_with_underscores_action` applies. */
  Underscore: 13,
} as const
export type FieldKind = (typeof FieldKind)[keyof typeof FieldKind]

const KINDS = new Map<string, FieldKind>([
  [':method', FieldKind.Method],
  [':path', FieldKind.Path],
  [':authority', FieldKind.Authority],
  [':scheme', FieldKind.Scheme],
  [':protocol', FieldKind.Protocol],
  [':status', FieldKind.Status],
  ['connection', FieldKind.Forbidden],
  ['proxy-connection', FieldKind.Forbidden],
  ['keep-alive', FieldKind.Forbidden],
  ['transfer-encoding', FieldKind.Forbidden],
  ['upgrade', FieldKind.Forbidden],
  ['te', FieldKind.Te],
  ['content-length', FieldKind.ContentLength],
  ['cookie', FieldKind.Cookie],
  ['host', FieldKind.Host],
])

/** A field name with its kind. One object per name while the peer's table or the name cache holds it. */
export class FieldName {
  readonly name: string
  readonly kind: FieldKind
  readonly inline: InlineHeader | null

  constructor(raw: string) {
    this.kind = kindOf(raw)
    this.inline = inlineHeader(raw)
    this.name = this.kind === FieldKind.Forbidden ? raw : internName(raw)
  }
}

function kindOf(raw: string): FieldKind {
  const known = KINDS.get(raw)
  if (known !== undefined) return known
  if (raw.charCodeAt(0) === 58 /* : */) return FieldKind.UnknownPseudo
  // RFC 9113 §8.2.1: no upper case; RFC 9110 §5.6.2: a token.
  if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(raw)) return FieldKind.Forbidden
  return raw.includes('_') ? FieldKind.Underscore : FieldKind.Regular
}

/**
 * True when `value` may stand in a field (RFC 9110 §5.5): octets 0x20–0x7E, 0x80–0xFF and tab. Envoy refuses the other
 * controls too.
 */
export function isFieldValue(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const c = value.charCodeAt(i)
    if ((c < 0x20 && c !== 9) || c === 0x7f) return false
  }
  return true
}

/** Drops blanks and tabs at both ends: RFC 9113 §8.2.1 forbids them, Envoy lets them pass, no receiver may see them. */
export function trimValue(value: string): string {
  let start = 0
  let end = value.length
  while (start < end && isBlank(value.charCodeAt(start))) start++
  while (end > start && isBlank(value.charCodeAt(end - 1))) end--
  return start === 0 && end === value.length ? value : value.slice(start, end)
}

function isBlank(c: number): boolean {
  return c === 32 || c === 9
}
