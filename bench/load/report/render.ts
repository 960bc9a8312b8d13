import type { BenchReport } from '../result.ts'
import { html, type Markup, render } from './markup.ts'
import { casesSection } from './sections/cases.ts'
import { lossesSection } from './sections/losses.ts'
import {
  costSection,
  cpuSection,
  latencySection,
  memorySection,
  otherSection,
  throughputSection,
} from './sections/plots.ts'
import { configurationSection, setupSection } from './sections/setup.ts'
import { verdictSection } from './sections/verdict.ts'
import { STYLE } from './style.ts'

/** What a page may have besides the report of a bench run. */
export interface PageOptions {
  /** Default: "Remora bench". */
  readonly title?: string
  /** A section of its own before all others, with the words that lead to it in the contents. */
  readonly first?: { readonly id: string; readonly name: string; readonly body: Markup }
}

/**
 * The whole report as one HTML page: no script, nothing loaded from elsewhere, light and dark by the reader's setting.
 * Every text of the report is escaped.
 */
export function renderReport(report: BenchReport, options: PageOptions = {}): string {
  const title = options.title ?? 'Remora bench'
  const measured = report.cases.length > 0
  const sections: (readonly [id: string, name: string, body: Markup | null])[] = [
    ...(options.first === undefined ? [] : [[options.first.id, options.first.name, options.first.body] as const]),
    ['verdict', 'At a glance', verdictSection(report)],
    ['losses', 'Where Remora loses', measured ? lossesSection(report) : null],
    ['throughput', 'Throughput per core', throughputSection(report)],
    ['cpu', 'CPU per request', cpuSection(report)],
    ['latency', 'Latency', latencySection(report)],
    ['cost', 'Cost against size', costSection(report)],
    ['memory', 'Memory', memorySection(report)],
    ['other', 'Start and the rest', otherSection(report)],
    ['cases', 'All cases', measured ? casesSection(report) : null],
    ['configurations', 'Configurations', configurationSection(report)],
    ['setup', 'Machine and versions', setupSection(report)],
  ]
  const shown = sections.filter(([, , body]) => body !== null)
  const { machine } = report
  const lead = [
    ...report.peers.map(peer => peer.title),
    `${machine.cpuModel}, ${machine.cores} cores`,
    `${report.startedAt.slice(0, 16).replace('T', ' ')} UTC`,
    `profile ${report.profile}`,
  ]
  const page = html`<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="color-scheme" content="light dark">
<title>${title}, ${report.startedAt.slice(0, 10)}</title>
<link rel="icon" href="data:,">
<style>`
  const body = html`</head>
<body>
<header><h1>${title}</h1>
<p class="lead">${lead.map((text, i) => html`${i > 0 && ' · '}<span>${text}</span>`)}</p>
<nav aria-label="Contents">${shown.map(([id, name]) => html`<a href="#${id}">${name}</a>`)}</nav></header>
<main>
${shown.map(([, , section]) => section)}
</main>
<footer>Ratios are given only where the rounds agree and every behaviour check passed. Figures of one machine say little about another; ratios say more.</footer>
</body>
</html>
`
  return `<!doctype html>\n${render(page)}${STYLE}</style>\n${render(body)}`
}
