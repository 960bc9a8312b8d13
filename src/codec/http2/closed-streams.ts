const KEPT = 128

/**
 * The last streams that closed, to tell frames that crossed our RST_STREAM on the wire (RFC 9113 §5.1: must be ignored)
 * from frames on a stream the peer itself had ended.
 */
export class ClosedStreams {
  private readonly ids = new Int32Array(KEPT)
  private readonly reset = new Uint8Array(KEPT)
  private at = 0
  /** True when ids were forgotten, so that absence proves nothing. */
  overflowed = false

  add(id: number, resetByUs: boolean): void {
    this.ids[this.at] = id
    this.reset[this.at] = resetByUs ? 1 : 0
    this.at++
    if (this.at === KEPT) {
      this.at = 0
      this.overflowed = true
    }
  }

  wasResetByUs(id: number): boolean {
    const slot = this.ids.lastIndexOf(id)
    return slot >= 0 && this.reset[slot] === 1
  }

  has(id: number): boolean {
    return this.ids.includes(id)
  }
}
