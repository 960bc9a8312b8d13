import { isDeepStrictEqual } from 'node:util'
import { ConfigError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { TimerNode, type Timers } from '../base/timer.ts'
import { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import type { Address } from '../io/connection.ts'
import { boundAddress, closeSocket, duplicate, openListenSocket, startListening } from '../io/listen-socket.ts'
import type { ListenAddressConfig, ListenerConfig } from '../listener/listener-config.ts'
import { parseListener } from '../listener/parse-listener.ts'
import type { StatsStore } from '../stats/store.ts'
import type { Published, PublishedListener } from '../worker/messages.ts'
import { drainedChains, keptChains, onlyFilterChainsDiffer } from './filter-chain-update.ts'
import type { ListenerShareStore, Shares } from './listener-shares.ts'
import { declareListenerStats } from './listener-stat-names.ts'
import { publish } from './publisher.ts'

type ListenerProto = envoy.config.listener.v3.Listener

/** A listener on main: parsed configuration and the sockets all its versions share. */
export interface MainListener {
  readonly config: ListenerConfig
  readonly proto: ListenerProto
  /** Wall clock when it was taken over. */
  readonly updated: number
  version: string
  readonly viaApi: boolean
  /** Names of route configurations it waits for. */
  readonly routes: readonly string[]
  /** Made when the first worker needs it; all share it. */
  published?: Published
}

/** Listening sockets of one address: one per worker with SO_REUSEPORT, else one for all. Main keeps the originals. */
interface SocketSet {
  /** Where it is bound: the port is the kernel's choice when 0 was configured. */
  readonly address: Address
  readonly descriptors: readonly number[]
  listening: boolean
  users: number
}

export interface ListenerManagerOptions {
  readonly concurrency: number
  readonly store: StatsStore
  readonly log: Log
  /** About configuration that has no effect. */
  readonly warn: (text: string) => void
  readonly shares: ListenerShareStore
  /** The bootstrap has the extension that internal listeners need. */
  readonly internalListeners: boolean
  /** From now on an update may be one in place: the workers have the listeners. */
  readonly workersServe: () => boolean
  /** Workers are to take over or replace this listener; `kept` as in `PublishedListener`. */
  readonly publish: (listener: MainListener, kept: readonly number[] | null) => void
  readonly withdraw: (name: string) => void
  readonly timers: Timers
  /** --drain-time-s, milliseconds. */
  readonly drainTime: number
  /** This version needs nothing any more: its drain time is over, or it was removed before it served. */
  readonly gone: (listener: MainListener) => void
}

/**
 * The listeners of the process: which exist, which wait (warming), and their sockets. A worker that dies loses no queued
 * connection, since it only ever had duplicates of the descriptors.
 */
export class ListenerManager {
  readonly #options: ListenerManagerOptions
  readonly #active = new Map<string, MainListener>()
  readonly #warming = new Map<string, MainListener>()
  /** Replaced or removed, and not closed yet: their connections still need routes and secrets. */
  readonly #draining = new Set<MainListener>()
  readonly #sockets = new Map<string, SocketSet>()
  /** Warming versions that differ from the active one in filter chains only. */
  readonly #inPlace = new Set<MainListener>()
  /** Of what is or was active. */
  readonly #shares = new Map<MainListener, Shares>()
  #chainsDraining = 0

  constructor(options: ListenerManagerOptions) {
    this.#options = options
  }

  get active(): ReadonlyMap<string, MainListener> {
    return this.#active
  }

  get warming(): ReadonlyMap<string, MainListener> {
    return this.#warming
  }

  get draining(): Iterable<MainListener> {
    return this.#draining
  }

  get(name: string): MainListener | undefined {
    return this.#warming.get(name) ?? this.#active.get(name)
  }

  /** Pure. Throws ConfigError. */
  parse(proto: ListenerProto, at: FieldPath, version: string, viaApi: boolean): MainListener {
    const warnings: string[] = []
    const config = parseListener(proto, at, warnings)
    if (config.internal && !this.#options.internalListeners) {
      const text = `error adding listener named '${config.name}': InternalListener bootstrap extension is mandatory`
      throw new ConfigError('CONFIG_INVALID', at.field('internal_listener'), text, {
        advice: 'add envoy.bootstrap.internal_listener to bootstrap_extensions',
      })
    }
    for (const text of warnings) this.#options.warn(text)
    return { config, proto, updated: Date.now(), version, viaApi, routes: routesOf(proto) }
  }

  /**
   * Takes a parsed listener over and opens its sockets. Throws ConfigError (duplicate address) or ListenError. It serves once
   * `activate` is called; until then the active one of the same name goes on.
   */
  add(listener: MainListener): void {
    const { config } = listener
    this.#checkAddresses(config)
    const before = this.get(config.name)
    const opened: ListenAddressConfig[] = []
    try {
      for (const address of config.addresses) {
        if (!config.bindToPort) continue
        this.#open(address, config)
        opened.push(address)
      }
    } catch (error) {
      for (const { address } of opened) this.#release(socketKey(config, address))
      this.#options.store.counter('listener_manager.listener_create_failure').inc()
      const why = error instanceof Error ? error.message : String(error)
      this.#options.log.error(`listener '${config.name}' failed to bind or apply socket options: ${why}`)
      throw error
    }
    const replaced = this.#warming.get(config.name)
    if (replaced !== undefined) this.#cool(replaced)
    this.#warming.set(config.name, listener)
    const active = this.#active.get(config.name)
    if (active !== undefined && this.#options.workersServe() && onlyFilterChainsDiffer(active.proto, listener.proto)) {
      this.#inPlace.add(listener)
      this.#options.store.counter('listener_manager.listener_in_place_updated').inc()
    }
    declareListenerStats(this.#options.store, config, this.#options.concurrency)
    this.#options.store.counter(`listener_manager.listener_${before === undefined ? 'added' : 'modified'}`).inc()
    this.#count()
  }

  /**
   * True when this is what is active already: the version that warms in between is dropped, and there is nothing more to do
   * (ListenerManagerImpl::addOrUpdateListenerInternal).
   */
  revert({ config, proto }: MainListener): boolean {
    const warming = this.#warming.get(config.name)
    const active = this.#active.get(config.name)
    if (warming === undefined || active === undefined || !isDeepStrictEqual(active.proto, proto)) return false
    this.#warming.delete(config.name)
    this.#cool(warming)
    this.#options.store.counter('listener_manager.listener_modified').inc()
    this.#count()
    return true
  }

  /** What it waited for has arrived: workers get it. */
  activate(name: string): void {
    const listener = this.#warming.get(name)
    if (listener === undefined) return
    this.#warming.delete(name)
    const before = this.#active.get(name)
    this.#active.set(name, listener)
    if (before !== undefined && this.#inPlace.delete(listener)) this.#updateChains(before, listener)
    else {
      this.#shares.set(listener, this.#options.shares.make(listener.config))
      this.#options.publish(listener, null)
      if (before !== undefined) this.#drain(before)
    }
    if (before !== undefined) this.#releaseAll(before)
    this.#options.store.counter('listener_manager.listener_create_success').add(this.#options.concurrency)
    this.#count()
  }

  /** LDS no longer has it: stops accepting, drains, goes. False: there was none. */
  remove(name: string): boolean {
    const warming = this.#warming.get(name)
    const active = this.#active.get(name)
    if (warming === undefined && active === undefined) return false
    this.#warming.delete(name)
    this.#active.delete(name)
    if (warming !== undefined) {
      this.#cool(warming)
      this.#options.gone(warming)
    }
    if (active !== undefined) {
      this.#options.withdraw(name)
      this.#releaseAll(active)
      this.#drain(active)
    }
    this.#options.store.counter('listener_manager.listener_removed').inc()
    this.#count()
    return true
  }

  /**
   * POST /drain_listeners: the sockets of these listeners close for good, main's own included, so that connections are refused;
   * the listeners stay in the lists and their connections go on.
   */
  stopListening(names: readonly string[]): void {
    for (const name of names) {
      const listener = this.#active.get(name)
      if (listener === undefined) continue
      for (const { address } of listener.config.addresses) {
        const key = socketKey(listener.config, address)
        const set = this.#sockets.get(key)
        if (set === undefined) continue
        for (const fd of set.descriptors) closeSocket(fd)
        this.#sockets.set(key, { ...set, descriptors: [] })
      }
      this.#options.store.counter('listener_manager.listener_stopped').inc()
    }
  }

  /** Where it really listens: differs from the configuration when that says port 0. */
  boundAddress(config: ListenerConfig, address: Address): Address {
    return this.#sockets.get(socketKey(config, address))?.address ?? address
  }

  /** A listener with descriptors of its own for `worker`; the receiver closes them. */
  publishedFor(worker: number, listener: MainListener, kept: readonly number[] | null = null): PublishedListener {
    const { config } = listener
    const shares = this.#shares.get(listener)!
    listener.published ??= publish(config.name, listener.version, config)
    return {
      ...listener.published,
      ...shares,
      kept,
      descriptors: kept === null ? this.#descriptorsFor(worker, config) : [],
    }
  }

  #descriptorsFor(worker: number, config: ListenerConfig): number[] {
    return config.addresses.map(({ address, options }) => {
      const set = this.#sockets.get(socketKey(config, address))
      if (set === undefined || set.descriptors.length === 0) return -1
      if (!set.listening && !this.#listen(set, config, options)) return -1
      return duplicate(set.descriptors[worker % set.descriptors.length]!)
    })
  }

  /** ListenerManagerImpl::doFinalPreWorkerListenerInit. False: it failed, and that is reported. */
  #listen(set: SocketSet, config: ListenerConfig, options: ListenAddressConfig['options']): boolean {
    try {
      for (const fd of set.descriptors) startListening(fd, config.backlog, options)
      set.listening = true
    } catch (error) {
      this.#options.store.counter('listener_manager.listener_create_failure').inc()
      const why = error instanceof Error ? error.message : String(error)
      this.#options.log.error(`final pre-worker listener init for listener '${config.name}' failed: ${why}`)
    }
    return set.listening
  }

  /** ListenerManagerImpl::inPlaceFilterChainUpdate: what is the same goes on, the other chains of `before` drain. */
  #updateChains(before: MainListener, listener: MainListener): void {
    const { shares, publish, gone } = this.#options
    const kept = keptChains(before.proto, listener.proto)
    const old = this.#shares.get(before)!
    const own = shares.update(old, listener.config, kept)
    // As Envoy, which goes on naming the version that the listener came with.
    listener.version = before.version
    this.#shares.delete(before)
    this.#shares.set(listener, own)
    publish(listener, kept)
    const count = drainedChains(before.proto, kept)
    this.#chainsDraining += count
    this.#afterDrainTime(() => {
      this.#chainsDraining -= count
      this.#count()
      shares.retire(old, own)
      gone(before)
    })
  }

  /** For as long as its connections may live on workers (worker/listeners.ts closes them after the same time). */
  #drain(listener: MainListener): void {
    const { gone, shares } = this.#options
    const own = this.#shares.get(listener)!
    this.#draining.add(listener)
    this.#afterDrainTime(() => {
      this.#draining.delete(listener)
      this.#shares.delete(listener)
      this.#count()
      shares.retire(own, null)
      gone(listener)
    })
  }

  #afterDrainTime(onTimer: () => void): void {
    this.#options.timers.arm(new TimerNode({ onTimer }, 0), this.#options.drainTime)
  }

  /** A warming version that never becomes active. */
  #cool(listener: MainListener): void {
    this.#inPlace.delete(listener)
    this.#releaseAll(listener)
  }

  #checkAddresses(config: ListenerConfig): void {
    if (!config.bindToPort) return
    for (const other of [...this.#active.values(), ...this.#warming.values()]) {
      if (other.config.name === config.name || !other.config.bindToPort) continue
      for (const { address } of config.addresses) {
        if (address.port === 0 && !address.ip.startsWith('/')) continue
        if (!other.config.addresses.some(o => o.address.text === address.text)) continue
        throw new ConfigError(
          'CONFIG_DUPLICATE',
          FieldPath.root().field('address'),
          `error adding listener: '${config.name}' has duplicate address '${address.text}' as existing listener, ` +
            'to check if the listener has duplicated addresses with other listeners or ' +
            "'enable_reuse_port' is set to 'false' for the listener",
        )
      }
    }
  }

  #open(where: ListenAddressConfig, config: ListenerConfig): void {
    const key = socketKey(config, where.address)
    const known = this.#sockets.get(key)
    if (known !== undefined) {
      known.users++
      return
    }
    const reusePort = config.reusePort && !where.address.ip.startsWith('/')
    const count = reusePort ? this.#options.concurrency : 1
    const descriptors: number[] = []
    let address = where.address
    try {
      for (let i = 0; i < count; i++) {
        descriptors.push(
          openListenSocket(address, {
            reusePort,
            ipv4Compat: where.ipv4Compat,
            transparent: config.transparent,
            freebind: config.freebind,
            fastOpen: config.fastOpen,
            mode: where.mode,
            options: where.options,
          }),
        )
        // With port 0 the first socket gets a port; all workers share it.
        if (i === 0) address = boundAddress(descriptors[0]!) ?? address
      }
    } catch (error) {
      for (const fd of descriptors) closeSocket(fd)
      throw error
    }
    this.#sockets.set(key, { address, descriptors, listening: false, users: 1 })
  }

  #releaseAll(listener: MainListener): void {
    if (!listener.config.bindToPort) return
    const { config } = listener
    for (const { address } of config.addresses) this.#release(socketKey(config, address))
  }

  #release(key: string): void {
    const set = this.#sockets.get(key)
    if (set === undefined || --set.users > 0) return
    this.#sockets.delete(key)
    for (const fd of set.descriptors) closeSocket(fd)
  }

  #count(): void {
    const scope = this.#options.store.scope('listener_manager.')
    scope.gauge('total_listeners_active').set(this.#active.size)
    scope.gauge('total_listeners_warming').set(this.#warming.size)
    scope.gauge('total_listeners_draining').set(this.#draining.size)
    scope.gauge('total_filter_chains_draining').set(this.#chainsDraining)
  }
}

/** Listeners of one address share its sockets; with port 0 every listener has its own. */
function socketKey(config: ListenerConfig, { ip, port, text }: Address): string {
  return port === 0 && !ip.startsWith('/') && !ip.startsWith('@') ? `${config.name} ${text}` : text
}

type FilterProto = envoy.config.listener.v3.Filter
type HcmProto = envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager

/** Connection managers of a listener as configured. */
export function connectionManagersOf(proto: ListenerProto): readonly HcmProto[] {
  return placedConnectionManagersOf(proto, FieldPath.root()).map(placed => placed.hcm)
}

/** The same with where each stands. `at`: of the listener. */
export function placedConnectionManagersOf(
  proto: ListenerProto,
  at: FieldPath,
): { readonly hcm: HcmProto; readonly at: FieldPath }[] {
  const found: { readonly hcm: HcmProto; readonly at: FieldPath }[] = []
  const look = (filters: readonly FilterProto[] | undefined, place: FieldPath): void => {
    for (const [i, { typed_config: any }] of (filters ?? []).entries()) {
      if (any?.type_url.endsWith('.http_connection_manager.v3.HttpConnectionManager') !== true) continue
      if (any.message === undefined) continue
      found.push({ hcm: any.message as HcmProto, at: place.field('filters').index(i).field('typed_config').any() })
    }
  }
  for (const [i, chain] of (proto.filter_chains ?? []).entries()) {
    look(chain.filters, at.field('filter_chains').index(i))
  }
  look(proto.default_filter_chain?.filters, at.field('default_filter_chain'))
  return found
}

function routesOf(proto: ListenerProto): string[] {
  const names = new Set<string>()
  for (const hcm of connectionManagersOf(proto)) {
    const name = hcm.rds?.route_config_name
    if (name !== undefined && name !== '') names.add(name)
  }
  return [...names]
}
