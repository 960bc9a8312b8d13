import t from 'tap'
import { FieldPath } from '../../../src/config/field-path.ts'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { parseStatsMatcher, statsRejector } from '../../../src/config/stats-matcher.ts'
import { bucketsOf, tagConfig, tagExtractor } from '../../../src/server/stats-config.ts'
import { BUCKETS } from '../../../src/stats/histogram.ts'

const rejector = (matcher: envoy.config.metrics.v3.StatsMatcher) =>
  statsRejector(parseStatsMatcher(matcher, FieldPath.root()))!

t.test('an inclusion list rejects every other name, an exclusion list only those it has', async t => {
  const only = rejector({ inclusion_list: { patterns: [{ prefix: 'cluster.' }] } })
  t.equal(only('cluster.a.x'), false)
  t.equal(only('server.live'), true)
  const not = rejector({ exclusion_list: { patterns: [{ suffix: '_time' }] } })
  t.equal(not('upstream_rq_time'), true)
  t.equal(not('upstream_rq_total'), false)
  t.equal(rejector({ reject_all: true })('x'), true)
  t.equal(statsRejector(parseStatsMatcher(undefined, FieldPath.root())), null)
})

t.test('the first bucket setting that matches applies, others keep the default buckets', async t => {
  const settings = [{ match: { prefix: 'cluster.' }, buckets: [10, 1] }]
  const buckets = bucketsOf({ histogram_bucket_settings: settings }, [])
  t.strictSame(buckets('cluster.a.upstream_rq_time'), [1, 10])
  t.equal(buckets('http.x.downstream_rq_time'), BUCKETS)
})

t.test('own tags cut their text out of the name, fixed ones are added', async t => {
  const config = tagConfig(
    {
      use_all_default_tags: false,
      stats_tags: [{ tag_name: 'cluster_name', regex: '^cluster\\.((.+?(\\..+?\\.svc\\.cluster\\.local)?)\\.)' }],
    },
    [['mesh', 'm']],
  )
  const tags = tagExtractor(config)
  t.strictSame(tags.extract('cluster.outbound|80||a.b.svc.cluster.local.upstream_rq_total'), {
    name: 'cluster.upstream_rq_total',
    tags: [
      ['mesh', 'm'],
      ['cluster_name', 'outbound|80||a.b.svc.cluster.local'],
    ],
  })
})

t.test('a tag without regex or default is an error', async t => {
  t.throws(
    () => tagExtractor(tagConfig({ stats_tags: [{ tag_name: 'nope' }] }, [])),
    /no default regex for name: 'nope'/,
  )
})

t.test('the first fixed value of a tag holds, and nothing of that name is cut out', async t => {
  const stats_tags = [
    { tag_name: 'envoy.cluster_name', fixed_value: 'first' },
    { tag_name: 'envoy.cluster_name', fixed_value: 'second' },
  ]
  const tags = tagExtractor(tagConfig({ stats_tags }, []))
  t.strictSame(tags.extract('cluster.a.membership_total'), {
    name: 'cluster.a.membership_total',
    tags: [['envoy.cluster_name', 'first']],
  })
})

t.test('allow_default_tag_overrides: a tag of the same name takes the place of the default rule', async t => {
  const stats_tags = [{ tag_name: 'envoy.cluster_name', regex: '^(nomatch)' }]
  const name = 'cluster.a.membership_total'
  const besides = tagExtractor(tagConfig({ stats_tags }, []))
  t.equal(besides.extract(name).name, 'cluster.membership_total')
  const instead = tagExtractor(tagConfig({ stats_tags, allow_default_tag_overrides: true }, []))
  t.strictSame(instead.extract(name), { name, tags: [] })
})

t.test('bins of native histograms are a warning', async t => {
  const warnings: string[] = []
  bucketsOf({ histogram_bucket_settings: [{ match: { prefix: 'x' }, bins: 100 }] }, warnings)
  t.match(warnings, [/histogram_bucket_settings\[0\]\.bins: native histograms are not supported/])
})
