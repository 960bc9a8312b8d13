import type { BenchReport, CaseResult } from '../../result.ts'
import { table } from '../charts/figure.ts'
import { againstEnvoy } from '../findings.ts'
import { figure, measured, micros, percentileName, spread, times } from '../format.ts'
import { html, type Markup, slug } from '../markup.ts'
import { inOrder, peerName, shortName } from '../peers.ts'

/** Everything about every case: figures, rounds, checks passed, commands. */
export function casesSection(report: BenchReport): Markup {
  return html`<section id="cases"><h2>All cases</h2><p>Checks were made on the very processes that were then measured, with the configuration they were measured with. A ratio is given only between peers that passed theirs.</p>
${report.cases.map(one => caseDetails(report, one))}</section>`
}

function caseDetails(report: BenchReport, one: CaseResult): Markup {
  const checks = one.checks.flatMap(entry => entry.checks)
  const passed = checks.filter(check => check.passed).length
  const finding = againstEnvoy(one)
  const ratio = finding === null ? '' : finding.conclusive ? `${times(finding.ratio.median)} Envoy` : 'open'
  return html`<details class="case" id="${slug('case', one.id)}"><summary><b>${one.title}</b><span class="badge ${finding?.conclusive === true && finding.ratio.median < 1 ? 'lost' : ''}">${ratio}</span><span class="badge ${passed < checks.length ? 'lost' : ''}">${passed} of ${checks.length} checks</span></summary>
<p><code>${one.id}</code> · ${one.metric.name} · rounds of ${figure(one.roundSeconds)} s · configuration <a href="#${slug('configuration', one.configuration)}">${one.configuration}</a>${one.goal !== null && html` · goal: ${one.goal.text}`}</p>
${one.notes.length > 0 && html`<ul class="notes">${one.notes.map(note => html`<li>${note}</li>`)}</ul>`}
<div class="scroll">${table(summaryTable(report, one))}</div>
${ratioList(one)}
<h4>Commands</h4>${one.load.length === 0 ? html`<p>No load generator.</p>` : html`<pre>${one.load.join('\n')}</pre>`}
<h4>Checks</h4><div class="scroll">${checkTable(report, one)}</div>
<details class="data"><summary>Every round</summary><div class="scroll">${table(roundTable(one))}</div></details></details>
`
}

function summaryTable(report: BenchReport, one: CaseResult): { head: string[]; rows: string[][] } {
  const summaries = inOrder(report).flatMap(peer => one.summaries.find(summary => summary.peer === peer) ?? [])
  const latency = summaries.some(summary => summary.latency !== null)
  const shown = [50, 99, 99.9]
  const extras = [...new Set(summaries.flatMap(summary => Object.keys(summary.extra)))]
  const any = (take: (summary: (typeof summaries)[number]) => unknown) =>
    summaries.some(summary => take(summary) !== null)
  const perSecond = any(summary => summary.perSecond)
  const cpu = any(summary => summary.cpuMicrosecondsPerOperation)
  const memory = any(summary => summary.memory)
  return {
    head: [
      'Proxy',
      one.metric.name,
      ...(perSecond ? ['per second'] : []),
      ...(cpu ? ['CPU each'] : []),
      ...(latency ? shown.map(percentileName) : []),
      ...(memory ? ['anonymous', 'PSS', 'RSS'] : []),
      ...extras,
      'errors',
    ],
    rows: summaries.map(summary => [
      peerName(report, summary.peer),
      spread(summary.value, one.metric.unit),
      ...(perSecond ? [summary.perSecond === null ? '—' : figure(summary.perSecond.median)] : []),
      ...(cpu
        ? [summary.cpuMicrosecondsPerOperation === null ? '—' : micros(summary.cpuMicrosecondsPerOperation.median)]
        : []),
      ...(latency
        ? shown.map(percentile => {
            const point = summary.latency?.find(entry => entry.percentile === percentile)
            return point === undefined ? '—' : micros(point.microseconds)
          })
        : []),
      ...(memory
        ? summary.memory === null
          ? ['—', '—', '—']
          : [summary.memory.anonBytes, summary.memory.pssBytes, summary.memory.rssBytes].map(size =>
              measured(size, 'B'),
            )
        : []),
      ...extras.map(name => (summary.extra[name] === undefined ? '—' : figure(summary.extra[name]))),
      String(summary.errors),
    ]),
  }
}

function ratioList(one: CaseResult): Markup | null {
  if (one.ratios.length === 0) return null
  return html`<p class="ratios">${one.ratios.map((ratio, i) => {
    const names = `${shortName(ratio.of)} against ${shortName(ratio.to)}`
    const text = ratio.conclusive
      ? html`${names}: <b>${times(ratio.median)}</b> (${times(ratio.min)} – ${times(ratio.max)})`
      : html`${names}: open, ${ratio.why ?? 'the spread hides it'}`
    return html`${i > 0 && ' · '}${text}`
  })}</p>`
}

function checkTable(report: BenchReport, one: CaseResult): Markup {
  return html`<table><thead><tr><th scope="col">Proxy</th><th scope="col" class="text">Check</th><th scope="col" class="text">Seen</th></tr></thead><tbody>${one.checks.flatMap(
    ({ peer, checks }) =>
      checks.map(
        check => html`<tr class="${check.passed ? '' : 'failed'}"><th scope="row">${peerName(report, peer)}</th><td class="text">${check.passed ? '✓' : '✗ failed:'} ${check.name}</td><td class="text seen">${check.detail}</td></tr>
`,
      ),
  )}</tbody></table>`
}

function roundTable(one: CaseResult): { head: string[]; rows: string[][] } {
  return {
    head: ['Proxy', 'round', one.metric.name, 'count', 'errors', 'CPU seconds', 'seconds', 'others'],
    rows: one.rounds.map(round => [
      shortName(round.peer),
      String(round.index + 1),
      measured(round.value, one.metric.unit),
      round.count.toLocaleString('en-US'),
      String(round.errors),
      round.cpuSeconds === null ? '—' : round.cpuSeconds.toFixed(2),
      round.seconds.toFixed(2),
      // What programs outside of the bench took of the machine meanwhile.
      typeof round.neighbours === 'number' ? `${Math.round(round.neighbours * 100)} %` : '—',
    ]),
  }
}
