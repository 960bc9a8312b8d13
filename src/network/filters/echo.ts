import type { envoy } from '../../config/gen/messages.d.ts'
import { CloseHow, type Connection } from '../../io/connection.ts'
import { NetVerdict, type NetworkFilter, type NetworkFilterFactory } from '../filter.ts'
import type { NetworkFilterExtension } from '../filter-factory.ts'

/** envoy.filters.network.echo */
export const echoFactory: NetworkFilterExtension<envoy.extensions.filters.network.echo.v3.Echo, null> = {
  category: 'envoy.filters.network',
  name: 'envoy.filters.network.echo',
  typeUrls: ['envoy.extensions.filters.network.echo.v3.Echo'],
  terminal: true,
  parse: () => null,
  create: () => FACTORY,
}

/** It has no state: one object answers for all connections. */
class Echo implements NetworkFilter, NetworkFilterFactory {
  newInstance(): NetworkFilter {
    return this
  }

  onConnection(): NetVerdict {
    return NetVerdict.Continue
  }

  onData(c: Connection, d: Uint8Array, end: boolean): NetVerdict {
    if (d.length > 0) c.write(d)
    if (end) c.close(CloseHow.Flush)
    return NetVerdict.Stop
  }

  onClose(): void {}
}

const FACTORY = new Echo()
