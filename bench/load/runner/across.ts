import type { CaseResult, PeerId } from '../result.ts'

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
    const factors = new Map<PeerId, number>()
    for (const { peer, cpuMicrosecondsPerOperation: cost } of after.summaries) {
      const base = before.summaries.find(summary => summary.peer === peer)?.cpuMicrosecondsPerOperation
      if (cost !== null && base !== null && base !== undefined && base.median > 0)
        factors.set(peer, cost.median / base.median)
    }
    const own = factors.get('remora')
    if (own === undefined) continue
    const bound = most ?? factors.get('envoy') ?? null
    const allowed = most === null ? "no more than Envoy's" : `at most × ${most.toFixed(2)}`
    const verdict = bound === null ? '' : `; goal: ${allowed}: ${own <= bound ? 'met' : 'NOT met'}`
    const each = [...factors].map(([peer, factor]) => `${peer} × ${factor.toFixed(2)}`).join(', ')
    lines.push(`CPU each, ${what}: ${each}${verdict}`)
  }
  return lines
}
