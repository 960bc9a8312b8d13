import type { BenchReport } from '../../result.ts'
import { widePlot } from '../charts/figure.ts'
import { drawForest, type RatioRow } from '../charts/forest.ts'
import { againstEnvoy, type Finding } from '../findings.ts'
import { measured, times } from '../format.ts'
import { html, type Markup, slug } from '../markup.ts'

/** Remora against the real Envoy, all cases in one picture. */
export function verdictSection(report: BenchReport): Markup | null {
  const found = report.cases.flatMap(one => againstEnvoy(one) ?? [])
  if (found.length === 0) return null
  const decided = found.filter(finding => finding.conclusive)
  const won = decided.filter(finding => finding.ratio.median >= 1).length
  const open = found.length - decided.length
  const rows = found.map(toRow)
  const plot = widePlot(
    {
      id: 'verdict',
      title: 'Remora against Envoy, case by case',
      subtitle: 'dot: median of the rounds; bar: lowest to highest round; upright tick: the goal',
      description: found
        .map(({ case: one, ratio, conclusive }) => `${one.title}: ${conclusive ? times(ratio.median) : 'not decided'}`)
        .join('. '),
      table: {
        head: ['Case', 'Ratio', 'Rounds', 'Remora', 'Envoy', 'Goal'],
        rows: found.map(finding => [
          finding.case.title,
          finding.conclusive ? times(finding.ratio.median) : 'open',
          finding.conclusive ? `${times(finding.ratio.min)} – ${times(finding.ratio.max)}` : (finding.why ?? ''),
          measured(finding.own, finding.unit),
          measured(finding.other, finding.unit),
          finding.case.goal?.text ?? '—',
        ]),
      },
    },
    width => drawForest(rows, 'Envoy', width),
  )
  return html`<section id="verdict"><h2>At a glance</h2>
<dl class="tiles">${tile(won, 'ahead of Envoy', 'won')}${tile(decided.length - won, 'behind Envoy', 'lost')}${tile(open, 'not decided: the spread hides it', 'open')}</dl>
${plot}</section>`
}

function tile(count: number, text: string, kind: string): Markup {
  return html`<div class="${kind}"><dt>${text}</dt><dd>${count} <span>case${count === 1 ? '' : 's'}</span></dd></div>`
}

function toRow(finding: Finding): RatioRow {
  const { goal } = finding.case
  return {
    label: finding.case.title,
    href: `#${slug('case', finding.case.id)}`,
    ratio: finding.ratio,
    conclusive: finding.conclusive,
    goal: goal?.kind === 'ratio' ? goal.value : null,
  }
}
