import type { Log } from '../base/log.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import type { StatsScope } from '../stats/stats.ts'
import { AdsStream, type AdsStreamOptions, type StreamUser } from './ads-stream.ts'
import { type DiscoveryResponse, decodeResponse, encodeRequest } from './discovery-wire.ts'
import { reasonOf, truncated } from './nack.ts'
import type { ResourceType } from './resources/type.ts'
import { type DecodePolicy, readResource, type XdsResource } from './resources/xds-resource.ts'
import type { ResourceSource, ResourceWatcher, Watch } from './source.ts'
import { SotwSubscription } from './subscription.ts'

export interface MuxOptions extends Omit<AdsStreamOptions, 'stats'> {
  readonly node: envoy.config.core.v3.Node
  /** set_node_on_first_message_only */
  readonly nodeOnFirstMessageOnly: boolean
  readonly policy: DecodePolicy
  readonly stats: StatsScope & { text(name: string, value: string): void }
}

interface Entry {
  /** Ascending; null = everything. */
  names: readonly string[] | null
  readonly watcher: ResourceWatcher
}

class TypeState {
  readonly type: ResourceType
  readonly subscription: SotwSubscription
  /** In the order they came. */
  readonly entries = new Set<Entry>()

  constructor(type: ResourceType) {
    this.type = type
    this.subscription = new SotwSubscription(type.typeUrl)
  }

  /** The latest first, as the real mux: control planes and their logs get names in the order they know. */
  latestFirst(): Entry[] {
    return [...this.entries].reverse()
  }

  names(): string[] {
    const names = new Set<string>()
    for (const entry of this.latestFirst()) for (const name of entry.names ?? []) names.add(name)
    return [...names]
  }
}

/**
 * Several resource types over one stream (ADS), or one (a type's own service), state of the world. When a request goes out is what a
 * control plane sees of us, so it is as in grpc_mux_impl.cc: at once, unless the type is paused; test/integration/xds/ compares.
 */
export class GrpcMux implements ResourceSource, StreamUser {
  readonly countsStart = true
  readonly #options: MuxOptions
  readonly #log: Log
  readonly #stream: AdsStream
  /** In the order of the first subscriptions, which is the order of requests after a reconnect. */
  readonly #types = new Map<string, TypeState>()
  /** Pauses of types that nobody follows yet. */
  readonly #pausedEarly = new Map<string, number>()
  /** Type URLs of requests that are due. */
  #queue: string[] = []
  #firstMessage = true

  constructor(options: MuxOptions) {
    this.#options = options
    this.#log = options.log
    this.#stream = new AdsStream(options, this)
    options.stats.text('control_plane.identifier', '')
  }

  start(): void {
    this.#stream.start()
  }

  close(): void {
    this.#stream.close()
  }

