import { MessageChannel, type Worker } from 'node:worker_threads'
import type { Loggers } from '../base/log.ts'
import { OpenDescriptors } from '../io/open-descriptors.ts'
import type { StatsStore } from '../stats/store.ts'
import type { MetHost } from '../upstream/host.ts'
import type { EjectionRequest } from '../upstream/outlier-monitor.ts'
import type {
  ConfigBatch,
  FromWorker,
  PublishedListener,
  ToWorker,
  WorkerBirth,
  WorkerFacts,
} from '../worker/messages.ts'
import { takeThread } from './worker-threads.ts'

/** What the server hears about its workers. */
export interface WorkerEvents {
  /** The thread runs and takes messages: send it the whole configuration. Also called for replacements. */
  onStarted(index: number): void
  /** All its listeners accept. */
  onServing(index: number): void
  onResting(): void
  /** It died unexpectedly; its shares of shared gauges are to be given back. A replacement is on its way. */
  onDied(index: number): void
  onEjection(request: EjectionRequest): void
  onHostsMet(worker: number, cluster: string, met: readonly MetHost[], gone: readonly string[]): void
  onApplied(index: number, epoch: number): void
  /** One listener's descriptors accept now, or why not. */
  onListening(index: number, listener: string, error: string): void
}

/** A worker that dies this often in a row without having lived for a second is not replaced any more at once. */
const MIN_LIFE = 1000
const MAX_BACKOFF = 30_000

interface Slot {
  worker: Worker | null
  /** What the thread has opened or was sent. */
  open: OpenDescriptors | null
  started: number
  failures: number
  generation: number
  ready: boolean
}

/** The worker threads: start, messages, replacement of those that die. */
export class WorkerPool {
  readonly #slots: Slot[] = []
  readonly #birth: (index: number, generation: number) => WorkerFacts
  readonly #events: WorkerEvents
  readonly #loggers: Loggers
  readonly #stats: StatsStore
  #stopping = false
  #serving = false
  readonly #flushWaiters: (() => void)[] = []
  #flushesLeft = 0

  constructor(
    birth: (index: number, generation: number) => WorkerFacts,
    events: WorkerEvents,
    loggers: Loggers,
    stats: StatsStore,
  ) {
    this.#birth = birth
    this.#events = events
    this.#loggers = loggers
    this.#stats = stats
  }

  start(concurrency: number): void {
    for (let i = 0; i < concurrency; i++) {
      this.#slots.push({ worker: null, open: null, started: 0, failures: 0, generation: 0, ready: false })
      this.#spawn(i)
    }
  }

  /** Number of workers that answer. */
  get alive(): number {
    return this.#slots.filter(s => s.ready).length
  }

  get count(): number {
    return this.#slots.length
  }

  /** The thread takes messages. */
  isReady(index: number): boolean {
    return this.#slots[index]?.ready === true
  }

  send(index: number, message: ToWorker): void {
    const slot = this.#slots[index]
    if (slot?.ready !== true) return
    // It may die before it reads this.
    if (message.type === 'config') for (const fd of descriptorsIn(message.batch)) slot.open?.add(fd)
    slot.worker?.postMessage(message)
  }

  /** To the first worker that is there. */
  sendToOne(message: ToWorker): void {
    const index = this.#slots.findIndex(slot => slot.ready)
    if (index >= 0) this.send(index, message)
  }

