import { isIPv4, isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'
import { boolFrom } from './go-bool.ts'
import { log } from './log.ts'
import type { ProxyConfig } from './proxy-config.ts'
import { ISTIO_VERSION } from './version.ts'

export type ProxyType = 'sidecar' | 'router' | 'waypoint'
export type Env = Readonly<Record<string, string | undefined>>

/** Who this proxy is to the control plane. */
export interface NodeIdentity {
  readonly type: ProxyType
  /** Pod IP first; istiod takes the first as the pod's. */
  readonly addresses: readonly string[]
  /** `POD.NAMESPACE` */
  readonly name: string
  readonly domain: string
  /** `sidecar~IP~POD.NS~NS.svc.cluster.local` */
  readonly id: string
  readonly cluster: string
  readonly locality: Readonly<Record<string, string>>
  readonly metadata: Readonly<Record<string, unknown>>
}

export interface NodeSources {
  readonly type: ProxyType
  readonly env: Env
  readonly domain: string
  readonly config: ProxyConfig
  /** Contents of ./etc/istio/pod/labels and annotations (downward API), if mounted. */
  readonly labels: string | undefined
  readonly annotations: string | undefined
  readonly localAddresses?: readonly string[]
  readonly outlierLogPath?: string
  /** What other parts of the agent found out and istiod is to know. */
  readonly metadata?: Readonly<Record<string, unknown>>
}

export function nodeIdentity(from: NodeSources): NodeIdentity {
  const { env, config } = from
  const namespace = env.POD_NAMESPACE ?? ''
  const pod = env.POD_NAME ?? ''
  const name = `${pod}.${namespace}`
  const domain = from.domain === '' ? `${namespace}.svc.cluster.local` : from.domain
  const addresses = nodeAddresses(env.INSTANCE_IP ?? '', from.localAddresses ?? privateAddresses())
  const labels = from.labels === undefined ? undefined : readDownwardApi(from.labels)
  const annotations = readDownwardApi(from.annotations ?? '')
  const facts = { namespace, pod, addresses, labels, annotations, outlierLogPath: from.outlierLogPath ?? '' }
  const metadata: Record<string, unknown> = { ...nodeMetadata(env, config, facts), ...from.metadata }
  const id = `${from.type}~${addresses[0]}~${name}~${domain}`
  const allLabels = (metadata.LABELS ?? {}) as Record<string, string>
  const locality = localityOf(allLabels)
  return {
    type: from.type,
    addresses,
    name,
    domain,
    id,
    cluster: clusterName(config, allLabels, String(metadata.WORKLOAD_NAME ?? ''), namespace),
    locality,
    metadata,
  }
}

/** What to bind and how to look names up in a pod with these addresses. */
export interface AddressFamily {
  readonly localhost: string
  readonly wildcard: string
  /** Of the other family, with dual stack. */
  readonly additionalLocalhost: string | undefined
  readonly additionalWildcard: string | undefined
  readonly lookup: 'V4_ONLY' | 'V6_ONLY' | 'ALL'
  readonly version: 'v4' | 'v6'
}

/** IPv4, or IPv6 in a pod that has nothing else; with dual stack both, the first address's family first. */
export function addressFamily(addresses: readonly string[], dualStack = false): AddressFamily {
  const only6 = addresses.length > 0 && addresses.every(address => isIPv6(address))
  const both = dualStack && !only6 && !addresses.every(address => isIPv4(address))
  const v6 = only6 || (both && isIPv6(addresses[0] ?? ''))
  return {
    localhost: v6 ? '::1' : '127.0.0.1',
    wildcard: v6 ? '::' : '0.0.0.0',
    additionalLocalhost: both ? (v6 ? '127.0.0.1' : '::1') : undefined,
    additionalWildcard: both ? (v6 ? '0.0.0.0' : '::') : undefined,
    lookup: both ? 'ALL' : v6 ? 'V6_ONLY' : 'V4_ONLY',
    version: v6 ? 'v6' : 'v4',
  }
}

/** Lines `key="go-quoted value"` of the Kubernetes downward API. */
export function readDownwardApi(text: string): Record<string, string> {
  const result: Record<string, string> = {}
  for (const line of text.split('\n')) {
    const equals = line.indexOf('=')
    if (equals < 0) continue
    const quoted = line.slice(equals + 1)
    try {
      // Go quotes with \x and \a too, which labels cannot hold; annotations that do are kept as they stand.
      result[line.slice(0, equals)] = JSON.parse(quoted) as string
    } catch {
      result[line.slice(0, equals)] = quoted.replaceAll(/^"|"$/g, '')
    }
  }
  return result
}

interface PodFacts {
  readonly namespace: string
  readonly pod: string
  readonly addresses: readonly string[]
  /** undefined: no file with labels is mounted. */
  readonly labels: Readonly<Record<string, string>> | undefined
  readonly annotations: Readonly<Record<string, string>>
  readonly outlierLogPath: string
}

/** pkg/bootstrap/config.go: what istiod knows by name (empty values left out), over what it is merely told. */
function nodeMetadata(env: Env, config: ProxyConfig, pod: PodFacts): Record<string, unknown> {
  const untyped: Record<string, unknown> = {}
  for (const [name, value] of [...Object.entries(config.proxyMetadata), ...Object.entries(env)]) {
    if (value !== undefined && name.startsWith('ISTIO_META_')) untyped[name.slice('ISTIO_META_'.length)] = value
  }
  let fromEnv: Record<string, string> = {}
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || !name.startsWith('ISTIO_METAJSON_')) continue
    const parsed = parseJson(name, value)
    Object.assign(untyped, parsed)
    if (name === 'ISTIO_METAJSON_LABELS') fromEnv = parsed as Record<string, string>
  }
  const labels = { ...fromEnv, ...pod.labels }
  delete labels['pod-template-hash']
  sanitizeLocality(labels)
  if (pod.labels === undefined) sanitizeLocality(fromEnv)
  const typed = {
    ISTIO_VERSION: untyped.ISTIO_VERSION ?? ISTIO_VERSION,
    LABELS: labels,
    STATIC_LABELS: fromEnv,
    ANNOTATIONS: pod.annotations,
    NAME: pod.pod,
    NAMESPACE: pod.namespace,
    SERVICE_ACCOUNT: env.SERVICE_ACCOUNT,
    INSTANCE_IPS: pod.addresses.join(','),
    ENVOY_STATUS_PORT: Number(env.ENVOY_STATUS_PORT || 15021),
    ENVOY_PROMETHEUS_PORT: Number(env.ENVOY_PROMETHEUS_PORT || 15090),
    ENVOY_SECURE_METRICS_PORT: Number(env.ENVOY_SECURE_METRICS_PORT || 0),
    ENVOY_SECURE_MERGED_METRICS_PORT: Number(env.ENVOY_SECURE_MERGED_METRICS_PORT || 0),
    EXIT_ON_ZERO_ACTIVE_CONNECTIONS: boolFrom(env, 'EXIT_ON_ZERO_ACTIVE_CONNECTIONS') ? 'true' : '',
    ENVOY_SKIP_DEPRECATED_LOGS: boolFrom(env, 'ENVOY_SKIP_DEPRECATED_LOGS', true) ? 'true' : '',
    METADATA_DISCOVERY: String(boolFrom(env, 'PEER_METADATA_DISCOVERY', untyped.ENABLE_HBONE === 'true')),
    WORKLOAD_IDENTITY_SOCKET_FILE: env.WORKLOAD_IDENTITY_SOCKET_FILE || 'socket',
    OUTLIER_LOG_PATH: pod.outlierLogPath,
    PILOT_SAN: config.controlPlaneAuthPolicy === 'MUTUAL_TLS' ? [discoveryHost(config)] : [],
    DNS_PROXY_ADDR: env.DNS_PROXY_ADDR,
    PROXY_CONFIG: config.raw,
  }
  return { ...untyped, ...Object.fromEntries(Object.entries(typed).filter(([, value]) => !isZero(value))) }
}

