import { ConfigError } from '../base/errors.ts'
import type { InternalRedirectConfig } from '../routing/route-config.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'
import { typeNameOf, unregistered } from './registry.ts'

const PREFIX = 'envoy.extensions.internal_redirect.'

/** Null = responses with a location pass through. */
export function parseInternalRedirect(
  proto: envoy.config.route.v3.RouteAction,
  at: FieldPath,
  _warnings: string[],
): InternalRedirectConfig | null {
  const policy = proto.internal_redirect_policy
  if (policy === undefined) {
    if (proto.internal_redirect_action !== 'HANDLE_INTERNAL_REDIRECT') return null
    return build({ max_internal_redirects: proto.max_internal_redirects }, at)
  }
  return build(policy, at.field('internal_redirect_policy'))
}

function build(policy: envoy.config.route.v3.InternalRedirectPolicy, at: FieldPath): InternalRedirectConfig {
  const copied = (policy.response_headers_to_copy ?? []).map(name => name.toLowerCase())
  if (copied.some(name => name.startsWith(':') || name === 'host')) {
    const text = ':-prefixed headers or Hosts may not be specified here.'
    throw new ConfigError('CONFIG_INVALID', at.field('response_headers_to_copy'), text)
  }
  let safeCrossSchemeOnly = false
  let previousRoutes = false
  let allowListedRoutes: readonly string[] | null = null
  const predicates = policy.predicates ?? []
  for (let i = 0; i < predicates.length; i++) {
    const { name = '', typed_config: any } = predicates[i]!
    const type = typeNameOf(any)
    if (type === `${PREFIX}safe_cross_scheme.v3.SafeCrossSchemeConfig`) safeCrossSchemeOnly = true
    else if (type === `${PREFIX}previous_routes.v3.PreviousRoutesConfig`) previousRoutes = true
    else if (type === `${PREFIX}allow_listed_routes.v3.AllowListedRoutesConfig`) {
      const config = (any?.message ??
        {}) as envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig
      allowListedRoutes = config.allowed_route_names ?? []
    } else throw unregistered('envoy.internal_redirect_predicates', name, type, at.field('predicates').index(i))
  }
  // Only redirect codes count; others in the list are ignored, as in Envoy.
  const codes = (policy.redirect_response_codes ?? []).filter(code => [301, 302, 303, 307, 308].includes(code))
  return {
    maxInternalRedirects: policy.max_internal_redirects ?? 1,
    redirectResponseCodes: codes.length === 0 ? [302] : codes,
    allowCrossScheme: policy.allow_cross_scheme_redirect ?? false,
    safeCrossSchemeOnly,
    responseHeadersToCopy: copied,
    previousRoutes,
    allowListedRoutes,
  }
}
