/** Looks for byte patterns in order, with anything between them (PayloadMatcher::match). */
export class PayloadMatcher {
  private readonly patterns: readonly Uint8Array[]
  private readonly limit: number
  private data: Buffer = Buffer.alloc(0)

  /** `limit`: bytes kept, 0 = 64 KiB. What comes after is not looked at. */
  constructor(patterns: readonly Uint8Array[], limit: number) {
    this.patterns = patterns
    this.limit = limit === 0 ? 65536 : limit
  }

  add(chunk: Uint8Array): void {
    const room = this.limit - this.data.length
    if (room > 0) this.data = Buffer.concat([this.data, chunk.subarray(0, room)])
  }

  reset(): void {
    this.data = Buffer.alloc(0)
  }

  get matched(): boolean {
    let at = 0
    for (const pattern of this.patterns) {
      const found = this.data.indexOf(pattern, at)
      if (found < 0) return false
      at = found + pattern.length
    }
    return true
  }
}
