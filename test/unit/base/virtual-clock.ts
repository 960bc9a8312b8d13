import type { Clock } from '../../../src/base/clock.ts'
import { TimerWheel } from '../../../src/base/timer-wheel.ts'

/** A clock that stands still until told to move. */
export class VirtualClock implements Clock {
  time: number

  constructor(time = 1000) {
    this.time = time
  }

  now(): number {
    return this.time
  }

  wall(): number {
    return 1_600_000_000_000 + this.time
  }
}

/** A wheel in virtual time; `pass(ms)` runs everything due on the way, each at its own time. */
export class VirtualTimers extends TimerWheel {
  readonly clock: VirtualClock

  constructor(clock: VirtualClock = new VirtualClock()) {
    super(clock, null)
    this.clock = clock
  }

  pass(ms: number): void {
    const end = this.clock.time + ms
    while (this.nextTick <= end) {
      this.clock.time = Math.max(this.clock.time, this.nextTick)
      this.advance()
    }
    this.clock.time = end
    this.advance()
  }
}
