import { LOCAL_STATE, REMOTE_STATE } from '../../config/filter-state-value.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { metadataValue } from '../../config/value-match.ts'
import { parseHostPort } from '../../io/address.ts'
import type { Address } from '../../io/connection.ts'
import { originalDestination } from '../../io/original-dst.ts'
import type { SocketConnection } from '../../io/socket-connection.ts'
import { isTransparent } from '../../io/transparent-socket.ts'
import { AddressState } from '../../telemetry/filter-state-values.ts'
import type { StreamInfo } from '../../telemetry/stream-info.ts'
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
    if (directLocal.internal !== undefined) {
      restoreInternal(connection)
      return ListenerVerdict.Continue
    }
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

const METADATA = 'envoy.filters.listener.original_dst'

/** Whoever connected to an internal listener may say between whom the connection really is. */
function restoreInternal(connection: SocketConnection): void {
  const info = connection.streamInfo
  if (info === null) return
  const local = passedAddress(info, LOCAL_STATE, 'local')
  if (local !== null) {
    connection.local = local
    connection.localRestored = true
  }
  const remote = passedAddress(info, REMOTE_STATE, 'remote')
  if (remote !== null) connection.remote = remote
}

/** Metadata comes before filter state. */
function passedAddress(info: StreamInfo, state: string, metadata: string): Address | null {
  const text = metadataValue(info.dynamicMetadata, METADATA, [metadata])
  if (typeof text === 'string') return parseHostPort(text)
  const object = info.state(state)
  return object instanceof AddressState ? object.address : null
}
