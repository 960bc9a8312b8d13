import type { Counter, Histogram, StatsScope } from '../stats/stats.ts'
import type { Cluster } from './upstream.ts'

/** Who asked and who answered, for `chargeResponseCode`. */
export const ResponseOrigin = {
  /** The upstream sent `x-envoy-upstream-canary: true` or the host's metadata says so. */
  Canary: 1,
  /** The request came with `x-envoy-internal: true`; otherwise it counts as external. */
  Internal: 2,
} as const

/**
 * Counts a final response (a local one too) as Envoy's CodeStatsImpl::chargeResponseStat: under the cluster, under
 * `external.` or `internal.`, `canary.`, and `zone.<from>.<to>.` when both zones are known.
 * `flags`: ResponseOrigin bits. A `status` outside of 100 to 599 counts as unknown.
 */
export function chargeResponseCode(cluster: Cluster, status: number, flags: number, fromZone = '', toZone = ''): void {
  cluster.counters.responseCodes.charge(status, flags, fromZone, toZone)
}

/** `upstream_rq_time` of the cluster and of the same groups as `chargeResponseCode`. */
export function chargeResponseTime(cluster: Cluster, ms: number, flags: number, fromZone = '', toZone = ''): void {
  cluster.counters.responseCodes.chargeTime(ms, flags, fromZone, toZone)
}

/** Internal peers choose these names: what they may add must end somewhere. */
const MAX_ALTERNATIVES = 256

export class ResponseCodeStats {
  private readonly scope: StatsScope
  private readonly all: CodeGroup
  // Made on first use: Envoy creates these stats lazily and prints only those that exist.
  private external: CodeGroup | null = null
  private internal: CodeGroup | null = null
  private canary: CodeGroup | null = null
  private retry: CodeGroup | null = null
  private readonly zones = new Map<string, CodeGroup>()
  private readonly alternatives = new Map<string, ResponseCodeStats>()

  constructor(scope: StatsScope) {
    this.scope = scope
    this.all = new CodeGroup(scope)
  }

  charge(status: number, flags: number, fromZone: string, toZone: string): void {
    this.all.count(status)
    if ((flags & ResponseOrigin.Canary) !== 0) this.canaryGroup().count(status)
    if ((flags & ResponseOrigin.Internal) !== 0) this.internalGroup().count(status)
    else this.externalGroup().count(status)
    if (fromZone !== '' && toZone !== '') this.zone(fromZone, toZone).count(status)
  }

  /** A response that was not passed on because the request is tried again (chargeBasicResponseStat with `retry.`). */
  chargeRetry(status: number): void {
    this.retry ??= new CodeGroup(this.scope.scope('retry.'))
    this.retry.count(status)
  }

  chargeTime(ms: number, flags: number, fromZone: string, toZone: string): void {
    this.all.time().record(ms)
    if ((flags & ResponseOrigin.Canary) !== 0) this.canaryGroup().time().record(ms)
    if ((flags & ResponseOrigin.Internal) !== 0) this.internalGroup().time().record(ms)
    else this.externalGroup().time().record(ms)
    if (fromZone !== '' && toZone !== '') this.zone(fromZone, toZone).time().record(ms)
  }

  /** The same groups under a name of the request's choice (x-envoy-upstream-alt-stat-name); null when there are too many. */
  alternative(name: string): ResponseCodeStats | null {
    let stats = this.alternatives.get(name)
    if (stats === undefined) {
      if (this.alternatives.size >= MAX_ALTERNATIVES) return null
      stats = new ResponseCodeStats(this.scope.scope(`${name}.`))
      this.alternatives.set(name, stats)
    }
    return stats
  }

  private canaryGroup(): CodeGroup {
    this.canary ??= new CodeGroup(this.scope.scope('canary.'))
    return this.canary
  }

  private externalGroup(): CodeGroup {
    this.external ??= new CodeGroup(this.scope.scope('external.'))
    return this.external
  }

  private internalGroup(): CodeGroup {
    this.internal ??= new CodeGroup(this.scope.scope('internal.'))
    return this.internal
  }

  private zone(from: string, to: string): CodeGroup {
    const key = `zone.${from}.${to}.`
    let group = this.zones.get(key)
    if (group === undefined) {
      group = new CodeGroup(this.scope.scope(key))
      this.zones.set(key, group)
    }
    return group
  }
}

/** Key of the statuses that are none. */
const UNKNOWN = 0

/** The counters under one prefix, by status. */
class CodeGroup {
  private readonly scope: StatsScope
  // Keys 1 to 5 are the classes. A Map, not a table of 600: there is a group or two per cluster and up to 10,000 clusters.
  private readonly counters = new Map<number, Counter>()
  private completed: Counter | null = null
  private timing: Histogram | null = null

  constructor(scope: StatsScope) {
    this.scope = scope
  }

  count(status: number): void {
    if (this.completed === null) this.completed = this.scope.counter('upstream_rq_completed')
    this.completed.inc()
    if (status < 100 || status > 599) {
      this.add(UNKNOWN, 'upstream_rq_unknown')
      return
    }
    const family = (status / 100) | 0
    const group = this.counters.get(family)
    if (group === undefined) this.add(family, `upstream_rq_${family}xx`)
    else group.inc()
    const code = this.counters.get(status)
    if (code === undefined) this.add(status, `upstream_rq_${status}`)
    else code.inc()
  }

  private add(key: number, name: string): void {
    const counter = this.scope.counter(name)
    this.counters.set(key, counter)
    counter.inc()
  }

  time(): Histogram {
    if (this.timing === null) this.timing = this.scope.histogram('upstream_rq_time')
    return this.timing
  }
}
