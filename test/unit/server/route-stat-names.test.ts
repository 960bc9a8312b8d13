import t from 'tap'
import { declareRouteStats } from '../../../src/server/route-stat-names.ts'
import { StatsStore } from '../../../src/stats/store.ts'
import { parse } from '../routing/configs.ts'

t.test('routes with a stat prefix and virtual clusters are there at zero, with the one for the rest', async t => {
  const store = new StatsStore()
  const host = (name: string, prefixes: readonly string[], clusters: readonly string[]) => ({
    name,
    domains: [name],
    routes: prefixes.map(stat_prefix => ({ match: { prefix: '/' }, route: { cluster: 'c' }, stat_prefix })),
    virtual_clusters: clusters.map(c => ({ name: c, headers: [{ name: 'a', present_match: true }] })),
  })
  declareRouteStats(store, parse({ virtual_hosts: [host('v.h', ['r', '', 'r'], ['vc']), host('w', [''], [])] }))
  const names = store.snapshot().counters.map(sample => sample.name)
  const groups = new Set(names.map(name => name.slice(0, name.lastIndexOf('.'))))
  t.same([...groups].sort(), ['vhost.v.h.route.r', 'vhost.v.h.vcluster.other', 'vhost.v.h.vcluster.vc'])
  t.equal(names.length, 18)
})
