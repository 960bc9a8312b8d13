import t from 'tap'
import type { RouteConfig } from '../../../src/routing/route-config.ts'
import { declareRouteStats } from '../../../src/server/route-stat-names.ts'
import { StatsStore } from '../../../src/stats/store.ts'

t.test('routes with a stat prefix and virtual clusters are there at zero, with the one for the rest', async t => {
  const store = new StatsStore()
  const host = (name: string, prefixes: readonly string[], clusters: readonly string[]) => ({
    name,
    routes: prefixes.map(statPrefix => ({ statPrefix })),
    virtualClusters: clusters.map(c => ({ name: c, headers: [] })),
  })
  const virtualHosts = [host('v.h', ['r', '', 'r'], ['vc']), host('w', [''], [])]
  declareRouteStats(store, { virtualHosts } as unknown as RouteConfig)
  const names = store.snapshot().counters.map(sample => sample.name)
  const groups = new Set(names.map(name => name.slice(0, name.lastIndexOf('.'))))
  t.same([...groups].sort(), ['vhost.v.h.route.r', 'vhost.v.h.vcluster.other', 'vhost.v.h.vcluster.vc'])
  t.equal(names.length, 18)
})
