import type { Log } from '../base/log.ts'
import { AdsStream, type StreamUser } from './ads-stream.ts'
import { DeltaSubscription } from './delta-subscription.ts'
import { type DeltaResponse, decodeDeltaResponse, encodeDeltaRequest, type RawDeltaResource } from './delta-wire.ts'
import type { MuxOptions } from './grpc-mux.ts'
import { reasonOf, truncated } from './nack.ts'
import type { ResourceType } from './resources/type.ts'
import { type DecodePolicy, readResource, type XdsResource } from './resources/xds-resource.ts'
import type { ResourceSource, ResourceWatcher, Watch } from './source.ts'
import { TimeToLive } from './time-to-live.ts'

interface Entry {
  /** null = everything. */
  names: ReadonlySet<string> | null
  readonly watcher: ResourceWatcher
  closed: boolean
}

/** What one watcher is told of a response. */
interface Share {
  readonly resources: XdsResource[]
  readonly removed: string[]
}

/** Who follows what of a type: looked up by name, since a response is about a few of thousands. */
class TypeState {
  readonly type: ResourceType
  readonly subscription: DeltaSubscription
  readonly entries = new Set<Entry>()
  readonly byName = new Map<string, Set<Entry>>()
  readonly everything = new Set<Entry>()
  readonly timeToLive: TimeToLive

  constructor(type: ResourceType, timeToLive: TimeToLive) {
    this.type = type
    this.subscription = new DeltaSubscription(type.typeUrl)
    this.timeToLive = timeToLive
  }

  /** Added before removed, so that a name that stays wanted is not dropped. */
  interest(entry: Entry, names: ReadonlySet<string> | null): void {
    const before = entry.names ?? new Set()
    const after = names ?? new Set()
    entry.names = names
    if (names === null) this.everything.add(entry)
    else this.everything.delete(entry)
    const added: string[] = []
    const removed: string[] = []
    for (const name of after) {
      const users = this.byName.get(name)
      if (users !== undefined) users.add(entry)
      else {
        this.byName.set(name, new Set([entry]))
        added.push(name)
      }
    }
    for (const name of before) {
      if (after.has(name)) continue
      const users = this.byName.get(name)
      if (users?.delete(entry) !== true || users.size > 0) continue
      this.byName.delete(name)
      this.timeToLive.set(name, null)
      removed.push(name)
    }
    this.subscription.change(added, removed)
  }

  followers(name: string): Iterable<Entry> {
    const named = this.byName.get(name)
    if (named === undefined) return this.everything
    return this.everything.size === 0 ? named : new Set([...this.everything, ...named])
  }
}

/**
 * Several resource types over one stream (ADS), or one (a type's own service), incremental protocol. When a request goes out is as in
 * new_grpc_mux_impl.cc: answers first, in their order, then changes of interest by type; test/integration/xds/ compares.
 */
export class DeltaMux implements ResourceSource, StreamUser {
  readonly countsStart = true
  readonly #options: MuxOptions
  readonly #log: Log
  readonly #stream: AdsStream
  /** In the order of the first subscriptions, which is the order of requests. */
  readonly #types = new Map<string, TypeState>()
  /** Answers that are due. */
  #answers: { readonly typeUrl: string; readonly nonce: string; readonly error: string }[] = []
  /** How often each type is paused. */
  readonly #paused = new Map<string, number>()
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
    for (const { timeToLive } of this.#types.values()) timeToLive.close()
  }

