import type { Machine } from './result.ts'

export type Pinning = Machine['pinning']

export const NOT_PINNED: Pinning = { proxy: null, load: null, upstream: null, batch: false }

/** What there is of util-linux. */
export interface SchedulingTools {
  readonly taskset: boolean
  readonly chrt: boolean
}

/**
 * One core for the proxy, so that "requests per core" means something; the load and the upstream share what is left, apart
 * from each other when there are four cores or more. Nothing is pinned on one core or without `taskset`.
 *
 * Load and upstream that share a core are batch jobs (SCHED_BATCH, sched(7)): otherwise each is put off its core whenever the other
 * has something to do, in the middle of what it was reading or writing, and the proxy gets its requests one by one. Those who have
 * time to wait for them pay for it, those who are the bottleneck do not: not a comparison of proxies any more.
 */
export function choosePinning(cpus: readonly number[], tools: SchedulingTools): Pinning {
  if (!tools.taskset || cpus.length < 2) return NOT_PINNED
  const [first, ...rest] = cpus
  const proxy = String(first)
  if (rest.length < 3) return { proxy, load: rest.join(','), upstream: rest.join(','), batch: tools.chrt }
  const half = Math.ceil(rest.length / 2)
  return { proxy, load: rest.slice(0, half).join(','), upstream: rest.slice(half).join(','), batch: false }
}

/** The proxy with `workers` workers: not pinned to one core when it has several. */
export function proxyCpus(pinning: Pinning, workers: number): string | null {
  return workers === 1 ? pinning.proxy : null
}

/** `command` as it is started on `cpus`. taskset becomes the command: the process id is the command's. */
export function pinned(cpus: string | null, command: readonly string[]): string[] {
  return cpus === null ? [...command] : ['taskset', '-c', cpus, ...command]
}

/** A load that sends the next request when an answer has come, as it is started. */
export function asLoad(pinning: Pinning, command: readonly string[]): string[] {
  return pinned(pinning.load, pinning.batch ? ['chrt', '--batch', '0', ...command] : command)
}

/** An upstream, as it is started. */
export function asUpstream(pinning: Pinning, command: readonly string[]): string[] {
  return pinned(pinning.upstream, pinning.batch ? ['chrt', '--batch', '0', ...command] : command)
}
