import { readFileSync } from 'node:fs'
import t from 'tap'
import { metricName } from '../../../src/stats/prometheus.ts'
import { TagExtractor, type TagSpecifier } from '../../../src/stats/tags.ts'

const fixture = (name: string): string => readFileSync(new URL(`../../fixtures/istio/${name}`, import.meta.url), 'utf8')
const { stats_config } = JSON.parse(fixture('bootstrap-sleep.json')) as {
  stats_config: { use_all_default_tags: boolean; stats_tags: TagSpecifier[] }
}

t.test(
  "with the tags of Istio's bootstrap, names of stats become what the real proxy printed for Prometheus",
  async t => {
    const tags = new TagExtractor(stats_config.use_all_default_tags, stats_config.stats_tags)
    for (const [stat, printed] of Object.entries(
      JSON.parse(fixture('prometheus-names.json')) as Record<string, string>,
    )) {
      const tagged = tags.extract(stat)
      const labels = tagged.tags.map(([name, value]) => `${name}="${value}"`).join(',')
      t.equal(`${metricName(tagged.name)}{${labels}}`, printed, stat)
    }
  },
)

t.test('a POSIX class that there is not is an error, as for std::regex', async t => {
  t.throws(() => new TagExtractor(false, [{ tag_name: 'x', regex: '^([[:digits:]]+)' }]), { message: /\[:digits:\]/ })
})

t.test('a pattern that backtracks without end ends, whatever clients put into a name', async t => {
  const tags = new TagExtractor(false, [{ tag_name: 'method', regex: '^grpc\\.(([a-z]+)+\\.)total$' }])
  t.same(tags.extract(`grpc.${'a'.repeat(60)}!.total`), { name: `grpc.${'a'.repeat(60)}!.total`, tags: [] })
  t.same(tags.extract('grpc.list.total'), { name: 'grpc.total', tags: [['method', 'list']] })
})
