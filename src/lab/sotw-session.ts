import type { ServerDuplexStream } from '@grpc/grpc-js'
import { type AdsEvent, AdsSession, WILDCARD } from './ads-session.ts'
import type { Snapshot } from './resource-files.ts'

export interface SotwRequest {
  readonly version_info?: string
  readonly node?: { readonly id?: string }
  readonly resource_names?: readonly string[]
  readonly type_url?: string
  readonly response_nonce?: string
  readonly error_detail?: { readonly message?: string }
}

export interface SotwResponse {
  readonly version_info: string
  readonly resources: readonly { readonly type_url: string; readonly value: Uint8Array }[]
  readonly type_url: string
  readonly nonce: string
}

export type SotwStream = ServerDuplexStream<SotwRequest, SotwResponse>

/** State of one type on one stream. */
interface Subscription {
  names: readonly string[]
  /** Of the last response; '' before the first. */
  version: string
  nonce: string
  /** The last response was answered: a further request with its nonce asks anew. */
  answered: boolean
}

/** StreamAggregatedResources: all resources of a type at once. */
export class SotwSession extends AdsSession {
  readonly #stream: SotwStream
  readonly #subscriptions = new Map<string, Subscription>()

  constructor(stream: SotwStream, number: number, current: () => Snapshot, report: (event: AdsEvent) => void) {
    super(number, current, report)
    this.#stream = stream
    stream.on('data', (request: SotwRequest) => this.#onRequest(request))
  }

  protected pushType(typeUrl: string): void {
    const subscription = this.#subscriptions.get(typeUrl)
    if (subscription !== undefined && this.version(typeUrl) !== subscription.version) this.#send(typeUrl, subscription)
  }

  protected asked(): Iterable<string> {
    return this.#subscriptions.keys()
  }

  #onRequest(request: SotwRequest): void {
    this.meet(request.node?.id)
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
      this.tell(reason === undefined ? 'ack' : 'nack', typeUrl, subscription.version, reason ?? '')
    }
    // A second request on an answered nonce: a cluster or listener was replaced and warms, so its endpoints or routes
    // are asked for again although their version did not change. Left unanswered it would never become active.
    if (wantsMore) this.#send(typeUrl, subscription)
  }

  #send(typeUrl: string, subscription: Subscription): void {
    const all = this.resources(typeUrl)
    const { names } = subscription
    const everything = WILDCARD.includes(typeUrl)
    const resources: { type_url: string; value: Uint8Array }[] = []
    const sent: string[] = []
    for (const [name, value] of all) {
      if (!everything && !names.includes(name)) continue
      resources.push({ type_url: typeUrl, value })
      sent.push(name)
    }
    subscription.version = this.version(typeUrl)
    subscription.nonce = this.nextNonce()
    subscription.answered = false
    const absent = names.filter(name => name !== '*' && !all.has(name))
    this.tellSent(typeUrl, subscription.version, sent, absent)
    this.#stream.write({ version_info: subscription.version, resources, type_url: typeUrl, nonce: subscription.nonce })
  }
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && new Set([...a, ...b]).size === new Set(a).size
}
