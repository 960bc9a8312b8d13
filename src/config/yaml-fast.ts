/**
 * A fast reader for the YAML that configurations are written in: block and flow collections, single-line scalars, literal blocks,
 * comments. Ten thousand clusters take a fraction of a second; the general parser needs 1.5 s and hundreds of MB.
 * Whatever it does not know, or finds wrong, makes it return NOT_UNDERSTOOD: the general parser then decides and reports positions.
 */
import type { ElementSink, LongLists } from './long-lists.ts'
import { setKey } from './object-key.ts'
import { plainScalar, unescapeDouble } from './yaml-scalar.ts'

export const NOT_UNDERSTOOD = Symbol('not understood')

const MAX_DEPTH = 200
/** Texts that are kept to be used again; with long lists they are not kept for the whole file. */
const MAX_TEXTS = 4096
const TAB = 9
const LF = 10
const SPACE = 32
const QUOTE = 34
const HASH = 35
const APOSTROPHE = 39
const COMMA = 44
const DASH = 45
const COLON = 58
const QUESTION = 63
const OPEN_LIST = 91
const CLOSE_LIST = 93
const PIPE = 124
const OPEN_MAP = 123
const CLOSE_MAP = 125
/** characters that cannot start a plain scalar: , [ ] { } # & * ! | > ' " % @ ` */
const INDICATORS = new Set([...',[]{}#&*!|>\'"%@`'].map(c => c.charCodeAt(0)))

/** Shorter ones V8 copies by itself (SlicedString::kMinLength). */
const SHORTEST_SLICE = 13

class NotUnderstood extends Error {}
const GIVE_UP = new NotUnderstood()

/**
 * @param lists what becomes of long lists in block style; whatever it throws ends the parsing
 * @returns the value of the first document, null for an empty one, or NOT_UNDERSTOOD
 */
export function parseYamlFast(text: string, lists: LongLists | null = null): unknown {
  const s = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
  const lf = s.includes('\r') ? s.replaceAll('\r\n', '\n') : s
  if (lf.includes('\r') || lf.includes('\0')) return NOT_UNDERSTOOD
  try {
    return new FastParser(lf, lists).document()
  } catch (e) {
    if (e === GIVE_UP) return NOT_UNDERSTOOD
    throw e
  }
}

class FastParser {
  readonly #s: string
  /** first character of content of the current line, or where an inline value stands */
  #i = 0
  /** column of that character */
  #indent = 0
  #lineStart = 0
  #ended = false
  readonly #texts = new Map<string, string>()
  #depth = 0
  readonly #lists: LongLists | null

  constructor(s: string, lists: LongLists | null) {
    this.#s = s
    this.#lists = lists
  }

  document(): unknown {
    this.#seekLine(0)
    if (!this.#ended && this.#isMarker('---')) {
      this.#i += 3
      this.#endOfLine()
    }
    if (this.#ended) return null
    if (this.#s.charCodeAt(this.#i) === 37) throw GIVE_UP
    const value = this.#node(-1)
    if (!this.#ended) throw GIVE_UP
    return value
  }

  /** One string for equal texts, and none that is a slice of the file: V8 would keep all of it for as long as the slice lives. */
  #own(text: string): string {
    if (text.length < SHORTEST_SLICE) return text
    let own = this.#texts.get(text)
    if (own === undefined) {
      // Slicing flattens what was joined, so this is a slice of a copy.
      own = `${text} `.slice(0, -1)
      if (this.#lists !== null && this.#texts.size >= MAX_TEXTS) this.#texts.clear()
      this.#texts.set(own, own)
    }
    return own
  }

  /** Moves to the first content at or after `from`, which starts a line. */
  #seekLine(from: number): void {
    const s = this.#s
    for (let at = from; ; ) {
      let i = at
      while (s.charCodeAt(i) === SPACE) i++
      if (i >= s.length) {
        this.#ended = true
        this.#indent = -1
        return
      }
      const c = s.charCodeAt(i)
      if (c === TAB) throw GIVE_UP
      if (c !== LF && c !== HASH) {
        this.#i = i
        this.#indent = i - at
        this.#lineStart = at
        return
      }
      const next = c === LF ? i : s.indexOf('\n', i)
      if (next < 0) {
        this.#ended = true
        this.#indent = -1
        return
      }
      at = next + 1
    }
  }

  #isMarker(marker: string): boolean {
    const c = this.#s.charCodeAt(this.#i + 3)
    return this.#indent === 0 && this.#s.startsWith(marker, this.#i) && (Number.isNaN(c) || c === LF || c === SPACE)
  }

  /** From #i only blanks and a comment may follow; goes to the next line, ends at a document marker. */
  #endOfLine(): void {
    const s = this.#s
    const start = this.#i
    let i = start
    while (s.charCodeAt(i) === SPACE) i++
    const c = s.charCodeAt(i)
    if (i < s.length && c !== LF && !(c === HASH && i > start)) throw GIVE_UP
    const next = s.indexOf('\n', i)
    this.#seekLine(next < 0 ? s.length : next + 1)
    if (!this.#ended && this.#indent === 0 && (this.#isMarker('---') || this.#isMarker('...'))) {
      this.#ended = true
      this.#indent = -1
    }
  }

