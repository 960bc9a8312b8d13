import type { RouteConfig } from '../routing/route-config.ts'
import type { StatsStore, StatTemplate } from '../stats/store.ts'

/** Under `vhost.<v>.route.<stat_prefix>.` and `vhost.<v>.vcluster.<c>.`; per-code counters appear with the first answer. */
const ROUTE_STATS: StatTemplate = {
  counters: [
    'upstream_rq_retry',
    'upstream_rq_retry_limit_exceeded',
    'upstream_rq_retry_overflow',
    'upstream_rq_retry_success',
    'upstream_rq_timeout',
    'upstream_rq_total',
  ],
  gauges: [],
  histograms: [],
}

/** Names a route configuration has at zero from load time, as the real Envoy. */
export function declareRouteStats(store: StatsStore, config: RouteConfig): void {
  for (const host of config.virtualHosts) {
    const names = new Set<string>()
    for (const cluster of host.virtualClusters) names.add(`vcluster.${cluster.name}`)
    // Requests that match none of them count there.
    if (names.size > 0) names.add('vcluster.other')
    for (const route of host.routes) if (route.statPrefix !== '') names.add(`route.${route.statPrefix}`)
    for (const name of names) store.declare(`vhost.${host.name}.${name}.`, ROUTE_STATS)
  }
}
