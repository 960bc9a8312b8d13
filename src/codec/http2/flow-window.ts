/** Largest flow-control window (RFC 9113 §6.9.1). */
export const MAX_WINDOW = 0x7fffffff

/** What we may still send, on a stream or on the connection. May be negative after a SETTINGS change (§6.9.2). */
export class SendWindow {
  available: number

  constructor(size: number) {
    this.available = size
  }

  take(bytes: number): void {
    this.available -= bytes
  }

  /** WINDOW_UPDATE, or the difference of two SETTINGS_INITIAL_WINDOW_SIZE. False: overflow, a FLOW_CONTROL_ERROR. */
  shift(delta: number): boolean {
    const next = this.available + delta
    if (next > MAX_WINDOW) return false
    this.available = next
    return true
  }
}

/**
 * What the peer may still send. Bytes go through `receive` when a frame comes and through `consume` when the receiver is
 * done with them; credit is given back in steps of half the window, as nghttp2 does, so that updates stay rare.
 */
export class ReceiveWindow {
  available: number
  private target: number
  private consumed = 0

  constructor(size: number) {
    this.available = size
    this.target = size
  }

  reset(size: number): void {
    this.available = size
    this.target = size
    this.consumed = 0
  }

  /** False: the peer sent more than it was allowed to, a FLOW_CONTROL_ERROR. */
  receive(bytes: number): boolean {
    if (bytes > this.available) return false
    this.available -= bytes
    return true
  }

  /** Marks bytes as used up; returns the WINDOW_UPDATE increment that is now due, or 0. */
  consume(bytes: number): number {
    this.consumed += bytes
    if (this.consumed < this.target >>> 1 || this.consumed === 0) return 0
    const increment = this.consumed
    this.consumed = 0
    this.available += increment
    return increment
  }
}
