import type { PeerId, Spread } from '../../result.ts'
import { measured, short } from '../format.ts'
import { html, type Markup } from '../markup.ts'
import { LOOKS, shortName } from '../peers.ts'
import { byteTicks, linearScale, linearTicks, logScale, px, type Scale } from './axis.ts'
import type { Drawing } from './figure.ts'
import { marker } from './marker.ts'

export interface Line {
  readonly peer: PeerId
  /** Ascending by x. */
  readonly points: readonly { readonly x: number; readonly value: Spread }[]
}

/** Cost against a size; the x axis is logarithmic where sizes span a decade, and has its ticks at what was measured. */
export function drawLines(lines: readonly Line[], unit: string, axisName: string, width: number): Drawing {
  const left = 58
  const right = width - 14
  const top = 12
  const bottom = width < 500 ? 212 : 252
  const xs = [...new Set(lines.flatMap(line => line.points.map(point => point.x)))].sort((a, b) => a - b)
  const first = xs[0] ?? 1
  const last = xs.at(-1) ?? 1
  const x =
    last / Math.max(first, 1) >= 10 && first > 0
      ? logScale(first, last, left + 12, right - 12)
      : linearScale(first, last, left + 12, right - 12)
  const most = Math.max(...lines.flatMap(line => line.points.map(point => point.value.max)), 0)
  const ticks = unit === 'B' ? byteTicks(most, 5) : linearTicks(most, 5)
  const y = linearScale(0, ticks.at(-1)!, bottom, top)
  const body = html`<g class="grid">${ticks.map(
    tick =>
      html`<path d="M${left} ${px(y(tick))}H${right}"/><text class="tick-y" x="${left - 8}" y="${px(y(tick) + 4)}">${unit === 'B' ? measured(tick, 'B') : short(tick)}</text>`,
  )}${spaced(xs, x).map(value => html`<path d="M${px(x(value))} ${top}V${bottom + 4}"/><text x="${px(x(value))}" y="${bottom + 18}">${value.toLocaleString('en-US')}</text>`)}
<text class="axis" x="${px((left + right) / 2)}" y="${bottom + 36}">${axisName}</text></g>
${[...lines].reverse().map(line => drawLine(line, x, y, unit))}`
  const key = legend(
    lines.map(line => line.peer),
    left,
    bottom + 58,
    width,
  )
  return { width, height: bottom + 50 + key.height, body: html`${body}${key.body}` }
}

function drawLine({ peer, points }: Line, x: Scale, y: Scale, unit: string): Markup {
  const path = points.map((point, i) => `${i === 0 ? 'M' : 'L'}${px(x(point.x))} ${px(y(point.value.median))}`).join('')
  return html`<path class="line" d="${path}" stroke="var(--p-${peer})" stroke-dasharray="${LOOKS[peer].dash}"/>${points.map(
    ({ x: at, value }) =>
      html`<g><title>${shortName(peer)} at ${at.toLocaleString('en-US')}: ${measured(value.median, unit)}</title><path class="error" d="M${px(x(at))} ${px(y(value.min))}V${px(y(value.max))}" stroke="var(--p-${peer})"/>${marker(peer, x(at), y(value.median), 4.5)}</g>`,
  )}`
}

/** Not every size has room for its label. */
function spaced(values: readonly number[], x: Scale): number[] {
  const kept: number[] = []
  for (const value of values) {
    const before = kept.at(-1)
    if (before === undefined || x(value) - x(before) >= 14 + 7 * String(value).length) kept.push(value)
  }
  return kept
}

/** Shape, dash and name of each peer, in as many rows as the width needs. */
export function legend(
  peers: readonly PeerId[],
  left: number,
  top: number,
  width: number,
): { body: Markup; height: number } {
  let x = left
  let y = top
  const items = peers.map(peer => {
    const needed = 54 + shortName(peer).length * 8
    if (x > left && x + needed > width) {
      x = left
      y += 20
    }
    const at = x
    x += needed
    return html`<path class="line" d="M${px(at)} ${y}h26" stroke="var(--p-${peer})" stroke-dasharray="${LOOKS[peer].dash}"/>${marker(peer, at + 13, y, 4.5)}<text class="${peer === 'remora' ? 'key own' : 'key'}" x="${px(at + 32)}" y="${y + 4}">${shortName(peer)}</text>`
  })
  return { body: html`<g>${items}</g>`, height: y - top + 22 }
}