  watch(type: ResourceType, names: readonly string[] | null, watcher: ResourceWatcher): Watch {
    const { typeUrl } = type
    let state = this.#types.get(typeUrl)
    if (state === undefined) {
      const ttl = new TimeToLive(this.#options.timers, over => this.#expire(typeUrl, over))
      state = new TypeState(type, ttl)
      this.#types.set(typeUrl, state)
    }
    const followed = state
    const entry: Entry = { names: null, watcher, closed: false }
    followed.entries.add(entry)
    followed.interest(entry, setOf(names))
    this.#stream.flush()
    return {
      setNames: next => {
        followed.interest(entry, setOf(next))
        this.#stream.flush()
      },
      close: () => {
        if (entry.closed) return
        entry.closed = true
        followed.entries.delete(entry)
        followed.interest(entry, new Set())
        this.#stream.flush()
      },
    }
  }

  /** No requests and answers for these types until the returned function is called (once). */
  pause(...typeUrls: string[]): () => void {
    for (const typeUrl of typeUrls) this.#paused.set(typeUrl, (this.#paused.get(typeUrl) ?? 0) + 1)
    let resumed = false
    return () => {
      if (resumed) return
      resumed = true
      for (const typeUrl of typeUrls) {
        const left = (this.#paused.get(typeUrl) ?? 1) - 1
        if (left > 0) this.#paused.set(typeUrl, left)
        else {
          this.#paused.delete(typeUrl)
          this.#stream.flush()
        }
      }
    }
  }

  onStreamOpened(): void {
    this.#firstMessage = true
    this.#answers = []
    for (const { subscription } of this.#types.values()) subscription.onStreamOpened()
    this.#stream.flush()
  }

  onStreamLost(text: string): void {
    this.#answers = []
    for (const state of this.#types.values())
      for (const { watcher } of [...state.entries]) watcher.onFailure(text, true)
  }

  hasRequest(): boolean {
    return this.#nextAnswer() >= 0 || this.#nextType() !== null
  }

  waitingRequests(): number {
    return this.#answers.length
  }

  takeRequest(): Uint8Array {
    const at = this.#nextAnswer()
    const answer = at < 0 ? null : this.#answers.splice(at, 1)[0]!
    const state = answer === null ? this.#nextType()! : this.#types.get(answer.typeUrl)!
    const withNode = this.#firstMessage || !this.#options.nodeOnFirstMessageOnly
    this.#firstMessage = false
    const request = state.subscription.take(answer?.nonce ?? '', answer?.error ?? '')
    return encodeDeltaRequest(request, withNode ? this.#options.node : undefined)
  }

  onMessage(message: Uint8Array): void {
    let response: DeltaResponse
    try {
      response = decodeDeltaResponse(message)
    } catch (error) {
      this.#log.warning(`xDS response that is not a DeltaDiscoveryResponse: ${reasonOf(error)}`)
      return
    }
    const { typeUrl, nonce } = response
    const state = this.#types.get(typeUrl)
    if (state === undefined) {
      this.#log.warning(
        `Dropping received DeltaDiscoveryResponse (with version ${response.systemVersion}) for non-existent subscription ${typeUrl}.`,
      )
      return
    }
    if (response.controlPlane !== '') this.#options.stats.text('control_plane.identifier', response.controlPlane)
    let error = ''
    try {
      this.#take(state, response)
    } catch (thrown) {
      const text = truncated(reasonOf(thrown))
      // An empty text would read as an ACK.
      error = text === '' ? 'rejected' : text
      this.#log.warning(`delta config for ${typeUrl} rejected: ${error}`)
      for (const { watcher } of [...state.entries]) watcher.onRejected(error)
    }
    this.#answers.push({ typeUrl, nonce, error })
    this.#stream.flush()
  }

  /** The versions of a response that is refused are forgotten, even those of its resources that were taken over. */
  #take(state: TypeState, response: DeltaResponse): void {
    const { subscription } = state
    check(state, response)
    const news = response.resources.filter(r => !isHeartbeat(subscription, r))
    this.#deliver(state, news, response.removed, response.systemVersion)
    for (const { name, version, ttl } of response.resources) {
      if (subscription.onReceived(name, version)) state.timeToLive.set(name, ttl)
    }
    for (const name of response.removed) {
      subscription.onRemoved(name)
      state.timeToLive.set(name, null)
    }
  }

  /** Decoded before anybody is told, so that one broken resource refuses the response as a whole. */
  #deliver(state: TypeState, raws: readonly RawDeltaResource[], removed: readonly string[], version: string): void {
    const shares = new Map<Entry, Share>()
    for (const raw of raws) {
      let resource: XdsResource | null = null
      for (const entry of state.followers(raw.name)) {
        resource ??= read(state.type, raw, this.#options.policy)
        if (resource === null) break
        shareOf(shares, entry).resources.push(resource)
      }
    }
    for (const name of removed) for (const entry of state.followers(name)) shareOf(shares, entry).removed.push(name)
    if (raws.length === 0 && removed.length === 0) for (const entry of state.everything) shareOf(shares, entry)
    for (const [entry, { resources, removed }] of shares) {
      // Taking a resource over can end other watches.
      if (!entry.closed) entry.watcher.onUpdate({ version, resources, removed })
    }
  }

  #expire(typeUrl: string, names: readonly string[]): void {
    const state = this.#types.get(typeUrl)!
    for (const name of names) state.subscription.onRemoved(name)
    try {
      this.#deliver(state, [], names, '')
    } catch (error) {
      this.#log.warning(`delta config for ${typeUrl} cannot be expired: ${reasonOf(error)}`)
    }
  }

  #nextAnswer(): number {
    return this.#answers.findIndex(({ typeUrl }) => !this.#paused.has(typeUrl))
  }

  #nextType(): TypeState | null {
    for (const [typeUrl, state] of this.#types) {
      if (state.subscription.pending && !this.#paused.has(typeUrl)) return state
    }
    return null
  }
}

/** Throws for what refuses a response before any of it is looked at (DeltaSubscriptionState::handleGoodResponse). */
function check({ type, subscription }: TypeState, { resources, removed }: DeltaResponse): void {
  const seen = new Set<string>()
  for (const resource of resources) {
    const { name, body, aliases } = resource
    if (seen.has(name)) throw new Error(`duplicate name ${name} found among added/updated resources`)
    seen.add(name)
    if (isHeartbeat(subscription, resource) || (body === null && aliases.length > 0)) continue
    const typeUrl = body?.typeUrl ?? ''
    if (typeUrl === type.typeUrl) continue
    throw new Error(
      `type URL ${typeUrl} embedded in an individual Any does not match the message-wide type URL ${type.typeUrl} ` +
        `in DeltaDiscoveryResponse; at resource '${name}'`,
    )
  }
  for (const name of removed) {
    if (seen.has(name)) throw new Error(`duplicate name ${name} found in the union of added+removed resources`)
    seen.add(name)
  }
}

/** "A heartbeat … contains the name and version of a resource that is there, and no body" (xDS protocol, TTL). */
function isHeartbeat(subscription: DeltaSubscription, { name, version, body }: RawDeltaResource): boolean {
  return body === null && subscription.versionOf(name) === version
}

/** null: an alias that leads nowhere, of which Envoy makes a resource without any field. */
function read(type: ResourceType, { name, version, body }: RawDeltaResource, policy: DecodePolicy): XdsResource | null {
  if (body === null) return null
  const resource = readResource(type, body, version, policy, name)
  // A complete type compares first and decodes what changed.
  if (!type.complete && type.decodedLate !== true) resource.decode()
  return resource
}

function shareOf(shares: Map<Entry, Share>, entry: Entry): Share {
  let share = shares.get(entry)
  if (share === undefined) {
    share = { resources: [], removed: [] }
    shares.set(entry, share)
  }
  return share
}

function setOf(names: readonly string[] | null): ReadonlySet<string> | null {
  return names === null ? null : new Set(names)
}
