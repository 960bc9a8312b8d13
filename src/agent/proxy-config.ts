import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { AgentError } from './agent-error.ts'
import { log } from './log.ts'
import { parseYaml } from './yaml.ts'

/** Istio's ProxyConfig (mesh/v1alpha1/proxy.proto), the fields that this agent acts on. Durations in milliseconds. */
export interface ProxyConfig {
  readonly binaryPath: string
  readonly configPath: string
  readonly discoveryAddress: string
  readonly controlPlaneAuthPolicy: 'MUTUAL_TLS' | 'NONE'
  readonly serviceCluster: string
  readonly drainDurationMs: number
  readonly terminationDrainDurationMs: number
  readonly statusPort: number
  readonly proxyAdminPort: number
  /** 0: as many as the proxy thinks right. */
  readonly concurrency: number
  readonly fileFlushIntervalMs: number
  readonly fileFlushMinSizeKb: number
  readonly proxyMetadata: Readonly<Record<string, string>>
  readonly runtimeValues: Readonly<Record<string, string>>
  readonly statsInclusion: {
    readonly prefixes: readonly string[]
    readonly suffixes: readonly string[]
    readonly regexps: readonly string[]
  }
  readonly extraStatTags: readonly string[]
  readonly statsCompression: boolean
  /** `host:port`; empty: no statsd. */
  readonly statsdUdpAddress: string
  readonly tracing: TracingConfig | undefined
  readonly metricsService: RemoteService | undefined
  readonly accessLogService: RemoteService | undefined
  /** connectionSettings; 0 is unset. */
  readonly globalDownstreamConnectionLimit: number
  readonly tracingServiceName: string
  /** As configured, for the node metadata `PROXY_CONFIG`. */
  readonly raw: Readonly<Record<string, unknown>>
}

export interface TracingConfig {
  /** undefined: tracing is configured by other means, or the tracer needs nothing in the bootstrap. */
  readonly tracer: 'zipkin' | 'lightstep' | 'datadog' | undefined
  readonly address: string
  readonly accessToken: string
  readonly tlsSettings: Raw | undefined
}

/** RemoteService: where gRPC telemetry goes. */
export interface RemoteService {
  readonly address: string
  readonly tlsSettings: Raw | undefined
  readonly tcpKeepalive: Raw | undefined
}

export interface ProxyConfigSources {
  /** Contents of the mesh configuration file, if there is one. */
  readonly mesh: string | undefined
  /** Environment variable PROXY_CONFIG. */
  readonly env: string | undefined
  /** Annotation proxy.istio.io/config. */
  readonly annotation: string | undefined
  readonly serviceCluster: string
  /** Flag --concurrency; 0 is unset. */
  readonly concurrency: number
  /** ISTIO_CPU_LIMIT; 0 is unset. */
  readonly cpuLimit: number
}

type Raw = Record<string, unknown>

const DEFAULTS: Raw = {
  configPath: './etc/istio/proxy',
  binaryPath: '/usr/local/bin/envoy',
  discoveryAddress: 'istiod.istio-system.svc:15012',
  controlPlaneAuthPolicy: 'MUTUAL_TLS',
  drainDuration: '45s',
  terminationDrainDuration: '5s',
  statusPort: 15020,
  proxyAdminPort: 15000,
  statNameLength: 189,
}

/** Known to Istio, without effect in this agent when left at the value every injected pod has. */
const ACCEPTED = new Set(['statNameLength', 'holdApplicationUntilProxyStarts', 'image', 'interceptionMode'])
const READ = new Set([
  ...Object.keys(DEFAULTS),
  'serviceCluster',
  'concurrency',
  'proxyMetadata',
  'runtimeValues',
  'proxyStatsMatcher',
  'fileFlushInterval',
  'fileFlushMinSizeKb',
  'readinessProbe',
  'extraStatTags',
  'statsCompression',
  'statsdUdpAddress',
  'tracing',
  'envoyMetricsService',
  'envoyAccessLogService',
  'connectionSettings',
  'tracingServiceName',
])

