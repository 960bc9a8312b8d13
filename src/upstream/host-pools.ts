import type { Connection, UpstreamSource } from '../io/connection.ts'
import type { Proxied } from '../io/proxied.ts'
import type { SharedState } from '../telemetry/stream-info.ts'
import type { UpstreamConnectOptions } from './connector.ts'
import type { WorkerHost } from './host.ts'
import { AutoPool } from './pool-auto.ts'
import type { HttpConnectionPool, PoolServices } from './pool-http.ts'
import { Http1Pool } from './pool-http1.ts'
import { Http2Pool } from './pool-http2.ts'
import { type Cluster, type Host, type HttpPool, type HttpPoolUser, PoolFailure, Resource } from './upstream.ts'

export const PoolKind = { Http1: 0, Http2: 1, Auto: 2 } as const
export type PoolKind = (typeof PoolKind)[keyof typeof PoolKind]

/** Extra demands on a connection: they keep pools apart. */
export interface PoolVariant {
  /** SNI; '' = as configured. */
  readonly serverName: string
  /** Name the certificate must carry; '' = as configured. */
  readonly verifyName: string
  readonly downstream: Connection | null
  /** Protocols to offer instead of the configured ones; null = as configured. */
  readonly alpn: AlpnOverride | null
  /** Whose connections these seem to be; null = the proxy's. */
  readonly source: UpstreamSource | null
  /** Whom connections tell of in PROXY headers; null = nobody. */
  readonly proxied: Proxied | null
  /** Filter state that connections get to know; null = none. */
  readonly shared: readonly SharedState[] | null
}

/** A list of protocols that a filter chose; equal lists are one object (`alpnOverride`), so pools are found by identity. */
export interface AlpnOverride {
  readonly protocols: readonly string[]
  readonly key: string
}

const overrides = new Map<string, AlpnOverride>()

/** For configurations only: lists are kept for good. */
export function alpnOverride(protocols: readonly string[]): AlpnOverride {
  const key = protocols.join(',')
  let known = overrides.get(key)
  if (known === undefined) {
    known = { protocols: [...protocols], key }
    overrides.set(key, known)
  }
  return known
}

/** What the pools of one host need to connect. */
export type PoolOptions = (kind: PoolKind, variant: PoolVariant) => UpstreamConnectOptions

/** Nothing in particular. */
export const PLAIN: PoolVariant = {
  serverName: '',
  verifyName: '',
  downstream: null,
  alpn: null,
  source: null,
  proxied: null,
  shared: null,
}

const MANY_VARIANTS = 64

type PlainPools = (HttpConnectionPool | null)[]

class AlpnPools {
  readonly alpn: AlpnOverride
  readonly pools: PlainPools = [null, null, null, null, null, null]

  constructor(alpn: AlpnOverride) {
    this.alpn = alpn
  }
}

/** The pools of one host (ConnPoolMap). Plain ones are found by index, others by key. */
export class HostPools {
  private readonly cluster: Cluster
  private readonly host: WorkerHost
  private readonly services: PoolServices
  private readonly options: PoolOptions
  private readonly plain: PlainPools = [null, null, null, null, null, null]
  private readonly byAlpn: AlpnPools[] = []
  private variants: Map<string, { pool: HttpConnectionPool; priority: 0 | 1 }> | null = null
  /** How many variants there may be until idle ones are looked for. */
  private manyVariants = MANY_VARIANTS

  constructor(cluster: Cluster, host: WorkerHost, services: PoolServices, options: PoolOptions) {
    this.cluster = cluster
    this.host = host
    this.services = services
    this.options = options
  }

  get(priority: 0 | 1, kind: PoolKind, alpn: AlpnOverride | null): HttpPool {
    const i = priority * 3 + kind
    const pools = alpn === null ? this.plain : this.poolsFor(alpn)
    const pool = pools[i]
    if (pool !== null && pool !== undefined) return pool
    const made = this.make(priority, kind, alpn === null ? PLAIN : { ...PLAIN, alpn })
    if (made === null) return new FullPool(this.host)
    pools[i] = made
    return made
  }

  private poolsFor(alpn: AlpnOverride): PlainPools {
    const { byAlpn } = this
    for (let i = 0; i < byAlpn.length; i++) if (byAlpn[i]!.alpn === alpn) return byAlpn[i]!.pools
    const made = new AlpnPools(alpn)
    byAlpn.push(made)
    return made.pools
  }

