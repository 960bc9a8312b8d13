import { table } from '../load/report/charts/figure.ts'
import { html, type Markup } from '../load/report/markup.ts'
import type { Comparison, Difference, RequestComparison } from './result.ts'

const LONGEST = 2000

/** The comparison as the first section of the report. */
export function comparisonSection(comparison: Comparison): Markup {
  const { requests, stats } = comparison
  const wrong = requests.filter(request => request.differences.length > 0)
  const statistics = stats.onlyEnvoy.length + stats.onlyRemora.length + stats.counts.length
  return html`<section id="comparison"><h2>${comparison.equal ? 'Both behave the same' : 'Where they differ'}</h2>
<p>${comparison.trace} on ${comparison.configuration}: the same bytes to both, request by request.</p>
<dl class="tiles">${tile(requests.length - wrong.length, 'requests agree', 'won')}${tile(wrong.length, 'requests differ', wrong.length > 0 ? 'lost' : 'open')}${tile(statistics, `of ${statistics + stats.common} stat names or counters differ`, statistics > 0 ? 'lost' : 'open')}</dl>
${comparison.pushes.filter(push => push.differences.length > 0).map(push => details(`Push ${push.number}: ${push.from}`, push.differences))}${wrong.map(requestDetails)}
${statistics > 0 && statTable(comparison)}
<details class="data"><summary>All ${requests.length} requests</summary><div class="scroll">${table({
    head: ['Request', 'status', 'flags', 'details', 'attempts', 'differences'],
    rows: requests.map(request => [
      `${request.number}. ${request.method} ${request.url}`,
      request.envoy.status,
      request.envoy.log['flags'] ?? '',
      request.envoy.log['details'] ?? '',
      String(request.envoy.attempts.length),
      String(request.differences.length),
    ]),
  })}</div></details>
<details class="data"><summary>What was made equal before comparing</summary><ul>${comparison.normalisation.map(rule => html`<li>${rule}</li>`)}</ul></details>
${comparison.notes.length > 0 && html`<h3>To know</h3><ul>${comparison.notes.map(note => html`<li>${note}</li>`)}</ul>`}</section>`
}

function requestDetails({ number, method, url, differences }: RequestComparison): Markup {
  return details(`${number}. ${method} ${url}`, differences)
}

function details(title: string, differences: readonly Difference[]): Markup {
  return html`<details class="case" open><summary><b>${title}</b><span class="badge lost">${differences.length} difference${differences.length === 1 ? '' : 's'}</span></summary>
<div class="scroll"><table><thead><tr><th scope="col">What</th><th scope="col" class="text">Envoy</th><th scope="col" class="text">Remora</th></tr></thead><tbody>${differences.map(
    ({ aspect, what, envoy, remora }) =>
      html`<tr><th scope="row">${aspect}${what !== '' && html` <code>${what}</code>`}</th><td class="text seen">${short(envoy)}</td><td class="text seen">${short(remora)}</td></tr>
`,
  )}</tbody></table></div></details>
`
}

function statTable({ stats }: Comparison): Markup {
  const rows = [
    ...stats.onlyEnvoy.map(name => [name, 'there', 'not there']),
    ...stats.onlyRemora.map(name => [name, 'not there', 'there']),
    ...stats.counts.map(({ name, envoy, remora }) => [name, `+${envoy}`, `+${remora}`]),
  ]
  return html`<h3>Statistics</h3><div class="scroll">${table({ head: ['Stat', 'Envoy', 'Remora'], rows })}</div>`
}

function tile(count: number, text: string, kind: string): Markup {
  return html`<div class="${kind}"><dt>${text}</dt><dd>${count}</dd></div>`
}

function short(text: string): string {
  return text.length <= LONGEST ? text : `${text.slice(0, LONGEST)}… (${text.length} characters)`
}
