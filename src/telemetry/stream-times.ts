const Time = {
  StartWall: 0,
  Start: 1,
  LastDownstreamRx: 2,
  FirstUpstreamTx: 3,
  LastUpstreamTx: 4,
  FirstUpstreamRx: 5,
  LastUpstreamRx: 6,
  FirstDownstreamTx: 7,
  LastDownstreamTx: 8,
  End: 9,
  LastActivity: 10,
  PoolRequest: 11,
  PoolAnswer: 12,
} as const

/** When what happened to a stream or connection. `Timers.now()` milliseconds, -1 = not reached. */
export class StreamTimes {
  readonly #times: number[]

  constructor() {
    // Fractions make V8 keep plain doubles: as fields each of them would be a number on the heap, three times the size.
    this.#times = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    this.resetTimes()
  }

  /** Wall clock at start, ms since the epoch; 0 before. */
  get startWall(): number {
    return this.#times[Time.StartWall]!
  }
  set startWall(ms: number) {
    this.#times[Time.StartWall] = ms
  }

  get start(): number {
    return this.#times[Time.Start]!
  }
  set start(ms: number) {
    this.#times[Time.Start] = ms
  }

  /** Last byte of the request received / first and last byte sent upstream / received from upstream / sent downstream. */
  get lastDownstreamRx(): number {
    return this.#times[Time.LastDownstreamRx]!
  }
  set lastDownstreamRx(ms: number) {
    this.#times[Time.LastDownstreamRx] = ms
  }

  get firstUpstreamTx(): number {
    return this.#times[Time.FirstUpstreamTx]!
  }
  set firstUpstreamTx(ms: number) {
    this.#times[Time.FirstUpstreamTx] = ms
  }

  get lastUpstreamTx(): number {
    return this.#times[Time.LastUpstreamTx]!
  }
  set lastUpstreamTx(ms: number) {
    this.#times[Time.LastUpstreamTx] = ms
  }

  get firstUpstreamRx(): number {
    return this.#times[Time.FirstUpstreamRx]!
  }
  set firstUpstreamRx(ms: number) {
    this.#times[Time.FirstUpstreamRx] = ms
  }

  get lastUpstreamRx(): number {
    return this.#times[Time.LastUpstreamRx]!
  }
  set lastUpstreamRx(ms: number) {
    this.#times[Time.LastUpstreamRx] = ms
  }

  get firstDownstreamTx(): number {
    return this.#times[Time.FirstDownstreamTx]!
  }
  set firstDownstreamTx(ms: number) {
    this.#times[Time.FirstDownstreamTx] = ms
  }

  get lastDownstreamTx(): number {
    return this.#times[Time.LastDownstreamTx]!
  }
  set lastDownstreamTx(ms: number) {
    this.#times[Time.LastDownstreamTx] = ms
  }

  get end(): number {
    return this.#times[Time.End]!
  }
  set end(ms: number) {
    this.#times[Time.End] = ms
  }

  /** Last byte from the client, or to it: what its idle timeout counts from. */
  get lastActivity(): number {
    return this.#times[Time.LastActivity]!
  }
  set lastActivity(ms: number) {
    this.#times[Time.LastActivity] = ms
  }

  /** The pool was asked for a connection, for the attempt at hand / it gave one, or said that it has none. */
  get poolRequest(): number {
    return this.#times[Time.PoolRequest]!
  }
  set poolRequest(ms: number) {
    this.#times[Time.PoolRequest] = ms
  }

  get poolAnswer(): number {
    return this.#times[Time.PoolAnswer]!
  }
  set poolAnswer(ms: number) {
    this.#times[Time.PoolAnswer] = ms
  }

  protected resetTimes(): void {
    const times = this.#times
    times[Time.StartWall] = 0
    for (let i = Time.Start; i <= Time.PoolAnswer; i++) times[i] = -1
  }
}
