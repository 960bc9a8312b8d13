import { flat } from '../../base/flat.ts'
import { internalized } from '../../base/internalized.ts'
import type { HeaderBlock } from '../header-block.ts'
import { joinValue, nextBlock, Side } from '../inline-header.ts'
import { type NameEntry, NameKind, nameEntry } from './names.ts'
import { MAX_NOMINATED } from './nominated-headers.ts'

/** Results of `parse` below zero. */
export const HeadResult = {
  /** The empty line has not come yet. */
  Incomplete: -1,
  /** See `details` and `status`. */
  Error: -2,
} as const

/** Envoy's methods (quiche Balsa without allow_custom_methods). */
const methods = new Map(
  (
    'GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND REBIND ' +
    'UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PATCH PURGE MKCALENDAR LINK ' +
    'UNLINK SOURCE'
  )
    .split(' ')
    .map(method => [method, internalized(method)] as const),
)

// RFC 9110 §5.5: field values hold no control characters but HTAB; a bare CR is one of the smuggler's tools (RFC 9112 §2.2).
// biome-ignore lint/complexity/useRegexLiterals: the class reads better escaped
const invalidCharacter = new RegExp('[\\0-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f]|\\r(?!\\n)')
/** The same of a whole head, said so that it is four times as fast: almost every head is clean. */
const cleanLines = /^(?:[\t -~\x80-\xff]*\r?\n)*$/
/** What no start line may hold, CR and LF apart, whose partner may not have come yet. */
const controlCharacter = /[\0-\x09\x0b\x0c\x0e-\x1f\x7f]/
const requestTarget = /^[\x21-\x7e]+$/
const versionText = /^HTTP\/[0-9]\.[0-9]$/
const bareLf = /(?<!\r)\n/
const digits = /^[0-9]{1,18}$/
/** What is remembered of the last head of a connection: lines, characters of one and of all. Istio's proxies tell each other half a KB. */
const MAX_LINES = 32
const MAX_LINE = 1024
const MAX_KEPT = 4096
/** Characters of a start line. */
const MAX_START = 256

/**
 * Parses one head (start line and fields) or one trailer section out of latin1 text. One object per connection: the
 * outcome of the last `parse` stands in its fields.
 */
export class HeadParser {
  /** Framing facts of the last head. */
  contentLength = -1
  chunked = false
  /** `connection` tokens. */
  close = false
  keepAlive = false
  upgradeToken = false
  hasUpgrade = false
  upgradeH2c = false
  hasHost = false
  /** `connection` names headers of this hop, or more than a client needs to: see nominated-headers.ts. */
  nominates = false
  /** HTTP/1.1; everything else is treated as 1.0, as Envoy does. */
  http11 = true
  /** Error of the last head: status for a local reply and Envoy's response-code detail. */
  status = 400
  details = ''
  /** Field lines of the last section and where they began, for the byte counts of the access log. */
  fieldLines = 0
  fieldsAt = 0
  private badEncoding = false
  private requestHead = false
  private side: Side = Side.Request
  /** Lines were remembered whose characters nobody has looked at yet. */
  private strangeLines = true
  private readonly maxCount: number
  /** Lines of the last head by their place: heads on one connection look alike, and a line that came before is known to be good. */
  private readonly lines: string[] = []
  private readonly lineEntries: NameEntry[] = []
  private readonly lineValues: string[] = []
  /** Characters of `lines`. */
  private kept = 0
  /** How often in a row the line at a place was another than before. */
  private readonly changes: number[] = []
  /** The last start line, with its end, once it was found good; what it said. */
  private startLine = ''
  private startChanges = 0
  private startKnown = false
  private startMethod = ''
  private startTarget = ''
  private startStatus = 0
  private startHttp11 = true
  /** Of a remembered `content-length`; none is equal to this one, the empty value not either. */
  private lengthText = '\n'
  private length = 0

  constructor(maxCount: number) {
    this.maxCount = maxCount
  }