  #restIsBlank(): boolean {
    const s = this.#s
    let i = this.#i
    while (s.charCodeAt(i) === SPACE) i++
    const c = s.charCodeAt(i)
    if (i >= s.length || c === LF || (c === HASH && i > this.#i)) return true
    if (c === TAB) throw GIVE_UP
    this.#i = i
    return false
  }

  /**
   * A node whose first character is at #i.
   * @param parent indentation of what contains it
   * @param under its key, and the key of the mapping that this one is in; '' in a list
   */
  #node(parent: number, under = '', above = ''): unknown {
    if (++this.#depth > MAX_DEPTH) throw GIVE_UP
    const value = this.#isDash()
      ? this.#sequence(this.#indent, this.#lists?.open(above, under, this.#depth) ?? null)
      : this.#mapOrInline(parent, under)
    this.#depth--
    return value
  }

  #mapOrInline(parent: number, under: string): unknown {
    const start = this.#i
    const key = this.#key()
    if (key === null) return this.#inline(parent)
    this.#i = start
    return this.#mapping(this.#indent, under)
  }

  #isDash(): boolean {
    const s = this.#s
    if (s.charCodeAt(this.#i) !== DASH) return false
    const c = s.charCodeAt(this.#i + 1)
    return c === SPACE || c === LF || Number.isNaN(c)
  }

  #sequence(indent: number, sink: ElementSink | null): unknown {
    const out: unknown[] = []
    while (this.#indent === indent && this.#isDash()) {
      this.#i++
      let element: unknown = null
      if (this.#restIsBlank()) {
        this.#endOfLine()
        if (this.#indent > indent) element = this.#node(indent)
      } else {
        this.#indent = this.#i - this.#lineStart
        element = this.#node(indent)
      }
      if (sink === null) out.push(element)
      else sink.add(element)
    }
    if (this.#indent > indent) throw GIVE_UP
    return sink === null ? out : sink.finish()
  }

  #mapping(indent: number, under: string): Record<string, unknown> {
    const out: Record<string, unknown> = {}
    while (this.#indent === indent) {
      const key = this.#isDash() ? null : this.#key()
      if (key === null) throw GIVE_UP
      if (this.#restIsBlank()) {
        this.#endOfLine()
        // A list may stand at the indentation of its key.
        const nested = this.#indent > indent || (this.#indent === indent && this.#isDash())
        setKey(out, key, nested ? this.#node(this.#indent > indent ? indent : indent - 1, key, under) : null)
      } else setKey(out, key, this.#inline(indent))
    }
    if (this.#indent > indent) throw GIVE_UP
    return out
  }

  /** A key and its colon at #i, which moves behind them; null and no move when the line is no mapping entry. */
  #key(): string | null {
    const s = this.#s
    const c = s.charCodeAt(this.#i)
    if (c === QUOTE || c === APOSTROPHE) {
      const start = this.#i
      const text = this.#quoted(c)
      if (s.charCodeAt(this.#i) === COLON && isBlank(s.charCodeAt(this.#i + 1))) {
        this.#i++
        return text
      }
      this.#i = start
      return null
    }
    if (INDICATORS.has(c) || (c === QUESTION && isBlank(s.charCodeAt(this.#i + 1)))) return null
    let end = s.indexOf('\n', this.#i)
    if (end < 0) end = s.length
    for (let colon = s.indexOf(':', this.#i); colon >= 0 && colon < end; colon = s.indexOf(':', colon + 1)) {
      if (!isBlank(s.charCodeAt(colon + 1))) continue
      const text = s.slice(this.#i, colon)
      if (text.includes(' #')) return null
      // A merge key would be an ordinary key to yaml-cpp; a tab needs care.
      if (text.includes('\t') || text === '') throw GIVE_UP
      this.#i = colon + 1
      return scalarKey(text.trimEnd())
    }
    return null
  }

  /** A value that starts on this line, behind a key or dash. Goes to the next line. */
  #inline(parent: number): unknown {
    const s = this.#s
    const c = s.charCodeAt(this.#i)
    let value: unknown
    if (c === PIPE) return this.#literal(parent)
    if (c === OPEN_MAP || c === OPEN_LIST) value = this.#flow()
    else if (c === QUOTE || c === APOSTROPHE) value = this.#quoted(c)
    else value = this.#plain()
    this.#endOfLine()
    // More indented lines would continue the scalar.
    if (this.#indent > parent && !this.#ended && parent >= 0) throw GIVE_UP
    if (parent < 0 && !this.#ended) throw GIVE_UP
    return value
  }

  #plain(): unknown {
    const s = this.#s
    const start = this.#i
    const c = s.charCodeAt(start)
    if (INDICATORS.has(c) || ((c === QUESTION || c === COLON || c === DASH) && isBlank(s.charCodeAt(start + 1))))
      throw GIVE_UP
    let end = s.indexOf('\n', start)
    if (end < 0) end = s.length
    let text = s.slice(start, end)
    const comment = text.indexOf(' #')
    if (comment >= 0) text = text.slice(0, comment)
    if (text.includes('\t')) throw GIVE_UP
    text = text.trimEnd()
    if (text.includes(': ') || text.endsWith(':')) throw GIVE_UP
    this.#i = start + text.length
    const value = plainScalar(text)
    return typeof value === 'string' ? this.#own(value) : value
  }

  #quoted(quote: number): string {
    const s = this.#s
    const start = this.#i + 1
    if (quote === APOSTROPHE) {
      let end = s.indexOf("'", start)
      let doubled = false
      while (end >= 0 && s.charCodeAt(end + 1) === APOSTROPHE) {
        doubled = true
        end = s.indexOf("'", end + 2)
      }
      if (end < 0) throw GIVE_UP
      const text = s.slice(start, end)
      if (text.includes('\n')) throw GIVE_UP
      this.#i = end + 1
      return doubled ? text.replaceAll("''", "'") : text
    }
    let end = start
    let escaped = false
    for (; ; end++) {
      const c = s.charCodeAt(end)
      if (c === QUOTE) break
      if (c === LF || Number.isNaN(c)) throw GIVE_UP
      if (c === 92) {
        escaped = true
        end++
      }
    }
    this.#i = end + 1
    if (!escaped) return this.#own(s.slice(start, end))
    const text = unescapeDouble(s.slice(start, end))
    if (text === null) throw GIVE_UP
    return text
  }

  #literal(parent: number): string {
    const s = this.#s
    this.#i++
    const chomp = s[this.#i] === '-' || s[this.#i] === '+' ? s[this.#i++]! : ''
    if (!this.#restIsBlank()) throw GIVE_UP
    const lines: string[] = []
    let block = -1
    let at = s.indexOf('\n', this.#i) + 1
    if (at === 0) throw GIVE_UP
    while (at < s.length) {
      let end = s.indexOf('\n', at)
      if (end < 0) end = s.length
      let i = at
      while (s.charCodeAt(i) === SPACE) i++
      const column = i - at
      if (i >= end) {
        if (block < 0 ? column > 0 : column > block) {
          if (block < 0) throw GIVE_UP
          lines.push(s.slice(at + block, end))
        } else lines.push('')
      } else {
        if (s.charCodeAt(i) === TAB && block < 0) throw GIVE_UP
        if (block < 0) {
          if (column <= parent) break
          block = column
        }
        if (column < block) break
        lines.push(s.slice(at + block, end))
      }
      at = end + 1
    }
    this.#seekLine(Math.min(at, s.length))
    if (!this.#ended && this.#indent === 0 && (this.#isMarker('---') || this.#isMarker('...'))) {
      this.#ended = true
      this.#indent = -1
    }
    if (this.#indent > parent && !this.#ended) throw GIVE_UP
    if (block < 0) throw GIVE_UP
    let last = lines.length
    while (last > 0 && lines[last - 1] === '') last--
    const body = lines.slice(0, last).join('\n')
    if (chomp === '-') return body
    return chomp === '+' ? `${body}${'\n'.repeat(Math.max(1, lines.length - last + 1))}` : `${body}\n`
  }

  #flow(): unknown {
    if (++this.#depth > MAX_DEPTH) throw GIVE_UP
    const value = this.#s.charCodeAt(this.#i) === OPEN_MAP ? this.#flowMap() : this.#flowList()
    this.#depth--
    return value
  }

  #flowMap(): Record<string, unknown> {
    const s = this.#s
    const out: Record<string, unknown> = {}
    this.#i++
    for (;;) {
      this.#flowBlank()
      let c = s.charCodeAt(this.#i)
      if (c === CLOSE_MAP) {
        this.#i++
        return out
      }
      let key: string
      let json = false
      if (c === QUOTE || c === APOSTROPHE) {
        key = this.#quoted(c)
        json = true
      } else key = scalarKey(this.#flowPlain())
      this.#flowBlank()
      c = s.charCodeAt(this.#i)
      let value: unknown = null
      if (c === COLON && (json || isFlowEnd(s.charCodeAt(this.#i + 1)))) {
        this.#i++
        this.#flowBlank()
        value = this.#flowValue()
        this.#flowBlank()
        c = s.charCodeAt(this.#i)
      }
      setKey(out, key, value)
      if (c === COMMA) this.#i++
      else if (c !== CLOSE_MAP) throw GIVE_UP
    }
  }

  #flowList(): unknown[] {
    const s = this.#s
    const out: unknown[] = []
    this.#i++
    for (;;) {
      this.#flowBlank()
      if (s.charCodeAt(this.#i) === CLOSE_LIST) {
        this.#i++
        return out
      }
      out.push(this.#flowValue())
      this.#flowBlank()
      const c = s.charCodeAt(this.#i)
      if (c === COMMA) this.#i++
      else if (c !== CLOSE_LIST) throw GIVE_UP
    }
  }

  #flowValue(): unknown {
    const c = this.#s.charCodeAt(this.#i)
    if (c === OPEN_MAP || c === OPEN_LIST) return this.#flow()
    if (c === QUOTE || c === APOSTROPHE) return this.#quoted(c)
    if (c === COMMA || c === CLOSE_MAP) return null
    return plainScalar(this.#flowPlain())
  }

  #flowPlain(): string {
    const s = this.#s
    const start = this.#i
    const first = s.charCodeAt(start)
    if (INDICATORS.has(first) || first === QUESTION || Number.isNaN(first)) throw GIVE_UP
    if ((first === DASH || first === COLON) && isFlowEnd(s.charCodeAt(start + 1))) throw GIVE_UP
    let i = start
    for (; ; i++) {
      const c = s.charCodeAt(i)
      if (c === COMMA || c === CLOSE_MAP || c === CLOSE_LIST || c === OPEN_LIST || c === OPEN_MAP) break
      if (c === COLON && isFlowEnd(s.charCodeAt(i + 1))) break
      if (c === HASH && s.charCodeAt(i - 1) === SPACE) break
      // yaml-cpp ends a plain scalar of a flow collection at '?'.
      if (c === QUESTION || c === TAB || Number.isNaN(c)) throw GIVE_UP
      if (c === LF) {
        // Only a closing or separating character may follow, else the scalar goes on.
        const next = /[^\s]/g
        next.lastIndex = i
        const found = next.exec(s)
        if (found === null || !',]}'.includes(found[0])) throw GIVE_UP
        break
      }
    }
    this.#i = i
    return s.slice(start, i).trimEnd()
  }

  /** Blanks, line ends and comments inside a flow collection. */
  #flowBlank(): void {
    const s = this.#s
    for (;;) {
      const c = s.charCodeAt(this.#i)
      if (c === SPACE || c === LF) this.#i++
      else if (c === HASH) {
        const before = s.charCodeAt(this.#i - 1)
        if (before !== SPACE && before !== LF) throw GIVE_UP
        const next = s.indexOf('\n', this.#i)
        if (next < 0) throw GIVE_UP
        this.#i = next
      } else if (c === TAB) throw GIVE_UP
      else return
    }
  }
}

/** yaml-cpp reads a key as text; an empty or null one is the word "null". */
function scalarKey(text: string): string {
  return text === '' || text === '~' ? 'null' : text
}

function isBlank(c: number): boolean {
  return c === SPACE || c === LF || c === TAB || Number.isNaN(c)
}

function isFlowEnd(c: number): boolean {
  return isBlank(c) || c === COMMA || c === CLOSE_LIST || c === CLOSE_MAP
}
