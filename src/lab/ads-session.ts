import { resourcesOf, type Snapshot, versionOf } from './resource-files.ts'

/** What happened between a node and the control plane, to be shown to a person. */
export interface AdsEvent {
  readonly kind: 'connected' | 'disconnected' | 'sent' | 'ack' | 'nack'
  /** A number of its own for each: a node may have one for all types, or many for one type. */
  readonly stream: number
  /** Pod name of the node; `?` before its first request. */
  readonly node: string
  /** `Cluster`, `Listener`, … ; empty for connections. */
  readonly type: string
  readonly version: string
  /** How many resources were sent. */
  readonly count: number
  /** Of those that were sent. */
  readonly names: readonly string[]
  /** Asked for with what was sent, and not there: the node waits for them. */
  readonly absent: readonly string[]
  /** Why it was rejected. */
  readonly reason: string
}

const PREFIX = 'type.googleapis.com/envoy.config.'
export const CLUSTER = `${PREFIX}cluster.v3.Cluster`
export const ENDPOINTS = `${PREFIX}endpoint.v3.ClusterLoadAssignment`
export const LISTENER = `${PREFIX}listener.v3.Listener`
export const ROUTES = `${PREFIX}route.v3.RouteConfiguration`
/** Make before break: what is referred to goes first (xDS protocol, "Eventual consistency considerations"). */
const PUSH_ORDER = [CLUSTER, ENDPOINTS, LISTENER, ROUTES]
/** Of these a node may ask for all there are; of other types by name only. */
export const WILDCARD: readonly string[] = [CLUSTER, LISTENER, `${PREFIX}route.v3.ScopedRouteConfiguration`]
const NONE: readonly string[] = []

/** What a stream of either protocol has. */
export abstract class AdsSession {
  node = '?'
  readonly stream: number
  readonly #current: () => Snapshot
  readonly #report: (event: AdsEvent) => void
  #nonce = 0

  constructor(stream: number, current: () => Snapshot, report: (event: AdsEvent) => void) {
    this.stream = stream
    this.#current = current
    this.#report = report
  }

  /** Sends what has changed since it was sent. */
  push(): void {
    for (const typeUrl of PUSH_ORDER) this.pushType(typeUrl)
    for (const typeUrl of this.asked()) if (!PUSH_ORDER.includes(typeUrl)) this.pushType(typeUrl)
  }

  protected abstract pushType(typeUrl: string): void

  /** Types that the node has asked for. */
  protected abstract asked(): Iterable<string>

  /** `sidecar~IP~POD.NAMESPACE~DOMAIN`; the node comes with the first request of a stream only. */
  protected meet(id: string | undefined): void {
    if (id === undefined || id === '' || this.node !== '?') return
    this.node = (id.split('~')[2] ?? id).split('.')[0] as string
    this.tell('connected', '', '', '')
  }

  protected nextNonce(): string {
    return String(++this.#nonce)
  }

  protected resources(typeUrl: string): ReadonlyMap<string, Uint8Array> {
    return resourcesOf(this.#current(), this.node, typeUrl)
  }

  /** Endpoints follow their clusters and routes their listeners: a change of those is a new version of these. */
  protected version(typeUrl: string): string {
    const own = versionOf(this.resources(typeUrl))
    const parent = typeUrl === ENDPOINTS ? CLUSTER : typeUrl === ROUTES ? LISTENER : undefined
    return parent === undefined ? own : `${versionOf(this.resources(parent))}.${own}`
  }

  protected tell(kind: AdsEvent['kind'], typeUrl: string, version: string, reason: string): void {
    this.#tell(kind, typeUrl, version, NONE, NONE, reason)
  }

  protected tellSent(typeUrl: string, version: string, names: readonly string[], absent: readonly string[]): void {
    this.#tell('sent', typeUrl, version, names, absent, '')
  }

  #tell(
    kind: AdsEvent['kind'],
    typeUrl: string,
    version: string,
    names: readonly string[],
    absent: readonly string[],
    reason: string,
  ): void {
    const type = typeUrl.split('.').at(-1) ?? ''
    this.#report({
      kind,
      stream: this.stream,
      node: this.node,
      type,
      version,
      count: names.length,
      names,
      absent,
      reason,
    })
  }
}
