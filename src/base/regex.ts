import { setFlagsFromString } from 'node:v8'
import type { RE2JS } from 're2js'
import { lazyRe2 } from './lazy-modules.ts'
import { isPlainRegex } from './plain-regex.ts'

/**
 * Regular expressions with RE2's syntax and meaning (envoy.type.matcher.v3.RegexMatcher), safe against hostile input.
 *
 * RE2JS is always right and linear, but ten times slower than V8. V8 runs a pattern when (a) its syntax means the same in both
 * (`toV8` returns null otherwise) and (b) V8's linear engine can take it (`boundBacktracking`).
 */
export interface Regex {
  /** RE2::FullMatch. `subject` is latin1, one char per byte, and so does Envoy's RE2 read it (it refuses `\x{263a}`). */
  fullMatch(subject: string): boolean
  /** RE2::GlobalReplace; `\0`–`\9` in `substitution` are the groups; what RE2 does with bad ones is copied. */
  replaceAll(subject: string, substitution: string): string
}

/** Null when RE2 accepts the pattern, else RE2's error text. */
export function regexError(pattern: string): string | null {
  if (isPlainRegex(pattern)) return null
  const { RE2JS, RE2JSException } = lazyRe2()
  try {
    RE2JS.compile(pattern)
    return null
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error
    return re2Text(error.message)
  }
}

/**
 * From now on V8 begins with its fast backtracking code and changes to its linear engine after too many backtracks, where that can take
 * the pattern: the worst case stays linear. For the process, and not before the first pattern of a configuration: under other flags
 * than the default ones Node compiles its own modules anew when they are loaded, 10 ms in each thread that starts.
 */
export function boundBacktracking(): void {
  if (bounded) return
  bounded = true
  setFlagsFromString('--enable-experimental-regexp-engine')
  setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks')
  setFlagsFromString('--regexp-backtracks-before-fallback=10000')
}

let bounded = false

/** `pattern` must have passed `regexError`. */
export function compileRegex(pattern: string): Regex {
  boundBacktracking()
  const bytes = Buffer.from(pattern, 'utf8').toString('latin1')
  const source = toV8(bytes)
  if (source !== null && runsLinear(source)) return new V8Regex(source)
  return new Re2Regex(bytes)
}

/** The C++ library's words for what the JavaScript port says otherwise. */
const RE2_TEXTS: readonly (readonly [string, string])[] = [
  ['missing closing ]', 'missing ]'],
  ['missing closing )', 'missing )'],
  ['unexpected )', 'unexpected )'],
  ['missing argument to repetition operator', 'no argument for repetition operator'],
  ['invalid or unsupported Perl syntax', 'invalid perl operator'],
  ['invalid repeat count', 'invalid repetition size'],
  ['invalid nested repetition operator', 'bad repetition operator'],
  ['invalid named capture', 'invalid named capture group'],
  ['duplicate capture group name', 'duplicate capture group name'],
]

function re2Text(message: string): string {
  const text = message.replace(/^error parsing regexp: /, '')
  const split = /^(.*?): `([\s\S]*)`$/.exec(text)
  if (split === null) return text === 'trailing backslash at end of expression' ? 'trailing \\' : text
  const known = RE2_TEXTS.find(([from]) => from === split[1])
  return `${known === undefined ? split[1] : known[1]}: ${split[2]}`
}

function runsLinear(source: string): boolean {
  try {
    new RegExp(source, 'l')
    return true
  } catch {
    return false
  }
}

class V8Regex implements Regex {
  readonly #source: string
  readonly #full: RegExp
  #scan: RegExp | null = null

  constructor(source: string) {
    this.#source = source
    this.#full = new RegExp(`^(?:${source})$`)
  }

  fullMatch(subject: string): boolean {
    return this.#full.test(subject)
  }

  replaceAll(subject: string, substitution: string): string {
    this.#scan ??= new RegExp(this.#source, 'g')
    const scan = this.#scan
    return replace(subject, substitution, at => {
      scan.lastIndex = at
      const found = scan.exec(subject)
      return found === null ? null : { start: found.index, groups: found }
    })
  }
}

class Re2Regex implements Regex {
  readonly #re: RE2JS

  constructor(pattern: string) {
    this.#re = lazyRe2().RE2JS.compile(pattern)
  }

  fullMatch(subject: string): boolean {
    return this.#re.testExact(subject)
  }

