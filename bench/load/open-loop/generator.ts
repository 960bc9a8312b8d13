import { type FailureKind, Recorder } from './recorder.ts'
import { type Arrivals, Schedule } from './schedule.ts'

/** A connection. One entry in the generator's queue per request it can take at once. */
export interface Link {
  /** False once it is closed: entries left in the queue are dropped. */
  readonly open: boolean
  /** Sends a request that was due then (microseconds). */
  send(due: number): void
  /** Due times of what is on the way. */
  unanswered(): number[]
}

/** Sends what is due on whichever connection has been free for longest. Knows no clock and no socket. */
export class Generator {
  recorder = new Recorder(0)
  schedule: Arrivals = new Schedule(0, 1, 0)
  private free: Link[] = []
  private head = 0
  /** Until then requests were due and no connection was free: how late they were says nothing about the generator. */
  private starvedUntil = Number.NEGATIVE_INFINITY
  /** Requests sent and not yet answered. */
  inFlight = 0

  /** Connections may have come before; what is due before `measureFrom` (microseconds) is sent and not counted. */
  begin(schedule: Arrivals, measureFrom: number): void {
    this.schedule = schedule
    this.recorder = new Recorder(measureFrom)
  }

  /** A connection can take one more request. */
  onFree(link: Link): void {
    this.free.push(link)
  }

  onAnswer(due: number, now: number, status: number, grpcFailed: boolean): void {
    this.inFlight--
    this.recorder.onAnswer(due, now, status, grpcFailed)
  }

  onFailure(due: number, now: number, kind: FailureKind): void {
    this.inFlight--
    this.recorder.onFailure(due, now, kind)
  }

  /** Sends everything that is due. */
  turn(now: number): void {
    while (this.schedule.next <= now) {
      const link = this.takeFree()
      if (link === null) {
        this.starvedUntil = now
        return
      }
      const due = this.schedule.take()
      this.inFlight++
      this.recorder.onSent(due, now, due <= this.starvedUntil)
      link.send(due)
    }
  }

  get finished(): boolean {
    return this.schedule.taken === this.schedule.total && this.inFlight === 0
  }

  /** The end: whatever is not answered by now never will be. */
  giveUp(now: number, links: Iterable<Link>): void {
    for (const link of links) for (const due of link.unanswered()) this.onFailure(due, now, 'timeout')
    while (this.schedule.taken < this.schedule.total) this.recorder.onFailure(this.schedule.take(), now, 'unsent')
  }

  private takeFree(): Link | null {
    while (this.head < this.free.length) {
      const link = this.free[this.head++]!
      // The front of the array is given back now and then, not at every step.
      if (this.head > 4096 && this.head * 2 > this.free.length) {
        this.free = this.free.slice(this.head)
        this.head = 0
      }
      if (link.open) return link
    }
    return null
  }
}
