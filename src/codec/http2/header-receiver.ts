import { HeaderBlock } from '../header-block.ts'
import { joinValue, nextBlock, Side } from '../inline-header.ts'
import { FieldKind, type FieldName, trimValue } from './field.ts'

/** `headers_with_underscores_action` (envoy.config.core.v3.HttpProtocolOptions). */
export const UnderscoreAction = { Allow: 0, RejectRequest: 1, DropHeader: 2 } as const
export type UnderscoreAction = (typeof UnderscoreAction)[keyof typeof UnderscoreAction]

export const BlockKind = { Request: 0, Response: 1, Trailers: 2 } as const
export type BlockKind = (typeof BlockKind)[keyof typeof BlockKind]

/** Envoy's response-code details. */
export const INVALID_FIELD = 'http2.invalid.header.field'
export const INVALID_MESSAGE = 'http2.violation.of.messaging.rule'
export const TOO_MANY_HEADERS = 'http2.too_many_headers'
export const HEADERS_TOO_LARGE = 'http2.header_list_size_too_large'
export const UNDERSCORE = 'http2.unexpected_underscore'

const SIDES = [Side.Request, Side.Response, Side.Trailers] as const

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*$/
/** RFC 3986 host and port without userinfo, which RFC 9113 §8.3.1 forbids for http and https. */
const AUTHORITY = /^[A-Za-z0-9._~!$&'()*+,;=:%[\]-]+$/

/**
 * Takes the fields of one block from the HPACK decoder, sorts pseudo headers into the HeaderBlock and checks what RFC 9113
 * §8.2 and §8.3 demand. The block is always decoded to its end so that the dynamic table stays in step; the first
 * violation is kept in `error`.
 */
export class HeaderReceiver {
  block = new HeaderBlock()
  /** '' while the block is well-formed, else one of the details above. */
  error = ''
  /** -1 when there was no content-length. */
  contentLength = -1
  droppedUnderscores = 0
  private kind: BlockKind = BlockKind.Request
  private blockId = 0
  private regular = false
  private seen = 0
  private fields = 0
  private bytes = 0
  private cookies = ''
  private host = ''
  private goodPath = ''
  private goodAuthority = ''
  private readonly maxBytes: number
  private readonly maxFields: number
  private readonly underscores: UnderscoreAction
  private readonly allowConnect: boolean

  constructor(maxBytes: number, maxFields: number, underscores: UnderscoreAction, allowConnect: boolean) {
    this.maxBytes = maxBytes
    this.maxFields = maxFields
    this.underscores = underscores
    this.allowConnect = allowConnect
  }

  begin(kind: BlockKind): void {
    this.block = new HeaderBlock()
    this.kind = kind
    this.blockId = nextBlock()
    this.error = ''
    this.contentLength = -1
    this.droppedUnderscores = 0
    this.regular = false
    this.seen = 0
    this.fields = 0
    this.bytes = 0
    this.cookies = ''
    this.host = ''
  }

  /** Instead of `begin` and `finish`: a well-formed block that was met before. */
  recalled(block: HeaderBlock, contentLength: number): void {
    this.block = block
    this.error = ''
    this.contentLength = contentLength
    this.droppedUnderscores = 0
  }

  field(name: FieldName, raw: string, valid: boolean): void {
    if (this.error !== '') return
    this.bytes += name.name.length + raw.length
    if (this.bytes > this.maxBytes) {
      this.error = HEADERS_TOO_LARGE
      return
    }
    if (!valid) {
      this.error = INVALID_FIELD
      return
    }
    let value = raw
    if (raw.length !== 0 && (raw.charCodeAt(0) <= 32 || raw.charCodeAt(raw.length - 1) <= 32)) value = trimValue(raw)
    const kind = name.kind
    if (kind !== FieldKind.Regular) {
      if (kind <= FieldKind.UnknownPseudo) {
        this.pseudo(kind, raw)
        if (++this.fields > this.maxFields) this.error = TOO_MANY_HEADERS
        return
      }
      if (!this.special(kind, name.name, value)) return
    }
    this.regular = true
    if (++this.fields > this.maxFields) {
      this.error = TOO_MANY_HEADERS
      return
    }
    if (name.inline?.repeatedIn(this.blockId, SIDES[this.kind]) !== true) this.block.list.push(name.name, value)
    else joinValue(this.block.list, name.name, value)
  }

  /** Ends the block; '' or the details of what is wrong. */
  finish(): string {
    if (this.error !== '') return this.error
    // RFC 9113 §8.2.3: crumbs are joined; Envoy puts the result last.
    if (this.cookies !== '') this.block.list.push('cookie', this.cookies)
    if (this.kind === BlockKind.Request) this.error = this.checkRequest()
    else if (this.kind === BlockKind.Response && this.block.status === 0) this.error = INVALID_MESSAGE
    return this.error
  }

  private pseudo(kind: FieldKind, value: string): void {
    // RFC 9113 §8.3: before all regular fields, each once, none in trailers, requests and responses have their own.
    const bit = 1 << kind
    if (this.regular || (this.seen & bit) !== 0 || this.kind === BlockKind.Trailers) {
      this.error = INVALID_FIELD
      return
    }
    this.seen |= bit
    const block = this.block
    if (this.kind === BlockKind.Response) {
      if (kind !== FieldKind.Status || !/^[1-9][0-9][0-9]$/.test(value)) this.error = INVALID_FIELD
      else block.status = Number(value)
      // §8.6: there is no upgrade in HTTP/2.
      if (block.status === 101) this.error = INVALID_FIELD
      return
    }
    // The kinds of request pseudo headers are the digits of PseudoOrder; each comes once, so five fit.
    block.pseudoOrder = (block.pseudoOrder << 3) | kind
    switch (kind) {
      case FieldKind.Method:
        if (value !== 'GET' && value !== 'POST' && !TOKEN.test(value)) this.error = INVALID_FIELD
        block.method = value
        return
      case FieldKind.Path:
        if (value === '' || value !== this.goodPath) {
          if (!isPath(value)) this.error = INVALID_FIELD
          else this.goodPath = value
        }
        block.path = value
        return
      case FieldKind.Authority:
        if (value !== this.goodAuthority && !this.isAuthority(value)) this.error = INVALID_FIELD
        block.authority = value
        return
      case FieldKind.Scheme:
        if (value !== 'http' && value !== 'https' && !SCHEME.test(value)) this.error = INVALID_FIELD
        block.scheme = value
        return
      case FieldKind.Protocol:
        if (!this.allowConnect || !TOKEN.test(value)) this.error = INVALID_FIELD
        block.protocol = value
        return
      default:
        this.error = INVALID_FIELD
    }
  }

  /** True when the field goes into the list as it is. */
  private special(kind: FieldKind, name: string, value: string): boolean {
    switch (kind) {
      case FieldKind.Te:
        if (this.kind === BlockKind.Request && value.toLowerCase() === 'trailers') return true
        this.error = INVALID_FIELD
        return false
      case FieldKind.ContentLength:
        if (this.kind === BlockKind.Trailers) return true
        if (this.contentLength >= 0 || !/^[0-9]{1,15}$/.test(value)) {
          this.error = INVALID_FIELD
          return false
        }
        this.contentLength = Number(value)
        return true
      case FieldKind.Cookie:
        this.regular = true
        if (this.kind !== BlockKind.Request) return true
        this.cookies = this.cookies === '' ? value : `${this.cookies}; ${value}`
        return false
      case FieldKind.Host:
        if (this.kind !== BlockKind.Request) return true
        this.regular = true
        // Envoy: `host` is dropped beside `:authority`, and stands in for it otherwise; a second one is malformed.
        if (value === '' || this.host !== '' || !this.isAuthority(value)) this.error = INVALID_FIELD
        this.host = value
        return false
      case FieldKind.Underscore:
        if (this.underscores === UnderscoreAction.Allow || this.kind === BlockKind.Response) return true
        this.regular = true
        if (this.underscores === UnderscoreAction.DropHeader) this.droppedUnderscores++
        else this.error = UNDERSCORE
        return false
      default:
        this.error = name.charCodeAt(0) === 58 ? INVALID_MESSAGE : INVALID_FIELD
        return false
    }
  }

  private isAuthority(value: string): boolean {
    if (value === this.goodAuthority) return true
    if (!AUTHORITY.test(value)) return false
    this.goodAuthority = value
    return true
  }

  private checkRequest(): string {
    const block = this.block
    if (block.authority === '') block.authority = this.host
    if (block.method === '') return INVALID_MESSAGE
    if (block.method === 'CONNECT' && block.protocol === '') {
      // RFC 9113 §8.5: only :method and :authority.
      return block.authority === '' || block.scheme !== '' || block.path !== '' ? INVALID_MESSAGE : ''
    }
    // RFC 8441 §4: :protocol only with CONNECT, and then :scheme and :path too.
    if (block.protocol !== '' && block.method !== 'CONNECT') return INVALID_MESSAGE
    if (block.scheme === '' || block.path === '' || block.authority === '') return INVALID_MESSAGE
    if (block.path.charCodeAt(0) !== 47 /* / */ && !(block.path === '*' && block.method === 'OPTIONS')) {
      return INVALID_MESSAGE
    }
    return ''
  }
}

function isPath(value: string): boolean {
  if (value === '') return false
  for (let i = 0; i < value.length; i++) if (value.charCodeAt(i) <= 32) return false
  return true
}
