import type { HeaderBlock } from '../../codec/header-block.ts'
import type { InternalRedirectPolicy, Route } from '../../routing/route.ts'
import type { RouterFilter } from '../filters/router.ts'
import type { StreamContext } from '../stream-context.ts'

/**
 * Turns a redirect response into a new request for the same stream (Envoy: Filter::convertRequestHeadersForInternalRedirect).
 * On false `h` is as before and the response goes to the client.
 */
export function setupInternalRedirect(
  s: StreamContext,
  h: HeaderBlock,
  response: HeaderBlock,
  policy: InternalRedirectPolicy,
  from: Route,
  filter: RouterFilter,
): boolean {
  const location = response.get('location')
  const match = location === undefined ? null : /^([a-zA-Z]+):\/\/([^/?#]+)([^#]*)(?:#.*)?$/.exec(location)
  if (match === null || (match[1] !== 'http' && match[1] !== 'https')) {
    filter.stats.redirectBadLocation.inc()
    return false
  }
  if (s.internalRedirects >= policy.maxInternalRedirects) {
    filter.stats.redirectTooMany.inc()
    return false
  }
  const scheme = match[1]
  const secure = s.info.connection!.tls !== null
  if (scheme !== (secure ? 'https' : 'http')) {
    const safe = secure && scheme === 'http'
    if (!policy.allowCrossScheme || (policy.safeCrossSchemeOnly && !safe)) {
      filter.stats.redirectUnsafeScheme.inc()
      return false
    }
  }
  const authority = h.authority
  const path = h.path
  const oldScheme = h.scheme
  const rest = match[3]!
  h.authority = match[2]!
  h.path = rest === '' ? '/' : rest.startsWith('/') ? rest : `/${rest}`
  h.scheme = scheme
  s.clearRouteCache()
  const route = s.route()
  if (route === null) {
    filter.stats.redirectNoRoute.inc()
    return restore(s, h, authority, path, oldScheme)
  }
  if (policy.previousRoutes && route.name === from.name) {
    filter.stats.redirectPredicate.inc()
    return restore(s, h, authority, path, oldScheme)
  }
  if (policy.allowListedRoutes !== null && !policy.allowListedRoutes.includes(route.name)) {
    filter.stats.redirectPredicate.inc()
    return restore(s, h, authority, path, oldScheme)
  }
  if (response.status === 303 && h.method !== 'GET' && h.method !== 'HEAD') {
    h.method = 'GET'
    h.remove('content-length')
  }
  for (const name of policy.responseHeadersToCopy) {
    const value = response.get(name)
    if (value === undefined) h.remove(name)
    else h.set(name, value)
  }
  h.set('x-envoy-original-url', `${oldScheme}://${authority}${path}`)
  s.internalRedirects++
  return true
}

function restore(s: StreamContext, h: HeaderBlock, authority: string, path: string, scheme: string): false {
  h.authority = authority
  h.path = path
  h.scheme = scheme
  s.clearRouteCache()
  s.route()
  return false
}