/** defaults < mesh file < PROXY_CONFIG < annotation, field by field. Throws AgentError with the field's name. */
export function effectiveProxyConfig(sources: ProxyConfigSources): ProxyConfig {
  let raw: Raw = { ...DEFAULTS, serviceCluster: sources.serviceCluster }
  const mesh = sources.mesh === undefined ? undefined : parseMapping('mesh configuration', sources.mesh)
  for (const [where, layer] of [
    ['mesh configuration, defaultConfig', mesh?.defaultConfig as Raw | undefined],
    ['PROXY_CONFIG', parseMapping('PROXY_CONFIG', sources.env ?? '')],
    ['annotation proxy.istio.io/config', parseMapping('annotation proxy.istio.io/config', sources.annotation ?? '')],
  ] as const) {
    if (layer === undefined) continue
    for (const field of Object.keys(layer)) {
      if (!READ.has(field) && !ACCEPTED.has(field))
        log.warn(`${where}: field ${field} is not supported and has no effect`)
    }
    // One of the two is set (`oneof cluster_name`).
    if (layer.tracingServiceName !== undefined) delete raw.serviceCluster
    if (layer.serviceCluster !== undefined) delete raw.tracingServiceName
    // Maps are merged key by key, as protobuf merges them.
    raw = {
      ...raw,
      ...layer,
      proxyMetadata: { ...(raw.proxyMetadata as Raw), ...(layer.proxyMetadata as Raw) },
      runtimeValues: { ...(raw.runtimeValues as Raw), ...(layer.runtimeValues as Raw) },
    }
  }
  const concurrency =
    sources.concurrency || integer(raw, 'concurrency') || Math.min(sources.cpuLimit, availableParallelism())
  if (concurrency > 0) raw.concurrency = concurrency
  return readProxyConfig(raw)
}

/** A ProxyConfig in protobuf JSON that is complete: nothing is merged and no default added. Throws AgentError. */
export function readProxyConfig(raw: Raw): ProxyConfig {
  const policy = raw.controlPlaneAuthPolicy ?? 'NONE'
  if (policy !== 'MUTUAL_TLS' && policy !== 'NONE') {
    throw new AgentError(`controlPlaneAuthPolicy: "${String(policy)}" is not MUTUAL_TLS or NONE`)
  }
  const stats = (raw.proxyStatsMatcher ?? {}) as Raw
  return {
    binaryPath: text(raw, 'binaryPath'),
    configPath: text(raw, 'configPath'),
    discoveryAddress: text(raw, 'discoveryAddress'),
    controlPlaneAuthPolicy: policy,
    serviceCluster: String(raw.serviceCluster ?? ''),
    drainDurationMs: duration(raw, 'drainDuration'),
    terminationDrainDurationMs:
      raw.terminationDrainDuration === undefined ? 5000 : duration(raw, 'terminationDrainDuration'),
    statusPort: integer(raw, 'statusPort'),
    proxyAdminPort: integer(raw, 'proxyAdminPort'),
    concurrency: integer(raw, 'concurrency'),
    fileFlushIntervalMs: raw.fileFlushInterval === undefined ? 1000 : duration(raw, 'fileFlushInterval'),
    fileFlushMinSizeKb: integer(raw, 'fileFlushMinSizeKb'),
    proxyMetadata: stringMap(raw, 'proxyMetadata'),
    runtimeValues: stringMap(raw, 'runtimeValues'),
    statsInclusion: {
      prefixes: strings(stats, 'inclusionPrefixes'),
      suffixes: strings(stats, 'inclusionSuffixes'),
      regexps: strings(stats, 'inclusionRegexps'),
    },
    extraStatTags: strings(raw, 'extraStatTags'),
    statsCompression: raw.statsCompression !== false,
    statsdUdpAddress: String(raw.statsdUdpAddress ?? ''),
    tracing: tracing(raw.tracing),
    metricsService: remoteService(raw.envoyMetricsService),
    accessLogService: remoteService(raw.envoyAccessLogService),
    globalDownstreamConnectionLimit: integer((raw.connectionSettings ?? {}) as Raw, 'globalDownstreamConnectionLimit'),
    tracingServiceName: String(raw.tracingServiceName ?? ''),
    raw: asProtobuf(raw),
  }
}

