import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import { TimerNode, type TimerOwner, type Timers } from '../base/timer.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import type { StatsStore } from '../stats/store.ts'
import { type DiscoveryResponse, decodeResponse, encodeRequest, type RawResource } from './discovery-wire.ts'
import type { ResourceSource, ResourceWatcher, Watch } from './source.ts'
import { SotwSubscription } from './subscription.ts'

/** A stream of bytes messages; `grpc-transport.ts` opens real ones, tests fake ones. */
export interface XdsStream {
  send(message: Uint8Array): void
  close(): void
}

export interface XdsStreamHandler {
  onMessage(message: Uint8Array): void
  /** The stream is over, or could not be opened. */
  onClosed(status: number, message: string): void
}

/** Opens a stream; never throws, failures come through `onClosed`. */
export type OpenStream = (handler: XdsStreamHandler) => XdsStream

/** Envoy's defaults of the stream's back-off (grpc_stream.h: 500 ms, 30 s, fully jittered). */
const RETRY_BASE = 500
const RETRY_MAX = 30_000
const TIMER_RETRY = 0
const TIMER_TOKENS = 1

interface WatchEntry {
  names: readonly string[] | null
  readonly watcher: ResourceWatcher
}

class TypeState {
  readonly subscription: SotwSubscription
  readonly watches = new Set<WatchEntry>()
  stale = false

  constructor(typeUrl: string) {
    this.subscription = new SotwSubscription(typeUrl)
  }

  /** Brings the subscription's names up to date. */
  settle(): void {
    if (!this.stale) return
    this.stale = false
    const names = new Set<string>()
    let wildcard = false
    for (const entry of this.watches) {
      if (entry.names === null) wildcard = true
      else for (const name of entry.names) names.add(name)
    }
    this.subscription.want(names, wildcard)
  }
}

export interface MuxOptions {
  readonly open: OpenStream
  readonly node: envoy.config.core.v3.Node
  readonly nodeOnFirstMessageOnly: boolean
  /** rate_limit_settings; 0 = none. */
  readonly maxTokens: number
  readonly fillRate: number
  readonly timers: Timers
  readonly random: Random
  readonly stats: StatsStore
  readonly log: Log
}

/** Several resource types over one stream (ADS), or one (a type's own service): SotW over gRPC, reconnecting for ever. */
export class GrpcMux implements ResourceSource, XdsStreamHandler, TimerOwner {
  readonly #options: MuxOptions
  readonly #types = new Map<string, TypeState>()
  readonly #retryTimer: TimerNode
  readonly #tokenTimer: TimerNode
  #stream: XdsStream | null = null
  #failures = 0
  #firstMessage = true
  #scheduled = false
  #closed = false
  #tokens: number
  #tokensAt: number

  constructor(options: MuxOptions) {
    this.#options = options
    this.#retryTimer = new TimerNode(this, TIMER_RETRY)
    this.#tokenTimer = new TimerNode(this, TIMER_TOKENS)
    this.#tokens = options.maxTokens
    this.#tokensAt = options.timers.now()
    options.stats.gauge('control_plane.connected_state').set(0)
    options.stats.gauge('control_plane.pending_requests').set(0)
    options.stats.counter('control_plane.rate_limit_enforced')
  }

  start(): void {
    if (this.#stream === null && !this.#closed) this.#open()
  }

  watch(typeUrl: string, names: readonly string[] | null, watcher: ResourceWatcher): Watch {
    let state = this.#types.get(typeUrl)
    if (state === undefined) {
      state = new TypeState(typeUrl)
      this.#types.set(typeUrl, state)
    }
    const type = state
    const entry: WatchEntry = { names, watcher }
    type.watches.add(entry)
    this.#changed(type)
    return {
      setNames: next => {
        entry.names = next
        this.#changed(type)
      },
      close: () => {
        type.watches.delete(entry)
        this.#changed(type)
      },
    }
  }

  close(): void {
    this.#closed = true
    this.#options.timers.cancel(this.#retryTimer)
    this.#options.timers.cancel(this.#tokenTimer)
    this.#stream?.close()
    this.#stream = null
  }

  onMessage(message: Uint8Array): void {
    let response: DiscoveryResponse
    try {
      response = decodeResponse(message)
    } catch (error) {
      this.#options.log.warning(`xDS response that is not a DiscoveryResponse: ${(error as Error).message}`)
      return
    }
    this.#failures = 0
    this.#options.stats.gauge('control_plane.connected_state').set(1)
    if (response.controlPlane !== '') this.#options.stats.text('control_plane.identifier', response.controlPlane)
    const state = this.#types.get(response.typeUrl)
    if (state === undefined) {
      this.#options.log.warning(
        `Ignoring the message for type URL ${response.typeUrl} as it has no current subscribers.`,
      )
      return
    }
    try {
      this.#deliver(state, response)
      state.subscription.onAccepted(response.version, response.nonce)
    } catch (error) {
      const text = (error as Error).message
      this.#options.log.warning(`gRPC config for ${response.typeUrl} rejected: ${text}`)
      state.subscription.onRejected(response.nonce, text)
    }
    this.#schedule()
  }

