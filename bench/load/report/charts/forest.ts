import type { Spread } from '../../result.ts'
import { times } from '../format.ts'
import { html, type Markup } from '../markup.ts'
import { logScale, logTicks, px } from './axis.ts'
import type { Drawing } from './figure.ts'

export interface RatioRow {
  readonly label: string
  /** Where the label leads. */
  readonly href: string
  /** Above 1: Remora is better. */
  readonly ratio: Spread
  readonly conclusive: boolean
  /** The ratio that the project aims at. */
  readonly goal: number | null
}

/** One row per case: the ratio with its spread on a logarithmic axis, and 1 in the middle of it all. */
export function drawForest(rows: readonly RatioRow[], against: string, width: number): Drawing {
  const narrow = width < 500
  const left = narrow ? 16 : 318
  const right = width - 62
  const row = narrow ? 42 : 27
  const top = 40
  const bottom = top + rows.length * row
  const shown = rows.flatMap(({ ratio, goal, conclusive }) => [
    ...(conclusive ? [ratio.min, ratio.max, ratio.median] : []),
    ...(goal === null ? [] : [goal]),
  ])
  const most = Math.max(2, ...shown)
  const least = Math.min(0.5, ...shown)
  const ticks = logTicks(Math.max(least, 0.01), most)
  const from = Math.min(ticks[0]!, 0.5)
  const to = ticks.at(-1)!
  const x = logScale(from, to, left, right)
  const one = x(1)
  const body = html`<rect class="losing" x="${left}" y="${top}" width="${px(one - left)}" height="${bottom - top}"/>
<text class="side" x="${px(one - 10)}" y="14" text-anchor="end">◂ ${against} better</text><text class="side" x="${px(one + 10)}" y="14">Remora better ▸</text>
<g class="grid">${ticks.map(tick => html`<path d="M${px(x(tick))} ${top}V${bottom}"/><text x="${px(x(tick))}" y="${top - 8}">${tick}×</text>`)}</g>
<path class="even" d="M${px(one)} ${top - 4}V${bottom + 4}"/>
${rows.map((entry, i) => drawRow(entry, top + i * row + (narrow ? 29 : row / 2), x, { narrow, left, width, from, to }))}`
  return { width, height: bottom + 8, body }
}

function drawRow(
  { label, href, ratio, conclusive, goal }: RatioRow,
  y: number,
  x: (value: number) => number,
  place: { narrow: boolean; left: number; width: number; from: number; to: number },
): Markup {
  const name = html`<a href="${href}"><text class="case" x="${place.narrow ? place.left : place.left - 12}" y="${place.narrow ? y - 13 : y + 4}" text-anchor="${place.narrow ? 'start' : 'end'}">${fit(label, place.narrow ? 46 : 42)}</text></a>`
  const goalMark = goal !== null && html`<path class="goal" d="M${px(x(goal))} ${y - 9}v18"/>`
  if (!conclusive) {
    return html`<g class="open"><title>${label}: not decided</title>${name}${goalMark}<text class="value" x="${place.width - 4}" y="${y + 4}" text-anchor="end">open</text></g>`
  }
  const inside = (value: number) => px(x(Math.min(Math.max(value, place.from), place.to)))
  const state = ratio.median < 1 ? 'lost' : 'won'
  // Losing is a hollow mark and not only another colour.
  return html`<g class="${state}"><title>${label}: ${times(ratio.median)}, rounds ${times(ratio.min)} to ${times(ratio.max)}${goal === null ? '' : `, goal ${times(goal)}`}</title>${name}${goalMark}
<path class="range" d="M${inside(ratio.min)} ${y}H${inside(ratio.max)}M${inside(ratio.min)} ${y - 4}v8M${inside(ratio.max)} ${y - 4}v8"/>
<circle cx="${inside(ratio.median)}" cy="${y}" r="5.5"/>
<text class="value" x="${place.width - 4}" y="${y + 4}" text-anchor="end">${times(ratio.median)}</text></g>`
}

function fit(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`
}
