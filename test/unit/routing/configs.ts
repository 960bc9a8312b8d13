import { FieldPath } from '../../../src/config/field-path.ts'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { parseRouteConfiguration, type RouteParseServices } from '../../../src/config/route.ts'
import type { RouteConfig } from '../../../src/routing/route-config.ts'
import { RouteTableImpl } from '../../../src/routing/route-table.ts'
import { runtimeOf } from './runtime.ts'

export type Proto = envoy.config.route.v3.RouteConfiguration

/** Route configuration as in YAML, `@type` objects included. */
export function parse(proto: object, services: Partial<RouteParseServices> = {}): RouteConfig {
  return parseRouteConfiguration(withAny(proto) as Proto, FieldPath.root(), {
    hasCluster: name => name === 'c' || name === 'c2',
    validateClusters: true,
    warnings: [],
    ...services,
  })
}

/** Through a structured clone, as workers get it. */
export function tableOf(proto: object, runtime: Readonly<Record<string, string>> = {}): RouteTableImpl {
  return new RouteTableImpl(structuredClone(parse(proto)), { runtime: runtimeOf(runtime) })
}

/** A route configuration of one virtual host. */
export function withRoutes(routes: readonly object[], vhost: object = {}, config: object = {}): object {
  return { name: 'r', virtual_hosts: [{ name: 'v', domains: ['*'], routes, ...vhost }], ...config }
}

function withAny(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withAny)
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  const copy = Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withAny(inner)]))
  const { '@type': type, ...message } = copy
  return type === undefined ? copy : { type_url: type, message }
}
