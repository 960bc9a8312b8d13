import type { BenchReport } from '../../result.ts'
import { table } from '../charts/figure.ts'
import { bytes } from '../format.ts'
import { html, type Markup, slug } from '../markup.ts'

/** What one needs to know to believe or repeat the figures. */
export function setupSection(report: BenchReport): Markup {
  const { machine, versions } = report
  const { proxy, load, upstream, batch } = machine.pinning
  const cores = (list: string | null) => (list === null ? 'not pinned' : `CPU ${list}`)
  const rows = [
    ['Processor', `${machine.cpuModel}, ${machine.cores} cores`],
    ['Memory', bytes(machine.memoryBytes)],
    ['Kernel', machine.kernel],
    [
      'TCP',
      `${machine.congestionControl}; netfilter ${machine.tracksConnections ? 'tracks' : 'does not track'} connections`,
    ],
    [
      'Pinned',
      `proxy: ${cores(proxy)}; load: ${cores(load)}; upstream: ${cores(upstream)}${batch ? '; load and upstream as batch jobs' : ''}`,
    ],
    ['Started', report.startedAt],
    ['Took', `${Math.round(report.durationSeconds)} s, profile ${report.profile}`],
    ...Object.entries(versions),
  ]
  return html`<section id="setup"><h2>Machine, versions, commands</h2>
<div class="scroll">${table({ head: ['What', 'Here'], rows })}</div>
<h3>Run as</h3><pre>${report.commandLine}</pre>
<h3>Proxies</h3>${report.peers.map(peer => html`<p><b>${peer.title}</b></p><pre>${peer.command.join(' ')}</pre>`)}
${
  report.missing.length > 0 &&
  html`<h3>Not there</h3><ul>${report.missing.map(({ program, how }) => html`<li><b>${program}</b>: ${how}</li>`)}</ul>`
}</section>`
}

/** Configuration texts; one that several peers share is shown once. */
export function configurationSection(report: BenchReport): Markup | null {
  const names = [...new Set(report.peers.flatMap(peer => Object.keys(peer.configurations)))]
  if (names.length === 0) return null
  return html`<section id="configurations"><h2>Configurations</h2>
${names.map(name => {
  const byText = new Map<string, string[]>()
  for (const peer of report.peers) {
    const text = peer.configurations[name]
    if (text !== undefined) byText.set(text, [...(byText.get(text) ?? []), peer.title])
  }
  return html`<div id="${slug('configuration', name)}"><h3>${name}</h3>${[...byText].map(
    ([text, peers]) =>
      html`<details class="data"><summary>${peers.join(', ')} <span>${text.split('\n').length} lines</span></summary><pre>${text}</pre></details>`,
  )}</div>`
})}</section>`
}
