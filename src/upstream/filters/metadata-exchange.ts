import type { FieldPath } from '../../config/field-path.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import type { WorkerServices, WorkloadSource } from '../../config/services.ts'
import { decodeStruct, delimited, encodeStruct } from '../../config/struct-wire.ts'
import { defineSupport } from '../../config/support.ts'
import { WireReader } from '../../config/wire-reader.ts'
import type { Connection, Prelude } from '../../io/connection.ts'
import type { Counter } from '../../stats/stats.ts'
import { connectionInfo } from '../../telemetry/connection-info.ts'
import { upstreamPeerAddress } from '../../telemetry/peer-address.ts'
import {
  DOWNSTREAM_PEER,
  DOWNSTREAM_PEER_OBJECT,
  NO_PEER,
  ownWorkload,
  UPSTREAM_PEER,
  UPSTREAM_PEER_OBJECT,
  workloadOfStruct,
} from '../../telemetry/workload-metadata.ts'
import type { UpstreamNetworkFilter, UpstreamNetworkFilterFactory } from '../network-filter.ts'
import type { Host } from '../upstream.ts'

type Proto = envoy.tcp.metadataexchange.config.MetadataExchange

const support = defineSupport<Proto>('envoy.tcp.metadataexchange.config.MetadataExchange', {
  protocol: 'yes',
  enable_discovery: 'yes',
  additional_labels: 'yes',
})

export interface MetadataExchangeConfig {
  /** ALPN protocol that a peer negotiates when it takes part. */
  readonly protocol: string
  readonly additionalLabels: readonly string[]
  /** Peers that take no part are looked up in the workload discovery. */
  readonly discover: boolean
}

/** Both directions of istio.metadata_exchange. */
export function parseMetadataExchange(proto: Proto, at: FieldPath, warnings: string[]): MetadataExchangeConfig {
  support.check(proto, at, warnings)
  return {
    protocol: proto.protocol ?? '',
    additionalLabels: proto.additional_labels ?? [],
    discover: proto.enable_discovery ?? false,
  }
}

export const METADATA_EXCHANGE = 'envoy.tcp.metadataexchange.config.MetadataExchange'

/** envoy.filters.network.upstream.metadata_exchange */
export const upstreamMetadataExchangeFactory: UpstreamNetworkFilterFactory<Proto, MetadataExchangeConfig> = {
  category: 'envoy.filters.upstream_network',
  name: 'envoy.filters.network.upstream.metadata_exchange',
  typeUrls: [METADATA_EXCHANGE],
  parse: parseMetadataExchange,
  create: (config, services) => new UpstreamExchange(new MetadataExchange(config, services, false)),
}

const MAGIC = 0x3d230467
const STRUCT = Buffer.from('type.googleapis.com/google.protobuf.Struct')
const HEADER_SIZE = 8
/** A peer that announces more is no sidecar; the real filter would wait for up to 4 GB. */
const MAX_METADATA = 64 * 1024

/**
 * Istio's exchange of workload metadata over TCP: when the TLS of a connection has negotiated the protocol, both sides begin with a
 * magic number, a length and a google.protobuf.Any (istio/proxy source/extensions/filters/network/metadata_exchange).
 */
export class MetadataExchange {
  readonly initialHeaderNotFound: Counter
  readonly headerNotFound: Counter
  readonly additionalLabels: readonly string[]
  readonly peerKey: string
  readonly peerObjectKey: string
  /** Null: peers are not looked up. */
  readonly workloads: WorkloadSource | null
  readonly #protocol: string
  readonly #hello: Buffer
  readonly #found: Counter
  readonly #notFound: Counter
  readonly #added: Counter

  constructor(config: MetadataExchangeConfig, services: WorkerServices, downstream: boolean) {
    this.#protocol = config.protocol
    this.workloads = config.discover ? services.workloads : null
    this.additionalLabels = config.additionalLabels
    this.peerKey = downstream ? DOWNSTREAM_PEER : UPSTREAM_PEER
    this.peerObjectKey = downstream ? DOWNSTREAM_PEER_OBJECT : UPSTREAM_PEER_OBJECT
    const own = ownWorkload(services.node, config.additionalLabels)
    const data = encodeStruct({ 'x-envoy-peer-metadata': own.toStruct(), 'x-envoy-peer-metadata-id': services.node.id })
    const any = Buffer.concat([delimited(1, STRUCT), delimited(2, data)])
    const header = Buffer.alloc(HEADER_SIZE)
    header.writeUInt32BE(MAGIC, 0)
    header.writeUInt32BE(any.length, 4)
    this.#hello = Buffer.concat([header, any])
    const scope = services.stats.scope('metadata_exchange.')
    this.#found = scope.counter('alpn_protocol_found')
    this.#notFound = scope.counter('alpn_protocol_not_found')
    this.initialHeaderNotFound = scope.counter('initial_header_not_found')
    this.headerNotFound = scope.counter('header_not_found')
    this.#added = scope.counter('metadata_added')
  }

