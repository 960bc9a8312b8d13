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

const PREFIX = 'type.googleapis.com/envoy.config.'
export const CLUSTER = `${PREFIX}cluster.v3.Cluster`
export const ENDPOINTS = `${PREFIX}endpoint.v3.ClusterLoadAssignment`
export const LISTENER = `${PREFIX}listener.v3.Listener`
export const ROUTES = `${PREFIX}route.v3.RouteConfiguration`
/** Make before break: what is referred to goes first (xDS protocol, "Eventual consistency considerations"). */
const PUSH_ORDER = [CLUSTER, ENDPOINTS, LISTENER, ROUTES]

/** What a stream of either protocol has. */
export abstract class AdsSession {
  node = '?'
  readonly #current: () => Snapshot
  readonly #report: (event: AdsEvent) => void
  #nonce = 0

  constructor(current: () => Snapshot, report: (event: AdsEvent) => void) {
    this.#current = current
    this.#report = report
  }

  /** Sends what has changed since it was sent. */
  push(): void {
    for (const typeUrl of PUSH_ORDER) this.pushType(typeUrl)
  }

  protected abstract pushType(typeUrl: string): void

  /** `sidecar~IP~POD.NAMESPACE~DOMAIN`; the node comes with the first request of a stream only. */
  protected meet(id: string | undefined): void {
    if (id === undefined || id === '' || this.node !== '?') return
    this.node = (id.split('~')[2] ?? id).split('.')[0] as string
    this.tell('connected', '', '', 0, '')
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

  protected tell(kind: AdsEvent['kind'], typeUrl: string, version: string, count: number, reason: string): void {
    this.#report({ kind, node: this.node, type: typeUrl.split('.').at(-1) ?? '', version, count, reason })
  }
}
