import type { ServerDuplexStream } from '@grpc/grpc-js'
import { decodeMessage } from '../config/binary.ts'
import type { DeltaRequestMessage, DeltaResponse, RawDeltaResource } from '../xds/delta-wire.ts'
import { type AdsEvent, AdsSession, CLUSTER, ENDPOINTS, LISTENER, ROUTES, WILDCARD } from './ads-session.ts'
import { type Snapshot, versionOf } from './resource-files.ts'

export type DeltaStream = ServerDuplexStream<DeltaRequestMessage, DeltaResponse>

/** State of one type on one stream. */
interface Subscription {
  /** All resources there are. */
  wildcard: boolean
  readonly names: Set<string>
  /** What the client has: name → version. */
  readonly has: Map<string, string>
  /** Of the last response, for the person who reads along. */
  version: string
  /** Of the last response; '' when it was answered. */
  nonce: string
}

/** DeltaAggregatedResources: what has changed, what is gone. */
export class DeltaSession extends AdsSession {
  readonly #stream: DeltaStream
  readonly #subscriptions = new Map<string, Subscription>()

  constructor(stream: DeltaStream, number: number, current: () => Snapshot, report: (event: AdsEvent) => void) {
    super(number, current, report)
    this.#stream = stream
    stream.on('data', (request: DeltaRequestMessage) => this.#onRequest(request))
  }

  protected pushType(typeUrl: string): void {
    const subscription = this.#subscriptions.get(typeUrl)
    if (subscription !== undefined) this.#send(typeUrl, subscription, false)
  }

  protected asked(): Iterable<string> {
    return this.#subscriptions.keys()
  }

  #onRequest(request: DeltaRequestMessage): void {
    const { node, typeUrl, subscribe, unsubscribe, initialVersions, nonce, error } = request
    this.meet(node === null ? undefined : idOf(node))
    let subscription = this.#subscriptions.get(typeUrl)
    const isFirst = subscription === undefined
    if (subscription === undefined) {
      // A first request without names asks for everything, as in the protocol without `*`.
      const wildcard = subscribe.length === 0 && WILDCARD.includes(typeUrl)
      subscription = { wildcard, names: new Set(), has: new Map(initialVersions), version: '', nonce: '' }
      this.#subscriptions.set(typeUrl, subscription)
    }
    if (nonce !== '' && nonce === subscription.nonce) {
      subscription.nonce = ''
      this.tell(error === null ? 'ack' : 'nack', typeUrl, subscription.version, error ?? '')
    }
    for (const name of unsubscribe) {
      if (name === '*') subscription.wildcard = false
      subscription.names.delete(name)
      subscription.has.delete(name)
    }
    for (const name of subscribe) {
      if (name === '*') subscription.wildcard = true
      else subscription.names.add(name)
      // Whoever asks gets an answer, also for what it has (xDS protocol, "Subscribing to resources").
      if (!isFirst) subscription.has.delete(name)
    }
    if (isFirst || subscribe.length > 0) this.#send(typeUrl, subscription, isFirst && subscription.wildcard)
  }

  /** `always`: an empty answer too, which ends the client's waiting. */
  #send(typeUrl: string, subscription: Subscription, always: boolean): void {
    const { has, names, wildcard } = subscription
    const all = this.resources(typeUrl)
    const resources: RawDeltaResource[] = []
    for (const [name, bytes] of all) {
      if (!wildcard && !names.has(name)) continue
      const version = this.#versionOf(typeUrl, name, bytes)
      if (has.get(name) === version) continue
      has.set(name, version)
      resources.push({ name, version, aliases: [], ttl: null, body: { typeUrl, bytes } })
    }
    const removed: string[] = []
    for (const name of new Set([...has.keys(), ...names])) {
      // What was asked for and is not there is said to be gone, once.
      if (all.has(name) || has.get(name) === ABSENT) continue
      removed.push(name)
      if (names.has(name)) has.set(name, ABSENT)
      else has.delete(name)
    }
    if (resources.length === 0 && removed.length === 0 && !always) return
    subscription.version = this.version(typeUrl)
    subscription.nonce = this.nextNonce()
    const sent = resources.map(({ name }) => name)
    const absent = removed.filter(name => names.has(name))
    this.tellSent(typeUrl, subscription.version, sent, absent)
    this.#stream.write({
      systemVersion: subscription.version,
      typeUrl,
      nonce: subscription.nonce,
      controlPlane: '',
      resources,
      removed,
    })
  }

  /** As `version`: endpoints are sent again with their cluster, or with any where they have another name; routes with any listener. */
  #versionOf(typeUrl: string, name: string, bytes: Uint8Array): string {
    const own = versionOf(new Map([[name, bytes]]))
    if (typeUrl === ROUTES) return `${versionOf(this.resources(LISTENER))}.${own}`
    if (typeUrl !== ENDPOINTS) return own
    const clusters = this.resources(CLUSTER)
    const cluster = clusters.get(name)
    return `${versionOf(cluster === undefined ? clusters : new Map([[name, cluster]]))}.${own}`
  }
}

/** Instead of a version: the client knows that there is none. */
const ABSENT = ''

function idOf(node: Uint8Array): string | undefined {
  return decodeMessage<{ readonly id?: string }>('envoy.config.core.v3.Node', node).message.id
}