  /**
   * Istio waits for the first bytes of either side; what stands first on the wire is the same. `peerIp`: where the peer is, for a
   * peer that does not take part. Returns whether it does.
   */
  onConnected(c: Connection, peerIp: string): boolean {
    // Made now: whoever uses the connection keeps it, and finds the peer there later.
    const info = connectionInfo(c)
    if ((c.tls === null ? '' : c.tls.alpn) !== this.#protocol) {
      this.#notFound.inc()
      const peer = this.workloads === null ? null : this.workloads.get(peerIp)
      if (peer === null) info.setState(NO_PEER, true)
      else {
        info.setState(this.peerKey, peer)
        info.setState(this.peerObjectKey, peer)
        this.#added.inc()
      }
      return false
    }
    this.#found.inc()
    c.write(Buffer.from(this.#hello))
    this.#added.inc()
    c.prelude = new PeerReader(this)
    return true
  }
}

class UpstreamExchange implements UpstreamNetworkFilter {
  readonly #exchange: MetadataExchange

  constructor(exchange: MetadataExchange) {
    this.#exchange = exchange
  }

  onConnected(c: Connection, { address, metadata }: Host): void {
    this.#exchange.onConnected(c, upstreamPeerAddress(address.text, metadata))
  }
}

/** Reads what the peer says of itself, and steps aside. */
class PeerReader implements Prelude {
  readonly #exchange: MetadataExchange
  #bytes: Uint8Array = new Uint8Array(0)

  constructor(exchange: MetadataExchange) {
    this.#exchange = exchange
  }

  read(c: Connection, chunk: Uint8Array, end: boolean): Uint8Array | null {
    const bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk])
    const exchange = this.#exchange
    if (bytes.length < HEADER_SIZE) {
      // Held back until the header is whole; a peer that ends before had nothing to say of itself.
      exchange.initialHeaderNotFound.inc()
      return end ? this.#leave(c, bytes, false) : this.#wait(bytes)
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const size = view.getUint32(4)
    if (view.getUint32(0) !== MAGIC || size > MAX_METADATA) {
      exchange.initialHeaderNotFound.inc()
      return this.#leave(c, bytes, true)
    }
    if (bytes.length < HEADER_SIZE + size) return end ? this.#leave(c, bytes, false) : this.#wait(bytes)
    const rest = bytes.subarray(HEADER_SIZE + size)
    try {
      const struct = decodeStruct(anyValue(bytes.subarray(HEADER_SIZE, HEADER_SIZE + size)))
      const metadata = struct['x-envoy-peer-metadata']
      if (metadata !== null && typeof metadata === 'object' && !Array.isArray(metadata)) {
        const peer = workloadOfStruct(metadata, exchange.additionalLabels)
        const info = connectionInfo(c)
        info.setState(exchange.peerKey, peer)
        info.setState(exchange.peerObjectKey, peer)
      }
    } catch {
      exchange.headerNotFound.inc()
      return this.#leave(c, rest, true)
    }
    return this.#leave(c, rest, false)
  }

  #wait(bytes: Uint8Array): null {
    this.#bytes = bytes
    return null
  }

  #leave(c: Connection, rest: Uint8Array, unknown: boolean): Uint8Array {
    c.prelude = null
    this.#bytes = new Uint8Array(0)
    if (unknown) connectionInfo(c).setState(NO_PEER, true)
    return rest
  }
}

/** `value` of a google.protobuf.Any. @throws WireError */
export function anyValue(bytes: Uint8Array): Uint8Array {
  const r = new WireReader(bytes)
  let value: Uint8Array = new Uint8Array(0)
  while (r.at < r.end) {
    const tag = r.uint32()
    if (tag === 18) {
      const end = r.delimited()
      value = bytes.subarray(r.at, end)
      r.at = end
    } else r.skip(tag & 7)
  }
  return value
}
