import t from 'tap'
import type { PeerChecks, PeerId, Round } from '../../../bench/load/result.ts'
import { compare, hidden } from '../../../bench/load/statistics/ratio.ts'
import { medianLatency, spreadOf } from '../../../bench/load/statistics/spread.ts'

function rounds(peer: PeerId, values: readonly number[]): Round[] {
  return values.map((value, index) => ({
    peer,
    index,
    value,
    seconds: 1,
    count: 1,
    errors: 0,
    bytes: null,
    cpuSeconds: null,
    memory: null,
    latency: null,
    extra: {},
  }))
}

function passed(...peers: PeerId[]): PeerChecks[] {
  return peers.map(peer => ({ peer, checks: [{ name: 'answers', passed: true, detail: '' }] }))
}

t.test('a ratio compares the rounds one by one, not the medians', async t => {
  // The machine was twice as fast in the second round: the medians of the peers alone would show a spread that is not there.
  const all = [...rounds('remora', [20, 44, 22]), ...rounds('envoy', [10, 20, 10])]
  const ratio = compare('remora', 'envoy', all, true, passed('remora', 'envoy'))
  t.match(ratio, { median: 2.2, min: 2, max: 2.2, conclusive: true, why: null })
})

t.test('more than 1 means better, also where less is better', async t => {
  const all = [...rounds('remora', [5, 5, 5]), ...rounds('envoy', [10, 11, 12])]
  t.equal(compare('remora', 'envoy', all, false, passed('remora', 'envoy'))?.median, 2.2)
})

t.test('no ratio when the rounds disagree on who is better', async t => {
  const all = [...rounds('remora', [9, 11, 12]), ...rounds('envoy', [10, 10, 10])]
  const ratio = compare('remora', 'envoy', all, true, passed('remora', 'envoy'))
  t.equal(ratio?.conclusive, false)
  t.match(ratio?.why, 'disagree')
})

t.test('no ratio when the spread is wider than half of the median, or with fewer than three rounds', async t => {
  t.match(hidden(2, 2.5, 3.3, 5), /differ by more than 50 %/)
  t.equal(hidden(2, 2.5, 3.2, 5), null)
  t.match(hidden(2, 2.5, 3, 2), 'at least 3')
})

t.test('no ratio for a peer that failed a check, or was not checked at all', async t => {
  const all = [...rounds('remora', [20, 20, 20]), ...rounds('envoy', [10, 10, 10])]
  const failed = [
    ...passed('envoy'),
    { peer: 'remora' as const, checks: [{ name: 'access log line', passed: false, detail: 'none' }] },
  ]
  t.equal(compare('remora', 'envoy', all, true, failed)?.why, 'remora failed "access log line": none')
  t.equal(compare('remora', 'envoy', all, true, passed('remora'))?.why, 'envoy: its behaviour was not checked')
})

t.test('no ratio for rounds whose answers are others than those of the requests asked alone', async t => {
  const own = rounds('remora', [20, 20, 20])
  own[1] = { ...own[1]!, unlike: '412 of 60,000 answers were refusals' }
  const all = [...own, ...rounds('envoy', [10, 10, 10]), ...rounds('nginx', [10, 10, 10])]
  const checks = passed('remora', 'envoy', 'nginx')
  const why = 'remora did not answer under load as it does when asked alone'
  t.match(compare('remora', 'envoy', all, true, checks), { conclusive: false, why })
  t.match(compare('envoy', 'remora', all, true, checks), { conclusive: false, why })
  t.not(compare('nginx', 'envoy', all, true, checks)?.why, why, 'the others did')
})

t.test('no ratio for a round with more than one error in a thousand operations', async t => {
  const checks = passed('remora', 'envoy')
  const of = (errors: number): string | null | undefined => {
    const own = rounds('remora', [20, 20, 20]).map(round => ({ ...round, count: 5000, errors }))
    return compare('remora', 'envoy', [...own, ...rounds('envoy', [10, 10, 10])], true, checks)?.why
  }
  t.equal(of(5), null)
  t.equal(of(6), 'remora: 6 errors and 5000 operations in one round')
})

t.test('rounds that only one of the two has are left out; none in common is no ratio', async t => {
  const all = [...rounds('remora', [20, 20, 20, 99]), ...rounds('envoy', [10, 10, 10])]
  t.equal(compare('remora', 'envoy', all, true, passed('remora', 'envoy'))?.max, 2)
  t.equal(compare('remora', 'nginx', all, true, passed('remora', 'nginx')), null)
})

t.test('the median of an even number is the mean of the middle two', async t => {
  t.same(spreadOf([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4 })
  t.equal(spreadOf([]), null)
})

t.test('distributions are joined percentile by percentile', async t => {
  const one = (a: number, b: number) => [
    { percentile: 50, microseconds: a },
    { percentile: 99, microseconds: b },
  ]
  t.same(medianLatency([one(1, 9), one(3, 8), one(2, 30)]), one(2, 9))
})
