/** Largest flow-control window (RFC 9113 §6.9.1). */
export const MAX_WINDOW = 0x7fffffff

// Windows are plain fields of what they belong to, a stream or the half of a connection: as objects they were a fifth of a stream.

/** What we may still send. May be negative after a SETTINGS change (§6.9.2). */
export interface Sending {
  sendWindow: number
}

/**
 * What the peer may still send. Bytes go through `receive` when a frame comes and through `consume` when the receiver is
 * done with them; credit is given back in steps of half the window, as nghttp2 does, so that updates stay rare.
 */
export interface Receiving {
  receiveWindow: number
  /** Bytes that are due to be given back. */
  consumed: number
}

/** WINDOW_UPDATE, or the difference of two SETTINGS_INITIAL_WINDOW_SIZE. False: overflow, a FLOW_CONTROL_ERROR. */
export function shift(side: Sending, delta: number): boolean {
  const next = side.sendWindow + delta
  if (next > MAX_WINDOW) return false
  side.sendWindow = next
  return true
}

/** False: the peer sent more than it was allowed to, a FLOW_CONTROL_ERROR. */
export function receive(side: Receiving, bytes: number): boolean {
  if (bytes > side.receiveWindow) return false
  side.receiveWindow -= bytes
  return true
}

/** Marks bytes of a window of `size` as used up; returns the WINDOW_UPDATE increment that is now due, or 0. */
export function consume(side: Receiving, bytes: number, size: number): number {
  side.consumed += bytes
  if (side.consumed < size >>> 1 || side.consumed === 0) return 0
  const increment = side.consumed
  side.consumed = 0
  side.receiveWindow += increment
  return increment
}
