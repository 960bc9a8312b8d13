/**
 * Extension factories by category and type URL. The list is src/extensions.ts; names in a configuration are free (Istio renames
 * filters), so only the type counts, as in Envoy.
 */
import { ConfigError } from '../base/errors.ts'
import type { StatsScope } from '../stats/stats.ts'
import type { AnyMessage } from './any.ts'
import type { FieldPath } from './field-path.ts'
import type { WorkerServices } from './services.ts'

/** Envoy's category names, as `--disable-extensions`, the bootstrap's node and the start-up log print them. */
export type ExtensionCategory =
  | 'envoy.access_loggers'
  | 'envoy.access_loggers.extension_filters'
  | 'envoy.bootstrap'
  | 'envoy.clusters'
  | 'envoy.compression.compressor'
  | 'envoy.compression.decompressor'
  | 'envoy.config.validators'
  | 'envoy.filters.http'
  | 'envoy.filters.http.upstream'
  | 'envoy.filters.listener'
  | 'envoy.filters.network'
  | 'envoy.filters.udp_listener'
  | 'envoy.filters.upstream_network'
  | 'envoy.formatter'
  | 'envoy.grpc_credentials'
  | 'envoy.health_checkers'
  | 'envoy.http.early_header_mutation'
  | 'envoy.http.header_validators'
  | 'envoy.http.original_ip_detection'
  | 'envoy.http.stateful_header_formatters'
  | 'envoy.http.stateful_session'
  | 'envoy.internal_redirect_predicates'
  | 'envoy.load_balancing_policies'
  | 'envoy.matching.action'
  | 'envoy.matching.http.input'
  | 'envoy.matching.input_matchers'
  | 'envoy.matching.network.input'
  | 'envoy.network.dns_resolver'
  | 'envoy.path.match'
  | 'envoy.path.rewrite'
  | 'envoy.rate_limit_descriptors'
  | 'envoy.rbac.matchers'
  | 'envoy.request_id'
  | 'envoy.resource_monitors'
  | 'envoy.retry_host_predicates'
  | 'envoy.retry_priorities'
  | 'envoy.route.early_data_policy'
  | 'envoy.router.cluster_specifier_plugin'
  | 'envoy.stats_sinks'
  | 'envoy.tls.cert_validator'
  | 'envoy.tracers'
  | 'envoy.transport_sockets.downstream'
  | 'envoy.transport_sockets.upstream'
  | 'envoy.upstream_options'
  | 'envoy.upstreams'
  | (string & Record<never, never>)

/**
 * One extension. P: message of the API, C: parsed configuration (cloneable), O: parsed per-route override, R: what runs.
 */
export interface ExtensionFactory<P extends object = object, C = unknown, O = unknown, R = unknown> {
  readonly category: ExtensionCategory
  /** Envoy's name, 'envoy.filters.http.router' */
  readonly name: string
  /** full message names without host, 'envoy.extensions.filters.http.router.v3.Router' */
  readonly typeUrls: readonly string[]
  /** message names of per-route overrides, for typed_per_filter_config */
  readonly overrideTypeUrls?: readonly string[]
  /** Pure; runs on main. @throws ConfigError, which rejects the resource */
  parse(proto: P, at: FieldPath, warnings: string[]): C
  parseOverride?(proto: object, at: FieldPath, warnings: string[]): O
  /** On a worker; cannot fail. */
  create(config: C, services: WorkerServices): R
  /**
   * Names the stats that Envoy has from the moment that the configuration is loaded: asks `stats`, on main, for all that `create`
   * will ask its services for. `httpPrefix`: `http.<stat_prefix>.`, of HTTP filters.
   */
  declareStats?(config: C, stats: StatsScope, httpPrefix: string): void
}

/** What stands in a parsed, cloneable configuration for one extension; a worker finds the factory again with `typeUrl`. */
export interface ParsedExtension<C = unknown> {
  /** the name the configuration gives it */
  readonly name: string
  readonly category: ExtensionCategory
  /** message name without host */
  readonly typeUrl: string
  readonly config: C
}

type AnyFactory = ExtensionFactory<never, unknown, unknown, unknown>

const byType = new Map<string, AnyFactory>()
const byOverride = new Map<string, AnyFactory>()
const disabled = new Set<string>()
const all: AnyFactory[] = []

/** @throws Error when two factories of a category claim one type: a mistake in src/extensions.ts */
export function registerFactories(factories: readonly AnyFactory[]): void {
  for (const f of factories) {
    for (const type of f.typeUrls) add(byType, `${f.category}\0${type}`, f)
    for (const type of f.overrideTypeUrls ?? []) add(byOverride, `${f.category}\0${type}`, f)
    all.push(f)
  }
}

export function registeredFactories(): readonly AnyFactory[] {
  return all
}

/** `--disable-extensions`. @returns false when there is no such extension: Envoy warns and goes on */
export function disableExtension(category: ExtensionCategory, name: string): boolean {
  disabled.add(`${category}\0${name}`)
  return all.some(f => f.category === category && f.name === name)
}

export function findFactory(category: ExtensionCategory, typeName: string): AnyFactory | null {
  const f = byType.get(`${category}\0${typeName}`)
  return f === undefined || disabled.has(`${f.category}\0${f.name}`) ? null : f
}

export function findOverrideFactory(category: ExtensionCategory, typeName: string): AnyFactory | null {
  const f = byOverride.get(`${category}\0${typeName}`)
  return f === undefined || disabled.has(`${f.category}\0${f.name}`) ? null : f
}

/** Message name of an Any: its type URL without the host. */
export function typeNameOf(any: AnyMessage | undefined): string {
  return any === undefined ? '' : any.type_url.slice(any.type_url.lastIndexOf('/') + 1)
}

/**
 * Finds the factory of a `{name, typed_config}` and lets it parse.
 * @param at path of the typed_config
 * @throws ConfigError CONFIG_UNREGISTERED in Envoy's words, and what the factory throws
 */
export function parseAny(
  any: AnyMessage | undefined,
  category: ExtensionCategory,
  name: string,
  at: FieldPath,
  warnings: string[] = [],
): ParsedExtension {
  const typeUrl = typeNameOf(any)
  const factory = findFactory(category, typeUrl)
  if (factory === null || any?.message === undefined) throw unregistered(category, name, typeUrl, at)
  return { name, category, typeUrl, config: factory.parse(any.message as never, at.any(), warnings) }
}

/** Envoy's error for a type that no factory of the category has. */
export function unregistered(category: ExtensionCategory, name: string, typeUrl: string, at: FieldPath): ConfigError {
  const elsewhere = all.find(f => f.category !== category && f.typeUrls.includes(typeUrl))
  const advice =
    typeUrl === ''
      ? 'typed_config with an "@type" is missing'
      : elsewhere === undefined
        ? `docs/support-matrix.md lists the extensions of ${category}`
        : `'${typeUrl}' belongs to ${elsewhere.category}, this place takes ${category}`
  return new ConfigError(
    'CONFIG_UNREGISTERED',
    at,
    `Didn't find a registered implementation for '${name}' with type URL: '${typeUrl}'`,
    { advice },
  )
}

function add(map: Map<string, AnyFactory>, key: string, f: AnyFactory): void {
  if (map.has(key)) throw new Error(`two factories for ${key.replace('\0', ' ')}`)
  map.set(key, f)
}
