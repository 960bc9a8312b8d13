import { readFileSync } from 'node:fs'
import { ConfigError } from '../base/errors.ts'
import type { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import type { ClustersByName } from './static-clusters.ts'

type ClusterProto = envoy.config.cluster.v3.Cluster
type GrpcServiceProto = envoy.config.core.v3.GrpcService
type UpstreamTls = envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
type HttpOptions = envoy.extensions.upstreams.http.v3.HttpProtocolOptions

/** Where a control plane is reached: taken from a bootstrap cluster once, since those do not change. */
export interface GrpcTarget {
  /** For the log: the cluster's name or the URI. */
  readonly name: string
  /** Of the cluster in stats, unsanitized; '' = there is no cluster. */
  readonly statsName: string
  /** max_requests_per_connection is 1: each stream gets a connection of its own. */
  readonly connectionPerStream: boolean
  /** `127.0.0.1:15010`, `unix:/path`; tried in turn. */
  readonly addresses: readonly string[]
  /** `:authority`; Envoy sends the cluster's name unless told otherwise. '' = the address. */
  readonly authority: string
  readonly tls: GrpcTls | null
  /** initial_metadata */
  readonly metadata: readonly (readonly [string, string])[]
  /** retry_policy.retry_back_off, milliseconds. */
  readonly retryBase: number
  readonly retryMax: number
  /** http2 connection_keepalive, milliseconds; 0 = none. */
  readonly keepaliveInterval: number
  readonly keepaliveTimeout: number
}

export interface GrpcTls {
  readonly ca: Buffer | null
  readonly chain: Buffer | null
  readonly key: Buffer | null
  /** SNI, and name the certificate must have; '' = none. Envoy does not check the name at all without a SAN matcher. */
  readonly serverName: string
}

/** Envoy's defaults of the stream's back-off (grpc_stream.h). */
const RETRY_BASE = 500
const RETRY_MAX = 30_000

/** Reads where a gRPC service is. Throws ConfigError when it cannot be dialled from here. */
export function grpcTarget(service: GrpcServiceProto, clusters: ClustersByName, at: FieldPath): GrpcTarget {
  const metadata = (service.initial_metadata ?? []).map(h => [(h.key ?? '').toLowerCase(), h.value ?? ''] as const)
  if (service.google_grpc !== undefined) return googleTarget(service.google_grpc, metadata, at.field('google_grpc'))
  const envoyGrpc = service.envoy_grpc
  const name = envoyGrpc?.cluster_name ?? ''
  const here = at.field('envoy_grpc')
  const cluster = clusters.get(name)
  if (cluster === undefined) throw new ConfigError('CONFIG_REFERENCE', here, `Unknown gRPC client cluster '${name}'`)
  const addresses = addressesOf(cluster)
  if (addresses.length === 0) {
    throw new ConfigError('CONFIG_UNSUPPORTED', here, `cluster '${name}' of the control plane has no endpoints`, {
      advice: 'give it a load_assignment; EDS cannot be used to find the control plane',
    })
  }
  const backOff = envoyGrpc?.retry_policy?.retry_back_off
  const retryBase = backOff?.base_interval ?? RETRY_BASE
  const retryMax = backOff?.max_interval ?? (backOff === undefined ? RETRY_MAX : retryBase * 10)
  if (retryMax < retryBase) {
    throw new ConfigError('CONFIG_INVALID', here, 'max_interval must be greater than or equal to the base_interval')
  }
  const keepalive = httpOptions(cluster)?.connection_keepalive
  const authority = envoyGrpc?.authority ?? ''
  return {
    name,
    statsName: cluster.alt_stat_name || name,
    connectionPerStream: maxRequests(cluster) === 1,
    addresses,
    authority: authority === '' ? name : authority,
    tls: tlsOf(cluster, here),
    metadata,
    retryBase: Math.max(1, retryBase),
    retryMax,
    keepaliveInterval: keepalive?.interval ?? 0,
    keepaliveTimeout: keepalive?.timeout ?? 20_000,
  }
}

function googleTarget(
  google: envoy.config.core.v3.GrpcService_GoogleGrpc,
  metadata: GrpcTarget['metadata'],
  at: FieldPath,
): GrpcTarget {
  const { channel_credentials, call_credentials, channel_credentials_plugin, call_credentials_plugin } = google
  const lists = [call_credentials, channel_credentials_plugin, call_credentials_plugin]
  if (channel_credentials !== undefined || lists.some(list => (list ?? []).length > 0)) {
    throw new ConfigError('CONFIG_UNSUPPORTED', at, 'credentials of google_grpc are not supported', {
      advice: 'use envoy_grpc with a cluster that has a transport_socket',
    })
  }
  const uri = google.target_uri ?? ''
  return {
    name: uri,
    statsName: '',
    connectionPerStream: false,
    addresses: [uri],
    authority: '',
    tls: null,
    metadata,
    retryBase: RETRY_BASE,
    retryMax: RETRY_MAX,
    keepaliveInterval: 0,
    keepaliveTimeout: 0,
  }
}

function addressesOf(cluster: ClusterProto): string[] {
  const addresses: string[] = []
  for (const locality of cluster.load_assignment?.endpoints ?? []) {
    for (const { endpoint } of locality.lb_endpoints ?? []) {
      const pipe = endpoint?.address?.pipe?.path
      if (pipe !== undefined) {
        addresses.push(pipe.startsWith('@') ? `unix-abstract:${pipe.slice(1)}` : `unix:${pipe}`)
        continue
      }
      const socket = endpoint?.address?.socket_address
      if (socket === undefined) continue
      const ip = socket.address ?? ''
      addresses.push(`${ip.includes(':') ? `[${ip}]` : ip}:${socket.port_value ?? 0}`)
    }
  }
  return addresses
}

function maxRequests(cluster: ClusterProto): number {
  const options = cluster.typed_extension_protocol_options?.['envoy.extensions.upstreams.http.v3.HttpProtocolOptions']
  const common = (options?.message as HttpOptions | undefined)?.common_http_protocol_options
  return common?.max_requests_per_connection ?? cluster.max_requests_per_connection ?? 0
}

function httpOptions(cluster: ClusterProto): envoy.config.core.v3.Http2ProtocolOptions | undefined {
  const options = cluster.typed_extension_protocol_options?.['envoy.extensions.upstreams.http.v3.HttpProtocolOptions']
  const message = options?.message as HttpOptions | undefined
  return message?.explicit_http_config?.http2_protocol_options ?? cluster.http2_protocol_options
}

function tlsOf(cluster: ClusterProto, at: FieldPath): GrpcTls | null {
  const socket = cluster.transport_socket
  const typeUrl = socket?.typed_config?.type_url ?? ''
  if (socket === undefined || typeUrl.endsWith('.RawBuffer')) return null
  const refuse = (what: string, advice: string): never => {
    throw new ConfigError('CONFIG_UNSUPPORTED', at, `${what} for the control plane cluster '${cluster.name}'`, {
      advice,
    })
  }
  if (!typeUrl.endsWith('.UpstreamTlsContext')) {
    refuse(`transport socket ${socket.name ?? ''}`, 'use TLS or raw_buffer')
  }
  const context = socket.typed_config!.message as UpstreamTls
  const common = context.common_tls_context ?? {}
  if (
    (common.tls_certificate_sds_secret_configs ?? []).length > 0 ||
    common.validation_context_sds_secret_config !== undefined ||
    common.combined_validation_context?.validation_context_sds_secret_config !== undefined
  ) {
    refuse('SDS certificates', 'give certificates by file or inline')
  }
  const certificate = common.tls_certificates?.[0]
  const validation = common.validation_context ?? common.combined_validation_context?.default_validation_context
  // What the check of the peer would leave out must not be left out silently.
  for (const field of [
    'match_typed_subject_alt_names',
    'match_subject_alt_names',
    'verify_certificate_spki',
    'verify_certificate_hash',
    'crl',
    'custom_validator_config',
  ] as const) {
    const value = validation?.[field]
    if (value === undefined || (Array.isArray(value) && value.length === 0)) continue
    refuse(`validation_context.${field}`, 'the control plane is verified by trusted_ca and sni')
  }
  return {
    ca: bytesOf(validation?.trusted_ca, at),
    chain: bytesOf(certificate?.certificate_chain, at),
    key: bytesOf(certificate?.private_key, at),
    serverName: context.sni ?? '',
  }
}

function bytesOf(source: envoy.config.core.v3.DataSource | undefined, at: FieldPath): Buffer | null {
  if (source === undefined) return null
  if (source.inline_string !== undefined) return Buffer.from(source.inline_string, 'utf8')
  if (source.inline_bytes !== undefined) return Buffer.from(source.inline_bytes)
  if (source.environment_variable !== undefined) return Buffer.from(process.env[source.environment_variable] ?? '')
  if (source.filename === undefined) return null
  try {
    return readFileSync(source.filename)
  } catch (cause) {
    throw new ConfigError('CONFIG_RESOURCE', at, `Invalid path: ${source.filename}`, { cause })
  }
}