/** protobuf JSON leaves out what has its type's zero value, and the control plane compares texts. */
function asProtobuf(raw: Raw): Raw {
  const entries = Object.entries(raw).filter(([field, value]) => {
    if (field === 'controlPlaneAuthPolicy') return value !== 'NONE'
    return typeof value === 'object' && value !== null ? Object.keys(value).length > 0 || field === 'tracing' : true
  })
  return Object.fromEntries(entries)
}

const TRACERS = ['zipkin', 'lightstep', 'datadog'] as const

function tracing(value: unknown): TracingConfig | undefined {
  if (value === undefined || value === null) return undefined
  const settings = value as Raw
  const tracer = TRACERS.find(name => settings[name] !== undefined)
  if (settings.stackdriver !== undefined) log.warn('tracing.stackdriver is not supported and has no effect')
  const chosen = tracer === undefined ? {} : (settings[tracer] as Raw)
  return {
    tracer,
    address: String(chosen.address ?? ''),
    accessToken: String(chosen.accessToken ?? ''),
    tlsSettings: settings.tlsSettings as Raw | undefined,
  }
}

function remoteService(value: unknown): RemoteService | undefined {
  const service = (value ?? {}) as Raw
  if (service.address === undefined || service.address === '') return undefined
  return {
    address: String(service.address),
    tlsSettings: service.tlsSettings as Raw | undefined,
    tcpKeepalive: service.tcpKeepalive as Raw | undefined,
  }
}

export function readIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new AgentError(`cannot read ${path}: ${(error as Error).message}`)
  }
}

function parseMapping(where: string, yaml: string): Raw {
  let value: unknown
  try {
    value = parseYaml(yaml)
  } catch (error) {
    throw new AgentError(`${where} is not valid YAML: ${(error as Error).message}`)
  }
  if (value === null || value === undefined) return {}
  if (typeof value !== 'object' || Array.isArray(value)) throw new AgentError(`${where}: expected a mapping`)
  return value as Raw
}

function text(raw: Raw, field: string): string {
  const value = raw[field]
  if (typeof value !== 'string' || value === '') throw new AgentError(`${field}: expected a text, got ${show(value)}`)
  return value
}

function integer(raw: Raw, field: string): number {
  const value = Number(raw[field] ?? 0)
  if (!Number.isInteger(value) || value < 0)
    throw new AgentError(`${field}: expected a number, got ${show(raw[field])}`)
  return value
}

/** protobuf JSON mapping: seconds with `s`. */
function duration(raw: Raw, field: string): number {
  const match = /^([0-9]+(?:\.[0-9]{1,9})?)s$/.exec(String(raw[field]))
  if (match === null) throw new AgentError(`${field}: expected a duration such as 5s, got ${show(raw[field])}`)
  return Number(match[1]) * 1000
}

function strings(raw: Raw, field: string): string[] {
  const value = raw[field] ?? []
  if (!Array.isArray(value) || value.some(item => typeof item !== 'string')) {
    throw new AgentError(`${field}: expected a list of texts`)
  }
  return value as string[]
}

function stringMap(raw: Raw, field: string): Record<string, string> {
  const result: Record<string, string> = {}
  for (const [key, value] of Object.entries((raw[field] ?? {}) as Raw)) result[key] = String(value)
  return result
}

function show(value: unknown): string {
  return JSON.stringify(value) ?? 'nothing'
}
