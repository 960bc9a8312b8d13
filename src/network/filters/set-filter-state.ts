import type { HeaderBlock } from '../../codec/header-block.ts'
import { type FilterStateValueConfig, parseFilterStateValues } from '../../config/filter-state-value.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { defineSupport } from '../../config/support.ts'
import type { Connection } from '../../io/connection.ts'
import { connectionInfo } from '../../telemetry/connection-info.ts'
import { FilterStateValues } from '../../telemetry/filter-state-values.ts'
import type { FormatContext } from '../../telemetry/format-context.ts'
import { NetVerdict, type NetworkFilter, type NetworkFilterFactory } from '../filter.ts'
import type { NetworkFilterExtension } from '../filter-factory.ts'

type Proto = envoy.extensions.filters.network.set_filter_state.v3.Config

const support = defineSupport<Proto>('envoy.extensions.filters.network.set_filter_state.v3.Config', {
  on_new_connection: 'yes',
  // These come after the filters behind have made up their minds.
  on_downstream_tls_handshake: 'reject',
  on_downstream_data: 'reject',
})

/** envoy.filters.network.set_filter_state */
export const networkSetFilterStateFactory: NetworkFilterExtension<Proto, readonly FilterStateValueConfig[]> = {
  category: 'envoy.filters.network',
  name: 'envoy.filters.network.set_filter_state',
  typeUrls: ['envoy.extensions.filters.network.set_filter_state.v3.Config'],
  terminal: false,
  parse(proto, at, warnings) {
    support.check(proto, at, warnings)
    return parseFilterStateValues(proto.on_new_connection ?? [], at.field('on_new_connection'), warnings)
  },
  create: config => new SetFilterState(config),
}

/** One instance serves every connection. */
class SetFilterState implements NetworkFilterFactory, NetworkFilter {
  readonly #values: FilterStateValues

  constructor(config: readonly FilterStateValueConfig[]) {
    this.#values = new FilterStateValues(config)
  }

  newInstance(): NetworkFilter {
    return this
  }

  onConnection(c: Connection): NetVerdict {
    this.#values.apply(new ConnectionContext(c))
    return NetVerdict.Continue
  }

  onData(): NetVerdict {
    return NetVerdict.Continue
  }

  onClose(): void {}
}

/** A connection for formatters. */
class ConnectionContext implements FormatContext {
  readonly info
  readonly requestHeaders: HeaderBlock | null = null
  readonly responseHeaders: HeaderBlock | null = null
  readonly responseTrailers: HeaderBlock | null = null
  readonly localReplyBody = ''

  constructor(c: Connection) {
    this.info = connectionInfo(c)
  }
}
