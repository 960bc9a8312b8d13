import { Worker } from 'node:worker_threads'

/**
 * Wakes the event loop every so many microseconds. Timers of Node have milliseconds; spinning is exact, and on a core that
 * the upstream shares it makes the upstream wait for the end of the scheduler's slice, some milliseconds. A thread that
 * sleeps in a futex wakes within some 60 µs and costs next to nothing.
 */
export class Waker {
  private readonly shared = new Int32Array(new SharedArrayBuffer(8))
  private readonly thread: Worker

  constructor(intervalMicros: number, onWake: () => void) {
    this.thread = new Worker(THREAD, {
      eval: true,
      workerData: { shared: this.shared, interval: intervalMicros / 1000 },
    })
    this.thread.on('message', () => {
      Atomics.store(this.shared, PENDING, 0)
      onWake()
    })
  }

  stop(): void {
    void this.thread.terminate()
  }
}

/** Set while a wake-up is on its way: a busy loop gets one, not a queue of them. */
const PENDING = 1

const THREAD = `
const { parentPort, workerData: { shared, interval } } = require('node:worker_threads')
let next = performance.now()
for (;;) {
  const now = performance.now()
  next = Math.max(next + interval, now)
  Atomics.wait(shared, 0, 0, next - now)
  if (Atomics.exchange(shared, ${PENDING}, 1) === 0) parentPort.postMessage(0)
}
`
