import { flat } from '../../base/flat.ts'
import type { NodeInfo } from '../../config/services.ts'
import { responseFlagNames } from '../response-flags.ts'
import type { StreamInfo } from '../stream-info.ts'
import {
  DOWNSTREAM_PEER_OBJECT,
  NO_PEER,
  UPSTREAM_PEER_OBJECT,
  type WorkloadFields,
  WorkloadMetadata,
  workloadOfEndpoint,
} from '../workload-metadata.ts'

/** Whose view a proxy reports: the client's, the server's, or that of a waypoint before several servers. */
export type Reporter = 'source' | 'destination' | 'waypoint'

type Metadata = Readonly<Record<string, unknown>> | null

const CLUSTERS = new Set([
  'BlackHoleCluster',
  'PassthroughCluster',
  'InboundPassthroughCluster',
  'InboundPassthroughClusterIpv4',
  'InboundPassthroughClusterIpv6',
])

/** What this proxy says of itself, from its node. */
export class OwnLabels {
  readonly workload: string
  readonly namespace: string
  readonly canonicalName: string
  readonly canonicalRevision: string
  readonly app: string
  readonly version: string
  readonly cluster: string
  readonly istioVersion: string

  constructor(node: NodeInfo) {
    const labels = node.metadata['LABELS']
    const label = (name: string): string =>
      typeof labels === 'object' && labels !== null ? text((labels as Record<string, unknown>)[name]) : ''
    this.workload = text(node.metadata['WORKLOAD_NAME'])
    this.namespace = text(node.metadata['NAMESPACE'])
    this.canonicalName = label('service.istio.io/canonical-name')
    this.canonicalRevision = label('service.istio.io/canonical-revision')
    this.app = label('app')
    this.version = label('version')
    this.cluster = text(node.metadata['CLUSTER_ID'])
    this.istioVersion = text(node.metadata['ISTIO_VERSION'])
  }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** The peer was read, or is known to be unknown (`peerInfoRead`). `info`: where the exchange left what it learned. */
export function peerKnown(reporter: Reporter, info: StreamInfo): boolean {
  const key = reporter === 'source' ? UPSTREAM_PEER_OBJECT : DOWNSTREAM_PEER_OBJECT
  return info.state(key) !== undefined || info.state(NO_PEER) !== undefined
}

function peerOf(key: string, info: StreamInfo): WorkloadFields | null {
  const peer = info.state(key)
  return peer instanceof WorkloadMetadata ? peer.fields : null
}

/** Envoy's default for an unknown service: what is known of a request. */
interface Service {
  host: string
  name: string
  namespace: string
}

/** All that the labels of a stream are made of: with equal facts they are equal. */
export class LabelFacts {
  #host = ''
  #routeName = ''
  #cluster = ''
  #clusterMetadata: Metadata = null
  #hostMetadata: Metadata = null
  #peer: WorkloadFields | null = null
  /** Of a waypoint: the server. */
  #endpoint: WorkloadFields | null = null
  #peerSan = ''
  #localSan = ''
  #flagOrder = 0

  /** `peers`: whose filter state has the peer. `host`: the authority, '' = not to be used. */
  read(reporter: Reporter, info: StreamInfo, peers: StreamInfo, host: string): void {
    this.#host = host
    this.#routeName = info.routeName
    this.#cluster = info.upstreamClusterName
    this.#clusterMetadata = info.clusterMetadata
    this.readFlags(info)
    if (reporter === 'source') this.#readServer(info, peers)
    else this.#readClient(reporter, info, peers)
  }

  /** They may be set until the stream is over. */
  readFlags(info: StreamInfo): void {
    this.#flagOrder = info.flagOrder
  }

  /** They are kept: the host must not hold the head that it was cut from. */
  keep(): void {
    this.#host = flat(this.#host)
  }

