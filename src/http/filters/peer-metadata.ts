import { flat } from '../../base/flat.ts'
import type { HeaderBlock } from '../../codec/header-block.ts'
import type { FieldPath } from '../../config/field-path.ts'
import type { io } from '../../config/gen/messages.d.ts'
import type { WorkloadSource } from '../../config/services.ts'
import { decodeStruct, encodeStruct } from '../../config/struct-wire.ts'
import { defineSupport } from '../../config/support.ts'
import { isBehindGateway, upstreamPeerAddress } from '../../telemetry/peer-address.ts'
import {
  DOWNSTREAM_PEER,
  DOWNSTREAM_PEER_OBJECT,
  ownWorkload,
  UPSTREAM_PEER,
  UPSTREAM_PEER_OBJECT,
  WorkloadMetadata,
  workloadOfBaggage,
  workloadOfStruct,
} from '../../telemetry/workload-metadata.ts'
import type { Cluster } from '../../upstream/upstream.ts'
import { HeadersVerdict, type HttpFilter } from '../filter.ts'
import type { HttpFilterFactory, HttpFilterServices } from '../filter-factory.ts'
import type { StreamContext } from '../stream-context.ts'

type Proto = io.istio.http.peer_metadata.Config
type Discovery = io.istio.http.peer_metadata.Config_DiscoveryMethod
type Propagation = io.istio.http.peer_metadata.Config_PropagationMethod

const support = defineSupport<Proto>('io.istio.http.peer_metadata.Config', {
  downstream_discovery: 'yes',
  upstream_discovery: 'yes',
  downstream_propagation: 'yes',
  upstream_propagation: 'yes',
  shared_with_upstream: 'yes',
  additional_labels: 'yes',
})

interface DiscoveryConfig {
  readonly kind: 'headers' | 'baggage' | 'workloads' | 'upstream-state'
  /** Of the filter state of the upstream connection. */
  readonly key: string
}

type PropagationConfig = { readonly kind: 'headers'; readonly skipExternal: boolean } | { readonly kind: 'baggage' }

interface PeerMetadataConfig {
  /** Methods in the order of precedence. */
  readonly downstreamDiscovery: readonly DiscoveryConfig[]
  readonly upstreamDiscovery: readonly DiscoveryConfig[]
  readonly downstreamPropagation: readonly PropagationConfig[]
  readonly upstreamPropagation: readonly PropagationConfig[]
  /** An internal listener behind this one knows of the peers, too. */
  readonly shared: boolean
  readonly additionalLabels: readonly string[]
}

/**
 * io.istio.http.peer_metadata (Istio names it istio.metadata_exchange): learns from headers who the peer is, for telemetry, and
 * tells the peer who we are (istio/proxy source/extensions/filters/http/peer_metadata).
 */
export const peerMetadataFactory: HttpFilterFactory<Proto, PeerMetadataConfig> = {
  category: 'envoy.filters.http',
  name: 'envoy.filters.http.peer_metadata',
  typeUrls: ['io.istio.http.peer_metadata.Config'],
  parse(proto, at, warnings) {
    support.check(proto, at, warnings)
    const discovery = (name: 'downstream_discovery' | 'upstream_discovery') =>
      (proto[name] ?? []).flatMap((m, i) => parseDiscovery(m, name, at.field(name).index(i), warnings))
    return {
      downstreamDiscovery: discovery('downstream_discovery'),
      upstreamDiscovery: discovery('upstream_discovery'),
      downstreamPropagation: (proto.downstream_propagation ?? []).flatMap(parsePropagation),
      upstreamPropagation: (proto.upstream_propagation ?? []).flatMap(parsePropagation),
      shared: proto.shared_with_upstream ?? false,
      additionalLabels: proto.additional_labels ?? [],
    }
  },
  create: (config, services) => new PeerMetadataFilter(config, services),
}

