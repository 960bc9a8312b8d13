import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { decodeMessage, encodeMessage } from '../../../src/config/binary.ts'
import { readJson } from '../../../src/config/json-reader.ts'

/** One DiscoveryRequest as it came, in short: what a control plane can tell apart. */
export interface SeenRequest {
  readonly type: string
  readonly version: string
  readonly nonce: string
  readonly names: readonly string[]
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
}

const identity = (value: object): Buffer => value as Buffer
const SERVICE: ServiceDefinition = {
  StreamAggregatedResources: {
    path: '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources',
    requestStream: true,
    responseStream: true,
    requestSerialize: identity,
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: identity,
    responseDeserialize: (bytes: Buffer) => bytes,
  },
}

type Stream = ServerDuplexStream<Buffer, Buffer>

/** A control plane that sends exactly what a scenario says, and writes down every request. */
export class ScriptedControlPlane {
  /** Since the last `take`. */
  #seen: SeenRequest[] = []
  readonly metadata: Record<string, unknown>[] = []
  readonly #server = new Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 })
  #stream: Stream | null = null
  #nonce = 0
  #waiting: { count: number; done: () => void } | null = null

  constructor() {
    const methods: UntypedServiceImplementation = {
      StreamAggregatedResources: (stream: Stream) => this.#open(stream),
    }
    this.#server.addService(SERVICE, methods)
  }

  listen(address: string, credentials = ServerCredentials.createInsecure()): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(address, credentials, (error, port) => {
        if (error === null) resolve(port)
        else reject(error)
      })
    })
  }

  close(): void {
    this.#server.forceShutdown()
  }

  /** `type` is CDS, EDS, LDS or RDS; the nonce counts up over all streams. */
  send(type: string, version: string, resources: readonly object[]): void {
    const typeName = TYPES[type]!
    this.sendRaw(
      `type.googleapis.com/${typeName}`,
      version,
      resources.map(r => ({ type_url: `type.googleapis.com/${typeName}`, value: encode(typeName, r) })),
    )
  }

  sendRaw(typeUrl: string, version: string, resources: { type_url: string; value: Uint8Array }[]): void {
    const response: Response = {
      version_info: version,
      resources,
      type_url: typeUrl,
      nonce: String(++this.#nonce),
      control_plane: { identifier: 'scripted' },
    }
    this.#stream?.write(Buffer.from(encodeMessage('envoy.service.discovery.v3.DiscoveryResponse', response)))
  }

  /** Ends the stream with a status. */
  disconnect(): void {
    this.#stream?.emit('error', { code: 14, details: 'scripted end' })
    this.#stream = null
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

  #open(stream: Stream): void {
    this.#stream = stream
    this.metadata.push(stream.metadata.getMap())
    stream.on('data', (bytes: Buffer) => this.#onRequest(bytes))
    stream.on('end', () => stream.end())
    stream.on('error', () => {})
  }

  #onRequest(bytes: Buffer): void {
    const request = decodeMessage<Request>('envoy.service.discovery.v3.DiscoveryRequest', bytes).message
    const error = request.error_detail
    this.#seen.push({
      type: shortType(request.type_url ?? ''),
      version: request.version_info ?? '',
      nonce: request.response_nonce ?? '',
      names: request.resource_names ?? [],
      ...(error === undefined ? {} : { error: `${error.code ?? 0}: ${error.message ?? ''}` }),
      ...(request.node === undefined ? {} : { node: request.node.id ?? '' }),
    })
    if (this.#waiting !== null && this.#seen.length >= this.#waiting.count) {
      const { done } = this.#waiting
      this.#waiting = null
      done()
    }
  }
}

export function encode(typeName: string, json: object): Uint8Array {
  return encodeMessage(typeName, readJson<object>(typeName, json).message)
}

function shortType(typeUrl: string): string {
  for (const [short, name] of Object.entries(TYPES)) if (typeUrl.endsWith(`/${name}`)) return short
  return typeUrl.slice(typeUrl.lastIndexOf('.') + 1)
}
