import { chmodSync, rmSync } from 'node:fs'
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { decodeMessage, encodeMessage } from '../config/binary.ts'
import { resourcesOf, type Snapshot, versionOf } from './resource-files.ts'

/** What happened between a node and the control plane, to be shown to a person. */
export interface AdsEvent {
  readonly kind: 'connected' | 'disconnected' | 'sent' | 'ack' | 'nack'
  /** Pod name of the node; `?` before its first request. */
  readonly node: string
  /** `Cluster`, `Listener`, … ; empty for connections. */
  readonly type: string
  readonly version: string
  /** How many resources were sent. */
  readonly count: number
  /** Why it was rejected. */
  readonly reason: string
}

interface DiscoveryRequest {
  readonly version_info?: string
  readonly node?: { readonly id?: string }
  readonly resource_names?: readonly string[]
  readonly type_url?: string
  readonly response_nonce?: string
  readonly error_detail?: { readonly message?: string }
}

interface DiscoveryResponse {
  readonly version_info: string
  readonly resources: readonly { readonly type_url: string; readonly value: Uint8Array }[]
  readonly type_url: string
  readonly nonce: string
}

type AdsStream = ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>

const PREFIX = 'type.googleapis.com/envoy.config.'
const CLUSTER = `${PREFIX}cluster.v3.Cluster`
const ENDPOINTS = `${PREFIX}endpoint.v3.ClusterLoadAssignment`
const LISTENER = `${PREFIX}listener.v3.Listener`
const ROUTES = `${PREFIX}route.v3.RouteConfiguration`
/** Make before break: what is referred to goes first (xDS protocol, "Eventual consistency considerations"). */
const PUSH_ORDER = [CLUSTER, ENDPOINTS, LISTENER, ROUTES]

const SERVICE: ServiceDefinition = {
  StreamAggregatedResources: {
    path: '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources',
    requestStream: true,
    responseStream: true,
    requestSerialize: (value: object) =>
      Buffer.from(encodeMessage('envoy.service.discovery.v3.DiscoveryRequest', value)),
    requestDeserialize: (bytes: Buffer) =>
      decodeMessage('envoy.service.discovery.v3.DiscoveryRequest', bytes).message as object,
    responseSerialize: (value: object) =>
      Buffer.from(encodeMessage('envoy.service.discovery.v3.DiscoveryResponse', value)),
    responseDeserialize: (bytes: Buffer) =>
      decodeMessage('envoy.service.discovery.v3.DiscoveryResponse', bytes).message as object,
  },
}

/** Aggregated discovery, state of the world, for any number of nodes. Serves whatever snapshot it was given last. */
export class AdsServer {
  readonly #server = new Server()
  readonly #sessions = new Set<Session>()
  readonly #report: (event: AdsEvent) => void
  #snapshot: Snapshot = { shared: [], perNode: new Map() }

  constructor(report: (event: AdsEvent) => void) {
    this.#report = report
    const methods: UntypedServiceImplementation = {
      StreamAggregatedResources: (stream: AdsStream) => this.#open(stream),
    }
    this.#server.addService(SERVICE, methods)
  }

