import { parse } from 'yaml'
import { InjectionError, isObject, type Json, type JsonObject } from './kubernetes.ts'
import { YAML_1_1 } from './yaml-dialect.ts'

/** The fields of Istio's MeshConfig (mesh/v1alpha1/config.proto) that injection reads. */
export interface MeshConfig {
  readonly trustDomain: string
  readonly proxyListenPort: number
  readonly proxyInboundListenPort: number
  readonly enablePrometheusMerge: boolean
  readonly inboundTrafficPolicyMode: string
  /** An OpenTelemetry provider asks for OTEL_SEMANTIC_CONVENTIONS. */
  readonly otelSemanticConventions: boolean
  readonly defaultConfig: ProxyConfig
}

/** Istio's ProxyConfig in JSON, defaults included. */
export type ProxyConfig = JsonObject

/** pkg/config/mesh/mesh.go, DefaultProxyConfig. */
const DEFAULT_PROXY_CONFIG: ProxyConfig = {
  configPath: './etc/istio/proxy',
  binaryPath: '/usr/local/bin/envoy',
  serviceCluster: 'istio-proxy',
  drainDuration: '45s',
  terminationDrainDuration: '5s',
  proxyAdminPort: 15000,
  controlPlaneAuthPolicy: 'MUTUAL_TLS',
  discoveryAddress: 'istiod.istio-system.svc:15012',
  statNameLength: 189,
  statusPort: 15020,
}

type Kind = 'string' | 'int' | 'bool' | 'duration' | 'object' | 'list'

/** mesh/v1alpha1/proxy.proto, every field: a misspelt one is an error, as it is for Istio's parser. */
const FIELDS: Readonly<Record<string, Kind>> = {
  configPath: 'string',
  binaryPath: 'string',
  serviceCluster: 'string',
  tracingServiceName: 'string',
  drainDuration: 'duration',
  discoveryAddress: 'string',
  zipkinAddress: 'string',
  statsdUdpAddress: 'string',
  proxyAdminPort: 'int',
  controlPlaneAuthPolicy: 'string',
  customConfigFile: 'string',
  statNameLength: 'int',
  concurrency: 'int',
  proxyBootstrapTemplatePath: 'string',
  interceptionMode: 'string',
  tracing: 'object',
  envoyAccessLogService: 'object',
  envoyMetricsService: 'object',
  proxyMetadata: 'object',
  runtimeValues: 'object',
  statusPort: 'int',
  extraStatTags: 'list',
  terminationDrainDuration: 'duration',
  readinessProbe: 'object',
  proxyStatsMatcher: 'object',
  holdApplicationUntilProxyStarts: 'bool',
  caCertificatesPem: 'list',
  image: 'object',
  privateKeyProvider: 'object',
  proxyHeaders: 'object',
  fileFlushInterval: 'duration',
  fileFlushMinSizeKb: 'int',
  statsCompression: 'bool',
  statsEvictionInterval: 'duration',
}

/** A mesh configuration, YAML or JSON (the key `mesh` of ConfigMap istio). Throws InjectionError with the field's name. */
export function parseMeshConfig(text: string): MeshConfig {
  const given: unknown = parse(text, YAML_1_1) ?? {}
  if (!isObject(given)) throw new InjectionError('mesh configuration: expected a mapping')
  const config = given.defaultConfig ?? {}
  if (!isObject(config)) throw new InjectionError('mesh configuration: defaultConfig: expected a mapping')
  const policy = isObject(given.inboundTrafficPolicy) ? given.inboundTrafficPolicy.mode : undefined
  const providers = Array.isArray(given.extensionProviders) ? given.extensionProviders : []
  return {
    trustDomain: typeof given.trustDomain === 'string' ? given.trustDomain : 'cluster.local',
    proxyListenPort: Number(given.proxyListenPort ?? 15001),
    proxyInboundListenPort: Number(given.proxyInboundListenPort ?? 15006),
    enablePrometheusMerge: given.enablePrometheusMerge !== false,
    inboundTrafficPolicyMode: policy === 'LOCALHOST' ? 'localhost' : 'passthrough',
    otelSemanticConventions: providers.some(enrichesServices),
    defaultConfig: mergeProxyConfig(DEFAULT_PROXY_CONFIG, config, 'mesh configuration: defaultConfig'),
  }
}

function enrichesServices(provider: Json): boolean {
  const otel = isObject(provider) ? provider.opentelemetry : undefined
  return isObject(otel) && otel.serviceAttributeEnrichment === 'OTEL_SEMANTIC_CONVENTIONS'
}

/** `text` is the annotation proxy.istio.io/config. Throws InjectionError. */
export function applyAnnotation(base: ProxyConfig, text: string): ProxyConfig {
  let given: unknown
  try {
    given = parse(text, YAML_1_1) ?? {}
  } catch (error) {
    throw new InjectionError(`could not parse proxy config: ${(error as Error).message}`)
  }
  if (!isObject(given)) throw new InjectionError('could not parse proxy config: expected a mapping')
  return mergeProxyConfig(base, given, 'proxy config')
}

function mergeProxyConfig(base: ProxyConfig, given: JsonObject, at: string): ProxyConfig {
  const out: ProxyConfig = { ...base }
  for (const [field, value] of Object.entries(given)) {
    const kind = FIELDS[field]
    if (kind === undefined) throw new InjectionError(`${at}: unknown field "${field}"`)
    if (value === null || value === undefined) continue
    if (!hasKind(kind, value))
      throw new InjectionError(`${at}.${field}: expected ${kind}, not ${JSON.stringify(value)}`)
    // These two are merged key by key, whatever protobuf would do (mesh.go, MergeProxyConfig).
    if (field === 'proxyMetadata') out[field] = { ...(base[field] as JsonObject), ...stringValues(value as JsonObject) }
    else if (field === 'proxyHeaders') out[field] = { ...(base[field] as JsonObject), ...(value as JsonObject) }
    else out[field] = value
  }
  return out
}

function stringValues(map: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(map).map(([key, value]) => [key, String(value)]))
}

function hasKind(kind: Kind, value: Json): boolean {
  switch (kind) {
    case 'int':
      return Number.isInteger(typeof value === 'string' && value !== '' ? Number(value) : value)
    case 'bool':
      return typeof value === 'boolean'
    case 'string':
      return typeof value === 'string'
    // The JSON form of google.protobuf.Duration.
    case 'duration':
      return typeof value === 'string' && /^[0-9]{1,12}(\.[0-9]{1,9})?s$/.test(value)
    case 'object':
      return isObject(value)
    default:
      return Array.isArray(value)
  }
}

/** What the environment variable PROXY_CONFIG carries: the fields that differ from the defaults the agent knows itself. */
export function differingFields(config: ProxyConfig): ProxyConfig {
  const out: ProxyConfig = {}
  for (const [field, value] of Object.entries(config)) {
    if (value === DEFAULT_PROXY_CONFIG[field]) continue
    if (field === 'proxyMetadata' && Object.keys(value as JsonObject).length === 0) continue
    out[field] = value
  }
  return out
}
