import { readFileSync } from 'node:fs'
import type * as Grpc from '@grpc/grpc-js'
import { ConfigError } from '../base/errors.ts'
import type { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import type { OpenStream, XdsStream, XdsStreamHandler } from './grpc-mux.ts'

type ClusterProto = envoy.config.cluster.v3.Cluster
type UpstreamTls = envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext

/** Where a control plane is reached: taken from a bootstrap cluster once, since those do not change. */
export interface GrpcTarget {
  /** `127.0.0.1:15010`, `unix:/path`; tried in turn. */
  readonly addresses: readonly string[]
  /** `:authority`; Envoy sends the cluster's name unless told otherwise. */
  readonly authority: string
  readonly tls: GrpcTls | null
  readonly metadata: readonly (readonly [string, string])[]
}

export interface GrpcTls {
  readonly ca: Buffer | null
  readonly chain: Buffer | null
  readonly key: Buffer | null
  /** SNI and name to verify; '' = the address. */
  readonly serverName: string
}

/** Method of a type's own discovery service, for api_config_source of GRPC; ADS has one for all. */
export const ADS_METHOD = '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources'
export const STREAM_METHODS: Readonly<Record<string, string>> = {
  'type.googleapis.com/envoy.config.cluster.v3.Cluster':
    '/envoy.service.cluster.v3.ClusterDiscoveryService/StreamClusters',
  'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment':
    '/envoy.service.endpoint.v3.EndpointDiscoveryService/StreamEndpoints',
  'type.googleapis.com/envoy.config.listener.v3.Listener':
    '/envoy.service.listener.v3.ListenerDiscoveryService/StreamListeners',
  'type.googleapis.com/envoy.config.route.v3.RouteConfiguration':
    '/envoy.service.route.v3.RouteDiscoveryService/StreamRoutes',
  'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret':
    '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets',
}

/** Resources of a mesh are large; beyond this a response is an accident. */
const MAX_RESPONSE = 512 * 1024 * 1024

/** Reads the cluster an EnvoyGrpc service names. Throws ConfigError when it cannot be dialled from here. */
export function grpcTarget(
  service: envoy.config.core.v3.GrpcService,
  clusters: ReadonlyMap<string, ClusterProto>,
  at: FieldPath,
): GrpcTarget {
  const metadata = (service.initial_metadata ?? []).map(h => [(h.key ?? '').toLowerCase(), h.value ?? ''] as const)
  const google = service.google_grpc
  if (google !== undefined) {
    if (google.channel_credentials !== undefined || (google.call_credentials ?? []).length > 0) {
      throw new ConfigError(
        'CONFIG_UNSUPPORTED',
        at.field('google_grpc'),
        'credentials of google_grpc are not supported',
        {
          advice: 'use envoy_grpc with a cluster that has a transport_socket',
        },
      )
    }
    return { addresses: [google.target_uri ?? ''], authority: '', tls: null, metadata }
  }
  const name = service.envoy_grpc?.cluster_name ?? ''
  const cluster = clusters.get(name)
  if (cluster === undefined) {
    throw new ConfigError('CONFIG_REFERENCE', at.field('envoy_grpc'), `Unknown gRPC client cluster '${name}'`)
  }
  const addresses: string[] = []
  for (const locality of cluster.load_assignment?.endpoints ?? []) {
    for (const host of locality.lb_endpoints ?? []) {
      const address = host.endpoint?.address
      if (address?.pipe?.path !== undefined) addresses.push(`unix:${address.pipe.path}`)
      const socket = address?.socket_address
      if (socket !== undefined) {
        const ip = socket.address ?? ''
        const host = ip.includes(':') ? `[${ip}]` : ip
        // `ipv4:` and `ipv6:` keep grpc-js from asking DNS about literals.
        addresses.push(`${host}:${socket.port_value ?? 0}`)
      }
    }
  }
  if (addresses.length === 0) {
    throw new ConfigError(
      'CONFIG_UNSUPPORTED',
      at,
      `cluster '${name}' of the control plane has no endpoints of its own`,
      {
        advice: 'give it a load_assignment; EDS cannot be used to find the control plane',
      },
    )
  }
  const authority = service.envoy_grpc?.authority ?? ''
  return { addresses, authority: authority === '' ? name : authority, tls: tlsOf(cluster, at), metadata }
}

function tlsOf(cluster: ClusterProto, at: FieldPath): GrpcTls | null {
  const socket = cluster.transport_socket
  if (socket === undefined || socket.typed_config?.type_url.endsWith('UpstreamTlsContext') !== true) return null
  const context = socket.typed_config.message as UpstreamTls
  const common = context.common_tls_context ?? {}
  if (
    (common.tls_certificate_sds_secret_configs ?? []).length > 0 ||
    common.validation_context_sds_secret_config !== undefined
  ) {
    throw new ConfigError(
      'CONFIG_UNSUPPORTED',
      at,
      `SDS certificates for the control plane cluster '${cluster.name}'`,
      {
        advice: 'give certificates by file or inline',
      },
    )
  }
  const certificate = common.tls_certificates?.[0]
  const validation = common.validation_context ?? common.combined_validation_context?.default_validation_context
  return {
    ca: bytesOf(validation?.trusted_ca),
    chain: bytesOf(certificate?.certificate_chain),
    key: bytesOf(certificate?.private_key),
    serverName: context.sni ?? '',
  }
}

function bytesOf(source: envoy.config.core.v3.DataSource | undefined): Buffer | null {
  if (source === undefined) return null
  if (source.filename !== undefined) return readFileSync(source.filename)
  if (source.inline_string !== undefined) return Buffer.from(source.inline_string, 'utf8')
  return source.inline_bytes === undefined ? null : Buffer.from(source.inline_bytes)
}

/** Streams of raw messages over grpc-js, which is loaded when the first stream is opened. */
export function grpcTransport(target: GrpcTarget, method: string): OpenStream {
  const clients = new Map<string, Grpc.Client>()
  let turn = 0
  return handler => {
    const stream = new GrpcXdsStream(handler)
    const address = target.addresses[turn++ % target.addresses.length]!
    void import('@grpc/grpc-js').then(
      grpc => stream.begin(grpc, target, address, method, clients),
      (error: Error) => handler.onClosed(14, error.message),
    )
    return stream
  }
}

const UNAVAILABLE = 14

class GrpcXdsStream implements XdsStream {
  readonly #handler: XdsStreamHandler
  #call: Grpc.ClientDuplexStream<Uint8Array, Uint8Array> | null = null
  /** Messages sent before grpc-js was there. */
  readonly #early: Uint8Array[] = []
  #over = false

  constructor(handler: XdsStreamHandler) {
    this.#handler = handler
  }

  begin(
    grpc: typeof Grpc,
    target: GrpcTarget,
    address: string,
    method: string,
    clients: Map<string, Grpc.Client>,
  ): void {
    if (this.#over) return
    let client = clients.get(address)
    if (client === undefined) {
      client = new grpc.Client(address, credentials(grpc, target.tls), {
        'grpc.default_authority': target.authority,
        'grpc.max_receive_message_length': MAX_RESPONSE,
        'grpc.initial_reconnect_backoff_ms': 100,
        'grpc.max_reconnect_backoff_ms': 5000,
        'grpc.enable_retries': 0,
        ...(target.tls === null || target.tls.serverName === ''
          ? {}
          : { 'grpc.ssl_target_name_override': target.tls.serverName }),
      })
      clients.set(address, client)
    }
    const metadata = new grpc.Metadata()
    for (const [name, value] of target.metadata) metadata.add(name, value)
    const identity = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    const call = client.makeBidiStreamRequest<Uint8Array, Uint8Array>(method, identity, bytes => bytes, metadata)
    this.#call = call
    call.on('data', (message: Uint8Array) => {
      if (!this.#over) this.#handler.onMessage(message)
    })
    call.on('error', (error: Grpc.ServiceError) => this.#end(error.code ?? UNAVAILABLE, error.details ?? error.message))
    call.on('end', () => this.#end(0, ''))
    for (const message of this.#early.splice(0)) call.write(message)
  }

  send(message: Uint8Array): void {
    if (this.#call === null) this.#early.push(message)
    else if (!this.#over) this.#call.write(message)
  }

  close(): void {
    this.#over = true
    this.#call?.cancel()
  }

  #end(status: number, message: string): void {
    if (this.#over) return
    this.#over = true
    this.#handler.onClosed(status, message)
  }
}

function credentials(grpc: typeof Grpc, tls: GrpcTls | null): Grpc.ChannelCredentials {
  if (tls === null) return grpc.credentials.createInsecure()
  return grpc.credentials.createSsl(tls.ca, tls.key, tls.chain)
}
