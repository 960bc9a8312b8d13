import type { envoy } from '../../config/gen/messages.d.ts'
import type { Connection } from '../../io/connection.ts'
import {
  METADATA_EXCHANGE,
  MetadataExchange,
  type MetadataExchangeConfig,
  parseMetadataExchange,
} from '../../upstream/filters/metadata-exchange.ts'
import { NetVerdict, type NetworkFilter, type NetworkFilterFactory } from '../filter.ts'
import type { NetworkFilterExtension } from '../filter-factory.ts'

/** envoy.filters.network.metadata_exchange: Istio's exchange with clients; `upstream/filters` has the one with upstreams. */
export const metadataExchangeFactory: NetworkFilterExtension<
  envoy.tcp.metadataexchange.config.MetadataExchange,
  MetadataExchangeConfig
> = {
  category: 'envoy.filters.network',
  name: 'envoy.filters.network.metadata_exchange',
  typeUrls: [METADATA_EXCHANGE],
  terminal: false,
  parse: parseMetadataExchange,
  create: (config, services) => new Exchanges(new MetadataExchange(config, services, true)),
}

/** All state is the connection's: one instance serves every connection. */
class Exchanges implements NetworkFilterFactory, NetworkFilter {
  readonly #exchange: MetadataExchange

  constructor(exchange: MetadataExchange) {
    this.#exchange = exchange
  }

  newInstance(): NetworkFilter {
    return this
  }

  /** Which protocol was negotiated is known after the handshake, and nothing may be written before our metadata. */
  onConnection(c: Connection): NetVerdict {
    if (c.encrypted && c.tls === null) return NetVerdict.UntilSecured
    this.#exchange.onConnected(c)
    return NetVerdict.Continue
  }

  onSecured(c: Connection): void {
    this.#exchange.onConnected(c)
  }

  onData(): NetVerdict {
    return NetVerdict.Continue
  }

  onClose(): void {}
}
