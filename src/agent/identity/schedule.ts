import { LONGEST_TIMER_MS } from '../longest-timer.ts'

/** Time as the secret manager needs it: tests move it by hand. */
export interface Schedule {
  /** Milliseconds since the epoch. */
  wall(): number
  /** Calls once after that many milliseconds, however many; the result cancels it. */
  after(milliseconds: number, callback: () => void): () => void
}

export const systemSchedule: Schedule = {
  wall: () => Date.now(),
  after(milliseconds, callback) {
    let timer: NodeJS.Timeout
    const arm = (left: number): void => {
      timer = setTimeout(
        () => (left > LONGEST_TIMER_MS ? arm(left - LONGEST_TIMER_MS) : callback()),
        Math.min(left, LONGEST_TIMER_MS),
      )
    }
    arm(milliseconds)
    return () => clearTimeout(timer)
  },
}
