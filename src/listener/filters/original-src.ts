import type { envoy } from '../../config/gen/messages.d.ts'
import { defineSupport } from '../../config/support.ts'
import { ipAddress, isPipe } from '../../io/address.ts'
import {
  type ListenerFilter,
  type ListenerFilterExtension,
  ListenerVerdict,
  type PendingConnection,
} from './listener-filter.ts'

type Proto = envoy.extensions.filters.listener.original_src.v3.OriginalSrc

const support = defineSupport<Proto>('envoy.extensions.filters.listener.original_src.v3.OriginalSrc', {
  // Envoy reads it and binds to no port all the same ("not implemented" in its API).
  bind_port: 'warn',
  mark: 'yes',
})

/** envoy.filters.listener.original_src: upstream connections come from the client's address (TPROXY). */
export const originalSrcFactory: ListenerFilterExtension<Proto, { readonly mark: number }> = {
  category: 'envoy.filters.listener',
  name: 'envoy.filters.listener.original_src',
  typeUrls: ['envoy.extensions.filters.listener.original_src.v3.OriginalSrc'],
  parse(proto, at, warnings) {
    support.check(proto, at, warnings)
    return { mark: proto.mark ?? 0 }
  },
  create: config => new OriginalSrc(config.mark),
}

class OriginalSrc implements ListenerFilter {
  readonly maxBytes = 0
  readonly #mark: number

  constructor(mark: number) {
    this.#mark = mark
  }

  inspect({ connection }: PendingConnection): ListenerVerdict {
    const { remote } = connection
    if (!isPipe(remote)) connection.upstreamSource = { address: ipAddress(remote.ip, 0), mark: this.#mark }
    return ListenerVerdict.Continue
  }
}
