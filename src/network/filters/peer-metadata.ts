import type { envoy } from '../../config/gen/messages.d.ts'
import type { NodeInfo } from '../../config/services.ts'
import { defineSupport } from '../../config/support.ts'
import type { Connection } from '../../io/connection.ts'
import { connectionInfo } from '../../telemetry/connection-info.ts'
import { ownWorkload, WorkloadMetadata, workloadOfBaggage } from '../../telemetry/workload-metadata.ts'
import { isDiscoveryDisabled, peerPreamble } from '../../upstream/filters/peer-metadata.ts'
import { NetVerdict, type NetworkFilter, type NetworkFilterFactory } from '../filter.ts'
import type { NetworkFilterExtension } from '../filter-factory.ts'
import { RESPONSE_HEADERS, TunnelHeaders } from '../tcp-tunnel.ts'

type Proto = envoy.extensions.network_filters.peer_metadata.Config

const TYPE = 'envoy.extensions.network_filters.peer_metadata.Config'
const support = defineSupport<Proto>(TYPE, { baggage_key: 'yes' })

/**
 * envoy.filters.network.peer_metadata, of an internal listener that makes tunnels: who we are, for the CONNECT request of tcp_proxy
 * to say, and what the answer says of the other end, ahead of the stream to whoever connected (upstream/filters/peer-metadata.ts).
 */
export const networkPeerMetadataFactory: NetworkFilterExtension<Proto, string> = {
  category: 'envoy.filters.network',
  name: 'envoy.filters.network.peer_metadata',
  typeUrls: [TYPE],
  terminal: false,
  parse(proto, at, warnings) {
    support.check(proto, at, warnings)
    return proto.baggage_key ?? ''
  },
  create: (baggageKey, services) => new PeerMetadata(baggageKey, services.node),
}

/** One instance serves every connection. */
class PeerMetadata implements NetworkFilterFactory, NetworkFilter {
  /** Filter state; '' = nobody asks who we are. */
  readonly #baggageKey: string
  readonly #baggage: string

  constructor(baggageKey: string, node: NodeInfo) {
    this.#baggageKey = baggageKey
    this.#baggage = Buffer.from(ownWorkload(node, []).baggage(), 'utf8').toString('latin1')
  }

  newInstance(): NetworkFilter {
    return this
  }

  onConnection(c: Connection): NetVerdict {
    if (this.#baggageKey !== '') connectionInfo(c).setState(this.#baggageKey, this.#baggage)
    return NetVerdict.Continue
  }

  /** The real filter waits for the first bytes of the other end; what stands first is the same. */
  onUpstreamConnected(c: Connection): void {
    const info = connectionInfo(c)
    if (isDiscoveryDisabled(info.dynamicMetadata)) return
    const answer = info.state(RESPONSE_HEADERS)
    const baggage = answer instanceof TunnelHeaders ? answer.get('baggage') : undefined
    if (baggage === undefined) {
      c.write(peerPreamble(null))
      return
    }
    const { fields } = workloadOfBaggage(Buffer.from(baggage, 'latin1').toString('utf8'))
    const identity = info.upstreamTls === null ? '' : info.upstreamTls.peerUriSans.join(',')
    c.write(peerPreamble(new WorkloadMetadata({ ...fields, identity })))
  }

  onData(): NetVerdict {
    return NetVerdict.Continue
  }

  onClose(): void {}
}
