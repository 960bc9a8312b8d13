import { systemClock } from '../../../src/base/clock.ts'
import { ConfigError } from '../../../src/base/errors.ts'
import { XorShift } from '../../../src/base/random.ts'
import { TimerWheel } from '../../../src/base/timer-wheel.ts'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { readJson } from '../../../src/config/json-reader.ts'
import { StatsStore } from '../../../src/stats/store.ts'
import { EDS } from '../../../src/xds/resources/eds.ts'
import { RDS } from '../../../src/xds/resources/rds.ts'
import { type ResourceError, type ResourceSink, XdsClient, type XdsResource } from '../../../src/xds/xds.ts'
import { FakeLog } from '../../unit/xds/fakes.ts'

type Cluster = envoy.config.cluster.v3.Cluster
type Listener = envoy.config.listener.v3.Listener
type Hcm = envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
type RouteConfiguration = envoy.config.route.v3.RouteConfiguration
type Bootstrap = envoy.config.bootstrap.v3.Bootstrap

interface ToyCluster {
  readonly name: string
  unfollow: () => void
}

interface ToyListener {
  readonly address: string
  readonly routes: readonly ToyRoute[]
}

interface ToyRoute {
  readonly name: string
  readonly users: Set<ToyListener>
  arrived: boolean
  end: () => void
}

/**
 * The least server that behaves as Envoy towards the control plane: clusters warm until their endpoints are there, listeners begin
 * when the first clusters are warm, one subscription per route serves all listeners and stays while they drain.
 */
export class ToyServer {
  readonly stats = new StatsStore()
  readonly log = new FakeLog()
  readonly client: XdsClient
  readonly applied: string[] = []
  readonly #active = new Map<string, ToyCluster>()
  readonly #warming = new Map<string, ToyCluster>()
  readonly #listeners = new Map<string, ToyListener>()
  readonly #routes = new Map<string, ToyRoute>()
  readonly #pendingStarts: (() => void)[] = []
  #cdsAnswered = false
  #initialized = false

  constructor(json: object) {
    const { message } = readJson<Bootstrap>('envoy.config.bootstrap.v3.Bootstrap', json)
    this.client = new XdsClient({
      bootstrap: message,
      node: message.node!,
      rejectUnknown: false,
      skipDeprecated: false,
      timers: new TimerWheel(systemClock),
      clock: systemClock,
      random: new XorShift(1),
      stats: this.stats,
      log: this.log,
    })
  }

  start(): void {
    this.client.start()
    const clusters: ResourceSink = {
      apply: (_version, changed, removed) => this.#applyClusters(changed, removed),
      ready: () => {
        this.#cdsAnswered = true
        this.#startSecondary()
        this.#checkInitialized()
      },
    }
    this.client.followClusters(clusters)
  }

