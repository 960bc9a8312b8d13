import type { ClientRequest } from 'node:http'
import { LONGEST_TIMER_MS } from './longest-timer.ts'

/**
 * Aborts after so many milliseconds. Configuration, headers and control planes also give fractions, which AbortSignal.timeout refuses, and
 * lengths beyond those of timers, which it takes for none.
 */
export function deadlineAfter(ms: number): AbortSignal {
  return AbortSignal.timeout(Math.ceil(Math.min(Math.max(ms, 0), LONGEST_TIMER_MS)))
}

/**
 * Makes an `error` of 101 (Switching Protocols), which is no answer to a request that does not offer it (RFC 9110 section 7.8). Without a
 * listener Node drops the connection and tells nobody, not even at the deadline.
 */
export function refuseUpgrade(outgoing: ClientRequest): void {
  outgoing.on('upgrade', (_answer, socket) => {
    socket.destroy()
    outgoing.emit('error', new Error('answered by 101 Switching Protocols, which was not asked for'))
  })
}
