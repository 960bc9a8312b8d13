/**
 * What a plain YAML scalar means to Envoy (yaml-cpp with Envoy's own order of guesses): null, YAML 1.1 boolean, integer, else text.
 * Fractions stay text: the JSON reader turns them into numbers where the field wants one, and a Struct keeps the text, as in Envoy.
 */
const BOOLEANS = new Map<string, boolean>()
for (const [yes, no] of [
  ['y', 'n'],
  ['yes', 'no'],
  ['true', 'false'],
  ['on', 'off'],
] as const) {
  // yaml-cpp takes all lower, all upper and capitalised forms, not mixtures.
  for (const form of [
    (s: string) => s,
    (s: string) => s.toUpperCase(),
    (s: string) => s[0]!.toUpperCase() + s.slice(1),
  ]) {
    BOOLEANS.set(form(yes), true)
    BOOLEANS.set(form(no), false)
  }
}
const NULLS = new Set(['', '~', 'null', 'Null', 'NULL'])
const SMALL = /^(?:0|[1-9][0-9]*)$/
const INTEGER = /^[-+]?(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)$/

export function plainScalar(text: string): null | boolean | number | string {
  const c = text.charCodeAt(0)
  // '+', '-', '0'…'9'
  if ((c >= 0x30 && c <= 0x39) || c === 0x2d || c === 0x2b) return integer(text)
  if (text.length > 5) return text
  if (NULLS.has(text)) return null
  return BOOLEANS.get(text) ?? text
}

export function isNullScalar(text: string): boolean {
  return NULLS.has(text)
}

/** Integers within 32 bits are numbers, other 64-bit ones their decimal text, the rest stays as written. */
function integer(text: string): number | string {
  if (text.length < 10 && SMALL.test(text)) return Number(text)
  if (!INTEGER.test(text)) return text
  const negative = text[0] === '-'
  const digits = text.replace(/^[-+]/, '')
  const octal = digits.length > 1 && digits[0] === '0' && !/^0[xX]/.test(digits)
  const magnitude = BigInt(octal ? `0o${digits}` : digits)
  const n = negative ? -magnitude : magnitude
  if (n >= -(2n ** 31n) && n < 2n ** 31n) return Number(n)
  return n >= -(2n ** 63n) && n < 2n ** 63n ? String(n) : text
}

const ESCAPES: Record<string, string> = {
  '0': '\0',
  a: '\x07',
  b: '\b',
  t: '\t',
  n: '\n',
  v: '\v',
  f: '\f',
  r: '\r',
  e: '\x1b',
  ' ': ' ',
  '"': '"',
  '/': '/',
  '\\': '\\',
  N: '\x85',
  _: '\xa0',
  L: '\u2028',
  P: '\u2029',
  "'": "'",
}

/** The content of a double-quoted scalar; null when an escape is unknown. */
export function unescapeDouble(text: string): string | null {
  let bad = false
  const out = text.replace(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)/gs, (_, e: string) => {
    if (e.length > 1) {
      const code = Number.parseInt(e.slice(1), 16)
      // Surrogate pairs are written as two \\u escapes in JSON.
      if (e[0] === 'u') return String.fromCharCode(code)
      if (code <= 0x10ffff) return String.fromCodePoint(code)
    }
    const c = ESCAPES[e]
    if (c === undefined) bad = true
    return c ?? ''
  })
  return bad ? null : out
}
