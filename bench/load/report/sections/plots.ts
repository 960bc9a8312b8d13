import type { BenchReport, CaseResult, PeerId, PeerSummary, Spread } from '../../result.ts'
import { type Bar, drawBars } from '../charts/bars.ts'
import { halfPlot, panel, type Table, widePlot } from '../charts/figure.ts'
import { drawLines, type Line } from '../charts/lines.ts'
import { drawMemory } from '../charts/memory.ts'
import { drawPercentiles, type LatencyCurve } from '../charts/percentiles.ts'
import { sameMeasurement } from '../findings.ts'
import { bytes, direction, measured, micros, percentileName, spread } from '../format.ts'
import { html, type Markup } from '../markup.ts'
import { inOrder, shortName } from '../peers.ts'

/** Bars of the metric of every case that is no point of a line. */
export function throughputSection(report: BenchReport): Markup | null {
  const cases = single(report).filter(one => isPerCpu(one))
  if (cases.length === 0) return null
  return html`<section id="throughput"><h2>Throughput per core</h2><p>What one second of CPU time of the whole proxy process is good for. Bars are medians, whiskers go from the lowest to the highest round.</p>
<div class="panels">${cases.map(one => metricPanel(report, one, 'throughput'))}</div></section>`
}

export function cpuSection(report: BenchReport): Markup | null {
  const panels = single(report).flatMap(one => {
    const bars = barsOf(report, one, summary => summary.cpuMicrosecondsPerOperation)
    return bars.length === 0
      ? []
      : barPanel(one, `cpu-${one.id}`, 'CPU time per operation in µs, less is better', 'µs', bars)
  })
  if (panels.length === 0) return null
  return html`<section id="cpu"><h2>CPU per request</h2><p>User and system time of the proxy's process tree, divided by what it finished: requests, exchanges, handshakes.</p>
<div class="panels">${panels}</div></section>`
}

export function latencySection(report: BenchReport): Markup | null {
  const once = report.cases.filter(one => report.cases.find(other => sameMeasurement(one, other)) === one)
  const shown = once.flatMap(one => {
    const curves: LatencyCurve[] = inOrder(report).flatMap(peer => {
      const points = one.summaries.find(summary => summary.peer === peer)?.latency ?? []
      return points.some(point => point.percentile >= 50 && point.microseconds > 0) ? [{ peer, points }] : []
    })
    return curves.length === 0 ? [] : [{ one, curves }]
  })
  const open = shown.filter(({ one }) => one.group === 'latency')
  const closed = shown.filter(({ one }) => one.group !== 'latency')
  if (shown.length === 0) return null
  const frame = open.length === 1 ? widePlot : halfPlot
  return html`<section id="latency"><h2>Latency by percentile</h2>
${open.length > 0 && html`<p>Counted from the time a request was due, at a constant rate: a pause of the proxy is seen in every request that it delayed. Each step to the right is ten times rarer.</p><div class="${open.length === 1 ? '' : 'plots'}">${open.map(({ one, curves }) => latencyPlot(one, curves, frame))}</div>`}
${
  closed.length > 0 &&
  html`<details class="data"><summary>Under full load: ${closed.length} case${closed.length === 1 ? '' : 's'}</summary><p>The load generator sent as fast as answers came, so these are times in a queue, and a pause is seen once per connection only. They say how evenly a proxy serves, not how quickly.</p><div class="plots">${closed.map(({ one, curves }) => latencyPlot(one, curves, halfPlot))}</div></details>`
}</section>`
}

export function costSection(report: BenchReport): Markup | null {
  const names = [...new Set(report.cases.flatMap(one => (one.axis === null ? [] : [one.series ?? one.id])))]
  const plots = names.flatMap(name => seriesPlot(report, name) ?? [])
  if (plots.length === 0) return null
  return html`<section id="cost"><h2>Cost against size</h2><p>What more connections, clusters, headers or virtual hosts cost. A flat line is the ideal.</p>
<div class="plots">${plots}</div></section>`
}

export function otherSection(report: BenchReport): Markup | null {
  const cases = single(report).filter(one => !isPerCpu(one) && one.group !== 'latency' && one.group !== 'memory')
  if (cases.length === 0) return null
  return html`<section id="other"><h2>Start, handshakes and the rest</h2><div class="panels">${cases.map(one => metricPanel(report, one, 'other'))}</div></section>`
}

export function memorySection(report: BenchReport): Markup | null {
  const cases = single(report).filter(one => one.group === 'memory')
  // Only figures of one case can be compared: the one that most proxies took part in.
  const withMemory = (one: CaseResult) => one.summaries.filter(summary => summary.memory !== null).length
  const [widest] = [...report.cases].sort((a, b) => withMemory(b) - withMemory(a))
  const uses = inOrder(report).flatMap(peer => {
    const use = widest?.summaries.find(summary => summary.peer === peer)?.memory ?? null
    return use === null ? [] : [{ peer, use }]
  })
  if (cases.length === 0 && uses.length === 0) return null
  const overall =
    uses.length > 0 &&
    widePlot(
      {
        id: 'memory-loaded',
        title: `After: ${widest!.title}`,
        subtitle: 'MiB of the process tree: anonymous within PSS within RSS, less is better',
        description: uses.map(({ peer, use }) => `${shortName(peer)} ${bytes(use.anonBytes)} anonymous`).join(', '),
        table: {
          head: ['Proxy', 'Anonymous', 'PSS', 'RSS'],
          rows: uses.map(({ peer, use }) => [
            shortName(peer),
            bytes(use.anonBytes),
            bytes(use.pssBytes),
            bytes(use.rssBytes),
          ]),
        },
      },
      width => drawMemory(uses, width),
    )
  return html`<section id="memory"><h2>Memory</h2><p>RSS counts shared pages in full, PSS by its share, anonymous memory is what the process asked for itself.</p>
${overall}<div class="panels">${cases.map(one => metricPanel(report, one, 'memory'))}</div></section>`
}

