import { flat } from '../base/flat.ts'
import { type FormatConfig, type FormatExtension, type FormatToken, parseFormat } from '../config/format-string.ts'
import { latin1 } from '../config/matcher.ts'
import type { FormatContext, Formatter } from './format-context.ts'
import { readerOf } from './format-operators.ts'
import { QuotedText } from './quoted-text.ts'

/** What an operator yields: null = missing (`-` in text), objects are printed as JSON. */
export type FormatValue = string | number | boolean | null | object
export type FormatReader = (context: FormatContext) => FormatValue

/**
 * Compiles a text format that `parseFormat` accepts (so it cannot fail on a worker). Lines are latin1 strings.
 * `omitEmpty`: missing values print nothing instead of `-`.
 */
export function compileFormat(
  text: string,
  omitEmpty = false,
  extensions: readonly FormatExtension[] = [],
): TextFormatter {
  return new TextFormatter(parseFormat(text, extensions), omitEmpty ? '' : '-')
}

/** Access-log line or local-reply body of a SubstitutionFormatString. JSON lines end in a line break, texts as configured. */
export function compileFormatConfig(config: FormatConfig): Formatter {
  if (config.text !== null) return compileFormat(config.text, config.omitEmpty, config.extensions)
  return new JsonFormatter(config)
}

/** A value that was the same for so many lines is expected to stay: what stands for it is joined with what its neighbours stand for. */
const STEADY = 256
/** A value that was another one for so many lines is expected to go on so. */
const UNSTEADY = 32
/** So often it is looked at all the same. `LAP`: where the count begins anew, a multiple of it. */
const RETRY = 64
const LAP = 1024

/** Alternating constants and operators: `texts` has one more element than `readers`. */
export class TextFormatter implements Formatter {
  /** The whole text when there is no operator in it, else null: callers skip formatting. */
  readonly constant: string | null
  readonly #texts: string[] = ['']
  readonly #readers: FormatReader[] = []
  /** By operator: the value of the last line and what stood for it, up to the next operator. Most values stay for a while. */
  readonly #lastValues: (FormatValue | undefined)[] = []
  /** '' until the value has come twice in a row. */
  readonly #lastPieces: string[] = []
  /** How many lines in a row had this value, up to STEADY; below 0: how many had each another one. */
  readonly #steady: number[] = []
  /** By the first of some operators whose values are steady: the end of that run, and its text. 0 and '' elsewhere. */
  readonly #runEnds: number[] = []
  readonly #runs: string[] = []
  /** Pieces and runs as `write` copies them; null until it does. */
  readonly #pieceBytes: (Uint8Array | null)[] = []
  readonly #runBytes: (Uint8Array | null)[] = []
  #untilJoin = STEADY
  readonly #lengths: number[] = []
  readonly #missing: string

  constructor(tokens: readonly FormatToken[], missing: string) {
    this.#missing = missing
    for (const token of tokens) {
      if (token.kind === 'text') this.#texts[this.#texts.length - 1] += token.text
      else {
        this.#readers.push(readerOf(token))
        this.#lengths.push(token.length)
        this.#texts.push('')
        this.#lastValues.push(undefined)
        this.#lastPieces.push('')
        this.#steady.push(0)
        this.#runEnds.push(0)
        this.#runs.push('')
        this.#pieceBytes.push(null)
        this.#runBytes.push(null)
      }
    }
    this.constant = this.#readers.length === 0 ? this.#texts[0]! : null
  }