  getVariant(priority: 0 | 1, kind: PoolKind, v: PoolVariant): HttpPool {
    const id = v.downstream === null ? 0 : v.downstream.id
    const alpn = v.alpn === null ? '' : v.alpn.key
    const source = v.source === null ? '' : v.source.address.text
    const proxied = v.proxied === null ? '' : v.proxied.key
    const key = `${priority}|${kind}|${id}|${v.serverName}|${v.verifyName}|${alpn}|${source}|${proxied}${sharedKey(v.shared)}`
    this.variants ??= new Map()
    const entry = this.variants.get(key)
    if (entry !== undefined) return entry.pool
    if (this.variants.size >= this.manyVariants) this.dropIdle()
    const made = this.make(priority, kind, v)
    if (made === null) return new FullPool(this.host)
    this.variants.set(key, { pool: made, priority })
    return made
  }

  /** Pools take no more and close as their streams end; they stay usable for those who hold them. */
  drain(): void {
    for (const pool of this.all()) pool.drain()
    this.forget()
  }

  get inUse(): boolean {
    return this.all().some(pool => !pool.isIdle)
  }

  closeAll(): void {
    for (const pool of this.all()) pool.closeAll()
  }

  private make(priority: 0 | 1, kind: PoolKind, v: PoolVariant): HttpConnectionPool | null {
    const { limits } = this.cluster
    if (!limits.tryTake(priority, Resource.ConnectionPools)) {
      this.makeRoom(priority)
      if (!limits.tryTake(priority, Resource.ConnectionPools)) {
        this.cluster.counters.upstreamCxPoolOverflow.inc()
        return null
      }
    }
    const options = (): UpstreamConnectOptions => this.options(kind, v)
    switch (kind) {
      case PoolKind.Http1:
        return new Http1Pool(this.cluster, this.host, priority, options, this.services)
      case PoolKind.Http2:
        return new Http2Pool(this.cluster, this.host, priority, options, this.services)
      case PoolKind.Auto:
        return new AutoPool(this.cluster, this.host, priority, options, this.services)
    }
  }

  /** Names come from requests: pools nobody uses any more must not pile up, nor count against max_connection_pools. */
  private dropIdle(): void {
    if (this.variants === null) return
    for (const [key, { pool, priority }] of this.variants) {
      if (!pool.isIdle) continue
      this.variants.delete(key)
      this.cluster.limits.give(priority, Resource.ConnectionPools)
    }
    // With PROXY headers each client has a pool of its own: thousands in use must not be looked through for each that comes.
    this.manyVariants = Math.max(MANY_VARIANTS, 2 * this.variants.size)
  }

  /** At max_connection_pools: a pool that nobody uses goes, if need be with its idle connections (ConnPoolMap::freeOnePool). */
  private makeRoom(priority: 0 | 1): void {
    this.dropIdle()
    if (this.variants === null || this.cluster.limits.canTake(priority, Resource.ConnectionPools)) return
    for (const [key, entry] of this.variants) {
      if (entry.priority !== priority || entry.pool.hasRequests) continue
      entry.pool.drain()
      this.variants.delete(key)
      this.cluster.limits.give(priority, Resource.ConnectionPools)
      return
    }
  }

  private forget(): void {
    for (const pools of [this.plain, ...this.byAlpn.map(entry => entry.pools)]) {
      for (let i = 0; i < pools.length; i++) {
        if (pools[i] !== null) this.cluster.limits.give(i < 3 ? 0 : 1, Resource.ConnectionPools)
        pools[i] = null
      }
    }
    this.byAlpn.length = 0
    for (const { priority } of this.variants?.values() ?? [])
      this.cluster.limits.give(priority, Resource.ConnectionPools)
    this.variants = null
  }

  private all(): HttpConnectionPool[] {
    const out = this.plain.filter(p => p !== null)
    for (const { pools } of this.byAlpn) out.push(...pools.filter(p => p !== null))
    for (const { pool } of this.variants?.values() ?? []) out.push(pool)
    return out
  }
}

/** Streams whose shared state differs in what counts have pools of their own (TransportSocketOptions::hashKey). */
function sharedKey(shared: readonly SharedState[] | null): string {
  let key = ''
  if (shared !== null) for (const { poolKey } of shared) key += `|${poolKey}`
  return key
}

/** Stands in for a pool that max_connection_pools does not allow. */
class FullPool implements HttpPool {
  private readonly host: Host
  constructor(host: Host) {
    this.host = host
  }

  newStream(user: HttpPoolUser): null {
    user.onPoolFailure(PoolFailure.Overflow, this.host, '')
    return null
  }
}
