import type { Random } from '../../base/random.ts'
import type { HeaderBlock } from '../../codec/header-block.ts'

const HEX: string[] = []
for (let i = 0; i < 65536; i++) HEX.push(i.toString(16).padStart(4, '0'))

/** 64 random bits as 16 hex digits. */
export function randomId(random: Random): string {
  const high = random.next32()
  const low = random.next32()
  return HEX[high >>> 16]! + HEX[high & 65535]! + HEX[low >>> 16]! + HEX[low & 65535]!
}

/** 32 bits as 8 hex digits. */
export function hex32(value: number): string {
  return HEX[(value >>> 16) & 65535]! + HEX[value & 65535]!
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
