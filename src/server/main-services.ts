import { systemClock } from '../base/clock.ts'
import type { Loggers } from '../base/log.ts'
import { type Random, XorShift } from '../base/random.ts'
import type { Timers } from '../base/timer.ts'
import { TokenBuckets, tokenBucketMemory } from '../base/token-bucket.ts'
import type { NodeInfo, Runtime, WorkerServices } from '../config/services.ts'
import { AsyncCallOuts } from '../http/call-outs.ts'
import type { SocketLoop } from '../io/socket-loop.ts'
import type { StatsStore } from '../stats/store.ts'
import type { SecretStore } from './secrets.ts'

/** Index of the main thread where workers have theirs: beyond any concurrency, for connection ids. */
export const MAIN_INDEX = 1023

/**
 * Main's own world, in the shape of a worker's: health checks and TLS contexts do not care on which thread they run. Main routes
 * nothing, so it has no clusters and no route tables, and its call-outs reach nobody.
 */
export function mainServices(parts: {
  readonly timers: Timers
  readonly loop: SocketLoop
  readonly store: StatsStore
  readonly runtime: Runtime
  readonly secrets: SecretStore
  readonly node: NodeInfo
  readonly loggers: Loggers
  readonly concurrency: number
}): WorkerServices {
  const random: Random = new XorShift((Math.random() * 0x7fffffff) | 0)
  const services: WorkerServices = {
    workerIndex: MAIN_INDEX,
    concurrency: parts.concurrency,
    timers: parts.timers,
    clock: systemClock,
    random,
    stats: parts.store,
    runtime: parts.runtime,
    clusters: { get: () => null, localSize: () => 1 },
    routes: { get: () => null },
    extensions: { generation: 0, get: () => null },
    secrets: parts.secrets,
    workloads: { get: () => null },
    drain: { decision: () => ({ start: () => {}, closing: () => false }), healthCheckFailed: false },
    tokenBuckets: new TokenBuckets(tokenBucketMemory(0)),
    node: parts.node,
    log: component => parts.loggers.get(component),
    fileFlushInterval: 1000,
    nextConnectionId: () => parts.loop.nextId(),
    get callOuts() {
      return callOuts
    },
  }
  const callOuts = new AsyncCallOuts(services, '127.0.0.1')
  return services
}
