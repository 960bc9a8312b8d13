import type { HeaderBlock } from '../../codec/header-block.ts'
import type { RouteAction } from '../../routing/route.ts'
import { ResponseFlag } from '../../telemetry/stream-info.ts'
import type { Cluster } from '../../upstream/upstream.ts'
import type { StreamContext } from '../stream-context.ts'
import { localReplyHeaders } from './attempt-facts.ts'
import { type FailureText, resetDetails } from './reset-text.ts'
import type { RouterRequest } from './router-request.ts'
import { strictCheck } from './strict-check.ts'

/** The router's answers to requests that reach no upstream, each with status, text, flag and details as Envoy gives them. */
export function refuseWithoutRoute(r: RouterRequest, s: StreamContext): void {
  r.filter.stats.noRoute.inc()
  s.info.setFlag(ResponseFlag.NoRouteFound)
  s.sendLocalReply(404, '', 'route_not_found')
}

/** strict_check_headers. True: it was refused. */
export function refuseBadHeaders(r: RouterRequest, s: StreamContext, h: HeaderBlock): boolean {
  const names = r.filter.config.strictCheckHeaders
  if (names.length === 0) return false
  const bad = strictCheck(h, names)
  if (bad === '') return false
  s.info.setFlag(ResponseFlag.InvalidEnvoyRequestHeaders)
  const body = `invalid header '${bad}' with value '${h.get(bad)!}'`
  s.sendLocalReply(400, body, `request_headers_failed_strict_check{${bad}}`)
  return true
}

export function refuseWithoutCluster(r: RouterRequest, s: StreamContext, action: RouteAction): void {
  r.filter.stats.noCluster.inc()
  s.info.setFlag(ResponseFlag.NoClusterFound)
  s.sendLocalReply(action.clusterNotFoundCode, '', 'cluster_not_found')
}

/** Maintenance mode and drop_overload. True: it was refused. */
export function refusedByCluster(r: RouterRequest, s: StreamContext, cluster: Cluster): boolean {
  if (r.filter.inMaintenance(cluster, s.random)) {
    s.info.setFlag(ResponseFlag.UpstreamOverflow)
    cluster.counters.upstreamRqMaintenanceMode.inc()
    r.charges.local(503)
    s.sendLocalReply(503, 'maintenance mode', 'maintenance_mode', localReplyHeaders(r, true))
    return true
  }
  if (cluster.dropOverload() === '') return false
  s.info.setFlag(ResponseFlag.DropOverLoad)
  r.charges.local(503)
  s.sendLocalReply(503, 'drop overload', 'drop_overload', localReplyHeaders(r, true))
  return true
}

export function refuseUnhealthy(r: RouterRequest, s: StreamContext): void {
  s.info.setFlag(ResponseFlag.NoHealthyUpstream)
  r.charges.local(503)
  s.sendLocalReply(503, 'no healthy upstream', 'no_healthy_upstream', localReplyHeaders(r, false))
}

/** A filter has made the head one that would be read as another, or as two (Envoy: checkValidRequestHeaders). */
export function refuseUnsendable(s: StreamContext): void {
  s.info.setFlag(ResponseFlag.DownstreamProtocolError)
  const details = `filter_removed_required_request_headers{${s.unsendable.replaceAll(' ', '_')}}`
  s.sendLocalReply(503, s.unsendable, details)
}

/** The last attempt failed before a response. `isRetry`: it was not the first. */
export function refuseAfterFailure(
  r: RouterRequest,
  s: StreamContext,
  text: FailureText,
  transportFailure: string,
  isRetry: boolean,
): void {
  s.info.setFlag(text.flag)
  const again = isRetry ? 'retried and the latest reset reason' : 'reset reason'
  s.sendLocalReply(
    text.status,
    `upstream connect error or disconnect/reset before headers. ${again}: ${text.text}`,
    resetDetails(text.text, transportFailure, false),
    localReplyHeaders(r, text.flag === ResponseFlag.UpstreamOverflow),
  )
}

/** The upstream stream lasted longer than its cluster or x-envoy-upstream-stream-duration-ms allow. */
export function refuseAfterMaxDuration(r: RouterRequest, s: StreamContext): void {
  s.info.setFlag(ResponseFlag.UpstreamMaxStreamDurationReached)
  s.sendLocalReply(
    r.requestComplete ? 504 : 408,
    'upstream max stream duration reached',
    'upstream_max_stream_duration_reached',
    localReplyHeaders(r, false),
  )
}