  /** `text` from `start`: a request head. Fills `h`; returns the index behind the empty line or a HeadResult. */
  parseRequest(text: string, start: number, h: HeaderBlock): number {
    this.requestHead = true
    this.side = Side.Request
    if (this.startsAsBefore(text, start)) {
      h.method = this.startMethod
      h.path = this.startTarget
      return this.parseRest(text, start, start + this.startLine.length, h)
    }
    const nl = text.indexOf('\n', start)
    if (nl < 0) return controlCharacter.test(text) ? this.fail('http1.codec_error', 400) : HeadResult.Incomplete
    const lineEnd = text.charCodeAt(nl - 1) === 13 ? nl - 1 : nl
    if (!this.parseRequestLine(text, start, lineEnd, h)) return HeadResult.Error
    const end = this.parseRest(text, start, nl + 1, h)
    if (end >= 0 && this.rememberStart(text, start, nl)) {
      this.startMethod = h.method
      const from = this.startLine.indexOf(' ') + 1
      this.startTarget = this.startLine.slice(from, from + h.path.length)
    }
    return end
  }

  /** As parseRequest, for a response head. */
  parseResponse(text: string, start: number, h: HeaderBlock): number {
    this.requestHead = false
    this.side = Side.Response
    if (this.startsAsBefore(text, start)) {
      h.status = this.startStatus
      return this.parseRest(text, start, start + this.startLine.length, h)
    }
    const nl = text.indexOf('\n', start)
    if (nl < 0) return HeadResult.Incomplete
    const status = this.statusOf(text, start, text.charCodeAt(nl - 1) === 13 ? nl - 1 : nl)
    if (status < 100) return this.fail('http1.codec_error', 400)
    h.status = status
    const end = this.parseRest(text, start, nl + 1, h)
    if (end >= 0 && this.rememberStart(text, start, nl)) this.startStatus = status
    return end
  }

  /** Requests on one connection often name the same target, responses the same status. */
  private startsAsBefore(text: string, start: number): boolean {
    const { startLine } = this
    this.startKnown = startLine !== '' && text.slice(start, start + startLine.length) === startLine
    if (!this.startKnown) return false
    this.startChanges = 0
    this.http11 = this.startHttp11
    return true
  }

  /** As `remember`. False: not worth it. */
  private rememberStart(text: string, start: number, nl: number): boolean {
    const changes = ++this.startChanges
    if (nl - start >= MAX_START || (changes > 4 && (changes & 63) !== 0)) return false
    this.startLine = flat(text.slice(start, nl + 1))
    this.startHttp11 = this.http11
    return true
  }

  /** What follows a start line that ends before `fieldsAt`. */
  private parseRest(text: string, start: number, fieldsAt: number, h: HeaderBlock): number {
    const end = this.parseFields(text, fieldsAt, h)
    return end < 0 ? end : this.checkHead(text, start, fieldsAt, end)
  }

  /** RFC 9112 §4, without a regular expression: its result costs more than the rest. 0 = no status line. */
  private statusOf(text: string, start: number, end: number): number {
    if (!text.startsWith('HTTP/', start) || text.charCodeAt(start + 6) !== 46 || text.charCodeAt(start + 8) !== 32)
      return 0
    const major = text.charCodeAt(start + 5) - 48
    const minor = text.charCodeAt(start + 7) - 48
    const hundreds = text.charCodeAt(start + 9) - 48
    const tens = text.charCodeAt(start + 10) - 48
    const ones = text.charCodeAt(start + 11) - 48
    if (start + 12 > end || !(isDigit(major) && isDigit(minor) && isDigit(hundreds) && isDigit(tens) && isDigit(ones)))
      return 0
    if (start + 12 < end && text.charCodeAt(start + 12) !== 32) return 0
    this.http11 = major === 1 && minor === 1
    return hundreds * 100 + tens * 10 + ones
  }

  /** `text` from its start: a trailer section. As in the chunks before it, a bare LF ends no line. */
  parseTrailers(text: string, h: HeaderBlock): number {
    this.side = Side.Trailers
    const end = this.parseFields(text, 0, h)
    if (end === HeadResult.Error) return end
    if (bareLf.test(end < 0 ? text : text.slice(0, end))) return this.fail('http1.codec_error', 400)
    return end < 0 ? end : this.checkCharacters(text, 0, 0, end)
  }