  format(context: FormatContext): string {
    if (--this.#untilJoin === 0) this.#join()
    const readers = this.#readers
    const values = this.#lastValues
    const pieces = this.#lastPieces
    const ends = this.#runEnds
    let out = this.#texts[0]!
    let i = 0
    while (i < readers.length) {
      const end = ends[i]!
      let at = i
      let value = readers[at]!(context)
      while (value === values[at] && at + 1 < end) value = readers[++at]!(context)
      if (value !== values[at]) {
        if (end !== 0) ends[i] = 0
        for (; i < at; i++) out += pieces[i]!
        out += this.#change(at, value)
      } else if (end !== 0) out += this.#runs[i]!
      else {
        if (this.#steady[at]! < STEADY) this.#steady[at] = this.#steady[at]! < 0 ? 1 : this.#steady[at]! + 1
        out += pieces[at] === '' ? this.#keep(at, value) : pieces[at]!
      }
      i = at + 1
    }
    return out
  }

  /**
   * What `format` makes, as bytes in `to` from `start`: a line that is copied there by pieces never becomes a string, which is a rope
   * to be put together. Returns its end; when that is beyond `to`, the line is not there.
   */
  write(context: FormatContext, to: Buffer, start: number): number {
    if (--this.#untilJoin === 0) this.#join()
    const readers = this.#readers
    const values = this.#lastValues
    const ends = this.#runEnds
    const steady = this.#steady
    let out = putText(this.#texts[0]!, to, start)
    let i = 0
    while (i < readers.length) {
      const end = ends[i]!
      let at = i
      let value = readers[at]!(context)
      let same = isSame(value, values[at], steady[at]!)
      while (same && at + 1 < end) {
        value = readers[++at]!(context)
        same = isSame(value, values[at], STEADY)
      }
      if (!same) {
        if (end !== 0) ends[i] = 0
        for (; i < at; i++) out = putText(this.#lastPieces[i]!, to, out)
        this.#forget(at, value)
        out = putText(this.#texts[at + 1]!, to, putText(this.#text(at, value), to, out))
      } else if (end !== 0) out = putBytes(this.#runBytes[i] ?? this.#keepRun(i), to, out)
      else {
        if (steady[at]! < STEADY) steady[at] = steady[at]! < 0 ? 1 : steady[at]! + 1
        out = putBytes(this.#pieceBytes[at] ?? this.#keepBytes(at, value), to, out)
      }
      i = at + 1
    }
    return out
  }

  #change(i: number, value: FormatValue): string {
    this.#forget(i, value)
    return this.#piece(i, value)
  }

  #forget(i: number, value: FormatValue): void {
    // An object may change and stay the same.
    this.#lastValues[i] = typeof value === 'object' && value !== null ? undefined : value
    this.#lastPieces[i] = ''
    this.#pieceBytes[i] = null
    const steady = this.#steady[i]!
    this.#steady[i] = steady > 0 ? 0 : steady === -LAP ? RETRY - LAP - 1 : steady - 1
  }

  /** Makes runs of the operators that stand beside each other and are steady. */
  #join(): void {
    this.#untilJoin = STEADY
    const steady = this.#steady
    for (let i = 0; i < steady.length; ) {
      let end = i
      let text = ''
      while (end < steady.length && (this.#runEnds[end] !== 0 || steady[end]! >= STEADY)) {
        text += this.#runEnds[end] === 0 ? this.#lastPieces[end]! : this.#runs[end]!
        end = Math.max(end + 1, this.#runEnds[end]!)
      }
      if (end - i > 1 && this.#runEnds[i] !== end) {
        this.#runEnds.fill(0, i, end)
        this.#runs.fill('', i, end)
        this.#runEnds[i] = end
        this.#runs[i] = flat(text)
        this.#runBytes[i] = null
      }
      i = Math.max(end, i + 1)
    }
  }

  #piece(i: number, value: FormatValue): string {
    return this.#text(i, value) + this.#texts[i + 1]!
  }

  #text(i: number, value: FormatValue): string {
    if (value === null) return this.#missing
    const length = this.#lengths[i]!
    const text = typeof value === 'string' ? value : valueText(value)
    return length >= 0 && text.length > length ? text.slice(0, length) : text
  }

  /** As one piece of memory: it is copied into every line. */
  #keep(i: number, value: FormatValue): string {
    const piece = this.#piece(i, value)
    this.#lastPieces[i] = flat(piece)
    return piece
  }

  #keepBytes(i: number, value: FormatValue): Uint8Array {
    const bytes = Buffer.from(this.#lastPieces[i] === '' ? this.#keep(i, value) : this.#lastPieces[i]!, 'latin1')
    this.#pieceBytes[i] = bytes
    return bytes
  }

  #keepRun(i: number): Uint8Array {
    const bytes = Buffer.from(this.#runs[i]!, 'latin1')
    this.#runBytes[i] = bytes
    return bytes
  }
}

/**
 * Compared by type, because a comparison of anything with anything is a call. What has changed so many times in a row is only now and then
 * compared at all: two texts of one length and different content are read to find that out.
 */
function isSame(value: FormatValue, last: FormatValue | undefined, steady: number): boolean {
  if (steady < -UNSTEADY && steady % RETRY !== 0) return false
  if (typeof value === 'string') return typeof last === 'string' && value === last
  if (typeof value === 'number') return typeof last === 'number' && value === last
  return value === last
}

/** Up to here a loop takes less time than the call that does it at once. */
const SHORT = 40

/** Nothing is written beyond the end of `to`; the result says so. */
function putText(text: string, to: Buffer, at: number): number {
  const { length } = text
  const end = at + length
  if (end > to.length) return end
  if (length > SHORT) to.latin1Write(text, at, length)
  else for (let i = 0; i < length; i++) to[at + i] = text.charCodeAt(i)
  return end
}

function putBytes(bytes: Uint8Array, to: Buffer, at: number): number {
  const { length } = bytes
  const end = at + length
  if (end > to.length) return end
  if (length > SHORT) to.set(bytes, at)
  else for (let i = 0; i < length; i++) to[at + i] = bytes[i]!
  return end
}

/** Text form of a value that is no string. */
export function valueText(value: number | boolean | object): string {
  if (value instanceof QuotedText) return latin1(JSON.stringify(value.text))
  return typeof value === 'object' ? latin1(JSON.stringify(sorted(value))) : String(value)
}

/** Keys sorted at every level, as Envoy prints Structs. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]))
}

type JsonNode =
  | { readonly kind: 'constant'; readonly json: string; readonly isNull: boolean }
  | { readonly kind: 'value'; readonly read: FormatReader; readonly length: number }
  | { readonly kind: 'text'; readonly text: TextFormatter }
  | { readonly kind: 'list'; readonly items: readonly JsonNode[] }
  | { readonly kind: 'object'; readonly keys: readonly string[]; readonly nodes: readonly JsonNode[] }

class JsonFormatter implements Formatter {
  readonly #root: JsonNode
  readonly #omitEmpty: boolean

  constructor(config: FormatConfig) {
    this.#omitEmpty = config.omitEmpty
    this.#root = compileJson(config.json, config)
  }

  format(context: FormatContext): string {
    return `${this.#print(this.#root, context) ?? 'null'}\n`
  }

  /** JSON text; null for a missing value that omit_empty_values drops. */
  #print(node: JsonNode, context: FormatContext): string | null {
    switch (node.kind) {
      case 'constant':
        return node.isNull && this.#omitEmpty ? null : node.json
      case 'text':
        return jsonString(node.text.format(context))
      case 'value': {
        const value = node.read(context)
        if (value === null) return this.#omitEmpty ? null : 'null'
        if (typeof value === 'string') return jsonString(node.length >= 0 ? value.slice(0, node.length) : value)
        return jsonValue(value)
      }
      case 'list': {
        let out = ''
        for (let i = 0; i < node.items.length; i++) {
          const item = this.#print(node.items[i]!, context)
          if (item !== null) out += out === '' ? item : `,${item}`
        }
        return `[${out}]`
      }
      case 'object': {
        let out = ''
        for (let i = 0; i < node.keys.length; i++) {
          const item = this.#print(node.nodes[i]!, context)
          if (item !== null) out += out === '' ? node.keys[i]! + item : `,${node.keys[i]!}${item}`
        }
        // An object of which nothing is left goes too; the outermost one stays.
        return out === '' && this.#omitEmpty && node !== this.#root ? null : `{${out}}`
      }
    }
  }
}

function compileJson(value: unknown, config: FormatConfig): JsonNode {
  if (typeof value === 'string') return compileJsonString(value, config)
  if (Array.isArray(value)) return { kind: 'list', items: value.map(item => compileJson(item, config)) }
  if (typeof value !== 'object' || value === null) {
    return { kind: 'constant', json: JSON.stringify(value), isNull: value === null }
  }
  const entries = Object.entries(value)
  if (config.sortKeys) entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return {
    kind: 'object',
    keys: entries.map(([key]) => `${jsonString(latin1(key))}:`),
    nodes: entries.map(([, inner]) => compileJson(inner, config)),
  }
}

function compileJsonString(text: string, config: FormatConfig): JsonNode {
  const tokens = parseFormat(text, config.extensions)
  const only = tokens[0]
  if (tokens.length === 1 && only?.kind === 'operator') {
    return { kind: 'value', read: readerOf(only), length: only.length }
  }
  const compiled = new TextFormatter(tokens, config.omitEmpty ? '' : '-')
  if (compiled.constant === null) return { kind: 'text', text: compiled }
  return { kind: 'constant', json: jsonString(compiled.constant), isNull: false }
}

function jsonValue(value: unknown): string {
  if (typeof value === 'string') return jsonString(latin1(value))
  if (value instanceof QuotedText) return jsonString(latin1(value.text))
  if (Array.isArray(value)) return `[${value.map(jsonValue).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    return `{${entries.map(([key, inner]) => `${jsonString(latin1(key))}:${jsonValue(inner)}`).join(',')}}`
  }
  return JSON.stringify(value ?? null)
}

const PLAIN = /^[ !#-[\]-\x7e]*$/
const UTF8 = new TextDecoder('utf-8', { fatal: true })

/**
 * Envoy's JSON sanitizer: valid UTF-8 stays as its bytes, with the short escapes of JSON; in any other text `"`, `\`, controls
 * and every byte from 0x80 up become `\u00XX`. Takes and returns latin1.
 */
export function jsonString(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`
  if (/[\x80-\xff]/.test(text) && !isUtf8(text)) return `"${text.replace(/["\\\0-\x1f\x7f-\xff]/g, unicodeEscape)}"`
  // Each char is a byte here, so that nothing but the escapes changes.
  return JSON.stringify(text)
}

function unicodeEscape(c: string): string {
  return `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`
}

function isUtf8(text: string): boolean {
  try {
    UTF8.decode(Buffer.from(text, 'latin1'))
    return true
  } catch {
    return false
  }
}
