import { Histogram } from './histogram.ts'

/** Why a request has no answer, or its answer does not count as one. */
export type FailureKind =
  /** The connection could not be made. */
  | 'connect'
  /** The peer reset the connection or the stream. */
  | 'reset'
  /** The peer closed the connection before the answer was complete. */
  | 'closed'
  /** What came was no HTTP. */
  | 'protocol'
  /** Answered, with a status of 400 or above, or a gRPC status other than 0. */
  | 'status'
  /** Sent and not answered until the end of the grace period. */
  | 'timeout'
  /** Due, and never sent, because no connection became free until the end. */
  | 'unsent'

/** Counts what happened to the requests that were due after the warm-up. Times in microseconds. */
export class Recorder {
  readonly latency = new Histogram()
  /** How late the generator itself was, where a connection was free: bounds what can be trusted in `latency`. */
  readonly lateness = new Histogram()
  readonly errors: Record<FailureKind, number> = {
    connect: 0,
    reset: 0,
    closed: 0,
    protocol: 0,
    status: 0,
    timeout: 0,
    unsent: 0,
  }
  readonly statuses = new Map<number, number>()
  sent = 0
  answered = 0
  /** Requests that waited because every connection was busy when they were due. */
  queued = 0
  /** When the last counted answer came. */
  lastAnswer = 0
  readonly measureFrom: number

  constructor(measureFrom: number) {
    this.measureFrom = measureFrom
  }

  onSent(due: number, now: number, waitedForConnection: boolean): void {
    if (due < this.measureFrom) return
    this.sent++
    if (waitedForConnection) this.queued++
    else this.lateness.record(now - due)
  }

  onAnswer(due: number, now: number, status: number, grpcFailed: boolean): void {
    if (due < this.measureFrom) return
    this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1)
    this.answered++
    this.lastAnswer = now
    if (status >= 400 || grpcFailed) this.errors.status++
    this.latency.record(now - due)
  }

  onConnectFailure(): void {
    this.errors.connect++
  }

  /**
   * Requests without an answer at the end are latencies too, of at least their age: leaving them out would make the
   * slowest ones disappear. Those that failed at once have no latency to speak of and are counted only.
   */
  onFailure(due: number, now: number, kind: FailureKind): void {
    if (due < this.measureFrom) return
    this.errors[kind]++
    if (kind === 'timeout' || kind === 'unsent') this.latency.record(now - due)
  }
}
