import type { CaseResult, PeerId, Spread } from '../result.ts'

/** How the cost of one operation grows along a series, for each proxy: what must not grow, and by how much it may. */
interface Growth {
  readonly from: string
  readonly to: string
  readonly what: string
  /** Allowed factor for Remora; null = less than Envoy's. */
  readonly most: number | null
}

const GROWTHS: readonly Growth[] = [
  { from: 'http1-small', to: 'connections-256', what: '256 connections against 32', most: null },
  { from: 'http1-small', to: 'connections-2000', what: '2,000 connections against 32', most: null },
  { from: 'headers-0', to: 'headers-40', what: '40 headers against none', most: null },
  { from: 'routing-1', to: 'routing-10000', what: '10,000 virtual hosts against one', most: 1.1 },
  { from: 'workers-1', to: 'workers-2', what: 'two workers against one', most: 1.1 },
]

/** One line per growth that was measured: CPU per operation of the one case by that of the other. */
export function growthLines(results: readonly CaseResult[]): string[] {
  const lines: string[] = []
  for (const { from, to, what, most } of GROWTHS) {
    const before = results.find(result => result.id === from)
    const after = results.find(result => result.id === to)
    if (before === undefined || after === undefined) continue
    const factors = new Map<PeerId, Spread>()
    for (const { peer } of after.summaries) {
      const factor = growthOf(costOf(before, peer), costOf(after, peer))
      if (factor !== null) factors.set(peer, factor)
    }
    const own = factors.get('remora')
    if (own === undefined) continue
    const bound = most ?? factors.get('envoy')?.median ?? null
    const allowed = most === null ? "no more than Envoy's" : `at most × ${most.toFixed(2)}`
    const each = [...factors].map(
      ([peer, { median, min, max }]) => `${peer} × ${two(median)} (${two(min)}–${two(max)})`,
    )
    lines.push(
      `CPU each, ${what}: ${each.join(', ')}${bound === null ? '' : `; goal: ${allowed}: ${verdict(own, bound)}`}`,
    )
  }
  return lines
}

function costOf(result: CaseResult, peer: PeerId): Spread | null {
  return result.summaries.find(summary => summary.peer === peer)?.cpuMicrosecondsPerOperation ?? null
}

/** The two cases were not measured in the same rounds: their extremes may have met, so these bound the factor. */
function growthOf(before: Spread | null, after: Spread | null): Spread | null {
  if (before === null || after === null || before.min <= 0) return null
  return { median: after.median / before.median, min: after.min / before.max, max: after.max / before.min }
}

function verdict(own: Spread, bound: number): string {
  if (own.max <= bound) return 'met'
  if (own.min > bound) return 'NOT met'
  return own.median <= bound
    ? 'met by the median, the spread leaves it open'
    : 'NOT met by the median, the spread leaves it open'
}

function two(value: number): string {
  return value.toFixed(2)
}
