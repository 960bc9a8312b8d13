import t from 'tap'
import { toCsv } from '../../../bench/load/output/csv.ts'
import { caseTable, goalLine, ratioLine } from '../../../bench/load/output/table.ts'
import type { BenchReport, CaseResult, Ratio, Round } from '../../../bench/load/result.ts'

const round: Round = {
  peer: 'remora',
  index: 0,
  value: 20_000,
  seconds: 2,
  count: 40_000,
  errors: 0,
  bytes: null,
  cpuSeconds: 2,
  memory: { rssBytes: 100 * 1048576, pssBytes: 80 * 1048576, anonBytes: 60 * 1048576 },
  latency: [{ percentile: 99, microseconds: 2500 }],
  extra: {},
}
const ratio: Ratio = { of: 'remora', to: 'envoy', median: 2, min: 1.8, max: 2.2, conclusive: true, why: null }
const result: CaseResult = {
  id: 'http1-small',
  title: 'HTTP/1.1, "small", answers',
  group: 'http1',
  series: null,
  axis: null,
  configuration: 'http1',
  load: ['wrk'],
  metric: { name: 'requests per CPU-second', unit: 'req/CPU-s', higherIsBetter: true },
  roundSeconds: 2,
  checks: [],
  rounds: [round],
  summaries: [
    {
      peer: 'remora',
      value: { median: 20_000, min: 19_000, max: 21_000 },
      perSecond: { median: 20_000, min: 20_000, max: 20_000 },
      cpuMicrosecondsPerOperation: { median: 50, min: 50, max: 50 },
      memory: round.memory,
      latency: round.latency,
      extra: {},
      errors: 0,
    },
  ],
  ratios: [ratio],
  notes: ['a note'],
  goal: { kind: 'ratio', value: 1.6, text: 'at least 1.6 × the real Envoy' },
}

t.test('a table has a line per proxy with median, range, cost, latency and memory', async t => {
  const text = caseTable(result)
  t.match(text, /remora +20,000 +19,000–21,000 +20,000 +50\.0 +2\.50 +100 +80 +60 +0/)
  t.match(text, 'remora : envoy       × 2.00 (rounds 1.80–2.20)')
  t.match(text, 'goal: at least 1.6 × the real Envoy: met')
  t.match(text, 'note: a note')
})

t.test('a ratio that the spread hides is not printed', async t => {
  const line = ratioLine({ ...ratio, conclusive: false, why: 'the rounds disagree' })
  t.notMatch(line, '2.00')
  t.match(line, 'no ratio: the rounds disagree')
})

t.test('a goal is met only when every round meets it, and missed in plain words', async t => {
  const goal = result.goal!
  const say = (min: number, median: number, max: number) =>
    goalLine({ ...result, ratios: [{ ...ratio, min, median, max }] }, goal)
  t.match(say(1.7, 1.8, 1.9), /: met$/)
  t.match(say(1.5, 1.7, 1.9), /met by the median, not by every round/)
  t.match(say(1.5, 1.55, 1.9), /NOT met by the median/)
  t.match(say(1.2, 1.3, 1.5), /NOT met \(best round 1\.50\)/)
  t.match(goalLine({ ...result, ratios: [] }, goal), /Envoy was not measured/)
})

t.test('an absolute goal is compared with the median of Remora', async t => {
  const goal = { kind: 'at-most' as const, value: 150, text: 'at most 150 ms' }
  t.match(goalLine(result, goal), /NOT met \(20,000\)/)
})

t.test('the CSV has a line per measurement, quoted as RFC 4180 says', async t => {
  const report = { cases: [{ ...result, id: 'with "quotes", and commas' }] } as unknown as BenchReport
  const [head, line] = toCsv(report).split('\r\n')
  t.equal(head!.split(',').length, 21)
  t.match(
    line,
    /^"with ""quotes"", and commas",http1,,,,requests per CPU-second,req\/CPU-s,remora,0,20000,2,40000,0,,2,/,
  )
})
