import { isIPv4, isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'
import { AgentError } from './agent-error.ts'
import { log } from './log.ts'
import type { ProxyConfig } from './proxy-config.ts'
import { ISTIO_VERSION } from './version.ts'

export type ProxyType = 'sidecar' | 'router'
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
  const labels = readDownwardApi(from.labels ?? '')
  const annotations = readDownwardApi(from.annotations ?? '')
  const metadata = {
    ...nodeMetadata(env, config, { namespace, pod, addresses, labels, annotations }),
    ...from.metadata,
  }
  const id = `${from.type}~${addresses[0]}~${name}~${domain}`
  const allLabels = metadata.LABELS as Record<string, string>
  return {
    type: from.type,
    addresses,
    name,
    domain,
    id,
    cluster: clusterName(config, allLabels, pod, namespace),
    metadata,
  }
}

/** 127.0.0.1 and 0.0.0.0, or the IPv6 ones in a pod that has no IPv4 at all. */
export function addressFamily(addresses: readonly string[]): {
  localhost: string
  wildcard: string
  version: 'v4' | 'v6'
} {
  return addresses.length > 0 && addresses.every(address => isIPv6(address))
    ? { localhost: '::1', wildcard: '::', version: 'v6' }
    : { localhost: '127.0.0.1', wildcard: '0.0.0.0', version: 'v4' }
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
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

function nodeMetadata(env: Env, config: ProxyConfig, pod: PodFacts): Record<string, unknown> {
  const metadata: Record<string, unknown> = {}
  for (const [name, value] of Object.entries({ ...config.proxyMetadata, ...env })) {
    if (value === undefined) continue
    if (name.startsWith('ISTIO_META_')) metadata[name.slice('ISTIO_META_'.length)] = value
    else if (name.startsWith('ISTIO_METAJSON_')) mergeJson(metadata, name, value)
  }
  metadata.ISTIO_VERSION ??= ISTIO_VERSION
  metadata.LABELS = { ...pod.labels, ...(metadata.LABELS as Record<string, string> | undefined) }
  if (Object.keys(pod.annotations).length > 0) metadata.ANNOTATIONS = pod.annotations
  metadata.NAME = pod.pod
  metadata.NAMESPACE = pod.namespace
  metadata.INSTANCE_IPS = pod.addresses.join(',')
  metadata.ENVOY_STATUS_PORT = Number(env.ENVOY_STATUS_PORT ?? 15021)
  metadata.ENVOY_PROMETHEUS_PORT = Number(env.ENVOY_PROMETHEUS_PORT ?? 15090)
  if (env.SERVICE_ACCOUNT !== undefined) metadata.SERVICE_ACCOUNT = env.SERVICE_ACCOUNT
  metadata.PROXY_CONFIG = config.raw
  return metadata
}

function mergeJson(metadata: Record<string, unknown>, name: string, value: string): void {
  try {
    const parsed = JSON.parse(value) as Record<string, unknown>
    if (name === 'ISTIO_METAJSON_LABELS') {
      metadata.LABELS = { ...(metadata.LABELS as object | undefined), ...parsed }
      metadata.STATIC_LABELS = parsed
    } else {
      Object.assign(metadata, parsed)
    }
  } catch (error) {
    log.warn(`Env variable ${name} [${value}] failed json unmarshal: ${(error as Error).message}`)
  }
}

/** Istio's default `tracingServiceName: APP_LABEL_AND_NAMESPACE`. */
function clusterName(config: ProxyConfig, labels: Record<string, string>, pod: string, namespace: string): string {
  const app = labels.app ?? labels['app.kubernetes.io/name']
  if (app !== undefined) return `${app}.${namespace}`
  return namespace === '' ? config.serviceCluster : `${pod === '' ? config.serviceCluster : pod}.${namespace}`
}

function nodeAddresses(instanceIp: string, local: readonly string[]): string[] {
  if (instanceIp !== '' && !isIPv4(instanceIp) && !isIPv6(instanceIp)) {
    throw new AgentError(`INSTANCE_IP=${instanceIp} is not an IP address`)
  }
  const rest = local.length === 0 ? ['127.0.0.1', '::1'] : local
  return instanceIp === '' ? [...rest] : [instanceIp, ...rest.filter(address => address !== instanceIp)]
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
