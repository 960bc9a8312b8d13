import type { Machine } from './result.ts'

export type Pinning = Machine['pinning']

export const NOT_PINNED: Pinning = { proxy: null, load: null, upstream: null }

/**
 * One core for the proxy, so that "requests per core" means something; the load and the upstream share what is left, apart
 * from each other when there are four cores or more. Nothing is pinned on one core or without `taskset`.
 */
export function choosePinning(cpus: readonly number[], hasTaskset: boolean): Pinning {
  if (!hasTaskset || cpus.length < 2) return NOT_PINNED
  const [proxy, ...rest] = cpus
  if (rest.length < 3) return { proxy: String(proxy), load: rest.join(','), upstream: rest.join(',') }
  const half = Math.ceil(rest.length / 2)
  return { proxy: String(proxy), load: rest.slice(0, half).join(','), upstream: rest.slice(half).join(',') }
}

/** The proxy with `workers` workers: not pinned to one core when it has several. */
export function proxyCpus(pinning: Pinning, workers: number): string | null {
  return workers === 1 ? pinning.proxy : null
}

/** `command` as it is started on `cpus`. taskset becomes the command: the process id is the command's. */
export function pinned(cpus: string | null, command: readonly string[]): string[] {
  return cpus === null ? [...command] : ['taskset', '-c', cpus, ...command]
}
