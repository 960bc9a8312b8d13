import type { Derived } from '../case.ts'
import type { CaseResult } from '../result.ts'
import { allRatios, summarise } from './summary.ts'

/** A result of its own from a further figure of the same rounds. */
export function derive(result: CaseResult, derived: Derived): CaseResult {
  const rounds = result.rounds.map(round => ({ ...round, value: round.extra[derived.extra] ?? 0, extra: {} }))
  const peers = result.checks.map(({ peer }) => peer)
  return {
    ...result,
    id: derived.id,
    title: derived.title,
    series: derived.series ?? null,
    axis: derived.axis ?? null,
    metric: derived.metric,
    goal: derived.goal,
    rounds,
    summaries: summarise(peers, rounds, { value: 'own' }),
    ratios: allRatios(peers, rounds, derived.metric.higherIsBetter, result.checks),
    notes: [`from the rounds of ${result.id}`],
  }
}
