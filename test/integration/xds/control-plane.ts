import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { decodeMessage, encodeMessage } from '../../../src/config/binary.ts'
import { readJson } from '../../../src/config/json-reader.ts'
import { bytesMethod } from '../../harness/grpc-bytes.ts'

/** One DiscoveryRequest as it came, in short: what a control plane can tell apart. */
export interface SeenRequest {
  /** Method of the service, when it is not ADS. */
  readonly method?: string
  readonly type: string
  /** State of the world: version accepted last and names. */
  readonly version?: string
  readonly nonce: string
  readonly names?: readonly string[]
  /** Incremental protocol. */
  readonly subscribe?: readonly string[]
  readonly unsubscribe?: readonly string[]
  /** initial_resource_versions */
  readonly initial?: Readonly<Record<string, string>>
  /** `code: message` of error_detail. */
  readonly error?: string
  readonly node?: string
}

interface Request {
  version_info?: string
  node?: { id?: string }
  resource_names?: string[]
  type_url?: string
  response_nonce?: string
  error_detail?: { code?: number; message?: string }
}

interface DeltaRequest {
  node?: { id?: string }
  type_url?: string
  resource_names_subscribe?: string[]
  resource_names_unsubscribe?: string[]
  initial_resource_versions?: Record<string, string>
  response_nonce?: string
  error_detail?: { code?: number; message?: string }
}

/** A resource of an incremental response: `message` as proto3 JSON, without it there is no body (heartbeat, alias). */
export interface DeltaResource {
  readonly name: string
  readonly version?: string
  readonly message?: object
  readonly aliases?: readonly string[]
  /** Milliseconds. */
  readonly ttl?: number
}

interface Response {
  version_info: string
  resources: { type_url: string; value: Uint8Array }[]
  type_url: string
  nonce: string
  control_plane?: { identifier: string }
}

const CONFIG = 'envoy.config.'
export const TYPES: Readonly<Record<string, string>> = {
  CDS: `${CONFIG}cluster.v3.Cluster`,
  EDS: `${CONFIG}endpoint.v3.ClusterLoadAssignment`,
  LDS: `${CONFIG}listener.v3.Listener`,
  RDS: `${CONFIG}route.v3.RouteConfiguration`,
  SDS: 'envoy.extensions.transport_sockets.tls.v3.Secret',
  ECDS: `${CONFIG}core.v3.TypedExtensionConfig`,
}

/** Both protocols of ADS, and services of single types. */
const METHODS: Readonly<Record<string, string>> = {
  StreamAggregatedResources: 'envoy.service.discovery.v3.AggregatedDiscoveryService',
  DeltaAggregatedResources: 'envoy.service.discovery.v3.AggregatedDiscoveryService',
  StreamSecrets: 'envoy.service.secret.v3.SecretDiscoveryService',
  DeltaSecrets: 'envoy.service.secret.v3.SecretDiscoveryService',
  StreamClusters: 'envoy.service.cluster.v3.ClusterDiscoveryService',
  DeltaClusters: 'envoy.service.cluster.v3.ClusterDiscoveryService',
  StreamEndpoints: 'envoy.service.endpoint.v3.EndpointDiscoveryService',
  StreamListeners: 'envoy.service.listener.v3.ListenerDiscoveryService',
  StreamRoutes: 'envoy.service.route.v3.RouteDiscoveryService',
}
const SERVICE: ServiceDefinition = Object.fromEntries(
  Object.entries(METHODS).map(([method, service]) => [method, bytesMethod(`/${service}/${method}`, true, true)]),
)

type Stream = ServerDuplexStream<Buffer, Buffer>

/** A control plane that sends exactly what a scenario says, and writes down every request. */
export class ScriptedControlPlane {
  /** Since the last `take`. */
  #seen: SeenRequest[] = []
  readonly metadata: Record<string, unknown>[] = []
  /** Where it listens, once it does. */
  port = 0
  readonly #server = new Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 })
  /** The latest stream of each method; of those with a stream per resource `<method> <name>`. */
  readonly #streams = new Map<string, Stream>()
  #nonce = 0
  #waiting: { count: number; done: () => void } | null = null