  equals(other: LabelFacts): boolean {
    return (
      this.#cluster === other.#cluster &&
      this.#peer === other.#peer &&
      this.#flagOrder === other.#flagOrder &&
      this.#host === other.#host &&
      this.#clusterMetadata === other.#clusterMetadata &&
      this.#hostMetadata === other.#hostMetadata &&
      this.#endpoint === other.#endpoint &&
      this.#peerSan === other.#peerSan &&
      this.#localSan === other.#localSan &&
      this.#routeName === other.#routeName
    )
  }

  /** '' before one is chosen. */
  get cluster(): string {
    return this.#cluster
  }

  /**
   * Fills `tags` with what is known of both ends, in the order of Istio's labels (istio_stats.cc, populatePeerInfo).
   * @returns true, false or null: mutual TLS?
   */
  peerLabels(tags: string[], reporter: Reporter, own: OwnLabels): boolean | null {
    const service = serviceOf(this.#host, this.#routeName, this.#cluster, this.#clusterMetadata)
    if (reporter === 'source') {
      this.#clientLabels(tags, own, service)
      return null
    }
    this.#serverLabels(tags, reporter, own, service)
    return this.#peerSan !== '' && this.#localSan !== ''
  }

  /** Response flags and whether the connection was secured. */
  securityLabels(tags: string[], mutualTls: boolean | null): void {
    tags.push('response_flags', responseFlagNames(this.#flagOrder, false))
    tags.push('connection_security_policy', mutualTls === null ? 'unknown' : mutualTls ? 'mutual_tls' : 'none')
  }

  #readServer(info: StreamInfo, peers: StreamInfo): void {
    const found = peerOf(UPSTREAM_PEER_OBJECT, peers)
    const tls = info.upstreamTls
    this.#peer = found
    this.#hostMetadata = found === null ? info.hostMetadata : null
    this.#peerSan = (tls === null ? '' : (tls.peerUriSans[0] ?? '')) || (found === null ? '' : found.identity)
    this.#localSan = tls === null ? '' : (tls.localUriSans[0] ?? '')
  }

  #readClient(reporter: Reporter, info: StreamInfo, peers: StreamInfo): void {
    this.#peer = peerOf(DOWNSTREAM_PEER_OBJECT, peers)
    this.#endpoint = reporter === 'waypoint' ? peerOf(UPSTREAM_PEER_OBJECT, peers) : null
    this.#peerSan = text(info.state('io.istio.peer_principal'))
    this.#localSan = text(info.state('io.istio.local_principal'))
    const tls = info.connection === null ? null : info.connection.tls
    if (this.#peerSan !== '' || this.#localSan !== '' || tls === null) return
    this.#peerSan = tls.peerUriSans[0] ?? ''
    this.#localSan = tls.localUriSans[0] ?? ''
  }

  #clientLabels(tags: string[], own: OwnLabels, service: Service): void {
    const peer = this.#peer ?? endpointPeer(this.#hostMetadata)
    const namespace = namespaceOf(this.#peerSan) || (peer === null ? '' : peer.namespace)
    tags.push('source_workload', own.workload)
    tags.push('source_canonical_service', own.canonicalName)
    tags.push('source_canonical_revision', own.canonicalRevision)
    tags.push('source_workload_namespace', own.namespace)
    tags.push('source_principal', known(this.#localSan))
    tags.push('source_app', own.app)
    tags.push('source_version', own.version)
    tags.push('source_cluster', own.cluster)
    tags.push('destination_workload', known(peer?.workload))
    tags.push('destination_workload_namespace', known(namespace))
    tags.push('destination_principal', known(this.#peerSan))
    tags.push('destination_app', known(peer?.app))
    tags.push('destination_version', known(peer?.version))
    tags.push('destination_service', known(service.host))
    tags.push('destination_canonical_service', known(peer?.canonicalName))
    tags.push('destination_canonical_revision', peer?.canonicalRevision || 'latest')
    tags.push('destination_service_name', known(service.name))
    tags.push('destination_service_namespace', known(service.namespace || namespace))
    tags.push('destination_cluster', known(peer?.cluster))
  }

  #serverLabels(tags: string[], reporter: Reporter, own: OwnLabels, service: Service): void {
    const peer = this.#peer
    const namespace = namespaceOf(this.#peerSan) || (peer === null ? '' : peer.namespace)
    tags.push('source_workload', known(peer?.workload))
    tags.push('source_canonical_service', known(peer?.canonicalName))
    tags.push('source_canonical_revision', peer?.canonicalRevision || 'latest')
    tags.push('source_workload_namespace', known(namespace))
    tags.push('source_principal', known(this.#peerSan))
    tags.push('source_app', known(peer?.app))
    tags.push('source_version', known(peer?.version))
    tags.push('source_cluster', known(peer?.cluster))
    if (reporter === 'waypoint') {
      const endpoint = this.#endpoint
      tags.push('destination_workload', known(endpoint?.workload))
      tags.push('destination_workload_namespace', known(endpoint?.namespace))
      tags.push('destination_principal', known(endpoint?.identity))
      tags.push('destination_app', known(endpoint?.app))
      tags.push('destination_version', known(endpoint?.version))
      tags.push('destination_service', known(service.host))
      tags.push('destination_canonical_service', known(endpoint?.canonicalName))
      tags.push('destination_canonical_revision', known(endpoint?.canonicalRevision))
      tags.push('destination_service_name', known(service.name))
      tags.push('destination_service_namespace', known(service.namespace))
      tags.push('destination_cluster', known(endpoint?.cluster))
    } else {
      tags.push('destination_workload', own.workload)
      tags.push('destination_workload_namespace', own.namespace)
      tags.push('destination_principal', known(this.#localSan))
      tags.push('destination_app', own.app)
      tags.push('destination_version', own.version)
      tags.push('destination_service', service.host || own.canonicalName)
      tags.push('destination_canonical_service', own.canonicalName)
      tags.push('destination_canonical_revision', own.canonicalRevision)
      tags.push('destination_service_name', service.name || own.canonicalName)
      tags.push('destination_service_namespace', own.namespace)
      tags.push('destination_cluster', own.cluster)
    }
  }
}

/** Route names and clusters that stand for no service, cluster metadata `istio.services`, else the authority. */
function serviceOf(host: string, routeName: string, cluster: string, metadata: Metadata): Service {
  const service = { host, name: host, namespace: '' }
  if (routeName === 'block_all') service.name = 'BlackHoleCluster'
  else if (routeName === 'allow_any') service.name = 'PassthroughCluster'
  else if (CLUSTERS.has(cluster)) service.name = cluster
  else {
    const own = metadata?.['istio'] as Readonly<Record<string, unknown>> | undefined
    const services = own?.['services']
    const first = (Array.isArray(services) ? services[0] : undefined) as Readonly<Record<string, unknown>> | undefined
    if (first?.['host'] !== undefined) {
      service.host = text(first['host'])
      service.namespace = text(first['namespace'])
      service.name = first['name'] === undefined ? service.host.split('.')[0]! : text(first['name'])
    }
  }
  return service
}

function endpointPeer(metadata: Metadata): WorkloadFields | null {
  const own = metadata?.['istio'] as Readonly<Record<string, unknown>> | undefined
  const encoded = own?.['workload']
  if (typeof encoded !== 'string') return null
  const peer = workloadOfEndpoint(encoded)
  return peer === null ? null : peer.fields
}

/** Of `<trust domain>/ns/<namespace>/sa/<account>`. */
function namespaceOf(principal: string): string {
  const begin = principal.indexOf('/ns/')
  if (begin < 0) return ''
  const end = principal.indexOf('/', begin + 4)
  return principal.slice(begin + 4, end < 0 ? undefined : end)
}

function known(value: string | undefined): string {
  return value === undefined || value === '' ? 'unknown' : value
}
