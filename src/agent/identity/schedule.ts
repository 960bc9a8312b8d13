/** Time as the secret manager needs it: tests move it by hand. */
export interface Schedule {
  /** Milliseconds since the epoch. */
  wall(): number
  /** Calls once after that many milliseconds, however many; the result cancels it. */
  after(milliseconds: number, callback: () => void): () => void
}

/** What setTimeout can count: a longer time would fire at once. */
const LONGEST_MS = 2 ** 31 - 1

export const systemSchedule: Schedule = {
  wall: () => Date.now(),
  after(milliseconds, callback) {
    let timer: NodeJS.Timeout
    const arm = (left: number): void => {
      timer = setTimeout(() => (left > LONGEST_MS ? arm(left - LONGEST_MS) : callback()), Math.min(left, LONGEST_MS))
    }
    arm(milliseconds)
    return () => clearTimeout(timer)
  },
}
