import { Generator } from './generator.ts'
import { Http1Link, type PreparedRequest, RequestQueue } from './http1-link.ts'
import { Http2Link } from './http2-link.ts'
import { http1Request, type OpenLoopOptions } from './options.ts'
import { describe, type OpenLoopResult } from './result.ts'
import { Saturation, Schedule } from './schedule.ts'
import { Waker } from './waker.ts'

/** Microseconds since the process started; finer and steadier than the wall clock. */
const now = (): number => performance.now() * 1000
/** Longest wait for the connections before the first request is due, ms. */
const CONNECT_MS = 5000
/** Connections that cannot be made are tried again after this, ms: a hot loop of refusals would measure itself. */
const RETRY_MS = 20
/** Shorter costs more than it gains: waking up takes about 60 µs itself. */
const WAKE_MICROS = 150
/** The kernel's accept queue is shorter than some runs have connections. */
const CONNECT_BATCH = 64

/** Runs a whole load: connects, warms up, measures, waits for stragglers. Throws when nothing can be connected to. */
export async function run(options: OpenLoopOptions): Promise<OpenLoopResult> {
  const generator = new Generator()
  const pool = new Pool(options, generator)
  await pool.connect()
  const start = now() + 1000
  const seconds = options.warmup + options.seconds
  const schedule =
    options.rate === 'most' ? new Saturation(start + seconds * 1e6, now) : new Schedule(start, options.rate, seconds)
  generator.begin(schedule, start + options.warmup * 1e6)
  // Answers bring the next requests then: nobody has to be punctual.
  const pacing = options.rate === 'most' ? 'spin' : options.pacing
  await pace(generator, start + (seconds + options.grace) * 1e6, pacing)
  const end = now()
  generator.giveUp(end, pool.links)
  pool.close()
  return describe(options, generator.recorder, start + options.warmup * 1e6)
}

/** Calls the generator whenever something is due, until all is answered or `end` has come. */
function pace(generator: Generator, end: number, pacing: OpenLoopOptions['pacing']): Promise<void> {
  if (pacing === 'wake') return paceByWaker(generator, end)
  return new Promise(resolve => {
    const loop = (): void => {
      const time = now()
      generator.turn(time)
      if (generator.finished || time >= end) {
        resolve()
        return
      }
      const wait = Math.min(generator.schedule.next, end) - time
      // Timers of Node fire up to a millisecond and a half late: they cover the long part of a wait only.
      if (wait > 3000) setTimeout(loop, Math.min(50, wait / 1000 - 2))
      else if (wait === Number.NEGATIVE_INFINITY) setTimeout(loop, 5)
      else setImmediate(loop)
    }
    loop()
  })
}

function paceByWaker(generator: Generator, end: number): Promise<void> {
  return new Promise(resolve => {
    const waker = new Waker(WAKE_MICROS, () => {
      const time = now()
      generator.turn(time)
      if (!generator.finished && time < end) return
      waker.stop()
      resolve()
    })
  })
}

/** Keeps the number of connections; a closed one is replaced. */
class Pool {
  readonly links = new Set<Http1Link | Http2Link>()
  private readonly options: OpenLoopOptions
  private readonly generator: Generator
  private readonly requests: RequestQueue<PreparedRequest>
  private readonly turn: RequestQueue<number>
  private closed = false
  private lastError = ''

  constructor(options: OpenLoopOptions, generator: Generator) {
    this.options = options
    this.generator = generator
    this.requests = new RequestQueue(
      options.requests.map(request => ({ bytes: http1Request(request), isHead: request.method === 'HEAD' })),
    )
    this.turn = new RequestQueue(options.requests.map((_, index) => index))
  }

  async connect(): Promise<void> {
    const deadline = now() + CONNECT_MS * 1000
    let opened = 0
    for (let made = 0; ; ) {
      opened = 0
      for (const link of this.links) if (link.open) opened++
      if (opened >= this.options.connections || now() > deadline) break
      // Refused throughout: nobody listens, and waiting will not change it.
      if (opened === 0 && this.generator.recorder.errors.connect >= made && made > 0) break
      if (made - opened < CONNECT_BATCH && made < this.options.connections) {
        this.add()
        made++
      } else await new Promise(resolve => setTimeout(resolve, 2))
    }
    if (opened > 0) return
    this.close()
    const { host, port } = this.options.endpoint
    throw new Error(`no connection to ${host}:${port}: ${this.lastError || 'no answer'}`)
  }

  close(): void {
    this.closed = true
    for (const link of this.links) link.close()
  }

  private add(): void {
    const { endpoint, requests, h2, streams } = this.options
    const gone = (link: Http1Link | Http2Link, connected: boolean, code: string): void => {
      this.links.delete(link)
      if (this.closed) return
      if (connected) {
        this.add()
        return
      }
      this.lastError = code
      this.generator.recorder.onConnectFailure()
      setTimeout(() => {
        if (!this.closed) this.add()
      }, RETRY_MS)
    }
    this.links.add(
      h2
        ? new Http2Link(endpoint, requests, this.turn, streams, this.generator, now, gone)
        : new Http1Link(endpoint, this.requests, this.generator, now, gone),
    )
  }
}
