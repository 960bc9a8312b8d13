import type { Random } from '../base/random.ts'

/** ids made at once: a string of each alone is sixteen pieces that are put together when the id is first written. */
const BATCH = 16
const LENGTH = 36
const bytes = Buffer.alloc(BATCH * LENGTH, '-')
const HEX = Uint8Array.from('0123456789abcdef', c => c.charCodeAt(0))
/** Where the digits of each of the four words stand. */
const PLACES: readonly (readonly number[])[] = [
  [0, 1, 2, 3, 4, 5, 6, 7],
  [9, 10, 11, 12, 14, 15, 16, 17],
  [19, 20, 21, 22, 24, 25, 26, 27],
  [28, 29, 30, 31, 32, 33, 34, 35],
]
let batch = ''
let used = BATCH

/** A version 4 UUID (RFC 9562 §5.4) from the worker's generator: unique, not secret. */
export function newRequestId(random: Random): string {
  if (used === BATCH) fill(random)
  const at = used++ * LENGTH
  return batch.slice(at, at + LENGTH)
}

function fill(random: Random): void {
  for (let id = 0; id < BATCH; id++) {
    const start = id * LENGTH
    word(start, PLACES[0]!, random.next32())
    word(start, PLACES[1]!, (random.next32() & 0xffff0fff) | 0x4000)
    word(start, PLACES[2]!, (random.next32() & 0x3fffffff) | 0x80000000)
    word(start, PLACES[3]!, random.next32())
  }
  batch = bytes.latin1Slice(0, bytes.length)
  used = 0
}

function word(start: number, places: readonly number[], value: number): void {
  for (let i = 0; i < 8; i++) bytes[start + places[i]!] = HEX[(value >>> (28 - 4 * i)) & 15]!
}

const UUID_LENGTH = 36
/** The version digit, in which hops tell each other why a request is traced (UUIDRequestIDExtension). */
const REASON_AT = 14
export const NOT_TRACED = '4'

/** The digit of `id` that says why the request is traced; '' when it is no UUID. */
export function reasonDigit(id: string): string {
  return id.length === UUID_LENGTH ? id[REASON_AT]! : ''
}

/** `id` with another reason; what is no UUID stays as it is. */
export function withReasonDigit(id: string, digit: string): string {
  return id.length !== UUID_LENGTH || id[REASON_AT] === digit
    ? id
    : id.slice(0, REASON_AT) + digit + id.slice(REASON_AT + 1)
}

let dateSecond = -1
let dateText = ''

/** `Tue, 15 Nov 1994 08:12:31 GMT` (RFC 9110 §5.6.7), made once per second. */
export function httpDate(wall: number): string {
  const second = Math.floor(wall / 1000)
  if (second !== dateSecond) {
    dateSecond = second
    dateText = new Date(second * 1000).toUTCString()
  }
  return dateText
}
