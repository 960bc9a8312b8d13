import type { MemoryUse, PeerId } from '../../result.ts'
import { bytes } from '../format.ts'
import { html } from '../markup.ts'
import { shortName } from '../peers.ts'
import { linearScale, px } from './axis.ts'
import type { Drawing } from './figure.ts'

const ROW = 40
const LABEL = 88
const MIB = 1048576

/** Anonymous memory within the proportional share within everything resident: three bars in one. */
export function drawMemory(
  rows: readonly { readonly peer: PeerId; readonly use: MemoryUse }[],
  width: number,
): Drawing {
  const top = 4
  const bottom = top + rows.length * ROW
  const most = Math.max(...rows.map(row => row.use.rssBytes), MIB)
  const step =
    [8, 16, 32, 64, 128, 256, 512, 1024, 2048].find(size => most / (size * MIB) <= (width < 500 ? 4 : 8)) ?? 4096
  const ticks = Array.from({ length: Math.ceil(most / (step * MIB)) + 1 }, (_, i) => i * step * MIB)
  const x = linearScale(0, ticks.at(-1)!, LABEL, width - 20)
  const body = html`<g class="grid">${ticks.map(
    tick =>
      html`<path d="M${px(x(tick))} ${top}V${bottom}"/><text x="${px(x(tick))}" y="${bottom + 16}">${tick / MIB}</text>`,
  )}</g>${rows.map(({ peer, use }, i) => {
    const y = top + i * ROW + 6
    const bar = (size: number, opacity: number, height: number) =>
      html`<rect x="${LABEL}" y="${y + (18 - height) / 2}" width="${px(Math.max(1, x(size) - LABEL))}" height="${height}" rx="2" fill="var(--p-${peer})" opacity="${opacity}"/>`
    return html`<g class="${peer === 'remora' ? 'own' : ''}"><title>${shortName(peer)}: anonymous ${bytes(use.anonBytes)}, PSS ${bytes(use.pssBytes)}, RSS ${bytes(use.rssBytes)}</title>
<text class="label" x="${LABEL - 8}" y="${y + 13}">${shortName(peer)}</text>${bar(use.rssBytes, 0.25, 18)}${bar(use.pssBytes, 0.5, 18)}${bar(use.anonBytes, 1, 18)}
<text class="note" x="${LABEL}" y="${y + 30}">${mib(use.anonBytes)} anonymous · ${mib(use.pssBytes)} PSS · ${mib(use.rssBytes)} RSS</text></g>`
  })}`
  return { width, height: bottom + 22, body }
}

function mib(size: number): string {
  return (size / MIB).toFixed(size < 10 * MIB ? 1 : 0)
}