  replaceAll(subject: string, substitution: string): string {
    const matcher = this.#re.matcher(subject)
    const count = matcher.groupCount()
    return replace(subject, substitution, at => {
      if (!matcher.find(at)) return null
      const groups: (string | undefined)[] = []
      for (let i = 0; i <= count; i++) groups.push(matcher.group(i) ?? undefined)
      return { start: matcher.start(), groups }
    })
  }
}

interface Found {
  readonly start: number
  readonly groups: ArrayLike<string | undefined>
}

/** RE2::GlobalReplace: an empty match directly after a match does not count, unlike String.prototype.replace. */
function replace(subject: string, substitution: string, next: (at: number) => Found | null): string {
  let out = ''
  let copied = 0
  let at = 0
  let lastEnd = -1
  while (at <= subject.length) {
    const found = next(at)
    if (found === null) break
    const whole = found.groups[0]!
    const end = found.start + whole.length
    if (whole === '' && found.start === lastEnd) {
      at++
      continue
    }
    if (highestGroup(substitution) >= found.groups.length) return subject
    out += subject.slice(copied, found.start) + expand(substitution, found.groups)
    copied = end
    lastEnd = end
    at = end
  }
  return out + subject.slice(copied)
}

/** RE2::MaxSubmatch: a group that does not exist makes RE2 give up as a whole. */
function highestGroup(substitution: string): number {
  let highest = 0
  for (let i = substitution.indexOf('\\'); i >= 0; i = substitution.indexOf('\\', i + 2)) {
    const digit = substitution.charCodeAt(i + 1) - 48
    if (digit > highest && digit <= 9) highest = digit
  }
  return highest
}

/** RE2::Rewrite: at an escape that is none it stops and what it has so far is put in. */
function expand(substitution: string, groups: ArrayLike<string | undefined>): string {
  if (!substitution.includes('\\')) return substitution
  let out = ''
  for (let i = 0; i < substitution.length; i++) {
    const c = substitution[i]!
    if (c !== '\\') {
      out += c
      continue
    }
    const d = substitution[++i]
    if (d === '\\') out += d
    else if (d !== undefined && d >= '0' && d <= '9') out += groups[Number(d)] ?? ''
    else break
  }
  return out
}

/** What callers put around a pattern that may match anywhere. */
const ANYTHING = '(?s:.*)'

/** RE2 source as V8 source of the same meaning on latin1 subjects; null when this short translation does not cover it. */
function toV8(pattern: string): string | null {
  let out = ''
  let inClass = false
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern[i]!
    if (c === '\\') {
      const e = escapeToV8(pattern[++i], inClass)
      if (e === null) return null
      out += e
    } else if (inClass) {
      if (c === '[' && pattern[i + 1] === ':') return null
      if (c === ']') inClass = false
      out += c
    } else if (c === '[') {
      inClass = true
      out += c
      if (pattern[i + 1] === '^') out += pattern[++i]!
      // RE2 takes a leading ] as a member; V8 would close an empty class.
      if (pattern[i + 1] === ']') return null
    } else if (c === '.') out += '[^\\n]'
    else if (c === '(' && pattern[i + 1] === '?') {
      if (pattern.startsWith('(?:', i)) {
        out += '(?:'
        i += 2
      } else if (pattern.startsWith(ANYTHING, i)) {
        out += '[^]*'
        i += ANYTHING.length - 1
      } else if (pattern.startsWith('(?P<', i)) {
        out += '(?<'
        i += 3
      } else return null
    } else out += c
  }
  return out
}

function escapeToV8(c: string | undefined, inClass: boolean): string | null {
  if (c === undefined) return null
  // V8's \s knows \v and more; RE2's is [\t\n\f\r ].
  if (c === 's') return inClass ? '\\t\\n\\f\\r ' : '[\\t\\n\\f\\r ]'
  if (c === 'S') return inClass ? null : '[^\\t\\n\\f\\r ]'
  if (c === 'z' && !inClass) return '$'
  if (c === 'A' && !inClass) return '^'
  if (c === 'a') return '\\x07'
  if ((c === 'b' || c === 'B') && inClass) return null
  if ('dDwWbBntrfv'.includes(c)) return `\\${c}`
  return /[A-Za-z0-9_]/.test(c) ? null : `\\${c}`
}
