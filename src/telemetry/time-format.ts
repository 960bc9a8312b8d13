/**
 * START_TIME and EMIT_TIME formats: strftime names plus Envoy's fraction specifiers `%3f`, `%6f`, `%9f`, `%f` (nine digits), and
 * absl's `%E6S`. Unknown specifiers print as they stand. Times are wall-clock milliseconds, printed in UTC: containers run in UTC,
 * and the real Envoy's *_LOCAL operators print `+0000` there.
 */
export type TimeFormat = (wall: number) => string

/** `2026-11-21T01:11:41.310` + suffix. Made anew once per millisecond at most: lines of one turn share it. */
export function isoMilliseconds(suffix: string): TimeFormat {
  let second = -1
  let prefix = ''
  let last = -1
  let text = ''
  return wall => {
    const ms = Math.floor(wall)
    if (ms === last) return text
    const now = Math.floor(ms / 1000)
    if (now !== second) {
      second = now
      prefix = new Date(now * 1000).toISOString().slice(0, 20)
    }
    last = ms
    text = prefix + pad(ms - now * 1000, 3) + suffix
    return text
  }
}

type Part = (date: Date, wall: number) => string

export function compileTimeFormat(format: string): TimeFormat {
  const parts: (string | Part)[] = []
  let literal = ''
  for (let i = 0; i < format.length; ) {
    const found = format[i] === '%' ? specifier(format, i) : null
    if (found === null) {
      literal += format[i]!
      i++
      continue
    }
    if (literal !== '') parts.push(literal)
    literal = ''
    parts.push(found.part)
    i += found.length
  }
  if (literal !== '') parts.push(literal)
  return wall => {
    const date = new Date(wall)
    let out = ''
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i]!
      out += typeof part === 'string' ? part : part(date, wall)
    }
    return out
  }
}

function specifier(format: string, at: number): { part: Part; length: number } | null {
  const digits = /^%([1-9])?f/.exec(format.slice(at, at + 3))
  if (digits !== null) {
    const width = Number(digits[1] ?? 9)
    return { part: (_, wall) => fraction(wall, width), length: digits[0].length }
  }
  const exact = /^%E([0-9*]?)([Sf])/.exec(format.slice(at, at + 4))
  if (exact !== null && exact[1] !== '') {
    const width = exact[1] === '*' ? 3 : Number(exact[1])
    const seconds = exact[2] === 'S'
    return {
      part: (date, wall) => (seconds ? `${pad(date.getUTCSeconds(), 2)}.` : '') + fraction(wall, width),
      length: exact[0].length,
    }
  }
  const part = SPECIFIERS[format[at + 1] ?? '']
  return part === undefined ? null : { part, length: 2 }
}

/** `width` digits of the second's fraction. Microseconds are what a double holds of wall-clock milliseconds. */
function fraction(wall: number, width: number): string {
  const microseconds = Math.min(Math.round((wall - Math.floor(wall / 1000) * 1000) * 1000), 999_999)
  return `${pad(microseconds, 6)}000`.slice(0, width)
}

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]

const hms = (d: Date): string => `${pad(d.getUTCHours(), 2)}:${pad(d.getUTCMinutes(), 2)}:${pad(d.getUTCSeconds(), 2)}`
const mdy = (d: Date): string =>
  `${pad(d.getUTCMonth() + 1, 2)}/${pad(d.getUTCDate(), 2)}/${pad(d.getUTCFullYear() % 100, 2)}`
const hour12 = (d: Date): number => d.getUTCHours() % 12 || 12

const SPECIFIERS: Readonly<Record<string, Part>> = {
  Y: d => String(d.getUTCFullYear()),
  y: d => pad(d.getUTCFullYear() % 100, 2),
  C: d => pad(Math.floor(d.getUTCFullYear() / 100), 2),
  m: d => pad(d.getUTCMonth() + 1, 2),
  d: d => pad(d.getUTCDate(), 2),
  e: d => String(d.getUTCDate()).padStart(2, ' '),
  H: d => pad(d.getUTCHours(), 2),
  I: d => pad(hour12(d), 2),
  M: d => pad(d.getUTCMinutes(), 2),
  S: d => pad(d.getUTCSeconds(), 2),
  p: d => (d.getUTCHours() < 12 ? 'AM' : 'PM'),
  a: d => DAYS[d.getUTCDay()]!.slice(0, 3),
  A: d => DAYS[d.getUTCDay()]!,
  b: d => MONTHS[d.getUTCMonth()]!.slice(0, 3),
  h: d => MONTHS[d.getUTCMonth()]!.slice(0, 3),
  B: d => MONTHS[d.getUTCMonth()]!,
  j: d => pad(Math.floor((d.getTime() - Date.UTC(d.getUTCFullYear(), 0, 1)) / 86_400_000) + 1, 3),
  u: d => String(d.getUTCDay() || 7),
  w: d => String(d.getUTCDay()),
  F: d => d.toISOString().slice(0, 10),
  T: hms,
  R: d => hms(d).slice(0, 5),
  D: mdy,
  x: mdy,
  X: hms,
  r: d =>
    `${pad(hour12(d), 2)}:${pad(d.getUTCMinutes(), 2)}:${pad(d.getUTCSeconds(), 2)} ${d.getUTCHours() < 12 ? 'AM' : 'PM'}`,
  c: d =>
    `${DAYS[d.getUTCDay()]!.slice(0, 3)} ${MONTHS[d.getUTCMonth()]!.slice(0, 3)} ${String(d.getUTCDate()).padStart(2, ' ')} ${hms(d)} ${d.getUTCFullYear()}`,
  s: (_, wall) => String(Math.floor(wall / 1000)),
  z: () => '+0000',
  Z: () => 'UTC',
  n: () => '\n',
  t: () => '\t',
  '%': () => '%',
}

function pad(n: number, width: number): string {
  return String(n).padStart(width, '0')
}
