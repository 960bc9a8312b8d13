import { systemClock } from '../../../src/base/clock.ts'
import type { Log } from '../../../src/base/log.ts'
import { XorShift } from '../../../src/base/random.ts'
import type { Timers } from '../../../src/base/timer.ts'
import { TimerWheel } from '../../../src/base/timer-wheel.ts'
import type { SecretData, WorkerServices } from '../../../src/config/services.ts'
import type { Counter, Gauge, Histogram, StatsScope } from '../../../src/stats/stats.ts'
import type { ClusterManager } from '../../../src/upstream/upstream.ts'

/** Statistics by full name; `value` of a name never touched is 0. */
export class FakeStats implements StatsScope {
  readonly cells: Map<string, number>
  readonly #prefix: string

  constructor(prefix = '', cells: Map<string, number> = new Map()) {
    this.#prefix = prefix
    this.cells = cells
  }

  value(name: string): number {
    return this.cells.get(name) ?? 0
  }

  counter(name: string): Counter {
    const add = this.#adder(name)
    return { inc: () => add(1), add }
  }

  gauge(name: string): Gauge {
    const add = this.#adder(name)
    return { inc: () => add(1), dec: () => add(-1), add, set: n => void this.cells.set(this.#prefix + name, n) }
  }

  histogram(name: string): Histogram {
    const add = this.#adder(name)
    return { record: () => add(1) }
  }

  scope(prefix: string): StatsScope {
    return new FakeStats(this.#prefix + prefix, this.cells)
  }

  #adder(name: string): (n: number) => void {
    const key = this.#prefix + name
    return n => void this.cells.set(key, (this.cells.get(key) ?? 0) + n)
  }
}

export class FakeSecrets {
  readonly data = new Map<string, SecretData>()
  readonly #watchers = new Map<string, Set<() => void>>()

  get(name: string): SecretData | null {
    return this.data.get(name) ?? null
  }

  watch(name: string, changed: () => void): () => void {
    const set = this.#watchers.get(name) ?? new Set()
    set.add(changed)
    this.#watchers.set(name, set)
    return () => set.delete(changed)
  }

  put(secret: SecretData): void {
    this.data.set(secret.name, secret)
    for (const changed of this.#watchers.get(secret.name) ?? []) changed()
  }
}

export interface FakeServices extends WorkerServices {
  readonly stats: FakeStats
  readonly secrets: FakeSecrets
  readonly logged: string[]
}

const NO_CLUSTERS: ClusterManager = { get: () => null, localSize: () => 1 }

export function fakeServices(timers: Timers = new TimerWheel(), clusters: ClusterManager = NO_CLUSTERS): FakeServices {
  const logged: string[] = []
  const write = (text: string): void => void logged.push(text)
  const log: Log = {
    enabled: () => true,
    trace: write,
    debug: write,
    info: write,
    warning: write,
    error: write,
    critical: write,
  }
  const services = {
    workerIndex: 0,
    concurrency: 1,
    timers,
    clock: systemClock,
    random: new XorShift(1),
    stats: new FakeStats(),
    clusters,
    secrets: new FakeSecrets(),
    drain: { decision: () => ({ start: () => {}, closing: () => false }), healthCheckFailed: false },
    runtime: {
      get: () => undefined,
      integer: (_: string, d: number) => d,
      double: (_: string, d: number) => d,
      boolean: (_: string, d: boolean) => d,
      fraction: () => false,
    },
    routes: { get: () => null },
    extensions: { generation: 0, get: () => null },
    workloads: { get: () => null },
    node: { id: '', cluster: '', region: '', zone: '', subZone: '', metadata: {} },
    log: () => log,
    fileFlushInterval: 0,
    nextConnectionId: () => 0,
    logged,
  }
  // Members that the code under these tests does not use may be missing.
  return services as unknown as FakeServices
}
