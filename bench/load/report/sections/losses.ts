import type { BenchReport } from '../../result.ts'
import { type Finding, findings, losses, shortfalls } from '../findings.ts'
import { measured, times } from '../format.ts'
import { html, type Markup, slug } from '../markup.ts'
import { peerName, shortName } from '../peers.ts'

/** Generated from the ratios, never written by hand: a bench that hides its losses is an advertisement. */
export function lossesSection(report: BenchReport): Markup {
  const all = findings(report)
  const lost = losses(all)
  const toEnvoy = lost.filter(finding => finding.against === 'envoy')
  const toOthers = lost.filter(finding => finding.against !== 'envoy')
  const short = shortfalls(report, measured)
  const failed = report.cases.flatMap(one =>
    one.checks.flatMap(({ peer, checks }) =>
      checks.filter(check => !check.passed).map(check => ({ one, peer, check })),
    ),
  )
  const errors = report.cases.flatMap(one =>
    one.summaries.filter(summary => summary.peer === 'remora' && summary.errors > 0).map(summary => ({ one, summary })),
  )
  const open = all.filter(finding => !finding.conclusive)
  return html`<section id="losses"><h2>Where Remora loses</h2>
${all.length === 0 && html`<p>Remora was not measured beside anything in this run: nothing can be said.</p>`}
${all.length > 0 && toEnvoy.length === 0 && html`<p class="none">No case of this run that the rounds decide is lost to Envoy.</p>`}
${toEnvoy.length > 0 && lossTable('Against Envoy', toEnvoy)}
${toOthers.length > 0 && lossTable('Against other proxies', toOthers)}
${
  short.length > 0 &&
  html`<h3>Ahead, and short of the goal</h3><div class="scroll"><table><thead><tr><th scope="col">Case</th><th scope="col">Reached</th><th scope="col" class="text">Goal</th></tr></thead><tbody>${short.map(
    ({
      case: one,
      reached,
      text,
    }) => html`<tr><th scope="row">${caseLink(one.id, one.title)}</th><td>${reached}</td><td class="text">${text}</td></tr>
`,
  )}</tbody></table></div>`
}
${
  (failed.length > 0 || errors.length > 0) &&
  html`<h3>What went wrong</h3><ul>${failed.map(
    ({ one, peer, check }) =>
      html`<li>${caseLink(one.id, one.title)}: ${peerName(report, peer)} failed the check “${check.name}”: ${check.detail}</li>`,
  )}${errors.map(({ one, summary }) => html`<li>${caseLink(one.id, one.title)}: ${summary.errors} failed requests through Remora</li>`)}</ul>`
}
${
  open.length > 0 &&
  html`<details><summary>Not decided: ${open.length} comparison${open.length === 1 ? '' : 's'} in which the spread of the rounds hides the answer</summary><ul>${open.map(
    finding =>
      html`<li>${caseLink(finding.case.id, finding.case.title)}, ${finding.what} against ${shortName(finding.against)}: ${finding.why ?? 'no reason given'}</li>`,
  )}</ul></details>`
}</section>`
}

function lossTable(title: string, lost: readonly Finding[]): Markup {
  return html`<h3>${title}</h3><div class="scroll"><table class="lost"><thead><tr><th scope="col">Case</th><th scope="col" class="text">What</th><th scope="col">Ratio</th><th scope="col">Rounds</th><th scope="col">Remora</th><th scope="col">The other</th></tr></thead><tbody>${lost.map(
    ({ case: one, against, what, ratio, own, other, unit }) =>
      html`<tr><th scope="row">${caseLink(one.id, one.title)}</th><td class="text">${what}</td><td><strong>${times(ratio.median)}</strong></td><td>${times(ratio.min)} – ${times(ratio.max)}</td><td>${measured(own, unit)}</td><td>${shortName(against)} ${measured(other, unit)}</td></tr>
`,
  )}</tbody></table></div>`
}

function caseLink(id: string, title: string): Markup {
  return html`<a href="#${slug('case', id)}">${title}</a>`
}