  /** Fields up to and with the empty line. */
  private parseFields(text: string, start: number, h: HeaderBlock): number {
    this.contentLength = -1
    this.chunked = false
    this.close = false
    this.keepAlive = false
    this.upgradeToken = false
    this.hasUpgrade = false
    this.upgradeH2c = false
    this.hasHost = false
    this.nominates = false
    this.badEncoding = false
    this.details = ''
    this.fieldLines = 0
    this.fieldsAt = start
    const list = h.list
    const { lines, side } = this
    const block = nextBlock()
    let at = start
    let folds = 0
    // Where a folded line goes on.
    let joined = -1
    // Folding what frames or names the message is a smuggling vector; only plain fields may fold.
    let mayFold = false
    while (true) {
      const first = text.charCodeAt(at)
      if (first === 10) return at + 1
      if (first === 13) {
        const second = text.charCodeAt(at + 1)
        if (second === 10) return at + 2
        if (Number.isNaN(second)) return HeadResult.Incomplete
        return this.fail('http1.codec_error', 400)
      }
      const place = this.fieldLines
      if (place < lines.length && text.slice(at, at + lines[place]!.length) === lines[place]!) {
        const entry = this.lineEntries[place]!
        const value = this.lineValues[place]!
        this.fieldLines++
        this.changes[place] = 0
        mayFold = entry.kind === NameKind.Other
        if (mayFold) {
          joined = -1
          if (entry.inline?.repeatedIn(block, side) !== true) list.push(entry.name, value)
          else joined = joinValue(list, entry.name, value)
        } else if (!this.special(entry.kind, entry.name, value, h)) return this.fail(this.details, this.status)
        if (list.length > this.maxCount * 2) return this.fail('http1.too_many_headers', 431)
        at += lines[place]!.length
        continue
      }
      this.strangeLines = true
      const nl = text.indexOf('\n', at)
      if (nl < 0) return HeadResult.Incomplete
      const lineEnd = text.charCodeAt(nl - 1) === 13 ? nl - 1 : nl
      if (first === 32 || first === 9) {
        // Counted as fields are: each line may cost another look at the whole head.
        if (!mayFold || ++folds > this.maxCount) return this.fail('http1.codec_error', 400)
        // RFC 9112 §5.2 obs-fold: joined by one blank, as Envoy does.
        const last = joined < 0 ? list.length - 1 : joined
        list[last] = `${list[last]!} ${text.slice(at, lineEnd).trim()}`
        at = nl + 1
        continue
      }
      this.fieldLines++
      const colon = text.indexOf(':', at)
      if (colon <= at || colon >= lineEnd) return this.fail('http1.codec_error', 400)
      const entry = nameEntry(text.slice(at, colon))
      if (entry === null) return this.fail('http1.codec_error', 400)
      let from = colon + 1
      let to = lineEnd
      while (from < to && isBlank(text.charCodeAt(from))) from++
      while (to > from && isBlank(text.charCodeAt(to - 1))) to--
      const value = text.slice(from, to)
      mayFold = entry.kind === NameKind.Other
      if (mayFold) {
        joined = -1
        if (entry.inline?.repeatedIn(block, side) !== true) list.push(entry.name, value)
        else joined = joinValue(list, entry.name, value)
      } else if (!this.special(entry.kind, entry.name, value, h)) return this.fail(this.details, this.status)
      if (list.length > this.maxCount * 2) return this.fail('http1.too_many_headers', 431)
      this.remember(place, text.slice(at, nl + 1), entry, from - at, to - at)
      at = nl + 1
    }
  }

  /** Bounded: a connection that waits must not hold much. */
  private remember(place: number, line: string, entry: NameEntry, from: number, to: number): void {
    if (place > this.lines.length || place >= MAX_LINES || line.length > MAX_LINE) return
    const changes = place < this.lines.length ? this.changes[place]! + 1 : 0
    this.changes[place] = changes
    // What differs each time is not worth it; now and then it is tried again.
    if (changes > 4 && (changes & 63) !== 0) return
    const kept = this.kept + line.length - (place < this.lines.length ? this.lines[place]!.length : 0)
    if (kept > MAX_KEPT) return
    this.kept = kept
    // A copy: a slice would keep the whole head alive, with what of the body came with it.
    const own = flat(line)
    const value = own.slice(from, to)
    this.lines[place] = own
    this.lineEntries[place] = entry
    this.lineValues[place] = value
    if (entry.kind !== NameKind.ContentLength) return
    this.lengthText = value
    this.length = this.contentLength
  }

  /** Header bytes of a head of `bytes` as Envoy counts received ones: names, values and three for each line. */
  fieldBytes(bytes: number): number {
    return Math.max(0, bytes - this.fieldsAt - 2 - this.fieldLines)
  }

