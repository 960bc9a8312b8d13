import type { Random } from '../base/random.ts'

const hex: string[] = []
for (let i = 0; i < 256; i++) hex.push(i.toString(16).padStart(2, '0'))

/** A version 4 UUID (RFC 9562 §5.4) from the worker's generator: unique, not secret. */
export function newRequestId(random: Random): string {
  const a = random.next32()
  const b = random.next32()
  const c = random.next32()
  const d = random.next32()
  return (
    hex[a >>> 24]! +
    hex[(a >>> 16) & 255]! +
    hex[(a >>> 8) & 255]! +
    hex[a & 255]! +
    '-' +
    hex[b >>> 24]! +
    hex[(b >>> 16) & 255]! +
    '-' +
    hex[((b >>> 8) & 15) | 64]! +
    hex[b & 255]! +
    '-' +
    hex[((c >>> 24) & 63) | 128]! +
    hex[(c >>> 16) & 255]! +
    '-' +
    hex[(c >>> 8) & 255]! +
    hex[c & 255]! +
    hex[d >>> 24]! +
    hex[(d >>> 16) & 255]! +
    hex[(d >>> 8) & 255]! +
    hex[d & 255]!
  )
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