  #applyClusters(changed: readonly XdsResource[], removed: readonly string[]): ResourceError[] {
    const errors: ResourceError[] = []
    for (const resource of changed) {
      const proto = resource.decode<Cluster>()
      if (proto.type === 'LOGICAL_DNS') {
        const text = 'LOGICAL_DNS clusters must have a single host'
        errors.push({ name: resource.name, error: new ConfigError('CONFIG_INVALID', resource.at, text) })
        continue
      }
      this.applied.push(resource.name)
      this.#addCluster(resource.name, proto)
    }
    for (const name of removed) {
      for (const map of [this.#warming, this.#active]) {
        map.get(name)?.unfollow()
        map.delete(name)
      }
    }
    if (this.#cdsAnswered) this.#startSecondary()
    this.#count()
    return errors
  }

  #addCluster(name: string, proto: Cluster): void {
    this.#warming.get(name)?.unfollow()
    const cluster: ToyCluster = { name, unfollow: () => {} }
    const source = proto.type === 'EDS' ? proto.eds_cluster_config?.eds_config : undefined
    if (source === undefined) {
      this.#active.set(name, cluster)
      return
    }
    this.#warming.set(name, cluster)
    const warm = (): void => this.#warm(cluster)
    this.#pendingStarts.push(() => {
      if (this.#warming.get(name) !== cluster) return
      cluster.unfollow = this.client.followEndpoints(name, source, name, { onAssignment: warm, onFailure: warm })
    })
  }

  /** All at once: the control plane gets one request. */
  #startSecondary(): void {
    const resume = this.client.pause(EDS)
    for (const start of this.#pendingStarts.splice(0)) start()
    resume()
  }

  #warm(cluster: ToyCluster): void {
    if (this.#warming.get(cluster.name) !== cluster) return
    this.#warming.delete(cluster.name)
    this.#active.get(cluster.name)?.unfollow()
    this.#active.set(cluster.name, cluster)
    this.#count()
    this.#checkInitialized()
  }

  #count(): void {
    if (this.#initialized) this.client.setWarmingClusters(this.#warming.size)
  }

  #checkInitialized(): void {
    if (this.#initialized || !this.#cdsAnswered || this.#warming.size > 0) return
    this.#initialized = true
    const resume = this.client.pause(RDS)
    this.client.followListeners({
      apply: (_version, changed, removed) => this.#applyListeners(changed, removed),
      ready: () => {},
    })
    resume()
  }

  #applyListeners(changed: readonly XdsResource[], removed: readonly string[]): ResourceError[] {
    const errors: ResourceError[] = []
    for (const name of removed) {
      this.#drop(this.#listeners.get(name))
      this.#listeners.delete(name)
    }
    for (const resource of changed) {
      const { name } = resource
      const proto = resource.decode<Listener>()
      const filters = (proto.filter_chains ?? []).flatMap(chain => chain.filters ?? [])
      const address = JSON.stringify(proto.address)
      const error = this.#errorOf(name, address, filters)
      if (error !== '') {
        errors.push({ name, error: new ConfigError('CONFIG_INVALID', resource.at.field('filter_chains'), error) })
        continue
      }
      this.applied.push(name)
      const before = this.#listeners.get(name)
      const routes: ToyRoute[] = []
      const listener: ToyListener = { address, routes }
      for (const filter of filters) routes.push(this.#route((filter.typed_config!.message as Hcm).rds))
      for (const route of routes) route.users.add(listener)
      this.#drop(before)
      this.#listeners.set(name, listener)
    }
    return errors
  }

  #errorOf(name: string, address: string, filters: readonly { readonly name?: string | undefined }[]): string {
    if (filters.some(filter => filter.name === 'nope')) return "Didn't find a registered implementation for 'nope'"
    if (name === 'bad2') return "filter chain 'y' has the same matching rules defined as 'x'"
    const taken = [...this.#listeners].some(([other, listener]) => other !== name && listener.address === address)
    return taken ? `'${name}' has duplicate address as existing listener` : ''
  }

  /** One that still warms is gone at once; one that serves drains and keeps its routes. */
  #drop(listener: ToyListener | undefined): void {
    if (listener === undefined || listener.routes.every(route => route.arrived)) return
    for (const route of listener.routes) {
      route.users.delete(listener)
      if (route.users.size > 0) continue
      this.#routes.delete(route.name)
      route.end()
    }
  }

  #route(rds: Hcm['rds']): ToyRoute {
    const name = rds?.route_config_name ?? ''
    const known = this.#routes.get(name)
    if (known !== undefined) return known
    const route: ToyRoute = { name, users: new Set(), arrived: false, end: () => {} }
    this.#routes.set(name, route)
    route.end = this.client.followRoutes(name, rds!.config_source!, 'in', {
      onResource: resource => {
        checkRoute(resource)
        route.arrived = true
      },
      onUnavailable: () => {
        route.arrived = true
      },
    })
    return route
  }
}

function checkRoute(resource: XdsResource): void {
  const { virtual_hosts = [], validate_clusters } = resource.decode<RouteConfiguration>()
  if (virtual_hosts.length > 1) {
    const text = `Only a single wildcard domain is permitted in route ${resource.name}`
    throw new ConfigError('CONFIG_DUPLICATE', resource.at.field('virtual_hosts'), text)
  }
  const cluster = virtual_hosts[0]?.routes?.[0]?.route?.cluster
  if (validate_clusters === true && cluster === 'nowhere') {
    throw new ConfigError('CONFIG_REFERENCE', resource.at, "route: unknown cluster 'nowhere'")
  }
}
