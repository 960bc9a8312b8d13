import { ConfigError } from '../base/errors.ts'
import type { FieldPath } from './field-path.ts'
import type { envoy } from './gen/messages.d.ts'
import { type ExtensionCategory, findFactory, type ParsedExtension, parseAny } from './registry.ts'
import type { ExtensionSource } from './services.ts'

type Proto = envoy.config.core.v3.ExtensionConfigSource

/** Stands for the type of a filter that has none yet. */
export const DISCOVERED = 'envoy.config.core.v3.ExtensionConfigSource'

/** A filter whose configuration comes by ECDS: plain data, cloneable. */
export interface DiscoveredConfig {
  /** Of the filter, and of the resource. */
  readonly name: string
  readonly category: ExtensionCategory
  readonly source: envoy.config.core.v3.ConfigSource
  /** Full names of the types it may have. */
  readonly types: readonly string[]
  /** default_config; null = without a configuration requests and connections are refused. */
  readonly fallback: ParsedExtension | null
  /** The listener waits for the first configuration (not apply_default_config_without_warming). */
  readonly waits: boolean
  /** Place in the chain: the last one must be terminal, the others must not. */
  readonly last: boolean
}

/** Throws ConfigError in Envoy's words (filter_chain_helper.cc, config_discovery_impl.h). */
export function parseDiscovered(
  proto: Proto,
  category: ExtensionCategory,
  name: string,
  last: boolean,
  at: FieldPath,
  warnings: string[],
): DiscoveredConfig {
  const fallback = proto.default_config
  const waits = proto.apply_default_config_without_warming !== true
  if (!waits && fallback === undefined) {
    const text = `Error: filter config ${name} applied without warming but has no default config.`
    throw new ConfigError('CONFIG_INVALID', at.field('apply_default_config_without_warming'), text)
  }
  const types = (proto.type_urls ?? []).map((url, i) => {
    const type = url.slice(url.lastIndexOf('/') + 1)
    if (findFactory(category, type) === null) {
      const text = `Error: no factory found for a required type URL ${type}.`
      throw new ConfigError('CONFIG_UNREGISTERED', at.field('type_urls').index(i), text, {
        advice: `docs/support-matrix.md lists the extensions of ${category}`,
      })
    }
    return type
  })
  const config: DiscoveredConfig = {
    name,
    category,
    source: proto.config_source ?? {},
    types,
    fallback: null,
    waits,
    last,
  }
  if (fallback === undefined) return config
  const place = at.field('default_config')
  checkType(config, fallback.type_url, place)
  const parsed = parseAny(fallback, category, name, place, warnings)
  checkTerminal(category, name, parsed.typeUrl, last, place)
  return { ...config, fallback: parsed }
}

/** Throws ConfigError when the type is none of those that are allowed. */
export function checkType({ types }: DiscoveredConfig, typeUrl: string, at: FieldPath): void {
  const type = typeUrl.slice(typeUrl.lastIndexOf('/') + 1)
  if (types.includes(type)) return
  const text = `Error: filter config has type URL ${type} but expect ${types.join(', ')}.`
  throw new ConfigError('CONFIG_ANY_TYPE', at, text)
}

/** Throws ConfigError when a filter that ends a chain is not its last one, or the last one does not end it. */
export function checkTerminal(
  category: ExtensionCategory,
  name: string,
  typeUrl: string,
  last: boolean,
  at: FieldPath,
): void {
  if (isTerminal(category, typeUrl) === last) return
  const http = category === 'envoy.filters.http'
  const chain = http ? 'http' : 'network'
  const type = findFactory(category, typeUrl)?.name ?? typeUrl
  const text = last
    ? `Error: non-terminal filter named ${name} of type ${type} is the last filter in a ${chain} filter chain.`
    : `Error: terminal filter named ${name} of type ${type} must be the last filter in a ${chain} filter chain.`
  throw new ConfigError('CONFIG_INVALID', at, text, {
    advice: http ? 'the router comes once: at the end' : undefined,
  })
}

function isTerminal(category: ExtensionCategory, typeUrl: string): boolean {
  return (findFactory(category, typeUrl) as { readonly terminal?: boolean } | null)?.terminal === true
}

/** What a worker makes the filter of now: what was discovered, if it fits this place, or the default; null = nothing. */
export function resolveDiscovered(config: DiscoveredConfig, extensions: ExtensionSource): ParsedExtension | null {
  const found = extensions.get(config.category, config.name)
  const fits =
    found !== null && config.types.includes(found.typeUrl) && isTerminal(config.category, found.typeUrl) === config.last
  return fits ? found : config.fallback
}
