import type { BenchReport, CaseResult, Round } from '../result.ts'

const COLUMNS = [
  'case',
  'group',
  'series',
  'axis',
  'axis value',
  'metric',
  'unit',
  'peer',
  'round',
  'value',
  'seconds',
  'count',
  'errors',
  'bytes',
  'cpu seconds',
  'rss bytes',
  'pss bytes',
  'anonymous bytes',
  'p50 microseconds',
  'p99 microseconds',
  'p99.9 microseconds',
] as const

/** One line per measurement (RFC 4180, with a header line). */
export function toCsv(report: BenchReport): string {
  const lines = [COLUMNS.join(',')]
  for (const one of report.cases) for (const round of one.rounds) lines.push(cells(one, round).map(quoted).join(','))
  return `${lines.join('\r\n')}\r\n`
}

function cells(one: CaseResult, round: Round): (string | number | null)[] {
  const at = (percentile: number): number | null =>
    round.latency?.find(point => point.percentile === percentile)?.microseconds ?? null
  const { memory } = round
  return [
    one.id,
    one.group,
    one.series,
    one.axis?.name ?? null,
    one.axis?.value ?? null,
    one.metric.name,
    one.metric.unit,
    round.peer,
    round.index,
    round.value,
    round.seconds,
    round.count,
    round.errors,
    round.bytes,
    round.cpuSeconds,
    memory?.rssBytes ?? null,
    memory?.pssBytes ?? null,
    memory?.anonBytes ?? null,
    at(50),
    at(99),
    at(99.9),
  ]
}

function quoted(cell: string | number | null): string {
  const text = cell === null ? '' : String(cell)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
