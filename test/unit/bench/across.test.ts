import t from 'tap'
import type { CaseResult, PeerChecks, PeerId, Round } from '../../../bench/load/result.ts'
import { growthLines } from '../../../bench/load/runner/across.ts'
import { derive } from '../../../bench/load/runner/derive.ts'
import { summarise } from '../../../bench/load/runner/summary.ts'

/** A case with the CPU per request of each proxy, in microseconds. */
function caseOf(id: string, costs: Partial<Record<PeerId, number>>, noise = 0): CaseResult {
  const rounds: Round[] = []
  const checks: PeerChecks[] = []
  for (const [peer, cost] of Object.entries(costs) as [PeerId, number][]) {
    checks.push({ peer, checks: [{ name: 'answers', passed: true, detail: '' }] })
    for (let index = 0; index < 3; index++)
      rounds.push({
        peer,
        index,
        value: 1e6 / cost,
        seconds: 1,
        count: 1000,
        errors: 0,
        bytes: null,
        cpuSeconds: ((cost + noise * index) * 1000) / 1e6,
        memory: null,
        latency: null,
        extra: { 'p50 µs': cost * 10 },
      })
  }
  return {
    id,
    title: id,
    group: 'http1',
    series: null,
    axis: null,
    configuration: 'http1',
    load: [],
    metric: { name: 'requests per CPU-second', unit: 'req/CPU-s', higherIsBetter: true },
    roundSeconds: 1,
    checks,
    rounds,
    summaries: summarise(
      checks.map(one => one.peer),
      rounds,
      { value: 'operations-per-cpu-second' },
    ),
    ratios: [],
    notes: [],
    goal: null,
  }
}

t.test('the cost of connections may grow by no more than in Envoy', async t => {
  const before = caseOf('http1-small', { envoy: 50, remora: 20 })
  const [good] = growthLines([before, caseOf('connections-256', { envoy: 80, remora: 24 })])
  t.equal(
    good,
    "CPU each, 256 connections against 32: envoy × 1.60 (1.60–1.60), remora × 1.20 (1.20–1.20); goal: no more than Envoy's: met",
  )
  const [bad] = growthLines([before, caseOf('connections-256', { envoy: 80, remora: 40 })])
  t.match(bad, 'remora × 2.00')
  t.match(bad, 'NOT met')
})

t.test('routing by ten thousand virtual hosts may cost a tenth more than by one', async t => {
  const one = caseOf('routing-1', { remora: 20 })
  t.match(growthLines([one, caseOf('routing-10000', { remora: 21 })])[0], /at most × 1\.10: met/)
  t.match(growthLines([one, caseOf('routing-10000', { remora: 23 })])[0], /at most × 1\.10: NOT met/)
})

t.test('a goal that lies within the spread is left open', async t => {
  const one = caseOf('routing-1', { remora: 20 }, 2)
  t.match(
    growthLines([one, caseOf('routing-10000', { remora: 21 }, 2)])[0],
    /met by the median, the spread leaves it open/,
  )
})

t.test('nothing is said of cases that were not measured', async t => {
  t.same(growthLines([caseOf('http1-small', { remora: 20 })]), [])
})

t.test('a further figure of the same rounds has its own medians and ratios', async t => {
  const metric = { name: 'median latency', unit: 'µs', higherIsBetter: false }
  const result = derive(caseOf('latency', { envoy: 50, remora: 20 }), {
    id: 'latency-p50',
    title: 'Median',
    extra: 'p50 µs',
    metric,
    goal: null,
  })
  t.equal(result.id, 'latency-p50')
  t.equal(result.summaries.find(summary => summary.peer === 'remora')?.value.median, 200)
  t.match(result.ratios[0], { of: 'remora', to: 'envoy', median: 2.5 })
})
