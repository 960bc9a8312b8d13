import type { Configuration } from './configurations/configuration.ts'
import type { PeerProgram } from './peers/peer.ts'
import type { Pinning } from './pinning.ts'
import type { CaseGroup, Goal, LatencyPoint, Metric } from './result.ts'
import type { Target } from './target.ts'

export type ProfileName = 'smoke' | 'standard' | 'full'

/** One thing that is measured: a configuration, a load and a metric. Its checks are those of the configuration. */
export interface BenchCase {
  readonly id: string
  readonly title: string
  readonly group: CaseGroup
  readonly series: string | null
  readonly axis: { readonly name: string; readonly value: number } | null
  readonly configuration: Configuration
  readonly metric: Metric
  /** How the value of a round comes about: operations or bytes by CPU seconds of the proxy, or the case's own figure. */
  readonly value: 'operations-per-cpu-second' | 'bytes-per-cpu-second' | 'own'
  readonly goal: Goal | null
  /** The smallest profile it belongs to; the larger ones have it too. */
  readonly from: ProfileName
  /** Measured with more rounds, and with all proxies rather than Envoy and Remora alone. */
  readonly headline: boolean
  /** A new process for every round: start-up and memory. */
  readonly fresh: boolean
  /** Programs without which it is left out. */
  readonly needs: readonly string[]
  /** What is run, for the report. */
  commands(plan: Plan): readonly string[]
  /** Once, before the first round, with all proxies running. Not for fresh cases. */
  prepare?(targets: readonly Target[], plan: Plan): Promise<void>
  measure(target: Target, plan: Plan): Promise<Sample>
  /** Further results from the same rounds: figures that `measure` puts into `extra`. */
  readonly also?: readonly Derived[]
  /** Known reasons for a peer to be left out. */
  leavesOut?(peer: PeerProgram): string | null
}

export interface Derived {
  readonly id: string
  readonly title: string
  /** Name in `Sample.extra`. */
  readonly extra: string
  readonly metric: Metric
  readonly goal: Goal | null
  readonly series?: string
  readonly axis?: { readonly name: string; readonly value: number }
}

/** How a case is to be measured in this run. */
export interface Plan {
  readonly profile: ProfileName
  readonly rounds: number
  readonly seconds: number
  readonly pinning: Pinning
  /** Of the case; what the reader must know. */
  readonly notes: string[]
  /** Scratch files. */
  readonly folder: string
}

/** What one load run of one proxy brought. */
export interface Sample {
  readonly seconds: number
  readonly count: number
  readonly errors: number
  /** That the answers were others than those of the same requests asked alone, in words. */
  readonly unlike?: string
  readonly bytes?: number
  readonly latency?: readonly LatencyPoint[]
  readonly extra?: Readonly<Record<string, number>>
  /** For cases with a figure of their own. */
  readonly value?: number
  /** CPU of the proxy, when the load knows better than "from before to after" when it began. */
  readonly cpuSeconds?: number
}

export const REQUESTS_PER_CPU: Metric = { name: 'requests per CPU-second', unit: 'req/CPU-s', higherIsBetter: true }
export const BYTES_PER_CPU: Metric = { name: 'bytes per CPU-second', unit: 'B/CPU-s', higherIsBetter: true }

/** `text` of a goal that says "at least so many times Envoy". */
export function atLeast(times: number): Goal {
  return { kind: 'ratio', value: times, text: `at least ${times} × the real Envoy` }
}

export function atMost(value: number, text: string): Goal {
  return { kind: 'at-most', value, text }
}