  constructor() {
    const methods: UntypedServiceImplementation = Object.fromEntries(
      Object.keys(METHODS).map(method => [method, (stream: Stream) => this.#open(method, stream)]),
    )
    this.#server.addService(SERVICE, methods)
  }

  listen(address: string, credentials = ServerCredentials.createInsecure()): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(address, credentials, (error, port) => {
        this.port = port
        if (error === null) resolve(port)
        else reject(error)
      })
    })
  }

  close(): void {
    this.#server.forceShutdown()
  }

  /** `type` is a key of TYPES; the nonce counts up over all streams. */
  send(type: string, version: string, resources: readonly object[], method = 'StreamAggregatedResources'): void {
    const typeName = TYPES[type]!
    this.sendRaw(
      `type.googleapis.com/${typeName}`,
      version,
      resources.map(r => ({ type_url: `type.googleapis.com/${typeName}`, value: encode(typeName, r) })),
      method,
    )
  }

  sendRaw(
    typeUrl: string,
    version: string,
    resources: { type_url: string; value: Uint8Array }[],
    method = 'StreamAggregatedResources',
  ): void {
    const response: Response = {
      version_info: version,
      resources,
      type_url: typeUrl,
      nonce: String(++this.#nonce),
      control_plane: { identifier: 'scripted' },
    }
    const bytes = encodeMessage('envoy.service.discovery.v3.DiscoveryResponse', response)
    this.#streams.get(method)?.write(Buffer.from(bytes))
  }

  /** A recorded response, byte by byte. */
  sendBytes(bytes: Uint8Array, method = 'DeltaAggregatedResources'): void {
    this.#streams.get(method)?.write(Buffer.from(bytes))
  }

  /** An incremental response. `more`: fields of DeltaDiscoveryResponse. */
  delta(
    type: string,
    version: string,
    resources: readonly DeltaResource[],
    removed: readonly string[] = [],
    method = 'DeltaAggregatedResources',
  ): void {
    const typeName = TYPES[type]!
    const typeUrl = `type.googleapis.com/${typeName}`
    this.deltaRaw(
      typeUrl,
      version,
      resources.map(({ name, version = '', message, aliases = [], ttl }) => ({
        name,
        version,
        aliases,
        ...(ttl === undefined ? {} : { ttl }),
        ...(message === undefined ? {} : { resource: { type_url: typeUrl, value: encode(typeName, message) } }),
      })),
      removed,
      method,
    )
  }

  deltaRaw(
    typeUrl: string,
    version: string,
    resources: readonly object[],
    removed: readonly string[] = [],
    method = 'DeltaAggregatedResources',
  ): void {
    const response = {
      system_version_info: version,
      resources,
      type_url: typeUrl,
      nonce: String(++this.#nonce),
      removed_resources: removed,
      control_plane: { identifier: 'scripted' },
    }
    const bytes = encodeMessage('envoy.service.discovery.v3.DeltaDiscoveryResponse', response)
    this.#streams.get(method)?.write(Buffer.from(bytes))
  }

  /** Ends all streams with a status. */
  disconnect(): void {
    for (const stream of this.#streams.values()) stream.emit('error', { code: 14, details: 'scripted end' })
    this.#streams.clear()
  }

  /** Resolves when `count` requests have come since the last `take`. Scenarios wait for facts, not for time. */
  async requests(count: number): Promise<void> {
    if (this.#seen.length >= count) return
    await new Promise<void>(done => {
      this.#waiting = { count, done }
    })
  }

  take(): SeenRequest[] {
    const seen = this.#seen
    this.#seen = []
    return seen
  }

  #open(method: string, stream: Stream): void {
    if (method.endsWith('AggregatedResources')) this.#streams.set(method, stream)
    this.metadata.push(stream.metadata.getMap())
    stream.on('data', (bytes: Buffer) => this.#onRequest(method, bytes, stream))
    stream.on('end', () => stream.end())
    stream.on('error', () => {})
  }

  #onRequest(method: string, bytes: Buffer, stream: Stream): void {
    const request = method.startsWith('Delta') ? seenDelta(bytes) : seenSotw(bytes)
    const [name] = request.names ?? request.subscribe ?? []
    if (!method.endsWith('AggregatedResources')) {
      this.#streams.set(name === undefined ? method : `${method} ${name}`, stream)
    }
    this.#seen.push({ ...(method.endsWith('AggregatedResources') ? {} : { method }), ...request })
    if (this.#waiting !== null && this.#seen.length >= this.#waiting.count) {
      const { done } = this.#waiting
      this.#waiting = null
      done()
    }
  }
}

function seenSotw(bytes: Buffer): SeenRequest {
  const request = decodeMessage<Request>('envoy.service.discovery.v3.DiscoveryRequest', bytes).message
  return {
    type: shortType(request.type_url ?? ''),
    version: request.version_info ?? '',
    nonce: request.response_nonce ?? '',
    names: request.resource_names ?? [],
    ...answer(request),
  }
}

function seenDelta(bytes: Buffer): SeenRequest {
  const request = decodeMessage<DeltaRequest>('envoy.service.discovery.v3.DeltaDiscoveryRequest', bytes).message
  const initial = request.initial_resource_versions ?? {}
  return {
    type: shortType(request.type_url ?? ''),
    nonce: request.response_nonce ?? '',
    subscribe: (request.resource_names_subscribe ?? []).toSorted(),
    unsubscribe: (request.resource_names_unsubscribe ?? []).toSorted(),
    ...(Object.keys(initial).length === 0
      ? {}
      : { initial: Object.fromEntries(Object.entries(initial).sort(([a], [b]) => (a < b ? -1 : 1))) }),
    ...answer(request),
  }
}

function answer({ error_detail: error, node }: Request): { error?: string; node?: string } {
  return {
    ...(error === undefined ? {} : { error: `${error.code ?? 0}: ${error.message ?? ''}` }),
    ...(node === undefined ? {} : { node: node.id ?? '' }),
  }
}

export function encode(typeName: string, json: object): Uint8Array {
  return encodeMessage(typeName, readJson<object>(typeName, json).message)
}

function shortType(typeUrl: string): string {
  for (const [short, name] of Object.entries(TYPES)) if (typeUrl.endsWith(`/${name}`)) return short
  return typeUrl.slice(typeUrl.lastIndexOf('.') + 1)
}
