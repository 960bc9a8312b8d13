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
export function declareRouteStats(store: StatsStore, { statPrefixes }: Pick<RouteConfig, 'statPrefixes'>): void {
  for (const prefix of statPrefixes) store.declare(prefix, ROUTE_STATS)
}
