import type { Histogram } from './histogram.ts'
import type { OpenLoopOptions } from './options.ts'
import type { FailureKind, Recorder } from './recorder.ts'

/** Percentiles that are reported; dense towards the end, where proxies differ. */
export const PERCENTILES = [50, 75, 90, 95, 97.5, 99, 99.5, 99.75, 99.9, 99.95, 99.99] as const

/** Microseconds. `percentiles` has the members of PERCENTILES and 100, which is the maximum. */
export interface LatencySummary {
  readonly count: number
  readonly min: number
  readonly mean: number
  readonly max: number
  readonly percentiles: readonly { readonly percentile: number; readonly micros: number }[]
}

/** The one line that the open-loop generator prints. */
export interface OpenLoopResult {
  readonly tool: 'open-loop'
  readonly url: string
  readonly protocol: 'http1' | 'h2'
  readonly connections: number
  /** Requests per second asked for (`most`: as many as are answered), and answers per second that came. */
  readonly rate: number | 'most'
  readonly achievedRate: number
  readonly seconds: number
  readonly warmup: number
  /** Requests that were due in the measured time; `sent` is less when connections never became free. */
  readonly due: number
  readonly sent: number
  readonly answered: number
  /** Of those sent, how many had to wait for a free connection; the wait is part of their latency. */
  readonly queued: number
  readonly errors: Readonly<Record<FailureKind, number>>
  readonly statuses: Readonly<Record<string, number>>
  /** From the time a request was due to the last byte of its answer. */
  readonly latency: LatencySummary
  /** How late the generator was itself: figures in `latency` of this size say nothing about the proxy. */
  readonly lateness: LatencySummary
}

export function describe(options: OpenLoopOptions, recorder: Recorder, measureFrom: number): OpenLoopResult {
  const { endpoint, request } = options
  const took = Math.max(options.seconds * 1e6, recorder.lastAnswer - measureFrom)
  return {
    tool: 'open-loop',
    url: `${endpoint.tls === null ? 'http' : 'https'}://${request.authority}${request.path}`,
    protocol: options.h2 ? 'h2' : 'http1',
    connections: options.connections,
    rate: options.rate,
    achievedRate: Math.round((recorder.answered / took) * 1e7) / 10,
    seconds: options.seconds,
    warmup: options.warmup,
    due: recorder.sent + recorder.errors.unsent,
    sent: recorder.sent,
    answered: recorder.answered,
    queued: recorder.queued,
    errors: { ...recorder.errors },
    statuses: Object.fromEntries([...recorder.statuses].sort((a, b) => a[0] - b[0])),
    latency: summary(recorder.latency),
    lateness: summary(recorder.lateness),
  }
}

export function summary(histogram: Histogram): LatencySummary {
  return {
    count: histogram.count,
    min: histogram.count === 0 ? 0 : histogram.min,
    mean: Math.round(histogram.mean * 10) / 10,
    max: histogram.max,
    percentiles: [...PERCENTILES, 100].map(percentile => ({ percentile, micros: histogram.valueAt(percentile) })),
  }
}
