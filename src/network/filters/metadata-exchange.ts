import type { envoy } from '../../config/gen/messages.d.ts'
import type { Connection } from '../../io/connection.ts'
import { connectionInfo } from '../../telemetry/connection-info.ts'
import { upstreamPeerAddress } from '../../telemetry/peer-address.ts'
import { UPSTREAM_PEER, UPSTREAM_PEER_OBJECT } from '../../telemetry/workload-metadata.ts'
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

class Exchanges implements NetworkFilterFactory {
  readonly #exchange: MetadataExchange

  constructor(exchange: MetadataExchange) {
    this.#exchange = exchange
  }

  newInstance(): NetworkFilter {
    return new Exchange(this.#exchange)
  }
}

class Exchange implements NetworkFilter {
  readonly #exchange: MetadataExchange
  /** The client takes no part, so that the server it gets, once that is chosen, is looked up, too. */
  #serverUnknown = false

  constructor(exchange: MetadataExchange) {
    this.#exchange = exchange
  }

  /** Which protocol was negotiated is known after the handshake, and nothing may be written before our metadata. */
  onConnection(c: Connection): NetVerdict {
    if (c.encrypted && c.tls === null) return NetVerdict.UntilSecured
    this.onSecured(c)
    return NetVerdict.Continue
  }

  onSecured(c: Connection): void {
    const takesPart = this.#exchange.onConnected(c, c.remote.ip)
    this.#serverUnknown = !takesPart && this.#exchange.workloads !== null
  }

  onUpstreamConnected(c: Connection): void {
    if (this.#serverUnknown) this.#findServer(c)
  }

  onData(): NetVerdict {
    return NetVerdict.Continue
  }

  onClose(): void {}

  /** Who the connection was given to: a waypoint reports for that end as well. */
  #findServer(c: Connection): void {
    const info = connectionInfo(c)
    const ip = upstreamPeerAddress(info.upstreamHost, info.hostMetadata)
    const server = ip === '' ? null : this.#exchange.workloads!.get(ip)
    if (server === null) return
    info.setState(UPSTREAM_PEER, server)
    info.setState(UPSTREAM_PEER_OBJECT, server)
  }
}
