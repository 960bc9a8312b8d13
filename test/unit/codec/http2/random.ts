/** A seeded generator (mulberry32), so that failures repeat. */
export class Random {
  private state: number
  constructor(seed: number) {
    this.state = seed
  }

  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0
    let x = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296
  }

  below(n: number): number {
    return Math.floor(this.next() * n)
  }

  /** Any octets, mostly printable. */
  text(max: number): string {
    let text = ''
    for (let n = this.below(max + 1); n > 0; n--) {
      text += String.fromCharCode(this.below(8) === 0 ? this.below(256) : 33 + this.below(94))
    }
    return text
  }
}
