import { readFileSync } from 'node:fs'
import t from 'tap'
import { BUCKETS, HistogramBins } from '../../../src/stats/histogram.ts'
import { exactDouble, metricName, prometheusText } from '../../../src/stats/prometheus.ts'
import type { StatsSnapshot } from '../../../src/stats/store.ts'
import { TagExtractor } from '../../../src/stats/tags.ts'

const fixture = (name: string): string => readFileSync(new URL(`../../fixtures/stats/${name}`, import.meta.url), 'utf8')
const OPTIONS = { usedOnly: false, textReadouts: false, filter: () => true, histograms: 'cumulative' } as const

for (const [name, fixed] of [
  ['envoy', [['lab_const', 'labvalue']]],
  ['envoy-extra', []],
] as [string, [string, string][]][]) {
  t.test(`${name}: counters and gauges of the real Envoy's /stats print as its /stats/prometheus`, async t => {
    const tags = new TagExtractor(true, [], fixed)
    const recorded = fixture(`${name}-prometheus.txt`).split('\n')
    const kinds = new Map<string, string>()
    for (const line of recorded) {
      const type = /^# TYPE (\S+) (\S+)$/.exec(line)
      if (type !== null) kinds.set(type[1]!, type[2]!)
    }
    const numbers = fixture(`${name}-stats.txt`)
      .split('\n')
      .map(line => /^(.+): (\d+)$/.exec(line))
      .filter(match => match !== null)
      .map(match => ({ name: match[1]!, value: Number(match[2]), used: true }))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
    const of = (kind: string) => numbers.filter(n => kinds.get(metricName(tags.extract(n.name).name)) === kind)
    const snapshot: StatsSnapshot = { counters: of('counter'), gauges: of('gauge'), histograms: [], texts: [] }
    const ours = prometheusText(snapshot, tags, OPTIONS).trimEnd().split('\n').map(stripValue)
    // These two are made before Envoy knows its tags, so they lack the constant ones.
    const untagged = /^envoy_(filesystem|server_hot_restart_generation)/
    const theirs = recorded
      .slice(
        0,
        recorded.findIndex(l => l.endsWith(' histogram')),
      )
      .map(stripValue)
    const comparable = (lines: string[]) => lines.filter(l => !untagged.test(l) && !/envoy_server_version/.test(l))
    t.strictSame(comparable(ours), comparable(theirs))
  })
}

t.test('a histogram prints the default buckets, +Inf, the sum to 32 digits and the count', async t => {
  const bins = new HistogramBins()
  for (const [value, n] of [
    [0, 32],
    [1, 3],
    [13, 1],
    [16, 1],
    [22, 1],
  ] as const) {
    for (let i = 0; i < n; i++) bins.record(value)
  }
  const sample = { name: 'cluster.static_a.upstream_rq_time', interval: bins, cumulative: bins, used: true }
  const text = prometheusText(
    { counters: [], gauges: [], histograms: [sample], texts: [] },
    new TagExtractor(true),
    OPTIONS,
  )
  const lines = text.trimEnd().split('\n')
  t.equal(lines[0], '# TYPE envoy_cluster_upstream_rq_time histogram')
  t.equal(lines[1], 'envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="static_a",le="0.5"} 32')
  t.equal(lines[2], 'envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="static_a",le="1"} 35')
  t.equal(lines[20], 'envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="static_a",le="+Inf"} 38')
  t.equal(
    lines[21],
    'envoy_cluster_upstream_rq_time_sum{envoy_cluster_name="static_a"} 55.598075998075991321911715203896',
  )
  t.equal(lines[22], 'envoy_cluster_upstream_rq_time_count{envoy_cluster_name="static_a"} 38')
  t.equal(lines.length, BUCKETS.length + 4)
})

t.test('a metric without labels prints empty braces', async t => {
  const counters = [{ name: 'server.live', value: 1, used: true }]
  const text = prometheusText({ counters, gauges: [], histograms: [], texts: [] }, new TagExtractor(true), OPTIONS)
  t.equal(text, '# TYPE envoy_server_live counter\nenvoy_server_live{} 1\n')
})

t.test('integers are printed without a fraction', async t => {
  t.equal(exactDouble(0), '0')
  t.equal(exactDouble(5), '5')
  t.equal(exactDouble(0.5), '0.5')
})

function stripValue(line: string): string {
  return line.startsWith('#') ? line : line.slice(0, line.lastIndexOf(' '))
}
