const N = 624
const M = 397

/** MT19937 with the seeding of C++'s std::mt19937. */
export class MersenneTwister {
  private readonly state = new Uint32Array(N)
  private index = N

  constructor(seed: number) {
    const s = this.state
    s[0] = seed
    for (let i = 1; i < N; i++) {
      const x = s[i - 1]! ^ (s[i - 1]! >>> 30)
      s[i] = Math.imul(1812433253, x) + i
    }
  }

  next(): number {
    if (this.index >= N) this.generate()
    let y = this.state[this.index++]!
    y ^= y >>> 11
    y ^= (y << 7) & 0x9d2c5680
    y ^= (y << 15) & 0xefc60000
    y ^= y >>> 18
    return y >>> 0
  }

  /** Uniform in [0, k), by rejection, exactly as Envoy draws it. */
  below(k: number): number {
    const bucket = Math.floor(4294967296 / k)
    let x = k
    while (x >= k) x = Math.floor(this.next() / bucket)
    return x
  }

  private generate(): void {
    const s = this.state
    for (let i = 0; i < N; i++) {
      const y = (s[i]! & 0x80000000) | (s[(i + 1) % N]! & 0x7fffffff)
      s[i] = s[(i + M) % N]! ^ (y >>> 1) ^ ((y & 1) !== 0 ? 0x9908b0df : 0)
    }
    this.index = 0
  }
}
