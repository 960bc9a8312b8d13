import type { BenchReport, PeerId } from '../result.ts'

/**
 * How a peer looks in plots. Colours are those of Okabe and Ito, which people with any colour vision tell apart, a little
 * darker on white and lighter on black so that lines and text keep their contrast; shapes and dashes say the same again.
 */
export interface Look {
  readonly name: string
  readonly light: string
  readonly dark: string
  readonly marker: 'circle' | 'square' | 'triangle' | 'diamond' | 'cross' | 'ring' | 'bar'
  readonly dash: string
}

export const LOOKS: Readonly<Record<PeerId, Look>> = {
  remora: { name: 'Remora', light: '#0068a8', dark: '#5bb8f0', marker: 'circle', dash: '' },
  'remora-other': { name: 'Remora (other)', light: '#6aa9d4', dark: '#2f7fb5', marker: 'ring', dash: '2 3' },
  envoy: { name: 'Envoy', light: '#c94f00', dark: '#f58742', marker: 'square', dash: '7 3' },
  nginx: { name: 'nginx', light: '#007d5c', dark: '#2cc79b', marker: 'triangle', dash: '2 3' },
  haproxy: { name: 'HAProxy', light: '#a8497e', dark: '#e08fbb', marker: 'diamond', dash: '9 3 2 3' },
  'http2-proxy': { name: 'http2-proxy', light: '#6b6b6b', dark: '#b5b5b5', marker: 'bar', dash: '1 4' },
  node: { name: 'Node http', light: '#9a6b00', dark: '#e3b341', marker: 'cross', dash: '12 4' },
}

/** Colours as custom properties, one per peer: `--p-remora`. */
export function peerColours(theme: 'light' | 'dark'): string {
  return Object.entries(LOOKS)
    .map(([id, look]) => `--p-${id}:${look[theme]}`)
    .join(';')
}

export function peerName(report: BenchReport, id: PeerId): string {
  const title = report.peers.find(peer => peer.id === id)?.title
  return title ?? LOOKS[id].name
}

/** Without the version, for labels in plots. */
export function shortName(id: PeerId): string {
  return LOOKS[id].name
}

/** Peers of the report in its order, Remora first: the eye looks for it. */
export function inOrder(report: BenchReport): PeerId[] {
  const ids = report.peers.map(peer => peer.id)
  return [...ids.filter(id => id === 'remora'), ...ids.filter(id => id !== 'remora')]
}