  /** `host:port` (0 = any free) or `unix:/path`. Resolves to the port; rejects when the address is taken. */
  async listen(address: string): Promise<number> {
    const path = address.startsWith('unix:') ? address.slice('unix:'.length) : undefined
    if (path !== undefined) rmSync(path, { force: true })
    const port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(address, ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve(bound)
        else reject(error)
      })
    })
    // Proxies run as another user.
    if (path !== undefined) chmodSync(path, 0o666)
    return port
  }

  /** Sends every node what has changed for it. */
  publish(snapshot: Snapshot): void {
    this.#snapshot = snapshot
    for (const session of this.#sessions) session.push()
  }

  close(): void {
    this.#server.forceShutdown()
  }

  #open(stream: AdsStream): void {
    const session = new Session(stream, () => this.#snapshot, this.#report)
    this.#sessions.add(session)
    const end = (): void => {
      if (!this.#sessions.delete(session)) return
      this.#report({ kind: 'disconnected', node: session.node, type: '', version: '', count: 0, reason: '' })
    }
    stream.on('end', () => {
      stream.end()
      end()
    })
    stream.on('cancelled', end)
    stream.on('error', end)
  }
}

/** State of one type on one stream. */
interface Subscription {
  names: readonly string[]
  /** Of the last response; '' before the first. */
  version: string
  nonce: string
  /** The last response was answered: a further request with its nonce asks anew. */
  answered: boolean
}

class Session {
  node = '?'
  readonly #stream: AdsStream
  readonly #current: () => Snapshot
  readonly #report: (event: AdsEvent) => void
  readonly #subscriptions = new Map<string, Subscription>()
  #nonce = 0

  constructor(stream: AdsStream, current: () => Snapshot, report: (event: AdsEvent) => void) {
    this.#stream = stream
    this.#current = current
    this.#report = report
    stream.on('data', (request: DiscoveryRequest) => this.#onRequest(request))
  }

  push(): void {
    for (const typeUrl of PUSH_ORDER) {
      const subscription = this.#subscriptions.get(typeUrl)
      if (subscription !== undefined && this.#version(typeUrl) !== subscription.version)
        this.#send(typeUrl, subscription)
    }
  }

  #onRequest(request: DiscoveryRequest): void {
    // `sidecar~IP~POD.NAMESPACE~DOMAIN`; the node comes with the first request of a stream only.
    const id = request.node?.id
    if (id !== undefined && id !== '' && this.node === '?') {
      this.node = (id.split('~')[2] ?? id).split('.')[0] as string
      this.#tell('connected', '', '', 0, '')
    }
    const typeUrl = request.type_url ?? ''
    const names = request.resource_names ?? []
    const subscription = this.#subscriptions.get(typeUrl)
    if (subscription === undefined) {
      const fresh = { names, version: '', nonce: '', answered: true }
      this.#subscriptions.set(typeUrl, fresh)
      this.#send(typeUrl, fresh)
      return
    }
    // A nonce that is not the last one answers a response that is already superseded.
    if (request.response_nonce !== subscription.nonce) return
    const wantsMore = subscription.answered || !sameNames(names, subscription.names)
    subscription.names = names
    if (!subscription.answered) {
      subscription.answered = true
      const reason = request.error_detail?.message
      this.#tell(reason === undefined ? 'ack' : 'nack', typeUrl, subscription.version, 0, reason ?? '')
    }
    // A second request on an answered nonce: a cluster or listener was replaced and warms, so its endpoints or routes
    // are asked for again although their version did not change. Left unanswered it would never become active.
    if (wantsMore) this.#send(typeUrl, subscription)
  }

  #send(typeUrl: string, subscription: Subscription): void {
    const all = resourcesOf(this.#current(), this.node, typeUrl)
    const everything = typeUrl === CLUSTER || typeUrl === LISTENER
    const resources: { type_url: string; value: Uint8Array }[] = []
    for (const [name, value] of all) {
      if (everything || subscription.names.includes(name)) resources.push({ type_url: typeUrl, value })
    }
    subscription.version = this.#version(typeUrl)
    subscription.nonce = String(++this.#nonce)
    subscription.answered = false
    this.#tell('sent', typeUrl, subscription.version, resources.length, '')
    this.#stream.write({ version_info: subscription.version, resources, type_url: typeUrl, nonce: subscription.nonce })
  }

  /** Endpoints follow their clusters and routes their listeners: a change of those is a new version of these. */
  #version(typeUrl: string): string {
    const snapshot = this.#current()
    const own = versionOf(resourcesOf(snapshot, this.node, typeUrl))
    const parent = typeUrl === ENDPOINTS ? CLUSTER : typeUrl === ROUTES ? LISTENER : undefined
    return parent === undefined ? own : `${versionOf(resourcesOf(snapshot, this.node, parent))}.${own}`
  }

  #tell(kind: AdsEvent['kind'], typeUrl: string, version: string, count: number, reason: string): void {
    this.#report({ kind, node: this.node, type: typeUrl.split('.').at(-1) ?? '', version, count, reason })
  }
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && new Set([...a, ...b]).size === new Set(a).size
}
