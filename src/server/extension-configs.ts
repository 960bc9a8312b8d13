import { ConfigError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { AnyMessage } from '../config/any.ts'
import { checkTerminal, checkType, DISCOVERED, type DiscoveredConfig } from '../config/discovered.ts'
import type { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import { findFactory, type ParsedExtension, parseAny } from '../config/registry.ts'
import type { HcmConfig } from '../http/connection-manager-config.ts'
import { discoveredFilters } from '../http/discovered-filters.ts'
import type { ListenerConfig } from '../listener/listener-config.ts'
import type { Counter, StatsScope } from '../stats/stats.ts'
import { extensionKey } from '../worker/snapshot.ts'
import { ECDS } from '../xds/resources/ecds.ts'
import { extensionPrefix, type XdsClient, type XdsResource } from '../xds/xds.ts'
import { Followed } from './followed.ts'
import { keptBytes } from './kept.ts'
import { publish } from './publisher.ts'
import type { ResourceManager } from './resources.ts'
import { sdsReferences } from './sds-references.ts'

type TypedExtensionConfig = envoy.config.core.v3.TypedExtensionConfig
type HcmProto = envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager

interface Extension {
  readonly category: string
  readonly name: string
  /** What each listener allows, per place. */
  readonly followed: Followed<readonly DiscoveredConfig[]>
  readonly reloads: Counter
  readonly conflicts: Counter
  /** Type of the configuration in use; '' = there is none. */
  typeUrl: string
}

/** Filters whose configuration is discovered (config_discovery_impl.cc): who follows which, and what they allow. */
export class ExtensionConfigs {
  readonly #resources: ResourceManager
  readonly #xds: XdsClient
  readonly #stats: StatsScope
  readonly #log: Log
  readonly #extensions = new Map<string, Extension>()

  constructor(resources: ResourceManager, xds: XdsClient, stats: StatsScope, log: Log) {
    this.#resources = resources
    this.#xds = xds
    this.#stats = stats
    this.#log = log
  }

  /** Follows what a listener's filters ask for. Returns what is to be waited for. */
  follow(listener: ListenerConfig, user: object): Followed<readonly DiscoveredConfig[]>[] {
    const waited: Followed<readonly DiscoveredConfig[]>[] = []
    for (const [key, configs] of Map.groupBy(discoveredOf(listener), c => extensionKey(c.category, c.name))) {
      const { followed, conflicts, typeUrl } = this.#extensions.get(key) ?? this.#begin(key, configs[0]!, user, configs)
      followed.users.set(user, configs)
      if (typeUrl !== '' && !configs.every(c => c.types.includes(typeUrl))) conflicts.inc()
      if (configs.some(c => c.waits)) waited.push(followed)
    }
    return waited
  }

  release(user: object): void {
    for (const [key, { followed, category, name }] of [...this.#extensions]) {
      if (!followed.users.delete(user) || followed.users.size > 0) continue
      this.#extensions.delete(key)
      followed.close()
      this.#resources.removeExtension(key)
      this.#resources.dynamic.extensions.get(category)?.delete(name)
    }
  }

  #begin(key: string, config: DiscoveredConfig, user: object, configs: readonly DiscoveredConfig[]): Extension {
    const { name, source, category } = config
    const kind = category === 'envoy.filters.http' ? 'http_filter' : 'network_filter'
    const prefix = extensionPrefix(kind, name)
    const failures = this.#stats.counter(`${prefix}config_fail`)
    const followed = new Followed<readonly DiscoveredConfig[]>()
    followed.users.set(user, configs)
    const extension: Extension = {
      category,
      name,
      followed,
      reloads: this.#stats.counter(`${prefix}config_reload`),
      conflicts: this.#stats.counter(`${prefix}config_conflict`),
      typeUrl: '',
    }
    this.#extensions.set(key, extension)
    const { extensions } = this.#resources.dynamic
    if (!extensions.has(category)) extensions.set(category, new Map())
    followed.close = this.#xds.followExtension(kind, name, source, {
      onResource: resource => {
        this.#take(key, config, extension, resource)
        followed.settle()
      },
      onRemoved: () => {
        extension.typeUrl = ''
        extension.reloads.inc()
        this.#resources.removeExtension(key)
        this.#resources.dynamic.extensions.get(category)?.delete(name)
        followed.settle()
      },
      onUnavailable: () => {
        failures.inc()
        followed.settle()
      },
    })
    return extension
  }

  /** Throws ConfigError when a listener does not allow it. */
  #take(key: string, { name, category }: DiscoveredConfig, extension: Extension, resource: XdsResource): void {
    const { ownName } = resource
    if (ownName !== name) throw new Error(`Unexpected resource name in ExtensionConfigDS response: ${ownName}`)
    const at = resource.at.field('typed_config')
    const places = [...extension.followed.users.values()].flat()
    const announced = typeUrlOf(resource)
    for (const place of places) checkType(place, announced, at)
    const any = resource.decodeWhole<TypedExtensionConfig>().typed_config as AnyMessage | undefined
    const warnings: string[] = []
    const parsed = parseAny(any, category, name, at, warnings)
    for (const { last } of places) checkTerminal(category, name, parsed.typeUrl, last, at)
    this.#checkAlone(any!, parsed, at)
    for (const text of warnings) this.#log.warning(text)
    extension.typeUrl = parsed.typeUrl
    this.#resources.putExtension(publish(key, resource.version, parsed))
    const kept = keptBytes(ECDS.typeName, Uint8Array.from(resource.bytes))
    this.#resources.dynamic.extensions.get(category)?.set(name, { ...kept, version: resource.version })
    extension.reloads.inc()
  }

  /** What a discovered filter itself would have to wait for is not followed. */
  #checkAlone({ message }: AnyMessage, { category, config, typeUrl }: ParsedExtension, at: FieldPath): void {
    const refuse = (what: string, advice: string): never => {
      throw new ConfigError('CONFIG_UNSUPPORTED', at, `${what} in a discovered filter`, { advice })
    }
    const { sharedGauges = 0 } = findFactory(category, typeUrl) as { sharedGauges?: number }
    if (sharedGauges > 0) refuse('limits over all workers', 'put the filter into the listener')
    if (sdsReferences(message).size > 0) refuse('SDS secrets', 'put the filter into the listener')
    if (!typeUrl.endsWith('.HttpConnectionManager')) return
    const { rds, route_config } = message as HcmProto
    if (rds !== undefined) refuse('rds', 'give it a route_config')
    if (discoveredOfManager(config as HcmConfig).length > 0) refuse('config_discovery', 'give typed_config')
    if (route_config !== undefined) this.#resources.checkRoutes(route_config, at.any().field('route_config'))
  }
}

/** Type of the configuration before it is decoded: TypedExtensionConfig {typed_config = 2 {type_url = 1}}. */
function typeUrlOf(resource: XdsResource): string {
  return resource.nested(2, 1)
}

/** Filters of a listener whose configuration is discovered. */
export function discoveredOf({ filterChains, defaultFilterChain }: ListenerConfig): DiscoveredConfig[] {
  const chains = defaultFilterChain === null ? filterChains : [...filterChains, defaultFilterChain]
  return chains.flatMap(chain =>
    chain.filters.flatMap(filter => {
      if (filter.typeUrl === DISCOVERED) return [filter.config as DiscoveredConfig]
      return filter.typeUrl.endsWith('.HttpConnectionManager') ? discoveredOfManager(filter.config as HcmConfig) : []
    }),
  )
}

function discoveredOfManager({ filters, upgrades }: HcmConfig): DiscoveredConfig[] {
  return [...discoveredFilters(filters), ...upgrades.flatMap(upgrade => discoveredFilters(upgrade.filters ?? []))]
}
