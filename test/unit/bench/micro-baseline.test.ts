import { readFileSync } from 'node:fs'
import t from 'tap'
import { compare } from '../../../bench/micro/compare.ts'

t.test('a ratio more than a tenth above its baseline is a regression, the worst comes first', async t => {
  const baseline = { same: 10, within: 10, slower: 10, 'much slower': 10, faster: 10 }
  const ratios = new Map([
    ['same', 10],
    ['within', 11],
    ['slower', 11.1],
    ['much slower', 20],
    ['faster', 5],
  ])
  t.strictSame(compare(baseline, ratios), [
    { name: 'much slower', before: 10, after: 20 },
    { name: 'slower', before: 10, after: 11.1 },
  ])
})

t.test('what the baseline does not know is no regression', async t => {
  t.strictSame(compare({}, new Map([['new', 1]])), [])
})

t.test('the committed baseline has a ratio for each area', async t => {
  const path = new URL('../../../bench/micro/baseline.json', import.meta.url)
  const baseline = JSON.parse(readFileSync(path, 'utf8')) as Record<string, number>
  const areas = new Set(Object.keys(baseline).map(name => name.slice(0, name.indexOf(':'))))
  t.strictSame([...areas].sort(), [
    'balancers',
    'config',
    'formatter',
    'hpack',
    'http1',
    'http2',
    'request',
    'route',
    'stats',
  ])
  for (const [name, ratio] of Object.entries(baseline)) t.ok(ratio > 0, name)
})