/** The name istiod's certificate must have; a control plane on localhost is a forwarded one. */
function discoveryHost(config: ProxyConfig): string {
  const host = config.discoveryAddress.split(':', 1)[0] as string
  return host === 'localhost' ? 'istiod.istio-system.svc' : host
}

function isZero(value: unknown): boolean {
  if (value === undefined || value === '' || value === 0) return true
  return typeof value === 'object' && Object.keys(value as object).length === 0
}

function parseJson(name: string, value: string): Record<string, unknown> {
  try {
    return JSON.parse(value) as Record<string, unknown>
  } catch (error) {
    log.warn(`Env variable ${name} [${value}] failed json unmarshal: ${(error as Error).message}`)
    return {}
  }
}

const LOCALITY_LABEL = 'istio-locality'

function localityLabel(labels: Readonly<Record<string, string>>): string {
  const label = labels['topology.istio.io/locality'] ?? labels[LOCALITY_LABEL] ?? ''
  // Kubernetes allows no slash in a label.
  return label.includes('/') ? label : label.replaceAll('.', '/')
}

function sanitizeLocality(labels: Record<string, string>): void {
  const locality = localityLabel(labels)
  if (locality !== '') labels[LOCALITY_LABEL] = locality
}

function localityOf(labels: Readonly<Record<string, string>>): Record<string, string> {
  const [region = '', zone = '', subZone = ''] = localityLabel(labels).split('/')
  return {
    ...(region === '' ? {} : { region }),
    ...(zone === '' ? {} : { zone }),
    ...(subZone === '' ? {} : { sub_zone: subZone }),
  }
}

