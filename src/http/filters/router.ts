import type { HeaderBlock } from '../../codec/header-block.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import type { WorkerServices } from '../../config/services.ts'
import { defineSupport } from '../../config/support.ts'
import type { Counter, StatsScope } from '../../stats/stats.ts'
import type { Cluster } from '../../upstream/upstream.ts'
import { DataVerdict, HeadersVerdict, type HttpFilter } from '../filter.ts'
import type { HttpFilterFactory, HttpFilterServices } from '../filter-factory.ts'
import { RouteStatsTable } from '../router/route-stats.ts'
import { RouterRequest } from '../router/router-request.ts'
import type { StreamContext } from '../stream-context.ts'

/** envoy.extensions.filters.http.router.v3.Router, parsed. */
export interface RouterConfig {
  readonly suppressEnvoyHeaders: boolean
  /** As spawn_upstream_span of the connection manager, which replaced it. */
  readonly startChildSpan: boolean
  readonly respectExpectedRqTimeout: boolean
  /** Lower-case names; requests with a value in them that cannot be used are refused. */
  readonly strictCheckHeaders: readonly string[]
}

type Proto = envoy.extensions.filters.http.router.v3.Router

const support = defineSupport<Proto>('envoy.extensions.filters.http.router.v3.Router', {
  dynamic_stats: 'warn',
  start_child_span: 'yes',
  suppress_envoy_headers: 'yes',
  respect_expected_rq_timeout: 'yes',
  strict_check_headers: 'yes',
  suppress_grpc_request_failure_code_stats: 'warn',
})

export const routerFactory: HttpFilterFactory<Proto, RouterConfig> = {
  category: 'envoy.filters.http',
  name: 'envoy.filters.http.router',
  typeUrls: ['envoy.extensions.filters.http.router.v3.Router'],
  terminal: true,
  parse(proto, at, warnings) {
    support.check(proto, at, warnings)
    return {
      suppressEnvoyHeaders: proto.suppress_envoy_headers ?? false,
      startChildSpan: proto.start_child_span ?? false,
      respectExpectedRqTimeout: proto.respect_expected_rq_timeout ?? false,
      strictCheckHeaders: (proto.strict_check_headers ?? []).map(name => name.toLowerCase()),
    }
  },
  create: (config, services) => new RouterFilter(config, services),
}

/** Router requests kept for reuse per worker and connection manager. */
const MAX_FREE = 1024

/** envoy.filters.http.router: the terminal filter. */
export class RouterFilter implements HttpFilter<RouterRequest> {
  index = 0
  name = ''
  readonly config: RouterConfig
  readonly services: WorkerServices
  readonly stats: RouterStats
  readonly routeStats: RouteStatsTable
  private readonly free: RouterRequest[] = []

  constructor(config: RouterConfig, services: HttpFilterServices) {
    this.config = config
    this.services = services
    this.stats = new RouterStats(services.stats.scope(services.httpPrefix))
    this.routeStats = new RouteStatsTable(services.stats)
  }

  newState(): RouterRequest {
    return this.free.pop() ?? new RouterRequest(this)
  }

  decodeHeaders(s: StreamContext, h: HeaderBlock, end: boolean): HeadersVerdict {
    const request = s.slot(this.index) as RouterRequest
    request.begin(s, h, end)
    return HeadersVerdict.StopIteration
  }

  decodeData(s: StreamContext, d: Uint8Array, end: boolean): DataVerdict {
    ;(s.slot(this.index) as RouterRequest).onData(d, end)
    return DataVerdict.StopNoBuffer
  }

  decodeTrailers(s: StreamContext, t: HeaderBlock): HeadersVerdict {
    ;(s.slot(this.index) as RouterRequest).onTrailers(t)
    return HeadersVerdict.StopIteration
  }

  onDestroy(s: StreamContext): void {
    if (!s.hasSlot(this.index)) return
    const request = s.slot(this.index) as RouterRequest
    request.end()
    if (this.free.length < MAX_FREE) this.free.push(request)
    else request.discard()
  }

  /** Runtime key `upstream.maintenance_mode.<cluster>` (percent). */
  inMaintenance(cluster: Cluster, random: number): boolean {
    return this.services.runtime.fraction(cluster.maintenanceKey, 0, 100, random)
  }
}

/** Fixed names under `http.<stat_prefix>.`. */
export class RouterStats {
  readonly noRoute: Counter
  readonly noCluster: Counter
  readonly rqDirectResponse: Counter
  readonly rqRedirect: Counter
  readonly rqTotal: Counter
  readonly rqResetAfterResponseStarted: Counter
  readonly redirectBadLocation: Counter
  readonly redirectNoRoute: Counter
  readonly redirectPredicate: Counter
  readonly redirectTooMany: Counter
  readonly redirectUnsafeScheme: Counter
  readonly overloadLocalReply: Counter

  constructor(scope: StatsScope) {
    this.noRoute = scope.counter('no_route')
    this.noCluster = scope.counter('no_cluster')
    this.rqDirectResponse = scope.counter('rq_direct_response')
    this.rqRedirect = scope.counter('rq_redirect')
    this.rqTotal = scope.counter('rq_total')
    this.rqResetAfterResponseStarted = scope.counter('rq_reset_after_downstream_response_started')
    this.redirectBadLocation = scope.counter('passthrough_internal_redirect_bad_location')
    this.redirectNoRoute = scope.counter('passthrough_internal_redirect_no_route')
    this.redirectPredicate = scope.counter('passthrough_internal_redirect_predicate')
    this.redirectTooMany = scope.counter('passthrough_internal_redirect_too_many_redirects')
    this.redirectUnsafeScheme = scope.counter('passthrough_internal_redirect_unsafe_scheme')
    this.overloadLocalReply = scope.counter('rq_overload_local_reply')
  }
}
