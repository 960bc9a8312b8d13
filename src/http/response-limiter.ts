import { TimerNode, type TimerOwner } from '../base/timer.ts'
import type { StreamContext } from './stream-context.ts'

/** Envoy refills sixteen times a second (StreamRateLimiter, 63 ms). */
const SLICES = 16
const SLICE_MS = 63

/** Slows a response body to `kbps` KiB per second: takes chunks from a filter and gives them on in slices. */
export class ResponseLimiter implements TimerOwner {
  active = true
  private readonly s: StreamContext
  private readonly index: number
  private readonly slice: number
  private readonly queue: Uint8Array[] = []
  private queued = 0
  private ended = false
  private trailersWait = false
  private budget: number
  private holding = false
  private readonly timer: TimerNode

  constructor(s: StreamContext, index: number, kbps: number) {
    this.s = s
    this.index = index
    this.slice = Math.max(1, Math.floor((kbps * 1024) / SLICES))
    this.budget = this.slice
    this.timer = new TimerNode(this, 0)
  }

  write(chunk: Uint8Array, end: boolean): void {
    if (chunk.length > 0) this.queue.push(chunk)
    this.queued += chunk.length
    if (end) this.ended = true
    if (this.queued > this.s.manager.bufferLimit && !this.holding) {
      this.holding = true
      this.s.responseSource?.holdUpstream(true)
    }
    if (this.timer.deadline === 0) this.s.services.timers.arm(this.timer, 0)
  }

  /** True when trailers must wait until the queue is empty. */
  holdTrailers(): boolean {
    if (this.queued === 0) return false
    this.trailersWait = true
    return true
  }

  stop(): void {
    this.active = false
    this.s.services.timers.cancel(this.timer)
    this.queue.length = 0
  }

  onTimer(): void {
    this.budget = this.slice
    while (this.budget > 0 && this.queue.length > 0) {
      const first = this.queue[0]!
      const whole = first.length <= this.budget
      const piece = whole ? first : first.subarray(0, this.budget)
      if (whole) this.queue.shift()
      else this.queue[0] = first.subarray(this.budget)
      this.budget -= piece.length
      this.queued -= piece.length
      const end = this.ended && this.queued === 0
      if (end) this.active = false
      this.s.injectResponseData(this.index, piece, end)
      if (end || this.s.finished) return
    }
    if (this.queue.length > 0) {
      this.s.services.timers.arm(this.timer, SLICE_MS)
      return
    }
    if (this.ended) {
      this.active = false
      this.s.injectResponseData(this.index, EMPTY, true)
      return
    }
    if (this.trailersWait) {
      this.active = false
      this.s.continueEncoding(this.index)
      return
    }
    if (this.holding) {
      this.holding = false
      this.s.responseSource?.holdUpstream(false)
    }
  }
}

const EMPTY = Buffer.alloc(0)