  private special(kind: NameKind, name: string, value: string, h: HeaderBlock): boolean {
    switch (kind) {
      case NameKind.Host:
        h.authority = this.hasHost ? `${h.authority},${value}` : value
        this.hasHost = true
        h.emptyAuthority = h.authority === ''
        return true
      case NameKind.ContentLength:
        if (value === this.lengthText && this.contentLength < 0) {
          this.contentLength = this.length
          h.list.push(name, value)
          return true
        }
        if (this.contentLength >= 0 || !digits.test(value)) {
          this.details = 'http1.codec_error'
          this.status = 400
          return false
        }
        this.contentLength = Number(value)
        h.list.push(name, value)
        return true
      case NameKind.TransferEncoding:
        if (this.chunked || value.toLowerCase() !== 'chunked') this.badEncoding = true
        // Not kept: framing of the next hop is its own (RFC 9112 §6.1), the encoders say what they send.
        this.chunked = true
        return true
      case NameKind.Connection:
      case NameKind.ProxyConnection:
        if (this.connectionTokens(value) && kind === NameKind.Connection) this.nominates = true
        h.list.push(name, value)
        return true
      case NameKind.Upgrade:
        this.hasUpgrade = true
        if (value.toLowerCase() === 'h2c') this.upgradeH2c = true
        h.list.push(name, value)
        return true
      default:
        h.list.push(name, value)
        return true
    }
  }

  /** True when there are tokens that are no connection options: names of headers. */
  private connectionTokens(value: string): boolean {
    if (value === 'keep-alive') {
      this.keepAlive = true
      return false
    }
    const tokens = value.toLowerCase().split(',')
    let names = tokens.length >= MAX_NOMINATED
    for (let i = 0; i < tokens.length; i++) {
      const name = tokens[i]!.trim()
      if (name === 'close') this.close = true
      else if (name === 'keep-alive') this.keepAlive = true
      else if (name === 'upgrade') this.upgradeToken = true
      else if (name !== '') names = true
    }
    return names
  }

  private parseRequestLine(text: string, at: number, lineEnd: number, h: HeaderBlock): boolean {
    const firstBlank = text.indexOf(' ', at)
    if (firstBlank < 0 || firstBlank >= lineEnd) return this.refuse()
    const blank = text.indexOf(' ', firstBlank + 1)
    const secondBlank = blank < 0 || blank >= lineEnd ? lineEnd : blank
    // The one object of that text: comparing it with a literal is comparing two pointers.
    const method = text.startsWith('GET ', at) ? 'GET' : methods.get(text.slice(at, firstBlank))
    const target = text.slice(firstBlank + 1, secondBlank)
    if (method === undefined || !requestTarget.test(target)) return this.refuse()
    const version = text.slice(secondBlank + 1, lineEnd)
    if (version === 'HTTP/1.1') this.http11 = true
    // No version at all counts as an old one, as with Envoy: 426, or HTTP/1.0 where that is accepted.
    else if (versionText.test(version) || secondBlank === lineEnd) this.http11 = false
    else return this.refuse()
    h.method = method
    h.path = target
    return true
  }

  private refuse(): false {
    this.fail('http1.codec_error', 400)
    return false
  }

  /** What can be judged only when the head is complete, in Envoy's order. */
  private checkHead(text: string, start: number, fieldsAt: number, end: number): number {
    const checked = this.checkCharacters(text, start, fieldsAt, end)
    if (checked < 0 || !this.badEncoding) return checked
    return this.contentLength >= 0
      ? this.fail('http1.content_length_and_chunked_not_allowed', 400)
      : this.fail('http1.invalid_transfer_encoding', 501)
  }

  private checkCharacters(text: string, start: number, fieldsAt: number, end: number): number {
    // Of a request line everything is checked where it is taken apart, of a status line not the reason.
    if (!this.strangeLines && (this.requestHead || this.startKnown || cleanLines.test(text.slice(start, fieldsAt))))
      return end
    const head = start === 0 && end === text.length ? text : text.slice(start, end)
    if (cleanLines.test(head)) {
      this.strangeLines = false
      return end
    }
    const bad = head.search(invalidCharacter)
    if (bad < 0) return end
    return this.fail(start + bad < fieldsAt ? 'http1.codec_error' : 'http1.invalid_characters', 400)
  }

  /** A bad line is refused at once: waiting for the end of such a head would only cost memory. */
  private fail(details: string, status: number): number {
    this.details = details
    this.status = status
    return HeadResult.Error
  }
}

function isDigit(value: number): boolean {
  return value >= 0 && value <= 9
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9
}
