import type { Random } from '../../base/random.ts'
import type { HeaderBlock } from '../../codec/header-block.ts'

/** By byte: a table of all pairs of bytes took each thread 3.5 MB, and a tenth of its start, whether anything is traced or not. */
const HEX: string[] = []
for (let i = 0; i < 256; i++) HEX.push(i.toString(16).padStart(2, '0'))

/** 64 random bits as 16 hex digits. */
export function randomId(random: Random): string {
  return hex32(random.next32()) + hex32(random.next32())
}

/** 32 bits as 8 hex digits. */
export function hex32(value: number): string {
  return HEX[value >>> 24]! + HEX[(value >>> 16) & 255]! + HEX[(value >>> 8) & 255]! + HEX[value & 255]!
}

/** What collectors get is Unicode: bytes of headers that are no UTF-8 become U+FFFD. */
export function unicode(latin1: string): string {
  for (let i = 0; i < latin1.length; i++) {
    if (latin1.charCodeAt(i) > 0x7f) return Buffer.from(latin1, 'latin1').toString('utf8')
  }
  return latin1
}

/** As Envoy sets headers that it has no slot for: those of the name go, the new one comes last. */
export function replaceHeader(h: HeaderBlock, name: string, value: string): void {
  h.remove(name)
  h.push(name, value)
}