function metricPanel(report: BenchReport, one: CaseResult, section: string): Markup | null {
  const bars = barsOf(report, one, summary => summary.value)
  const subtitle = `${one.metric.name}, ${direction(one.metric)}`
  return bars.length === 0 ? null : barPanel(one, `${section}-${one.id}`, subtitle, one.metric.unit, bars)
}

function barPanel(one: CaseResult, id: string, subtitle: string, unit: string, bars: readonly Bar[]): Markup {
  const description = bars.map(({ peer, value }) => `${shortName(peer)} ${measured(value.median, unit)}`).join(', ')
  const table: Table = {
    head: ['Proxy', 'Median', 'Lowest', 'Highest'],
    rows: bars.map(({ peer, value }) => [
      shortName(peer),
      measured(value.median, unit),
      measured(value.min, unit),
      measured(value.max, unit),
    ]),
  }
  return panel({ id, title: one.title, subtitle, description, table }, width => drawBars(bars, unit, width))
}

function barsOf(report: BenchReport, one: CaseResult, take: (summary: PeerSummary) => Spread | null): Bar[] {
  return inOrder(report).flatMap(peer => {
    const summary = one.summaries.find(candidate => candidate.peer === peer)
    const value = summary === undefined ? null : take(summary)
    return value === null || !Number.isFinite(value.median) ? [] : [{ peer, value }]
  })
}

function latencyPlot(one: CaseResult, curves: readonly LatencyCurve[], frame: typeof widePlot): Markup {
  const percentiles = [...new Set(curves.flatMap(curve => curve.points.map(point => point.percentile)))].sort(
    (a, b) => a - b,
  )
  const at = (curve: LatencyCurve, percentile: number) =>
    curve.points.find(point => point.percentile === percentile)?.microseconds
  const say = (value: number | undefined) => (value === undefined ? '—' : micros(value))
  return frame(
    {
      id: `latency-${one.id}`,
      title: one.title,
      subtitle: 'latency, both axes logarithmic, less is better; medians of the rounds',
      description: curves
        .map(
          curve =>
            `${shortName(curve.peer)}: p50 ${say(at(curve, 50))}, p99 ${say(at(curve, 99))}, p99.9 ${say(at(curve, 99.9))}`,
        )
        .join('. '),
      table: {
        head: ['Percentile', ...curves.map(curve => shortName(curve.peer))],
        rows: percentiles.map(percentile => [
          percentileName(percentile),
          ...curves.map(curve => say(at(curve, percentile))),
        ]),
      },
    },
    width => drawPercentiles(curves, width),
  )
}

function seriesPlot(report: BenchReport, name: string): Markup | null {
  const cases = report.cases
    .filter(one => one.axis !== null && (one.series ?? one.id) === name)
    .sort((a, b) => a.axis!.value - b.axis!.value)
  const first = cases[0]
  if (first === undefined || cases.length < 2) return null
  // Cost where CPU time was taken, as its direction is the same for every series; the metric of the cases otherwise.
  const asCpu = cases.every(one => one.summaries.some(summary => summary.cpuMicrosecondsPerOperation !== null))
  const unit = asCpu ? 'µs' : first.metric.unit
  const lines: Line[] = inOrder(report).flatMap((peer: PeerId) => {
    const points = cases.flatMap(one => {
      const summary = one.summaries.find(candidate => candidate.peer === peer)
      const value = asCpu ? summary?.cpuMicrosecondsPerOperation : summary?.value
      return value === undefined || value === null ? [] : [{ x: one.axis!.value, value }]
    })
    return points.length === 0 ? [] : [{ peer, points }]
  })
  if (lines.length === 0) return null
  const axis = first.axis!.name
  const what = asCpu
    ? 'CPU time per operation in µs, less is better'
    : `${first.metric.name} in ${first.metric.unit}, ${direction(first.metric)}`
  return halfPlot(
    {
      id: `cost-${name}`,
      title: `${name.charAt(0).toUpperCase()}${name.slice(1)}`,
      subtitle: `${what}, by ${axis}`,
      description: lines
        .map(
          line =>
            `${shortName(line.peer)} from ${measured(line.points[0]!.value.median, unit)} to ${measured(line.points.at(-1)!.value.median, unit)}`,
        )
        .join(', '),
      table: {
        head: [axis, ...lines.map(line => shortName(line.peer))],
        rows: cases.map(one => [
          one.axis!.value.toLocaleString('en-US'),
          ...lines.map(line => {
            const point = line.points.find(candidate => candidate.x === one.axis!.value)
            return point === undefined ? '—' : spread(point.value, unit)
          }),
        ]),
      },
    },
    width => drawLines(lines, unit, axis, width),
  )
}

/** Cases that stand for themselves: no members of a series, or the one in it that more proxies took part in. */
function single(report: BenchReport): CaseResult[] {
  return report.cases.filter(one => {
    const others = report.cases.filter(other => one.series !== null && other.series === one.series && other !== one)
    if (one.axis === null || others.length === 0) return true
    return one.summaries.length > 2 && others.every(other => other.summaries.length < one.summaries.length)
  })
}

function isPerCpu(one: CaseResult): boolean {
  return one.metric.unit.endsWith('/CPU-s') || /per CPU.second/i.test(one.metric.name)
}
