import { HeaderBlock } from '../../codec/header-block.ts'
import type { Route } from '../../routing/route.ts'
import type { RouterFilter } from '../filters/router.ts'
import type { StreamContext } from '../stream-context.ts'

/** Answers a route that has a redirect or a direct response. */
export function respondDirectly(s: StreamContext, route: Route, h: HeaderBlock, filter: RouterFilter): void {
  const extra = new HeaderBlock()
  // A redirect counts here too: rq_redirect stays 0 in Envoy.
  filter.stats.rqDirectResponse.inc()
  if (route.redirect !== null) {
    extra.push('location', route.redirect.location(h, s))
    route.mutateResponse(extra, s)
    // The log shows the path as a prefix or regex redirect made it.
    const path = route.redirect.rewrittenPath(h, s)
    if (path !== '') {
      if (!filter.config.suppressEnvoyHeaders) h.set('x-envoy-original-path', h.path)
      h.path = path
    }
    s.sendLocalReply(route.redirect.code, '', 'direct_response', extra)
    return
  }
  const direct = route.directResponse!
  const body = direct.format(s) ?? (direct.body === null ? '' : Buffer.from(direct.body).toString('latin1'))
  // RFC 9110 §10.2.2: statuses that refer to a resource name it, here the one asked for, as Envoy does.
  if (direct.status === 201 || (direct.status >= 300 && direct.status < 400))
    extra.push('location', `${h.scheme}://${h.authority}${h.path}`)
  route.mutateResponse(extra, s)
  const type = direct.contentType === '' ? 'text/plain' : direct.contentType
  s.sendLocalReply(direct.status, body, 'direct_response', extra, -1, type)
}
