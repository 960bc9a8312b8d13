import type { envoy } from '../../config/gen/messages.d.ts'
import { originalDestination } from '../../io/original-dst.ts'
import { isTransparent } from '../../io/transparent-socket.ts'
import {
  type ListenerFilter,
  type ListenerFilterExtension,
  ListenerVerdict,
  type PendingConnection,
} from './listener-filter.ts'

type Proto = envoy.extensions.filters.listener.original_dst.v3.OriginalDst

/** envoy.filters.listener.original_dst: the address before iptables REDIRECT; under TPROXY the local address is it already. */
export const originalDstFactory: ListenerFilterExtension<Proto, null> = {
  category: 'envoy.filters.listener',
  name: 'envoy.filters.listener.original_dst',
  typeUrls: ['envoy.extensions.filters.listener.original_dst.v3.OriginalDst'],
  parse: () => null,
  create: () => new OriginalDst(),
}

class OriginalDst implements ListenerFilter {
  readonly maxBytes = 0

  inspect({ connection }: PendingConnection): ListenerVerdict {
    const { fd, directLocal } = connection
    const ipv6 = directLocal.ip.includes(':')
    const original = originalDestination(fd, ipv6)
    // A connection that was not redirected has itself as its original destination: nothing is restored then.
    if (original !== null && original.text !== directLocal.text) {
      connection.local = original
      connection.localRestored = true
    } else if (isTransparent(fd, ipv6)) connection.localRestored = true
    return ListenerVerdict.Continue
  }
}
