import type { BenchReport, CaseResult, PeerId, Ratio, Spread } from '../result.ts'
import { failedRounds } from '../statistics/ratio.ts'

/** Remora against one peer: above 1 is better for Remora, whichever way round the result names them. */
export interface Finding {
  readonly case: CaseResult
  readonly against: PeerId
  /** What was compared: the metric of the case, or a percentile of its latency. */
  readonly what: string
  readonly unit: string
  readonly ratio: Spread
  readonly conclusive: boolean
  readonly why: string | null
  /** Medians. */
  readonly own: number
  readonly other: number
}

/** Every comparison of Remora with another peer, cases in order. */
export function findings(report: BenchReport): Finding[] {
  return report.cases.flatMap(one => [...metricFindings(one), ...latencyFindings(one, report.cases)])
}

/** The comparison with the real Envoy in the metric of the case; null when there is none. */
export function againstEnvoy(one: CaseResult): Finding | null {
  return metricFindings(one).find(finding => finding.against === 'envoy') ?? null
}

/** Lost, worst first: decided by the rounds, not by a median alone. */
export function losses(all: readonly Finding[]): Finding[] {
  return all
    .filter(finding => finding.conclusive && finding.ratio.median < 1)
    .sort((a, b) => a.ratio.median - b.ratio.median)
}

/** Better than the peer or level with it, and still short of what the project set itself; or above an absolute bound. */
export interface Shortfall {
  readonly case: CaseResult
  readonly text: string
  readonly reached: string
}

export function shortfalls(report: BenchReport, say: (value: number, unit: string) => string): Shortfall[] {
  const out: Shortfall[] = []
  for (const one of report.cases) {
    const { goal } = one
    if (goal === null) continue
    if (goal.kind === 'at-most') {
      const own = one.summaries.find(summary => summary.peer === 'remora')
      if (own !== undefined && own.value.median > goal.value) {
        out.push({ case: one, text: goal.text, reached: say(own.value.median, one.metric.unit) })
      }
      continue
    }
    const finding = againstEnvoy(one)
    if (finding?.conclusive === true && finding.ratio.median >= 1 && finding.ratio.median < goal.value) {
      out.push({ case: one, text: goal.text, reached: `${finding.ratio.median.toFixed(2)}×` })
    }
  }
  return out
}

function metricFindings(one: CaseResult): Finding[] {
  return one.ratios.flatMap(ratio => {
    const turned = ownRatio(ratio)
    if (turned === null) return []
    const [against, values] = turned
    const own = one.summaries.find(summary => summary.peer === 'remora')
    const other = one.summaries.find(summary => summary.peer === against)
    return [
      {
        case: one,
        against,
        what: one.metric.name,
        unit: one.metric.unit,
        ratio: values,
        conclusive: ratio.conclusive,
        why: ratio.why,
        own: own?.value.median ?? Number.NaN,
        other: other?.value.median ?? Number.NaN,
      },
    ]
  })
}

function ownRatio(ratio: Ratio): [PeerId, Spread] | null {
  const { median, min, max } = ratio
  if (ratio.of === 'remora') return [ratio.to, { median, min, max }]
  if (ratio.to !== 'remora') return null
  return [ratio.of, { median: 1 / median, min: 1 / max, max: 1 / min }]
}

/** Percentiles that the goals of the project name. */
const JUDGED = [50, 99, 99.9]

/** The metric of a case is one figure; its latency is judged by percentile, round against the other's round of the same index. */
function latencyFindings(one: CaseResult, all: readonly CaseResult[]): Finding[] {
  const out: Finding[] = []
  const peers = new Set(one.rounds.filter(round => round.latency !== null).map(round => round.peer))
  if (!peers.delete('remora') || one.group !== 'latency') return out
  // The same measurement may be several cases, one for each percentile; the first of them stands for all.
  const twins = all.filter(other => sameMeasurement(other, one))
  if (twins[0] !== one) return out
  const passed = one.checks.every(({ checks }) => checks.every(check => check.passed))
  for (const against of peers) {
    const untrusted = passed ? failedRounds(['remora', against], one.rounds) : 'a behaviour check failed'
    for (const percentile of JUDGED) {
      if (twins.some(twin => namesPercentile(twin.metric.name, percentile))) continue
      const own = perRound(one, 'remora', percentile)
      const other = perRound(one, against, percentile)
      const ratios: number[] = []
      for (const [index, value] of own) {
        const theirs = other.get(index)
        if (theirs !== undefined && value > 0) ratios.push(theirs / value)
      }
      if (ratios.length === 0) continue
      ratios.sort((a, b) => a - b)
      const ratio = { median: median(ratios), min: ratios[0]!, max: ratios.at(-1)! }
      const decided = ratios.length > 1 && (ratio.min > 1 || ratio.max < 1)
      out.push({
        case: one,
        against,
        what: `latency p${percentile}`,
        unit: 'µs',
        ratio,
        conclusive: decided && untrusted === null,
        why: untrusted ?? (decided ? null : 'the rounds disagree about who is faster'),
        own: median([...own.values()].sort((a, b) => a - b)),
        other: median([...other.values()].sort((a, b) => a - b)),
      })
    }
  }
  return out
}

/** True for cases that are views of one measurement: same load on the same configuration. */
export function sameMeasurement(a: CaseResult, b: CaseResult): boolean {
  return a.group === b.group && a.configuration === b.configuration && a.load.join('\n') === b.load.join('\n')
}

/** "99th percentile of latency", "latency p99", "median latency". */
function namesPercentile(name: string, percentile: number): boolean {
  if (percentile === 50 && /\bmedian\b/.test(name)) return true
  return new RegExp(`(^|[^\\d.])${percentile}(th)?($|[^\\d.])`).test(name)
}

function perRound(one: CaseResult, peer: PeerId, percentile: number): Map<number, number> {
  const found = new Map<number, number>()
  for (const round of one.rounds) {
    const point = round.peer === peer ? round.latency?.find(entry => entry.percentile === percentile) : undefined
    if (point !== undefined) found.set(round.index, point.microseconds)
  }
  return found
}

function median(sorted: readonly number[]): number {
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