function parseDiscovery(
  proto: Discovery,
  direction: 'downstream_discovery' | 'upstream_discovery',
  at: FieldPath,
  warnings: string[],
): DiscoveryConfig[] {
  if (proto.istio_headers !== undefined) return [{ kind: 'headers', key: '' }]
  if (proto.workload_discovery !== undefined) return [{ kind: 'workloads', key: '' }]
  if (proto.baggage !== undefined) {
    if (direction === 'downstream_discovery') return [{ kind: 'baggage', key: '' }]
    warnings.push(`${at}: baggage tells nothing of upstream peers`)
  }
  if (proto.upstream_filter_state !== undefined) {
    if (direction === 'upstream_discovery') {
      return [{ kind: 'upstream-state', key: proto.upstream_filter_state.peer_metadata_key ?? '' }]
    }
    warnings.push(`${at}: upstream_filter_state tells nothing of downstream peers`)
  }
  return []
}

function parsePropagation(proto: Propagation): PropagationConfig[] {
  if (proto.istio_headers !== undefined) {
    return [{ kind: 'headers', skipExternal: proto.istio_headers.skip_external_clusters ?? false }]
  }
  return proto.baggage === undefined ? [] : [{ kind: 'baggage' }]
}

const METADATA = 'x-envoy-peer-metadata'
const METADATA_ID = 'x-envoy-peer-metadata-id'
const ORIGIN_NETWORK = 'x-forwarded-network'
/** Peers remembered by their id, so that their metadata is decoded once. */
const MAX_PEERS = 500

const Asked = { Metadata: 1, Id: 2 } as const

class PeerState {
  /** Which of the two headers the client sent: it is told as much. */
  asked = 0
}

class PeerMetadataFilter implements HttpFilter<PeerState> {
  index = 0
  name = ''
  readonly #config: PeerMetadataConfig
  readonly #workloads: WorkloadSource
  readonly #network: string
  readonly #id: string
  readonly #value: string
  readonly #baggage: string
  readonly #peers = new Map<string, WorkloadMetadata>()

  constructor(config: PeerMetadataConfig, services: HttpFilterServices) {
    this.#config = config
    const own = ownWorkload(services.node, config.additionalLabels)
    this.#workloads = services.workloads
    const network = services.node.metadata['NETWORK']
    this.#network = typeof network === 'string' ? network : ''
    this.#id = services.node.id
    this.#value = encodeStruct(own.toStruct()).toString('base64')
    this.#baggage = Buffer.from(own.baggage(), 'utf8').toString('latin1')
  }

  newState(): PeerState {
    return new PeerState()
  }

  decodeHeaders(s: StreamContext, h: HeaderBlock): HeadersVerdict {
    const { downstreamDiscovery, upstreamPropagation } = this.#config
    if (downstreamDiscovery.length > 0) this.#discover(s, h, downstreamDiscovery, true)
    if (upstreamPropagation.length > 0) {
      s.route()
      this.#tell(s, h, upstreamPropagation, METADATA_BITS)
    }
    return HeadersVerdict.Continue
  }

  encodeHeaders(s: StreamContext, h: HeaderBlock): HeadersVerdict {
    const { upstreamDiscovery, downstreamPropagation } = this.#config
    if (upstreamDiscovery.length > 0) this.#discover(s, h, upstreamDiscovery, false)
    if (downstreamPropagation.length > 0) {
      this.#tell(s, h, downstreamPropagation, s.hasSlot(this.index) ? (s.slot(this.index) as PeerState).asked : 0)
    }
    return HeadersVerdict.Continue
  }

