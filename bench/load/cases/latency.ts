import { atLeast, type BenchCase, type Plan, type Sample } from '../case.ts'
import { HTTP1 } from '../configurations/plain-http.ts'
import { wrkLoad } from '../drivers/wrk-load.ts'
import { runOpenLoop } from '../open-loop/command.ts'
import type { OpenLoopResult } from '../open-loop/result.ts'
import type { Target } from '../target.ts'
import type { ExpectedAnswers } from '../user/expected.ts'

const CONNECTIONS = 32

/** Requests per second in all, decided by `prepare` for the run: half of what saturates the real Envoy (or Remora, alone). */
let rate = 0

export const latencyOpenLoop: BenchCase = {
  id: 'latency-open-loop',
  title: "HTTP/1.1, latency at half of Envoy's saturation, constant arrival rate",
  group: 'latency',
  series: null,
  axis: null,
  configuration: HTTP1,
  metric: { name: '99th percentile of latency', unit: 'µs', higherIsBetter: false },
  value: 'own',
  goal: atLeast(1),
  from: 'smoke',
  headline: false,
  fresh: false,
  needs: ['wrk'],
  commands: plan => [`open-loop ${argumentsFor(plan, rate).join(' ')} --url http://127.0.0.1:{port}/`],
  prepare,
  measure,
  also: [
    {
      id: 'latency-p50',
      title: "Median latency at half of Envoy's saturation",
      extra: 'p50 µs',
      metric: { name: 'median latency', unit: 'µs', higherIsBetter: false },
      goal: atLeast(1),
    },
    {
      id: 'latency-p999',
      title: "99.9th percentile of latency at half of Envoy's saturation",
      extra: 'p99.9 µs',
      metric: { name: '99.9th percentile of latency', unit: 'µs', higherIsBetter: false },
      goal: { kind: 'ratio', value: 1 / 1.5, text: "at most 1.5 × the real Envoy's" },
    },
  ],
}

async function prepare(targets: readonly Target[], plan: Plan): Promise<void> {
  const reference = targets.find(target => target.peer.id === 'envoy') ?? targets[0]
  if (reference === undefined) return
  const seconds = plan.profile === 'smoke' ? 1 : 3
  const sample = await wrkLoad({ connections: CONNECTIONS }, reference, { ...plan, seconds })
  const saturation = sample.count / sample.seconds
  rate = Math.round(saturation / 2)
  plan.notes.push(`${reference.peer.title} saturates at ${Math.round(saturation)} requests/s; ${rate} were offered`)
}

async function measure(target: Target, plan: Plan): Promise<Sample> {
  const prefix = plan.pinning.load === null ? [] : ['taskset', '-c', plan.pinning.load]
  const argv = [...argumentsFor(plan, rate), '--url', `http://127.0.0.1:${target.sites.listen}/`]
  return latencySample(await runOpenLoop(argv, prefix))
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
