import { type DiscoveredConfig, resolveDiscovered } from '../config/discovered.ts'
import { findFactory, type ParsedExtension } from '../config/registry.ts'
import { CloseHow, type Connection } from '../io/connection.ts'
import { NetVerdict, type NetworkFilter, type NetworkFilterFactory, type ReadContinuation } from './filter.ts'
import type { NetworkFilterExtension, NetworkFilterServices } from './filter-factory.ts'

/** A network filter that comes by ECDS: a connection has the one that was there when it began. */
export class DiscoveredNetworkFilter implements NetworkFilterFactory {
  readonly #config: DiscoveredConfig
  readonly #services: NetworkFilterServices
  #made: ParsedExtension | null = null
  #factory: NetworkFilterFactory | null = null

  constructor(config: DiscoveredConfig, services: NetworkFilterServices) {
    this.#config = config
    this.#services = services
  }

  newInstance(c: Connection, chain: ReadContinuation): NetworkFilter {
    return this.#current()?.newInstance(c, chain) ?? new ClosingFilter()
  }

  #current(): NetworkFilterFactory | null {
    const now = resolveDiscovered(this.#config, this.#services.extensions)
    if (now !== this.#made) {
      this.#made = now
      this.#factory = now === null ? null : make(now, this.#services)
    }
    return this.#factory
  }
}

function make({ typeUrl, config }: ParsedExtension, services: NetworkFilterServices): NetworkFilterFactory {
  const factory = findFactory('envoy.filters.network', typeUrl) as unknown as NetworkFilterExtension<object, unknown>
  return factory.create(config, services)
}

/** Without a configuration there is no chain, and without a chain no connection. */
class ClosingFilter implements NetworkFilter {
  onConnection(c: Connection): NetVerdict {
    c.close(CloseHow.NoFlush)
    return NetVerdict.Stop
  }

  onData(): NetVerdict {
    return NetVerdict.Stop
  }

  onClose(): void {}
}