  #discover(s: StreamContext, h: HeaderBlock, methods: readonly DiscoveryConfig[], downstream: boolean): void {
    let peer: WorkloadMetadata | null = null
    for (let i = 0; i < methods.length && peer === null; i++) {
      const { kind, key } = methods[i]!
      if (kind === 'upstream-state') {
        const known = s.info.upstream?.state(key)
        if (known instanceof WorkloadMetadata) peer = known
        continue
      }
      if (kind === 'workloads') {
        peer = downstream ? this.#client(s, h) : this.#server(s)
        continue
      }
      if (kind === 'baggage') {
        const baggage = h.get('baggage')
        if (baggage !== undefined) peer = workloadOfBaggage(Buffer.from(baggage, 'latin1').toString('utf8'))
        continue
      }
      const id = h.get(METADATA_ID)
      const value = h.get(METADATA)
      if (downstream && (id !== undefined || value !== undefined)) {
        const state = s.slot(this.index) as PeerState
        state.asked = (value === undefined ? 0 : Asked.Metadata) | (id === undefined ? 0 : Asked.Id)
      }
      if (value !== undefined && value !== '') peer = this.#lookUp(id ?? '', value)
    }
    if (removesHeaders(methods)) {
      h.remove(METADATA_ID)
      h.remove(METADATA)
    }
    const key = downstream ? DOWNSTREAM_PEER : UPSTREAM_PEER
    if (peer === null || s.info.state(key) !== undefined) return
    const sharing = this.#config.shared ? 'once' : 'none'
    s.info.setFilterState(key, peer, sharing, '')
    s.info.setFilterState(downstream ? DOWNSTREAM_PEER_OBJECT : UPSTREAM_PEER_OBJECT, peer, sharing, '')
  }

  /** By the address that the connection comes from: that of the pod, also when it comes out of a tunnel. */
  #client(s: StreamContext, h: HeaderBlock): WorkloadMetadata | null {
    const network = h.get(ORIGIN_NETWORK)
    // Addresses of another network may be in use in this one, too.
    if (network !== undefined && network !== this.#network) return null
    const { client, connection } = s.info
    const address = client ?? connection?.remote
    return address === undefined ? null : this.#workloads.get(address.ip)
  }

  #server({ info }: StreamContext): WorkloadMetadata | null {
    const { hostMetadata } = info
    if (isBehindGateway(hostMetadata)) return null
    return this.#workloads.get(upstreamPeerAddress(info.upstreamHost, hostMetadata))
  }

  #tell(s: StreamContext, h: HeaderBlock, methods: readonly PropagationConfig[], asked: number): void {
    for (let i = 0; i < methods.length; i++) {
      const method = methods[i]!
      if (method.kind === 'baggage') h.set('baggage', this.#baggage)
      else if (!staysHere(s.cluster, method.skipExternal)) {
        if ((asked & Asked.Id) !== 0) h.set(METADATA_ID, this.#id)
        if ((asked & Asked.Metadata) !== 0) h.set(METADATA, this.#value)
      }
    }
  }

  #lookUp(id: string, value: string): WorkloadMetadata | null {
    if (id !== '') {
      const known = this.#peers.get(id)
      if (known !== undefined) return known
    }
    let peer: WorkloadMetadata
    try {
      peer = workloadOfStruct(decodeStruct(Buffer.from(value, 'base64')), this.#config.additionalLabels)
    } catch {
      return null
    }
    if (id !== '') {
      if (this.#peers.size > MAX_PEERS) this.#forgetSome()
      // Not the head that it was cut from.
      this.#peers.set(flat(id), peer)
    }
    return peer
  }

  #forgetSome(): void {
    let left = MAX_PEERS / 4
    for (const id of this.#peers.keys()) {
      this.#peers.delete(id)
      if (--left === 0) return
    }
  }
}

function removesHeaders(methods: readonly DiscoveryConfig[]): boolean {
  for (let i = 0; i < methods.length; i++) if (methods[i]!.kind === 'headers') return true
  return false
}

const METADATA_BITS = Asked.Metadata | Asked.Id

/** Upstreams outside the mesh are not told who we are: cluster metadata `istio.external` or `istio.disable_mx`. */
function staysHere(cluster: Cluster | null, skipExternal: boolean): boolean {
  if (cluster === null) return false
  if (skipExternal && cluster.name === 'PassthroughCluster') return true
  const own = cluster.metadata?.['istio'] as Readonly<Record<string, unknown>> | undefined
  if (own === undefined) return false
  return (skipExternal && own['external'] === true) || own['disable_mx'] === true
}
