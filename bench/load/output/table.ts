import type { CaseResult, Goal, PeerSummary, Ratio } from '../result.ts'
import { count, figure, mebibytes } from './figures.ts'

/** One case as text: a line per proxy, a line per ratio, the notes. */
export function caseTable(result: CaseResult): string {
  const rounds = Math.max(0, ...result.rounds.map(round => round.index + 1))
  const lines = [`${result.id}: ${result.title} (${rounds} round${rounds === 1 ? '' : 's'})`]
  const rows = [header(result), ...result.summaries.map(summary => row(result, summary))]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map(cells => cells[column]!.length)))
  for (const cells of rows)
    lines.push(
      `  ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ')}`,
    )
  for (const ratio of result.ratios) lines.push(`  ${ratioLine(ratio)}`)
  if (result.goal !== null) lines.push(`  goal: ${goalLine(result, result.goal)}`)
  for (const note of result.notes) lines.push(`  note: ${note}`)
  return `${lines.join('\n')}\n`
}

export function ratioLine(ratio: Ratio): string {
  const pair = `${ratio.of} : ${ratio.to}`.padEnd(20)
  if (!ratio.conclusive) return `${pair} no ratio: ${ratio.why}`
  return `${pair} × ${ratio.median.toFixed(2)} (rounds ${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)})${ratio.median < 1 ? '  worse' : ''}`
}

/** Whether the goal is met, as far as this run can tell. */
export function goalLine(result: CaseResult, goal: Goal): string {
  if (goal.kind === 'ratio') {
    const ratio = result.ratios.find(one => one.of === 'remora' && one.to === 'envoy')
    if (ratio === undefined) return `${goal.text}: Envoy was not measured`
    // The spread may hide who is better and still lie wholly above or below the goal.
    const failed = ratio.why !== null && !/rounds? (disagree|differ)/.test(ratio.why)
    if (failed) return `${goal.text}: undecided`
    if (ratio.min >= goal.value) return `${goal.text}: met`
    if (ratio.max < goal.value) return `${goal.text}: NOT met (best round ${ratio.max.toFixed(2)})`
    return `${goal.text}: ${ratio.median >= goal.value ? 'met by the median' : 'NOT met by the median'}, not by every round`
  }
  const own = result.summaries.find(summary => summary.peer === 'remora')
  if (own === undefined) return `${goal.text}: not measured`
  return `${goal.text}: ${own.value.median <= goal.value ? 'met' : 'NOT met'} (${figure(own.value.median, result.metric.unit)})`
}

function header(result: CaseResult): string[] {
  const cells = ['', result.metric.name, 'min–max']
  if (result.summaries.some(summary => summary.perSecond !== null)) cells.push('per second', 'CPU µs each')
  for (const percentile of percentilesOf(result)) cells.push(`p${percentile} ms`)
  return [...cells, 'RSS MiB', 'PSS', 'anon', 'errors']
}

function row(result: CaseResult, summary: PeerSummary): string[] {
  const { unit } = result.metric
  const { value, perSecond, cpuMicrosecondsPerOperation: cpu, memory } = summary
  const range = `${figure(value.min, unit)}–${figure(value.max, unit)}`
  const cells = [summary.peer as string, figure(value.median, unit), range]
  if (result.summaries.some(one => one.perSecond !== null))
    cells.push(perSecond === null ? '' : count(perSecond.median), cpu === null ? '' : cpu.median.toFixed(1))
  for (const percentile of percentilesOf(result)) cells.push(milliseconds(summary, percentile))
  cells.push(mebibytes(memory?.rssBytes), mebibytes(memory?.pssBytes), mebibytes(memory?.anonBytes))
  return [...cells, String(summary.errors)]
}

/** Those of the usual three that some proxy has. */
function percentilesOf(result: CaseResult): number[] {
  return [50, 99, 99.9].filter(wanted =>
    result.summaries.some(summary => summary.latency?.some(point => point.percentile === wanted) === true),
  )
}

function milliseconds(summary: PeerSummary, percentile: number): string {
  const point = summary.latency?.find(one => one.percentile === percentile)
  return point === undefined ? '' : (point.microseconds / 1000).toFixed(2)
}