  watch(type: ResourceType, names: readonly string[] | null, watcher: ResourceWatcher): Watch {
    let state = this.#types.get(type.typeUrl)
    if (state === undefined) {
      state = new TypeState(type)
      for (let i = this.#pausedEarly.get(type.typeUrl) ?? 0; i > 0; i--) state.subscription.pause()
      this.#pausedEarly.delete(type.typeUrl)
      this.#types.set(type.typeUrl, state)
    }
    const { entries } = state
    const entry: Entry = { names: sorted(names), watcher }
    entries.add(entry)
    this.#request(type.typeUrl)
    return {
      setNames: next => {
        entry.names = sorted(next)
        this.#request(type.typeUrl)
      },
      close: () => {
        if (entries.delete(entry) && entry.names !== null) this.#request(type.typeUrl)
      },
    }
  }

  /** No requests for these types until the returned function is called (once); then at most one each. */
  pause(...typeUrls: string[]): () => void {
    for (const typeUrl of typeUrls) {
      const state = this.#types.get(typeUrl)
      if (state !== undefined) state.subscription.pause()
      else this.#pausedEarly.set(typeUrl, (this.#pausedEarly.get(typeUrl) ?? 0) + 1)
    }
    let resumed = false
    return () => {
      if (resumed) return
      resumed = true
      for (const typeUrl of typeUrls) this.#resume(typeUrl)
    }
  }

  onStreamOpened(): void {
    this.#firstMessage = true
    this.#queue = []
    for (const state of this.#types.values()) state.subscription.onStreamOpened()
    for (const typeUrl of this.#types.keys()) this.#request(typeUrl)
  }

  onStreamLost(text: string): void {
    this.#queue = []
    for (const state of this.#types.values())
      for (const { watcher } of state.latestFirst()) watcher.onFailure(text, true)
  }

  hasRequest(): boolean {
    return this.#queue.length > 0
  }

  waitingRequests(): number {
    return this.#queue.length
  }

  takeRequest(): Uint8Array {
    const state = this.#types.get(this.#queue.shift()!)!
    const { subscription } = state
    subscription.want(state.names())
    const withNode = this.#firstMessage || !this.#options.nodeOnFirstMessageOnly
    this.#firstMessage = false
    return encodeRequest(subscription.take(), withNode ? this.#options.node : undefined)
  }

  onMessage(message: Uint8Array): void {
    let response: DiscoveryResponse
    try {
      response = decodeResponse(message)
    } catch (error) {
      this.#log.warning(`xDS response that is not a DiscoveryResponse: ${reasonOf(error)}`)
      return
    }
    if (response.controlPlane !== '') this.#options.stats.text('control_plane.identifier', response.controlPlane)
    const state = this.#types.get(response.typeUrl)
    if (state === undefined) {
      this.#log.warning(`Ignoring the message for type URL ${response.typeUrl} as it has no current subscribers.`)
      return
    }
    if (state.entries.size === 0) {
      this.#unwatched(state, response)
      return
    }
    // What the watchers subscribe to while they take this over must not go out before the answer to it.
    const resume = this.pause(response.typeUrl)
    try {
      this.#deliver(state, response)
      state.subscription.onAccepted(response.version, response.nonce)
    } catch (error) {
      const text = truncated(reasonOf(error))
      this.#log.warning(`gRPC config for ${response.typeUrl} rejected: ${text}`)
      for (const { watcher } of state.latestFirst()) watcher.onRejected(text)
      state.subscription.onRejected(response.nonce, text)
    }
    this.#request(response.typeUrl)
    resume()
  }

  /** The last watch went while the response was on its way. */
  #unwatched(state: TypeState, response: DiscoveryResponse): void {
    if (response.resources.length === 0) {
      state.subscription.onAccepted(response.version, response.nonce)
      return
    }
    this.#log.warning(`Ignoring unwatched type URL ${response.typeUrl}`)
    state.subscription.onAccepted(state.subscription.version, response.nonce)
    this.#request(response.typeUrl)
  }

  /** The first watcher that throws ends it: the rest of the response is not looked at, as in Envoy. */
  #deliver(state: TypeState, response: DiscoveryResponse): void {
    const { type } = state
    const { version } = response
    const resources = response.resources.map(raw => readResource(type, raw, version, this.#options.policy))
    const byName = new Map<string, XdsResource>()
    for (const resource of resources) {
      // One broken resource refuses a response before anything of it is applied; complete types check what changed only.
      if (!type.complete && type.decodedLate !== true) resource.decode()
      if (!byName.has(resource.name)) byName.set(resource.name, resource)
    }
    for (const entry of state.latestFirst()) {
      // Taking a resource over can end other watches.
      if (!state.entries.has(entry)) continue
      const { names, watcher } = entry
      if (names === null) {
        watcher.onUpdate({ version, resources })
        continue
      }
      const mine: XdsResource[] = []
      for (const name of names) {
        const resource = byName.get(name)
        if (resource !== undefined) mine.push(resource)
      }
      // A partial type says nothing about what it leaves out.
      if (mine.length > 0) watcher.onUpdate({ version, resources: mine })
    }
  }

  #request(typeUrl: string): void {
    if (this.#stream.available && this.#types.get(typeUrl)!.subscription.due()) this.#send(typeUrl)
  }

  #send(typeUrl: string): void {
    this.#queue.push(typeUrl)
    this.#stream.flush()
  }

  #resume(typeUrl: string): void {
    const state = this.#types.get(typeUrl)
    if (state !== undefined) {
      if (state.subscription.resume() && this.#stream.available) this.#send(typeUrl)
      return
    }
    const early = this.#pausedEarly.get(typeUrl) ?? 0
    if (early > 1) this.#pausedEarly.set(typeUrl, early - 1)
    else this.#pausedEarly.delete(typeUrl)
  }
}

function sorted(names: readonly string[] | null): readonly string[] | null {
  return names === null ? null : [...names].sort()
}
