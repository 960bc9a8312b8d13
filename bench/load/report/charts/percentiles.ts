import type { LatencyPoint, PeerId } from '../../result.ts'
import { micros, percentileName } from '../format.ts'
import { html, type Markup } from '../markup.ts'
import { LOOKS, shortName } from '../peers.ts'
import { linearScale, logScale, logTicks, px, type Scale } from './axis.ts'
import type { Drawing } from './figure.ts'
import { legend } from './lines.ts'
import { marker } from './marker.ts'

export interface LatencyCurve {
  readonly peer: PeerId
  readonly points: readonly LatencyPoint[]
}

const LABELLED = [50, 90, 99, 99.9, 99.99]
/** The maximum stands one decade after the last percentile: its true place depends on the number of requests alone. */
const MAXIMUM = 4.75

/** Latency by percentile. The x axis gives each further nine the same room, so that the tail is seen. */
export function drawPercentiles(curves: readonly LatencyCurve[], width: number): Drawing {
  const left = 62
  const right = width - 20
  const top = 12
  const bottom = width < 500 ? 232 : 300
  const shown = curves.flatMap(curve => curve.points).filter(point => point.percentile >= 50 && point.microseconds > 0)
  const values = shown.map(point => point.microseconds)
  const ticks = logTicks(Math.min(...values), Math.max(...values))
  const y = logScale(ticks[0]!, ticks.at(-1)!, bottom, top)
  // Closed-loop tools stop at p99: the axis ends with what there is.
  const last = Math.max(...shown.map(point => point.percentile), 90)
  const x = linearScale(nines(50), nines(last), left + 8, right - 8)
  const body = html`<g class="grid">${ticks.map(
    tick =>
      html`<path d="M${left} ${px(y(tick))}H${right}"/><text class="tick-y" x="${left - 8}" y="${px(y(tick) + 4)}">${micros(tick)}</text>`,
  )}${[...LABELLED, 100]
    .filter(percentile => percentile <= last)
    .map(
      percentile =>
        html`<path d="M${px(x(nines(percentile)))} ${top}V${bottom + 4}"/><text x="${px(x(nines(percentile)))}" y="${bottom + 18}">${percentileName(percentile)}</text>`,
    )}</g>${[...curves].reverse().map(curve => drawCurve(curve, x, y))}`
  const key = legend(
    curves.map(curve => curve.peer),
    left,
    bottom + 42,
    width,
  )
  return { width, height: bottom + 34 + key.height, body: html`${body}${key.body}` }
}

function drawCurve({ peer, points }: LatencyCurve, x: Scale, y: Scale): Markup {
  const shown = points.filter(point => point.percentile >= 50 && point.microseconds > 0)
  const d = shown.map(
    (point, i) => `${i === 0 ? 'M' : 'L'}${px(x(nines(point.percentile)))} ${px(y(point.microseconds))}`,
  )
  return html`<path class="line" d="${d.join('')}" stroke="var(--p-${peer})" stroke-dasharray="${LOOKS[peer].dash}"/>${shown.map(
    point =>
      html`<g><title>${shortName(peer)} ${percentileName(point.percentile)}: ${micros(point.microseconds)}</title>${
        LABELLED.includes(point.percentile) || point.percentile === 100
          ? marker(peer, x(nines(point.percentile)), y(point.microseconds), 4.5)
          : marker(peer, x(nines(point.percentile)), y(point.microseconds), 2.2)
      }</g>`,
  )}`
}

/** Number of nines: 90 → 1, 99 → 2. */
function nines(percentile: number): number {
  return percentile >= 100 ? MAXIMUM : Math.min(-Math.log10(1 - percentile / 100), MAXIMUM)
}