  broadcast(message: ToWorker): void {
    for (let i = 0; i < this.#slots.length; i++) this.send(i, message)
  }

  /** Asks every worker for its histogram samples; resolves when all have answered. */
  flush(): Promise<void> {
    return new Promise(resolve => {
      const alive = this.alive
      if (alive === 0) {
        resolve()
        return
      }
      this.#flushWaiters.push(resolve)
      if (this.#flushesLeft > 0) return
      this.#flushesLeft = alive
      this.broadcast({ type: 'flush-stats' })
    })
  }

  /** One listener for one worker; its descriptors are made only if the worker is there to take them. */
  sendListener(index: number, make: () => PublishedListener): void {
    if (this.#slots[index]?.ready === true && this.#serving) {
      this.send(index, { type: 'config', batch: { listeners: [make()] } })
    }
  }

  get serving(): boolean {
    return this.#serving
  }

  /** From now on listeners go to workers one by one; before, each gets all of them at once. */
  serve(): void {
    this.#serving = true
  }

  /** Ends all threads and calls `gone` when the last has ended. */
  stop(gone: () => void): void {
    this.#stopping = true
    let left = 0
    for (const { worker } of this.#slots) {
      if (worker === null) continue
      left++
      worker.once('exit', () => {
        if (--left === 0) gone()
      })
    }
    if (left === 0) gone()
    else for (const { worker } of this.#slots) worker?.postMessage({ type: 'shutdown' } satisfies ToWorker)
  }

  #spawn(index: number): void {
    const slot = this.#slots[index]!
    slot.generation++
    slot.started = performance.now()
    const worker = takeThread(index)
    const open = new OpenDescriptors()
    const birth: WorkerBirth = { ...this.#birth(index, slot.generation), openDescriptors: open.memory }
    worker.postMessage(birth)
    slot.worker = worker
    slot.open = open
    worker.on('message', (message: FromWorker) => this.#receive(index, message))
    worker.on('error', (error: Error) => {
      this.#loggers.get('main').critical(`worker ${index} died: ${error.stack ?? error.message}`)
    })
    worker.on('exit', code => this.#exited(index, worker, code))
  }

  #receive(index: number, message: FromWorker): void {
    const slot = this.#slots[index]!
    switch (message.type) {
      case 'ready':
        this.#introduce(index)
        slot.ready = true
        this.#events.onStarted(index)
        return
      case 'serving':
        this.#events.onServing(index)
        return
      case 'resting':
        this.#events.onResting()
        return
      case 'slab':
        this.#stats.onSlabUpdate(index, message.update)
        return
      case 'histograms':
        this.#stats.onHistogramUpdate(message.update)
        return
      case 'flushed':
        this.#oneFlushed()
        return
      case 'log':
        this.#loggers.sink.write(
          message.component,
          message.level,
          message.text,
          message.place,
          message.thread,
          message.wall,
        )
        return
      case 'listening':
        this.#events.onListening(index, message.listener, message.error)
        return
      case 'ejection':
        this.#events.onEjection(message.request)
        return
      case 'hosts-met':
        this.#events.onHostsMet(index, message.cluster, message.met, message.gone)
        return
      case 'applied':
        this.#events.onApplied(index, message.epoch)
        return
    }
  }

  /** To all that are there: workers give connections to each other directly. */
  #introduce(index: number): void {
    const newcomer = this.#slots[index]!.worker!
    for (const [other, { worker, ready }] of this.#slots.entries()) {
      if (!ready || worker === null || other === index) continue
      const { port1, port2 } = new MessageChannel()
      worker.postMessage({ type: 'peer', worker: index, port: port1 } satisfies ToWorker, [port1])
      newcomer.postMessage({ type: 'peer', worker: other, port: port2 } satisfies ToWorker, [port2])
    }
  }

  #oneFlushed(): void {
    if (this.#flushesLeft === 0 || --this.#flushesLeft > 0) return
    for (const waiter of this.#flushWaiters.splice(0)) waiter()
  }

  #exited(index: number, worker: Worker, code: number): void {
    const slot = this.#slots[index]!
    if (slot.worker !== worker) return
    slot.worker = null
    const wasReady = slot.ready
    slot.ready = false
    if (this.#stopping) return
    slot.open?.closeAll()
    if (wasReady) this.#oneFlushed()
    this.#stats.foldWorker(index)
    this.#events.onDied(index)
    slot.failures = performance.now() - slot.started < MIN_LIFE ? slot.failures + 1 : 0
    const delay = slot.failures === 0 ? 0 : Math.min(MAX_BACKOFF, 100 * 2 ** slot.failures)
    this.#loggers
      .get('main')
      .error(`worker ${index} exited with code ${code}; its connections are lost, a replacement starts in ${delay} ms`)
    if (delay === 0) this.#spawn(index)
    else setTimeout(() => this.#spawn(index), delay)
  }
}

function descriptorsIn(batch: ConfigBatch): number[] {
  return (batch.listeners ?? []).flatMap(listener => listener.descriptors).filter(fd => fd >= 0)
}