/** pkg/bootstrap getServiceCluster. */
function clusterName(
  config: ProxyConfig,
  labels: Readonly<Record<string, string>>,
  workload: string,
  namespace: string,
): string {
  const canonical =
    labels['service.istio.io/canonical-name'] ??
    labels['app.kubernetes.io/name'] ??
    labels.app ??
    (workload === '' ? 'istio-proxy' : workload)
  switch (config.tracingServiceName) {
    case 'CANONICAL_NAME_ONLY':
      return clusterOr(canonical, labels, workload, namespace)
    case 'CANONICAL_NAME_AND_NAMESPACE':
      return namespace === '' ? clusterOr(canonical, labels, workload, namespace) : `${canonical}.${namespace}`
    case 'APP_LABEL_AND_NAMESPACE':
      return clusterOr('istio-proxy', labels, workload, namespace)
    default:
      return clusterOr(config.serviceCluster, labels, workload, namespace)
  }
}

function clusterOr(
  name: string,
  labels: Readonly<Record<string, string>>,
  workload: string,
  namespace: string,
): string {
  if (name !== '' && name !== 'istio-proxy') return name
  const app = labels.app ?? labels['app.kubernetes.io/name']
  if (app !== undefined) return `${app}.${namespace}`
  if (workload !== '') return `${workload}.${namespace}`
  return namespace === '' ? 'istio-proxy' : `istio-proxy.${namespace}`
}

function nodeAddresses(instanceIp: string, local: readonly string[]): string[] {
  const known = isIPv4(instanceIp) || isIPv6(instanceIp)
  // As Istio, which does without; the pod's own addresses say the same but for their order.
  if (instanceIp !== '' && !known) log.warn(`INSTANCE_IP=${instanceIp} is not an IP address and has no effect`)
  const rest = local.length === 0 ? ['127.0.0.1', '::1'] : local
  return [...new Set(known ? [instanceIp, ...rest] : rest)]
}

function privateAddresses(): string[] {
  const addresses: string[] = []
  for (const list of Object.values(networkInterfaces())) {
    for (const { address, internal } of list ?? []) {
      if (!internal && !/^fe80:|^169\.254\./i.test(address)) addresses.push(address)
    }
  }
  return addresses
}

/** Istio's default; ISTIO_DELTA_XDS=false is state of the world, which a waypoint does not know. */
export function usesDelta(node: NodeIdentity, env: Env): boolean {
  return boolFrom(env, 'ISTIO_DELTA_XDS', true) || node.type === 'waypoint'
}

export function asksForWorkloads(node: NodeIdentity): boolean {
  return node.metadata.METADATA_DISCOVERY === 'true' || node.type === 'waypoint'
}

/** The proxy follows the workloads of the mesh, to know peers by their addresses. */
export function discoversWorkloads(node: NodeIdentity, env: Env): boolean {
  return asksForWorkloads(node) && usesDelta(node, env)
}
