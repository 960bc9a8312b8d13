import { readDataSource } from '../../config/data-source.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { CloseHow, type Connection } from '../../io/connection.ts'
import { NetVerdict, type NetworkFilter, type NetworkFilterFactory } from '../filter.ts'
import type { NetworkFilterExtension } from '../filter-factory.ts'

export interface DirectResponseConfig {
  readonly body: Uint8Array
}

/** envoy.filters.network.direct_response */
export const directResponseFactory: NetworkFilterExtension<
  envoy.extensions.filters.network.direct_response.v3.Config,
  DirectResponseConfig
> = {
  category: 'envoy.filters.network',
  name: 'envoy.filters.network.direct_response',
  typeUrls: ['envoy.extensions.filters.network.direct_response.v3.Config'],
  terminal: true,
  parse(proto, at) {
    const body = proto.response === undefined ? null : readDataSource(proto.response, at.field('response'))
    return { body: body ?? new Uint8Array(0) }
  },
  create: config => new DirectResponse(config.body),
}

class DirectResponse implements NetworkFilter, NetworkFilterFactory {
  readonly #body: Uint8Array

  constructor(body: Uint8Array) {
    this.#body = body
  }

  newInstance(): NetworkFilter {
    return this
  }

  onConnection(c: Connection): NetVerdict {
    // The body is shared by all connections: the receiver of a chunk owns it, so each gets a copy.
    if (this.#body.length > 0) c.write(Buffer.from(this.#body))
    c.close(CloseHow.Flush)
    return NetVerdict.Stop
  }

  onData(): NetVerdict {
    return NetVerdict.Stop
  }

  onClose(): void {}
}
