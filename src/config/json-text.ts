/**
 * A JSON parser for what JSON.parse refuses or spoils, as lenient as protobuf's: bare and single-quoted keys are allowed, and
 * integers that a number cannot hold become bigint. Its errors have protobuf's words and a position.
 */
import { ConfigError } from '../base/errors.ts'
import { type FieldType, type MessageType, messageType } from './descriptors.ts'
import { kindName } from './json-scalars.ts'
import { setKey } from './object-key.ts'

const MAX_DEPTH = 200
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const WORD = /[A-Za-z_][A-Za-z0-9_]*/y

/**
 * @param rootType for the error text
 * @throws ConfigError CONFIG_SYNTAX
 */
export function parseJsonText(text: string, rootType: string, file: string): unknown {
  if (!hasLongInteger(text)) {
    try {
      return JSON.parse(text)
    } catch {
      // Decided below: it may be JSON that only protobuf takes, and its errors have no positions.
    }
  }
  return new LenientParser(text, rootType, file).document()
}

/** 16 digits in a row, which a number may not hold. One of any 16 characters in a row stands at a multiple of 16. */
function hasLongInteger(text: string): boolean {
  for (let i = 0; i < text.length; i += 16) {
    if (!isDigit(text, i)) continue
    let start = i
    let end = i + 1
    while (isDigit(text, start - 1)) start--
    while (isDigit(text, end)) end++
    if (end - start >= 16) return true
  }
  return false
}

function isDigit(text: string, at: number): boolean {
  const c = text.charCodeAt(at)
  return c >= 0x30 && c <= 0x39
}

class LenientParser {
  readonly #s: string
  readonly #rootType: string
  readonly #file: string
  readonly #path: (string | number)[] = []
  #i = 0

  constructor(text: string, rootType: string, file: string) {
    this.#s = text
    this.#rootType = rootType
    this.#file = file
  }

  document(): unknown {
    this.#blank()
    if (this.#s[this.#i] !== '{') {
      throw this.#unexpected(
        "'{'",
        /\.(json|ya?ml)$/i.test(this.#file) ? '' : 'YAML is read from files that end in .yaml or .yml only',
      )
    }
    const value = this.#value(0)
    this.#blank()
    if (this.#i < this.#s.length) throw this.#unexpected('end of file')
    return value
  }

  #value(depth: number): unknown {
    if (depth > MAX_DEPTH) throw this.#error('JSON content was too deeply nested')
    const c = this.#s[this.#i]
    if (c === '{') return this.#object(depth)
    if (c === '[') return this.#array(depth)
    if (c === '"' || c === "'") return this.#string()
    for (const [word, value] of [
      ['true', true],
      ['false', false],
      ['null', null],
    ] as const) {
      if (this.#s.startsWith(word, this.#i)) {
        this.#i += word.length
        return value
      }
    }
    return this.#number()
  }

  #object(depth: number): Record<string, unknown> {
    const out: Record<string, unknown> = {}
    this.#i++
    this.#blank()
    if (this.#s[this.#i] === '}') {
      this.#i++
      return out
    }
    for (;;) {
      this.#blank()
      const c = this.#s[this.#i]
      // The reader of protobuf, in the mode Envoy uses, takes one comma after the last element.
      if (c === '}' && Object.keys(out).length > 0) {
        this.#i++
        return out
      }
      const key = c === '"' || c === "'" ? this.#string() : this.#word()
      this.#blank()
      if (this.#s[this.#i] !== ':') throw this.#unexpected("':'")
      this.#i++
      this.#blank()
      this.#path.push(key)
      setKey(out, key, this.#value(depth + 1))
      this.#path.pop()
      this.#blank()
      const end = this.#s[this.#i]
      if (end !== ',' && end !== '}') throw this.#unexpected("','")
      this.#i++
      if (end === '}') return out
    }
  }

  #array(depth: number): unknown[] {
    const out: unknown[] = []
    this.#i++
    this.#blank()
    if (this.#s[this.#i] === ']') {
      this.#i++
      return out
    }
    for (;;) {
      this.#blank()
      if (this.#s[this.#i] === ']' && out.length > 0) {
        this.#i++
        return out
      }
      this.#path.push(out.length)
      out.push(this.#value(depth + 1))
      this.#path.pop()
      this.#blank()
      const end = this.#s[this.#i]
      if (end !== ',' && end !== ']') throw this.#unexpected("','")
      this.#i++
      if (end === ']') return out
    }
  }

  #word(): string {
    WORD.lastIndex = this.#i
    const m = WORD.exec(this.#s)
    if (m === null) throw this.#error('expected bare word')
    this.#i += m[0].length
    return m[0]
  }

  #number(): number | bigint {
    NUMBER.lastIndex = this.#i
    const m = NUMBER.exec(this.#s)
    if (m === null) throw this.#unexpected('a value')
    this.#i += m[0].length
    const n = Number(m[0])
    return Number.isSafeInteger(n) || /[.eE]/.test(m[0]) ? n : BigInt(m[0])
  }

  #string(): string {
    const quote = this.#s[this.#i]
    const start = this.#i++
    for (; this.#s[this.#i] !== quote; this.#i++) {
      const c = this.#s[this.#i]
      if (c === undefined || c < ' ') throw this.#error('unexpected end of string')
      if (c === '\\') this.#i++
    }
    const body = this.#s.slice(start + 1, this.#i++)
    try {
      return JSON.parse(quote === '"' ? `"${body}"` : `"${body.replace(/\\'|"/g, m => (m === '"' ? '\\"' : "'"))}"`)
    } catch {
      throw this.#error('invalid escape sequence')
    }
  }

  #blank(): void {
    while (' \t\r\n'.includes(this.#s[this.#i] ?? 'x')) this.#i++
  }

  #unexpected(expected: string, advice = ''): ConfigError {
    const c = this.#s[this.#i]
    return this.#error(
      c === undefined ? 'unexpected end of file' : `unexpected character: '${c}'; expected ${expected}`,
      advice,
    )
  }

  #error(text: string, advice = ''): ConfigError {
    const before = this.#s.slice(0, this.#i)
    const line = before.split('\n').length
    const column = this.#i - before.lastIndexOf('\n')
    const near = `near ${line}:${column} (offset ${this.#i})`
    const envoyText = `Unable to parse JSON as proto (INVALID_ARGUMENT: invalid JSON in ${this.#rootType}${this.#where()}, ${near}: ${text})`
    const detail = { file: this.#file, line, column, advice: advice === '' ? undefined : advice }
    return new ConfigError('CONFIG_SYNTAX', '', envoyText, detail)
  }

  /** ` @ admin: message envoy.config.bootstrap.v3.Admin`, as far as the descriptors know the way. */
  #where(): string {
    let type: MessageType | null = messageType(this.#rootType)
    let kind = ''
    let path = ''
    for (const step of this.#path) {
      if (typeof step === 'number') path += `[${step}]`
      else {
        const field: FieldType | undefined = type?.byName.get(step)
        if (field === undefined) break
        path += (path === '' ? '' : '.') + step
        kind = kindName(field)
        type = field.isMessage && !field.isMap ? field.message : null
      }
    }
    return path === '' ? '' : ` @ ${path}: ${kind}`
  }
}
