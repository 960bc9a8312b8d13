import { readFileSync } from 'node:fs'
import t from 'tap'
import { statsHandlers } from '../../../src/admin/stats.ts'
import { BUCKETS } from '../../../src/stats/histogram.ts'
import { StatsStore } from '../../../src/stats/store.ts'
import { TagExtractor } from '../../../src/stats/tags.ts'
import { ask } from './fakes.ts'

const store = new StatsStore()
store.counter('cluster.a.upstream_rq_total').add(3)
store.counter('cluster.a.upstream_rq_cancelled')
store.gauge('cluster.a.membership_total').set(2)
store.text('cluster.a.version_text', 'v1')
store.histogram('cluster.a.upstream_rq_time').record(1)
store.histogram('cluster.b.upstream_rq_time')
store.flushHistograms()
let refreshed = 0
const handlers = statsHandlers({
  store,
  tags: () => new TagExtractor(true),
  buckets: () => BUCKETS,
  refresh: () => {
    refreshed++
  },
})
const get = (target: string) => ask(handlers, target)

t.test('text readouts, then counters and gauges merged, then histograms', async t => {
  t.equal(
    (await get('/stats')).body.replace(/P0.*/, 'P…'),
    'cluster.a.version_text: "v1"\ncluster.a.membership_total: 2\ncluster.a.upstream_rq_cancelled: 0\n' +
      'cluster.a.upstream_rq_total: 3\ncluster.a.upstream_rq_time: P…\ncluster.b.upstream_rq_time: No recorded values\n',
  )
  t.ok(refreshed > 0)
})

t.test('filter is searched for; invert_filter turns it round; usedonly drops what was never written', async t => {
  t.equal((await get('/stats?filter=rq_t[a-z]*l$')).body, 'cluster.a.upstream_rq_total: 3\n')
  t.equal((await get('/stats?filter=upstream&invert_filter&type=Gauges')).body, 'cluster.a.membership_total: 2\n')
  t.equal((await get('/stats?usedonly&type=Counters')).body, 'cluster.a.upstream_rq_total: 3\n')
  t.equal((await get('/stats?filter=')).body, (await get('/stats')).body)
  t.equal((await get('/stats?filter=zzzz')).body, '')
})

t.test('type chooses a kind', async t => {
  t.equal((await get('/stats?type=TextReadouts')).body, 'cluster.a.version_text: "v1"\n')
  t.match((await get('/stats?type=Histograms&filter=b')).body, /^cluster\.b\.upstream_rq_time: No recorded values\n$/)
})

t.test('JSON: no blanks, no final line break, empty list', async t => {
  const answer = await get('/stats?format=json&type=Gauges')
  t.equal(answer.contentType, 'application/json')
  t.equal(answer.body, '{"stats":[{"name":"cluster.a.membership_total","value":2}]}')
  t.equal((await get('/stats?format=json&filter=zzzz')).body, '{"stats":[]}')
})

t.test('wrong parameters: the texts of the real Envoy', async t => {
  const buckets = 'usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary|prometheusnative)\n'
  const native = 'unsupported prometheusnative histogram type when not using protobuf exposition format'
  for (const [target, body] of [
    ['/stats?type=counters', 'invalid &type= param'],
    ['/stats?format=xyz', 'usage: /stats?format=(html|active-html|json|prometheus|text)\n\n'],
    ['/stats?histogram_buckets=bogus', buckets],
    ['/stats?hidden=showonly', 'usage: /stats?hidden=(include|only|exclude)\n\n'],
    ['/stats?filter=[', 'Invalid re2 regex: missing ]: ['],
    ['/stats/prometheus?filter=[', 'Invalid re2 regex: missing ]: ['],
    ['/stats/prometheus?histogram_buckets=bogus', buckets],
    ['/stats/prometheus?histogram_buckets=detailed', 'unsupported prometheus histogram bucket mode'],
    ['/stats/prometheus?histogram_buckets=prometheusnative', native],
  ] as const) {
    t.match(await get(target), { status: 400, body }, target)
  }
})

t.test('nothing here is hidden', async t => {
  t.equal((await get('/stats?hidden=only')).body, '')
  t.equal((await get('/stats?hidden=include')).body, (await get('/stats')).body)
})

t.test('prometheus: by its own path and as a format', async t => {
  const { body } = await get('/stats/prometheus?filter=membership')
  t.equal(
    body,
    '# TYPE envoy_cluster_membership_total gauge\nenvoy_cluster_membership_total{envoy_cluster_name="a"} 2\n',
  )
  t.equal((await get('/stats?format=prometheus&filter=membership')).body, body)
  t.match((await get('/stats/prometheus?text_readouts&filter=version_text')).body, 'text_value="v1"} 0\n')
  t.match((await get('/stats/prometheus?histogram_buckets=summary&filter=a.upstream_rq_time')).body, 'quantile="0.5"')
})

t.test('html: the form and the text form below; active-html asks for itself', async t => {
  const html = await get('/stats?format=html&filter=membership')
  t.equal(html.contentType, 'text/html; charset=UTF-8')
  t.match(html.body, '<pre>\ncluster.a.membership_total: 2\n</pre>')
  t.match((await get('/stats?format=active-html')).body, "query.set('format', 'json')")
})

t.test('prometheus: protobuf when the scraper asks for it, as the real Envoy writes it', async t => {
  const text = readFileSync(new URL('../../fixtures/envoy/admin/prometheus-protobuf.bin', import.meta.url))
  const recorded = text.subarray(text.indexOf('\n\n') + 2)
  const store = new StatsStore()
  store.counter('cluster.static_a.upstream_rq_timeout')
  const histogram = store.histogram('cluster.static_a.upstream_rq_time')
  // The samples of the recording: 32 at 0, three at 1, and 13, 16 and 22 ms.
  for (let i = 0; i < 32; i++) histogram.record(0)
  for (const value of [1, 1, 1, 13, 16, 22]) histogram.record(value)
  store.flushHistograms()
  const tags = new TagExtractor(true, [{ tag_name: 'lab_const', fixed_value: 'labvalue' }])
  const handlers = statsHandlers({ store, tags: () => tags, buckets: () => BUCKETS, refresh: () => {} })
  const accept = 'application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited'
  const answer = await ask(handlers, '/stats/prometheus', { headers: { accept } })
  t.equal(answer.contentType, accept)
  t.equal(Buffer.from(answer.body, 'latin1').toString('hex'), recorded.toString('hex'))
})
