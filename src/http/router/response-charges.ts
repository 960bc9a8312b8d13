import type { HeaderBlock } from '../../codec/header-block.ts'
import type { Route } from '../../routing/route.ts'
import { chargeResponseCode, chargeResponseTime, type ResponseCodeStats } from '../../upstream/response-code-stats.ts'
import type { Cluster, Host } from '../../upstream/upstream.ts'
import { responseOrigin } from './attempt-facts.ts'
import type { RouteStats, RouteStatsTable } from './route-stats.ts'

const ALT_STAT_NAME = 'x-envoy-upstream-alt-stat-name'

/** Response counters of one request: cluster, zone, host, route and virtual cluster (Envoy: Filter::chargeUpstreamCode). */
export class ResponseCharges {
  route: RouteStats | null = null
  virtualCluster: RouteStats | null = null
  private cluster: Cluster | null = null
  private request: HeaderBlock | null = null
  private zone = ''
  private alternative: ResponseCodeStats | null = null

  begin(cluster: Cluster, route: Route, virtualCluster: string, h: HeaderBlock, zone: string, table: RouteStatsTable) {
    this.cluster = cluster
    this.request = h
    this.zone = zone
    this.route = table.route(route.virtualHost, route.statPrefix)
    this.virtualCluster = table.virtualCluster(route.virtualHost, virtualCluster)
  }

  /** x-envoy-upstream-alt-stat-name, which is taken out of `h`. */
  takeAlternative(h: HeaderBlock): void {
    const name = h.get(ALT_STAT_NAME)
    if (name === undefined) return
    h.remove(ALT_STAT_NAME)
    if (name !== '') this.alternative = this.cluster!.counters.responseCodes.alternative(name)
  }

  /** A response of `host`, or a local one in its place. `h` null: there was no response head. */
  response(host: Host, status: number, h: HeaderBlock | null): void {
    const origin = responseOrigin(this.request!, h)
    chargeResponseCode(this.cluster!, status, origin, this.zone, host.zone)
    this.alternative?.charge(status, origin, this.zone, host.zone)
    this.cluster!.chargeHost(host, status)
    this.route?.charge(status)
    this.virtualCluster?.charge(status)
  }

  /** No host had a part in it. */
  local(status: number): void {
    const origin = responseOrigin(this.request!, null)
    chargeResponseCode(this.cluster!, status, origin)
    this.alternative?.charge(status, origin, '', '')
    this.route?.charge(status)
    this.virtualCluster?.charge(status)
  }

  /** The attempt goes on as a retry: its response only counts under `retry.`. */
  retried(host: Host, status: number): void {
    this.cluster!.counters.responseCodes.chargeRetry(status)
    this.failed(host)
  }

  /** An attempt that failed and is not the request's last. */
  failed(host: Host): void {
    this.cluster!.chargeHost(host, 503)
  }

  started(): void {
    this.route?.total.inc()
    this.virtualCluster?.total.inc()
  }

  timedOut(): void {
    this.cluster!.counters.upstreamRqTimeout.inc()
    this.route?.timeout.inc()
    this.virtualCluster?.timeout.inc()
  }

  time(host: Host, ms: number): void {
    const origin = responseOrigin(this.request!, null)
    chargeResponseTime(this.cluster!, ms, origin, this.zone, host.zone)
    this.alternative?.chargeTime(ms, origin, this.zone, host.zone)
  }

  reset(): void {
    this.route = null
    this.virtualCluster = null
    this.cluster = null
    this.request = null
    this.alternative = null
  }
}
