/** Duration, Timestamp and base64 between proto3 JSON text and the message shape. */

const MAX_DURATION_SECONDS = 315_576_000_000
const MIN_TIMESTAMP_SECONDS = -62_135_596_800
const MAX_TIMESTAMP_SECONDS = 253_402_300_799

/** A well-known value that cannot be read; `message` has the words of protobuf's JSON reader. */
export class ValueError extends Error {}

/** '1.5s' → 1500. */
export function parseDuration(text: string): number {
  const m = /^(-?)(\d+)(?:\.(\d*))?(.*)$/s.exec(text)
  if (m === null) throw new ValueError('duration must start with an integer')
  const [, sign, whole, fraction, rest] = m
  if (rest !== 's') throw new ValueError("duration must end with a single 's'")
  if (fraction !== undefined && (fraction.length === 0 || fraction.length > 9))
    throw new ValueError('duration had bad nanoseconds')
  const seconds = Number(whole)
  if (seconds > MAX_DURATION_SECONDS) throw new ValueError('duration out of range')
  const ms = secondsToMs(seconds, fraction === undefined ? 0 : Number(fraction.padEnd(9, '0')))
  return sign === '-' ? -ms : ms
}

/** Milliseconds; exact to the nanosecond up to about a hundred days, which no timeout exceeds. */
export function secondsToMs(seconds: number, nanos: number): number {
  if (seconds < 0 || nanos < 0) return -secondsToMs(Math.abs(seconds), Math.abs(nanos)) || 0
  // One rounding only: 0.1 + 0.2 arithmetic on the parts would show up as 1.0000000001s in a dump.
  return nanos % 1_000_000 === 0
    ? seconds * 1000 + nanos / 1_000_000
    : Number(`${seconds * 1000 + Math.trunc(nanos / 1e6)}.${String(nanos % 1_000_000).padStart(6, '0')}`)
}

/** Inverse of secondsToMs: whole seconds and nanoseconds of the same sign. */
export function msToSeconds(ms: number): { seconds: number; nanos: number } {
  const sign = ms < 0 ? -1 : 1
  const abs = Math.abs(ms)
  let seconds = Math.floor(abs / 1000)
  let nanos = Math.round((abs - seconds * 1000) * 1e6)
  if (nanos >= 1e9) {
    seconds++
    nanos -= 1e9
  }
  return { seconds: seconds * sign || 0, nanos: nanos * sign || 0 }
}

/** As protobuf prints it: 0, 3, 6 or 9 digits. */
export function formatDuration(ms: number): string {
  const { seconds, nanos } = msToSeconds(Math.abs(ms))
  return `${ms < 0 ? '-' : ''}${seconds}${fractionDigits(nanos)}s`
}

function fractionDigits(nanos: number): string {
  if (nanos === 0) return ''
  const digits = String(nanos).padStart(9, '0')
  if (nanos % 1_000_000 === 0) return `.${digits.slice(0, 3)}`
  return nanos % 1000 === 0 ? `.${digits.slice(0, 6)}` : `.${digits}`
}

/** RFC 3339 → milliseconds since 1970. */
export function parseTimestamp(text: string): number {
  const m = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text)
  if (m === null) throw new ValueError(`invalid timestamp '${text}'`)
  const base = Date.parse(`${text.slice(0, 19)}${m[8]}`)
  if (Number.isNaN(base)) throw new ValueError(`invalid timestamp '${text}'`)
  return base + (m[7] === undefined ? 0 : Number(m[7].padEnd(9, '0')) / 1e6)
}

export function formatTimestamp(ms: number): string {
  let seconds = Math.floor(ms / 1000)
  let nanos = Math.round((ms - seconds * 1000) * 1e6)
  if (nanos >= 1e9) {
    seconds++
    nanos = 0
  }
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}${fractionDigits(nanos)}Z`
}

export function checkDuration(seconds: number, nanos: number): void {
  if (Math.abs(seconds) > MAX_DURATION_SECONDS || Math.abs(nanos) > 999_999_999)
    throw new ValueError('duration out of range')
}

export function checkTimestamp(seconds: number): void {
  if (seconds < MIN_TIMESTAMP_SECONDS || seconds > MAX_TIMESTAMP_SECONDS) throw new ValueError('timestamp out of range')
}

/** Standard and URL-safe alphabets, padding optional, as proto3 JSON allows. */
export function parseBase64(text: string): Uint8Array {
  const body = text.replace(/={1,2}$/, '')
  if (!/^[A-Za-z0-9+/_-]*$/.test(body) || body.length % 4 === 1) throw new ValueError('corrupt base64')
  return new Uint8Array(Buffer.from(body, 'base64'))
}
