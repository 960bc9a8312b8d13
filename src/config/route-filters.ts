import { ConfigError } from '../base/errors.ts'
import type { FilterOverrideConfig, FilterOverridesConfig } from '../routing/route-config.ts'
import type { AnyMessage } from './any.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'
import { findFactory, findOverrideFactory, typeNameOf, unregistered } from './registry.ts'
import type { RouteParseServices } from './route.ts'

/** Where the deprecated `cors` of a route or virtual host stands among the overrides: the filter's own name is the user's choice. */
export const DEPRECATED_CORS = 'cors (deprecated field)'

const WRAPPER = 'envoy.config.route.v3.FilterConfig'

/**
 * typed_per_filter_config: parsed by the factory of the message's type (names are free), also inside a FilterConfig that
 * disables the filter or makes the entry optional.
 */
export function parseFilterOverrides(
  protos: Readonly<Record<string, AnyMessage>> | undefined,
  at: FieldPath,
  services: RouteParseServices,
): FilterOverridesConfig {
  const out: Record<string, FilterOverrideConfig> = {}
  for (const [name, any] of Object.entries(protos ?? {})) {
    const parsed = parseOverride(name, any, at.key(name), services)
    if (parsed !== null) out[name] = parsed
  }
  return out
}

/** The deprecated `cors` field, for the filter of that kind: a message of the same fields as its per-filter configuration. */
export function withDeprecatedCors(
  overrides: FilterOverridesConfig,
  proto: envoy.config.route.v3.CorsPolicy | undefined,
  at: FieldPath,
  services: RouteParseServices,
): FilterOverridesConfig {
  const factory = findOverrideFactory('envoy.filters.http', 'envoy.extensions.filters.http.cors.v3.CorsPolicy')
  if (proto === undefined || factory?.parseOverride === undefined) return overrides
  const config = factory.parseOverride(proto, at, services.warnings)
  return { ...overrides, [DEPRECATED_CORS]: { disabled: undefined, config } }
}

function parseOverride(
  name: string,
  any: AnyMessage,
  at: FieldPath,
  services: RouteParseServices,
): FilterOverrideConfig | null {
  if (typeNameOf(any) !== WRAPPER) return { disabled: undefined, config: override(name, any, at, false, services) }
  const wrapper = (any.message ?? {}) as envoy.config.route.v3.FilterConfig
  if (wrapper.disabled === true) return { disabled: true, config: undefined }
  if (wrapper.config === undefined) {
    // Envoy lets an empty wrapper enable a filter that the chain has disabled only when `disabled: false` is written out.
    if (wrapper.disabled === false) return { disabled: false, config: undefined }
    throw new ConfigError('CONFIG_INVALID', at, `Empty route/virtual host per filter configuration for ${name} filter`)
  }
  const config = override(name, wrapper.config, at.field('config'), wrapper.is_optional ?? false, services)
  return config === undefined ? null : { disabled: false, config }
}

/** The parsed override; undefined when it is optional and nobody knows its type. */
function override(
  name: string,
  any: AnyMessage,
  at: FieldPath,
  optional: boolean,
  services: RouteParseServices,
): unknown {
  const type = typeNameOf(any)
  const factory = findOverrideFactory('envoy.filters.http', type)
  if (factory?.parseOverride !== undefined && any.message !== undefined) {
    return factory.parseOverride(any.message, at.any(), services.warnings)
  }
  if (findFactory('envoy.filters.http', type) !== null) {
    const text = `The filter ${name} doesn't support virtual host or route specific configurations`
    throw new ConfigError('CONFIG_INVALID', at, text)
  }
  if (!optional) throw unregistered('envoy.filters.http', name, type, at)
  services.warnings.push(
    `${at}: Can't find a registered implementation for http filter '${name}' with type URL: '${type}'`,
  )
  return undefined
}
