import type { envoy } from '../../config/gen/messages.d.ts'
import { decodeStruct, delimited, encodeStruct } from '../../config/struct-wire.ts'
import { defineSupport } from '../../config/support.ts'
import type { Connection, Prelude } from '../../io/connection.ts'
import { connectionInfo } from '../../telemetry/connection-info.ts'
import { NO_PEER, UPSTREAM_PEER, type WorkloadMetadata, workloadOfStruct } from '../../telemetry/workload-metadata.ts'
import type { UpstreamNetworkFilter, UpstreamNetworkFilterFactory } from '../network-filter.ts'
import type { Host } from '../upstream.ts'
import { anyValue } from './metadata-exchange.ts'

type Proto = envoy.extensions.network_filters.peer_metadata.UpstreamConfig

const TYPE = 'envoy.extensions.network_filters.peer_metadata.UpstreamConfig'
const support = defineSupport<Proto>(TYPE, {})

/**
 * envoy.filters.network.upstream.peer_metadata: what the tunnel of a connection has learned of its other end, the internal listener
 * that makes the tunnel writes ahead of the stream (istio/proxy source/extensions/filters/network/peer_metadata). Read here.
 */
export const upstreamPeerMetadataFactory: UpstreamNetworkFilterFactory<Proto, null> = {
  category: 'envoy.filters.upstream_network',
  name: 'envoy.filters.network.upstream.peer_metadata',
  typeUrls: [TYPE],
  parse(proto, at, warnings) {
    support.check(proto, at, warnings)
    return null
  },
  create: () => new PeerMetadataReader(),
}

const MAGIC = 0xabcd1234
const STRUCT = Buffer.from('type.googleapis.com/google.protobuf.Struct')
const HEADER_SIZE = 8
/** Both ends are in this process, but what a listener sends is what a configuration says. */
const MAX_METADATA = 64 * 1024
/** Internal listeners that make tunnels: others write nothing ahead. */
const TUNNELS = new Set(['connect_originate', 'inner_connect_originate', 'internal_outbound'])

type Metadata = Readonly<Record<string, unknown>> | null

/** The control plane says so where something stands between the two ends: TLS, or PROXY protocol. */
export function isDiscoveryDisabled(metadata: Metadata): boolean {
  const own = metadata?.['istio.peer_metadata'] as Metadata | undefined
  return own?.['disable_baggage_discovery'] === true
}

/** What goes ahead of the stream; null = nobody is known. */
export function peerPreamble(peer: WorkloadMetadata | null): Buffer {
  const struct = peer === null ? null : encodeStruct(peer.toStruct())
  const any = struct === null ? Buffer.alloc(0) : Buffer.concat([delimited(1, STRUCT), delimited(2, struct)])
  const header = Buffer.alloc(HEADER_SIZE)
  header.writeUInt32LE(MAGIC, 0)
  header.writeUInt32LE(any.length, 4)
  return Buffer.concat([header, any])
}

/** One object serves all connections of a cluster. */
class PeerMetadataReader implements UpstreamNetworkFilter {
  onConnected(c: Connection, { address, metadata, cluster }: Host): void {
    if (address.internal === undefined || !TUNNELS.has(address.internal.listener)) return
    if (isDiscoveryDisabled(metadata) || isDiscoveryDisabled(cluster.metadata)) return
    // Made now: whoever uses the connection keeps it, and finds the peer there later.
    connectionInfo(c)
    c.prelude = new PreambleReader()
  }
}

class PreambleReader implements Prelude {
  #bytes: Uint8Array = new Uint8Array(0)

  read(c: Connection, chunk: Uint8Array, end: boolean): Uint8Array | null {
    const bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk])
    if (bytes.length < HEADER_SIZE) return end ? leave(c, bytes, null) : this.#wait(bytes)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const size = view.getUint32(4, true)
    if (view.getUint32(0, true) !== MAGIC || size > MAX_METADATA) return leave(c, bytes, null)
    if (bytes.length < HEADER_SIZE + size) return end ? leave(c, bytes, null) : this.#wait(bytes)
    const rest = bytes.subarray(HEADER_SIZE + size)
    return leave(c, rest, size === 0 ? null : peerOf(bytes.subarray(HEADER_SIZE, HEADER_SIZE + size)))
  }

  #wait(bytes: Uint8Array): null {
    this.#bytes = bytes
    return null
  }
}

function leave(c: Connection, rest: Uint8Array, peer: WorkloadMetadata | null): Uint8Array {
  c.prelude = null
  if (peer === null) connectionInfo(c).setState(NO_PEER, true)
  else connectionInfo(c).setState(UPSTREAM_PEER, peer)
  return rest
}

function peerOf(any: Uint8Array): WorkloadMetadata | null {
  try {
    return workloadOfStruct(decodeStruct(anyValue(any)), [])
  } catch {
    return null
  }
}
