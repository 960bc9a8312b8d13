import type { PeerId } from '../../result.ts'
import { html, type Markup } from '../markup.ts'
import { LOOKS } from '../peers.ts'
import { px } from './axis.ts'

/** The peer's shape, about `r` pixels in radius, filled with its colour. */
export function marker(peer: PeerId, x: number, y: number, r: number): Markup {
  const at = (dx: number, dy: number) => `${px(x + dx * r)} ${px(y + dy * r)}`
  const colour = `var(--p-${peer})`
  switch (LOOKS[peer].marker) {
    case 'circle':
      return html`<circle cx="${px(x)}" cy="${px(y)}" r="${r}" fill="${colour}"/>`
    case 'ring':
      return html`<circle cx="${px(x)}" cy="${px(y)}" r="${r - 0.5}" fill="var(--paper)" stroke="${colour}" stroke-width="1.8"/>`
    case 'square':
      return path(`M${at(-0.9, -0.9)}L${at(0.9, -0.9)}L${at(0.9, 0.9)}L${at(-0.9, 0.9)}Z`, colour)
    case 'triangle':
      return path(`M${at(0, -1.15)}L${at(1.1, 0.85)}L${at(-1.1, 0.85)}Z`, colour)
    case 'diamond':
      return path(`M${at(0, -1.3)}L${at(1.3, 0)}L${at(0, 1.3)}L${at(-1.3, 0)}Z`, colour)
    case 'bar':
      return path(`M${at(-1.2, -0.45)}L${at(1.2, -0.45)}L${at(1.2, 0.45)}L${at(-1.2, 0.45)}Z`, colour)
    case 'cross':
      return html`<path d="M${at(-1, -1)}L${at(1, 1)}M${at(-1, 1)}L${at(1, -1)}" stroke="${colour}" stroke-width="2.2" fill="none"/>`
  }
}

function path(d: string, colour: string): Markup {
  return html`<path d="${d}" fill="${colour}"/>`
}
