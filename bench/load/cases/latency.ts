import { atLeast, type BenchCase, type Plan, type Sample } from '../case.ts'
import { HTTP1, HTTP2_BOTH } from '../configurations/plain-http.ts'
import { type H2loadOptions, h2loadLoad } from '../drivers/h2load-load.ts'
import { wrkLoad } from '../drivers/wrk-load.ts'
import { runOpenLoop } from '../open-loop/command.ts'
import type { OpenLoopResult } from '../open-loop/result.ts'
import type { Target } from '../target.ts'
import type { ExpectedAnswers } from '../user/expected.ts'

/** What is measured at a constant arrival rate. */
interface Kind {
  /** As in `latency-p50`: begins the names of the further figures. */
  readonly prefix: string
  readonly protocol: string
  readonly connections: number
  /** For the generator, beside rate, time and connections. */
  readonly options: readonly string[]
  /** As many requests as the proxy can answer. */
  saturate(target: Target, plan: Plan): Promise<Sample>
}

const CONNECTIONS = 32
const STREAMS: H2loadOptions = { connections: 8, streams: 32 }

export const latencyOpenLoop: BenchCase = latencyCase(
  'latency-open-loop',
  {
    prefix: 'latency',
    protocol: 'HTTP/1.1',
    connections: CONNECTIONS,
    options: [],
    saturate: (target, plan) => wrkLoad({ connections: CONNECTIONS }, target, plan),
  },
  { configuration: HTTP1, from: 'smoke', needs: ['wrk'] },
)

/** HTTP/2 on both sides: where turns wait for more streams (io/moderation.ts), if they do. */
export const latencyHttp2: BenchCase = latencyCase(
  'latency-http2',
  {
    prefix: 'latency-http2',
    protocol: 'HTTP/2 to HTTP/2',
    connections: STREAMS.connections,
    options: ['--h2'],
    saturate: (target, plan) => h2loadLoad(STREAMS, target, plan),
  },
  { configuration: HTTP2_BOTH, from: 'standard', needs: ['h2load'] },
)

function latencyCase(id: string, kind: Kind, about: Pick<BenchCase, 'configuration' | 'from' | 'needs'>): BenchCase {
  const { prefix, protocol } = kind
  /** Requests per second in all, decided by `prepare` for the run: half of what saturates the real Envoy (or Remora, alone). */
  let rate = 0
  const argv = (plan: Plan): string[] => [...argumentsFor(plan, rate, kind.connections), ...kind.options]
  return {
    id,
    title: `${protocol}, latency at half of Envoy's saturation, constant arrival rate`,
    group: 'latency',
    series: null,
    axis: null,
    metric: { name: '99th percentile of latency', unit: 'µs', higherIsBetter: false },
    value: 'own',
    goal: atLeast(1),
    headline: false,
    fresh: false,
    ...about,
    commands: plan => [`open-loop ${argv(plan).join(' ')} --url http://127.0.0.1:{port}/`],
    async prepare(targets, plan) {
      const reference = targets.find(target => target.peer.id === 'envoy') ?? targets[0]
      if (reference === undefined) return
      const sample = await kind.saturate(reference, { ...plan, seconds: plan.profile === 'smoke' ? 1 : 3 })
      const saturation = sample.count / sample.seconds
      rate = Math.round(saturation / 2)
      plan.notes.push(`${reference.peer.title} saturates at ${Math.round(saturation)} requests/s; ${rate} were offered`)
    },
    async measure(target, plan) {
      const pinned = plan.pinning.load === null ? [] : ['taskset', '-c', plan.pinning.load]
      const url = `http://127.0.0.1:${target.sites.listen}/`
      return latencySample(await runOpenLoop([...argv(plan), '--url', url], pinned))
    },
    also: [
      {
        id: `${prefix}-p50`,
        title: `${protocol}, median latency at half of Envoy's saturation`,
        extra: 'p50 µs',
        metric: { name: 'median latency', unit: 'µs', higherIsBetter: false },
        goal: atLeast(1),
      },
      {
        id: `${prefix}-p999`,
        title: `${protocol}, 99.9th percentile of latency at half of Envoy's saturation`,
        extra: 'p99.9 µs',
        metric: { name: '99.9th percentile of latency', unit: 'µs', higherIsBetter: false },
        goal: { kind: 'ratio', value: 1 / 1.5, text: "at most 1.5 × the real Envoy's" },
      },
    ],
  }
}

/**
 * Percentiles in microseconds; the value is the 99th. Statuses above 399 are errors, or, where it is known what the requests
 * are answered, statuses that are not `expected`. `streams`: how many requests a connection may have at once.
 */
export function latencySample(result: OpenLoopResult, expected: ExpectedAnswers | null = null, streams = 1): Sample {
  const latency = result.latency.percentiles.map(({ percentile, micros }) => ({ percentile, microseconds: micros }))
  const at = (percentile: number): number =>
    latency.find(point => point.percentile === percentile)?.microseconds ?? Number.NaN
  const late = result.lateness.percentiles.find(point => point.percentile === 99)?.micros ?? 0
  const all = Object.values(result.errors).reduce((sum, count) => sum + count, 0)
  // Those that a connection holds back for want of credit may change their places with others.
  const inFlight = Math.max(0, result.sent - result.answered) + result.connections * streams
  const failures = result.protocol === 'h2' ? result.errors.status : null
  const surprise = expected?.surpriseByStatus(result.statuses, failures, result.answered, inFlight) ?? null
  const errors = expected === null ? all : all - result.errors.status + (surprise?.errors ?? 0)
  return {
    seconds: result.seconds,
    count: result.answered,
    errors,
    ...(surprise === null ? {} : { unlike: surprise.text }),
    latency,
    value: at(99),
    extra: {
      'p50 µs': at(50),
      'p99 µs': at(99),
      'p99.9 µs': at(99.9),
      'requests per second': result.achievedRate,
      'p99 lateness of the generator µs': late,
    },
  }
}

/** Arguments of the generator for so many requests per second. */
export function argumentsFor(plan: Plan, rate: number, connections = CONNECTIONS): string[] {
  const seconds = plan.profile === 'smoke' ? 1 : Math.max(3, plan.seconds)
  // To be punctual the generator spins; on a core that it shares with the upstream it would take half of it from there.
  const shares = plan.pinning.load === plan.pinning.upstream
  const pacing = ['--pacing', shares ? 'wake' : 'spin']
  return ['--rate', String(rate), '--connections', String(connections), '--seconds', String(seconds), ...pacing]
}
