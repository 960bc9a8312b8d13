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

/**
 * Fills `tags` with what is known of both ends, in the order of Istio's labels (istio_stats.cc, populatePeerInfo).
 * `peers`: whose filter state has the peer. `host`: the authority, '' = not to be used. @returns true, false or null: mutual TLS?
 */
export function peerLabels(
  tags: string[],
  reporter: Reporter,
  own: OwnLabels,
  info: StreamInfo,
  peers: StreamInfo,
  host: string,
): boolean | null {
  const service = serviceOf(info, host)
  if (reporter === 'source') {
    clientLabels(tags, own, info, peers, service)
    return null
  }
  return serverLabels(tags, reporter, own, info, peers, service)
}

function clientLabels(tags: string[], own: OwnLabels, info: StreamInfo, peers: StreamInfo, service: Service): void {
  const found = peerOf(UPSTREAM_PEER_OBJECT, peers)
  const peer = found ?? endpointPeer(info)
  const tls = info.upstreamTls
  const peerSan = (tls === null ? '' : (tls.peerUriSans[0] ?? '')) || (found === null ? '' : found.identity)
  const localSan = tls === null ? '' : (tls.localUriSans[0] ?? '')
  const namespace = namespaceOf(peerSan) || (peer === null ? '' : peer.namespace)
  tags.push('source_workload', own.workload)
  tags.push('source_canonical_service', own.canonicalName)
  tags.push('source_canonical_revision', own.canonicalRevision)
  tags.push('source_workload_namespace', own.namespace)
  tags.push('source_principal', known(localSan))
  tags.push('source_app', own.app)
  tags.push('source_version', own.version)
  tags.push('source_cluster', own.cluster)
  tags.push('destination_workload', known(peer?.workload))
  tags.push('destination_workload_namespace', known(namespace))
  tags.push('destination_principal', known(peerSan))
  tags.push('destination_app', known(peer?.app))
  tags.push('destination_version', known(peer?.version))
  tags.push('destination_service', known(service.host))
  tags.push('destination_canonical_service', known(peer?.canonicalName))
  tags.push('destination_canonical_revision', peer?.canonicalRevision || 'latest')
  tags.push('destination_service_name', known(service.name))
  tags.push('destination_service_namespace', known(service.namespace || namespace))
  tags.push('destination_cluster', known(peer?.cluster))
}

function serverLabels(
  tags: string[],
  reporter: Reporter,
  own: OwnLabels,
  info: StreamInfo,
  peers: StreamInfo,
  service: Service,
): boolean {
  const peer = peerOf(DOWNSTREAM_PEER_OBJECT, peers)
  let peerSan = text(info.state('io.istio.peer_principal'))
  let localSan = text(info.state('io.istio.local_principal'))
  const tls = info.connection === null ? null : info.connection.tls
  if (peerSan === '' && localSan === '' && tls !== null) {
    peerSan = tls.peerUriSans[0] ?? ''
    localSan = tls.localUriSans[0] ?? ''
  }
  const namespace = namespaceOf(peerSan) || (peer === null ? '' : peer.namespace)
  tags.push('source_workload', known(peer?.workload))
  tags.push('source_canonical_service', known(peer?.canonicalName))
  tags.push('source_canonical_revision', peer?.canonicalRevision || 'latest')
  tags.push('source_workload_namespace', known(namespace))
  tags.push('source_principal', known(peerSan))
  tags.push('source_app', known(peer?.app))
  tags.push('source_version', known(peer?.version))
  tags.push('source_cluster', known(peer?.cluster))
  if (reporter === 'waypoint') {
    const endpoint = peerOf(UPSTREAM_PEER_OBJECT, peers)
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
    tags.push('destination_principal', known(localSan))
    tags.push('destination_app', own.app)
    tags.push('destination_version', own.version)
    tags.push('destination_service', service.host || own.canonicalName)
    tags.push('destination_canonical_service', own.canonicalName)
    tags.push('destination_canonical_revision', own.canonicalRevision)
    tags.push('destination_service_name', service.name || own.canonicalName)
    tags.push('destination_service_namespace', own.namespace)
    tags.push('destination_cluster', own.cluster)
  }
  return peerSan !== '' && localSan !== ''
}

/** Response flags and whether the connection was secured, as it stands when they are written. */
export function securityLabels(tags: string[], info: StreamInfo, mutualTls: boolean | null): void {
  tags.push('response_flags', responseFlagNames(info.flagOrder, false))
  tags.push('connection_security_policy', mutualTls === null ? 'unknown' : mutualTls ? 'mutual_tls' : 'none')
}

/** Route names and clusters that stand for no service, cluster metadata `istio.services`, else the authority. */
function serviceOf(info: StreamInfo, host: string): Service {
  const service = { host, name: host, namespace: '' }
  if (info.routeName === 'block_all') service.name = 'BlackHoleCluster'
  else if (info.routeName === 'allow_any') service.name = 'PassthroughCluster'
  else if (CLUSTERS.has(info.upstreamClusterName)) service.name = info.upstreamClusterName
  else {
    const own = info.clusterMetadata?.['istio'] as Readonly<Record<string, unknown>> | undefined
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

function endpointPeer(info: StreamInfo): WorkloadFields | null {
  const own = info.hostMetadata?.['istio'] as Readonly<Record<string, unknown>> | undefined
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
