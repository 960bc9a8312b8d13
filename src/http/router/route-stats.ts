import type { VirtualHost } from '../../routing/route.ts'
import type { Counter, StatsScope } from '../../stats/stats.ts'

/** `vhost.<v>.vcluster.<c>.` or `vhost.<v>.route.<stat_prefix>.`: the same names for both. */
export class RouteStats {
  readonly total: Counter
  readonly timeout: Counter
  readonly retry: Counter
  readonly retryLimitExceeded: Counter
  readonly retryOverflow: Counter
  readonly retrySuccess: Counter
  private readonly scope: StatsScope
  private completed: Counter | null = null
  /** By status, and by class (1 to 5); made with the first response of each. */
  private readonly codes = new Map<number, Counter>()

  constructor(scope: StatsScope) {
    this.scope = scope
    this.total = scope.counter('upstream_rq_total')
    this.timeout = scope.counter('upstream_rq_timeout')
    this.retry = scope.counter('upstream_rq_retry')
    this.retryLimitExceeded = scope.counter('upstream_rq_retry_limit_exceeded')
    this.retryOverflow = scope.counter('upstream_rq_retry_overflow')
    this.retrySuccess = scope.counter('upstream_rq_retry_success')
  }

  charge(status: number): void {
    this.completed ??= this.scope.counter('upstream_rq_completed')
    this.completed.inc()
    const family = (status / 100) | 0
    ;(this.codes.get(family) ?? this.code(family, `upstream_rq_${family}xx`)).inc()
    ;(this.codes.get(status) ?? this.code(status, `upstream_rq_${status}`)).inc()
  }

  private code(key: number, name: string): Counter {
    let counter = this.codes.get(key)
    if (counter === undefined) {
      counter = this.scope.counter(name)
      this.codes.set(key, counter)
    }
    return counter
  }
}

/** Finds the stats of a route's prefix and of a virtual cluster without building names per request. */
export class RouteStatsTable {
  private readonly root: StatsScope
  private readonly routes = new WeakMap<VirtualHost, Map<string, RouteStats>>()
  private readonly virtualClusters = new WeakMap<VirtualHost, Map<string, RouteStats>>()

  constructor(root: StatsScope) {
    this.root = root
  }

  /** Null for a route without a stat prefix. */
  route(host: VirtualHost, prefix: string): RouteStats | null {
    return prefix === '' ? null : this.find(this.routes, host, 'route', prefix)
  }

  virtualCluster(host: VirtualHost, name: string): RouteStats | null {
    return name === '' ? null : this.find(this.virtualClusters, host, 'vcluster', name)
  }

  private find(
    hosts: WeakMap<VirtualHost, Map<string, RouteStats>>,
    host: VirtualHost,
    kind: string,
    name: string,
  ): RouteStats {
    let table = hosts.get(host)
    if (table === undefined) {
      table = new Map()
      hosts.set(host, table)
    }
    let stats = table.get(name)
    if (stats === undefined) {
      stats = new RouteStats(this.root.scope(`vhost.${host.name}.${kind}.${name}.`))
      table.set(name, stats)
    }
    return stats
  }
}
