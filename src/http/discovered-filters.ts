import { type DiscoveredConfig, resolveDiscovered } from '../config/discovered.ts'
import type { ParsedExtension } from '../config/registry.ts'
import type { ExtensionSource } from '../config/services.ts'
import { ResponseFlag } from '../telemetry/stream-info.ts'
import type { HttpFilterConfig } from './connection-manager-config.ts'
import { HeadersVerdict, type HttpFilter } from './filter.ts'
import { type CreateHttpFilter, HttpFilterChain } from './filter-chain.ts'
import type { StreamContext } from './stream-context.ts'

/** Where a connection manager gets the chain of a new stream from; a stream keeps the one it began with. */
export interface HttpFilterChainSource {
  current(): HttpFilterChain
}

/** The chain as it is when no filter is discovered. */
class FixedChain implements HttpFilterChainSource {
  readonly #chain: HttpFilterChain

  constructor(chain: HttpFilterChain) {
    this.#chain = chain
  }

  current(): HttpFilterChain {
    return this.#chain
  }
}

/** A chain with filters that come by ECDS: made anew when one of them changes, with the other filters as they are. */
class DiscoveredChain implements HttpFilterChainSource {
  readonly #configs: readonly HttpFilterConfig[]
  readonly #create: CreateHttpFilter
  readonly #extensions: ExtensionSource
  /** What each discovered filter was made of; null = it is missing. */
  readonly #made: (ParsedExtension | null)[] = []
  readonly #filters: HttpFilter[] = []
  #generation = -1
  #chain: HttpFilterChain | null = null

  constructor(configs: readonly HttpFilterConfig[], create: CreateHttpFilter, extensions: ExtensionSource) {
    this.#configs = configs
    this.#create = create
    this.#extensions = extensions
  }

  current(): HttpFilterChain {
    const { generation } = this.#extensions
    if (this.#chain !== null && this.#generation === generation) return this.#chain
    this.#generation = generation
    if (this.#refresh() || this.#chain === null) {
      this.#chain = new HttpFilterChain(this.#configs, (_config, i) => this.#filters[i]!)
    }
    return this.#chain
  }

  /** True: a filter is another one now. */
  #refresh(): boolean {
    let changed = false
    for (let i = 0; i < this.#configs.length; i++) {
      const config = this.#configs[i]!
      if (config.discovered === null) {
        this.#filters[i] ??= this.#create(config, i)
        continue
      }
      const now = resolveDiscovered(config.discovered, this.#extensions)
      if (this.#filters[i] !== undefined && this.#made[i] === now) continue
      changed = true
      this.#made[i] = now
      this.#filters[i] =
        now === null
          ? new MissingFilter()
          : this.#create({ ...config, factory: now.typeUrl, config: now.config, discovered: null }, i)
    }
    return changed
  }
}

export function httpFilterChain(
  configs: readonly HttpFilterConfig[],
  create: CreateHttpFilter,
  extensions: ExtensionSource,
): HttpFilterChainSource {
  return configs.some(config => config.discovered !== null)
    ? new DiscoveredChain(configs, create, extensions)
    : new FixedChain(new HttpFilterChain(configs, create))
}

/** Stands where a filter has no configuration (filter_chain_helper.cc, MissingConfigFilter). */
class MissingFilter implements HttpFilter {
  index = 0
  name = ''

  decodeHeaders(s: StreamContext): HeadersVerdict {
    s.info.setFlag(ResponseFlag.NoFilterConfigFound)
    s.sendLocalReply(500, '', '')
    return HeadersVerdict.StopIteration
  }
}

/** Filters of a chain that are discovered. */
export function discoveredFilters(configs: readonly HttpFilterConfig[]): DiscoveredConfig[] {
  return configs.flatMap(config => (config.discovered === null ? [] : [config.discovered]))
}
