/** Source of time. Everything that waits or measures takes one, so that tests run in virtual time. */
export interface Clock {
  /** Monotonic time in milliseconds, with a fraction. */
  now(): number
  /** Wall-clock time in milliseconds since the epoch. */
  wall(): number
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
}