  onClosed(status: number, message: string): void {
    this.#stream = null
    this.#options.stats.gauge('control_plane.connected_state').set(0)
    if (this.#closed) return
    const cap = Math.min(RETRY_MAX, RETRY_BASE * 2 ** Math.min(this.#failures, 10))
    this.#failures++
    const delay = this.#options.random.next32() % cap
    this.#options.log.warning(
      `StreamAggregatedResources gRPC config stream to xds closed: ${status}, ${message}; retrying in ${delay} ms`,
    )
    for (const state of this.#types.values()) {
      for (const entry of state.watches) entry.watcher.onFailure(message)
    }
    this.#options.timers.arm(this.#retryTimer, delay)
  }

  onTimer(kind: number): void {
    if (kind === TIMER_RETRY) this.start()
    else this.#flush()
  }

  #open(): void {
    this.#firstMessage = true
    for (const state of this.#types.values()) {
      state.settle()
      state.subscription.onStreamOpened()
    }
    this.#stream = this.#options.open(this)
    this.#schedule()
  }

  /** Throws what a watcher throws; the others still get theirs, as in Envoy a type has one verdict. */
  #deliver(state: TypeState, response: DiscoveryResponse): void {
    let failure: Error | null = null
    const byName = new Map<string, RawResource>()
    for (const resource of response.resources) byName.set(nameOf(resource), resource)
    for (const entry of [...state.watches]) {
      try {
        if (entry.names === null) {
          entry.watcher.onUpdate({ version: response.version, resources: response.resources })
          continue
        }
        const mine = entry.names.flatMap(name => byName.get(name) ?? [])
        if (mine.length > 0) entry.watcher.onUpdate({ version: response.version, resources: mine })
      } catch (error) {
        failure ??= error as Error
      }
    }
    if (failure !== null) throw failure
  }

  /** Thousands of clusters subscribe in one turn: the union of their names is made once, when a request is due. */
  #changed(state: TypeState): void {
    state.stale = true
    this.#schedule()
  }

  /** Requests leave at the end of the turn: what one response changed in several types is one request per type. */
  #schedule(): void {
    if (this.#scheduled || this.#stream === null) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    for (const state of this.#types.values()) {
      if (this.#stream === null) return
      state.settle()
      if (!state.subscription.due) continue
      if (!this.#takeToken()) return
      const withNode = this.#firstMessage || !this.#options.nodeOnFirstMessageOnly
      this.#firstMessage = false
      this.#stream.send(encodeRequest(state.subscription.take(), withNode ? this.#options.node : undefined))
    }
  }

  #takeToken(): boolean {
    const { maxTokens, fillRate, timers, stats } = this.#options
    if (maxTokens === 0) return true
    const now = timers.now()
    this.#tokens = Math.min(maxTokens, this.#tokens + ((now - this.#tokensAt) / 1000) * fillRate)
    this.#tokensAt = now
    if (this.#tokens >= 1) {
      this.#tokens--
      return true
    }
    stats.counter('control_plane.rate_limit_enforced').inc()
    timers.arm(this.#tokenTimer, Math.ceil(((1 - this.#tokens) / fillRate) * 1000))
    return false
  }
}

/** Name of a raw resource: field 1 of every xDS resource (name, cluster_name) is its name. */
export function nameOf(resource: RawResource): string {
  const bytes = resource.bytes
  // Field 1, length-delimited, stands first in what every known encoder writes; a merged duplicate would be a later one.
  if (bytes[0] !== 0x0a) return ''
  let length = 0
  let at = 1
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = bytes[at++] ?? 0
    length |= (byte & 0x7f) << shift
    if ((byte & 0x80) === 0) break
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, Math.min(length, bytes.length - at)).toString('utf8')
}
