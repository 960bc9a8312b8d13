import type { PeerId, Spread } from '../../result.ts'
import { measured, short } from '../format.ts'
import { html } from '../markup.ts'
import { shortName } from '../peers.ts'
import { byteTicks, linearScale, linearTicks, px } from './axis.ts'
import type { Drawing } from './figure.ts'

export interface Bar {
  readonly peer: PeerId
  readonly value: Spread
}

const ROW = 30
const LABEL = 88

/** Horizontal bars from zero with a whisker from the lowest to the highest round. */
export function drawBars(bars: readonly Bar[], unit: string, width: number): Drawing {
  const top = 4
  const height = top + bars.length * ROW + 24
  const most = Math.max(...bars.map(bar => bar.value.max), 0) || 1
  // Bars use the whole width: the axis ends at the longest and not at the next round number.
  const ticks = (isBytes(unit) ? byteTicks(most, 4) : linearTicks(most, 4)).filter(tick => tick <= most)
  const longest = Math.max(...bars.map(bar => barLabel(bar.value.median, unit).length))
  const x = linearScale(0, most, LABEL, width - 16 - longest * 7.9)
  const bottom = top + bars.length * ROW
  const body = html`<g class="grid">${ticks.map(
    tick =>
      html`<path d="M${px(x(tick))} ${top}V${bottom}"/><text x="${px(x(tick))}" y="${bottom + 16}">${axisLabel(tick, unit)}</text>`,
  )}</g>${bars.map(({ peer, value }, row) => {
    const middle = top + row * ROW + ROW / 2
    const own = peer === 'remora' ? 'own' : ''
    return html`<g class="${own}"><title>${shortName(peer)}: ${measured(value.median, unit)}, rounds ${measured(value.min, unit)} to ${measured(value.max, unit)}</title>
<text class="label" x="${LABEL - 8}" y="${middle + 4}">${shortName(peer)}</text>
<rect x="${LABEL}" y="${middle - 9}" width="${px(Math.max(1, x(value.median) - LABEL))}" height="18" rx="2" fill="var(--p-${peer})"/>
<path class="whisker" d="M${px(x(value.min))} ${middle}H${px(x(value.max))}M${px(x(value.min))} ${middle - 4}v8M${px(x(value.max))} ${middle - 4}v8"/>
<text class="value" x="${px(x(Math.max(value.median, value.max)) + 7)}" y="${middle + 4}">${barLabel(value.median, unit)}</text></g>`
  })}`
  return { width, height, body }
}

function axisLabel(tick: number, unit: string): string {
  return isBytes(unit) ? measured(tick, 'B') : short(tick)
}

function isBytes(unit: string): boolean {
  return unit === 'B' || unit.startsWith('B/')
}

/** Without the unit that the caption names; sizes and times keep theirs, as it changes with the size. */
function barLabel(value: number, unit: string): string {
  if (isBytes(unit)) return measured(value, 'B')
  const text = measured(value, unit)
  return text.endsWith(` ${unit}`) && !['µs', 'ms', 's'].includes(unit) ? text.slice(0, -unit.length - 1) : text
}
