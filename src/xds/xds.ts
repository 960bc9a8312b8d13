import type { Clock } from '../base/clock.ts'
import { ConfigError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { Timers } from '../base/timer.ts'
import { WarningDigest } from '../base/warning-digest.ts'
import { sanitizeStatsName } from '../config/cluster.ts'
import { FieldPath } from '../config/field-path.ts'
import type { envoy } from '../config/gen/messages.d.ts'
import type { Counter } from '../stats/stats.ts'
import type { OpenStream } from './ads-stream.ts'
import { type ApiSource, type ConfigSourceProto, planApi, planSource, type SourcePlan } from './config-source.ts'
import { ControlPlaneTraffic, type HostTraffic } from './control-plane-traffic.ts'
import { DeltaMux } from './delta-mux.ts'
import { FileSource } from './filesystem.ts'
import { GrpcMux } from './grpc-mux.ts'
import type { GrpcTarget } from './grpc-target.ts'
import { grpcTransport } from './grpc-transport.ts'
import { CDS } from './resources/cds.ts'
import { CompleteSet, type ResourceSink } from './resources/complete-set.ts'
import { ECDS } from './resources/ecds.ts'
import { AssignmentCache, type AssignmentTaker, EDS, EndpointsListener } from './resources/eds.ts'
import { LDS } from './resources/lds.ts'
import { NamedResource, type ResourceListener } from './resources/named.ts'
import { RDS } from './resources/rds.ts'
import { RTDS, RuntimeResource, type RuntimeTaker } from './resources/rtds.ts'
import { SDS } from './resources/sds.ts'
import type { ResourceType } from './resources/type.ts'
import { WDS, WORKLOAD_STATS } from './resources/wds.ts'
import type { DecodePolicy } from './resources/xds-resource.ts'
import { StaticClusters } from './static-clusters.ts'
import { SubscriptionStats, type XdsStats } from './watcher-stats.ts'
import { type UpdateHandler, XdsSubscription } from './xds-subscription.ts'

/**
 * The seam to the server. The server implements `ResourceSink` for clusters and for listeners, `AssignmentTaker` per EDS cluster
 * (upstream/clusters/eds.ts is one) and `ResourceListener` per route configuration or secret, and calls what is below.
 */
export type { ResourceError } from './nack.ts'
export type { XdsResource } from './resources/xds-resource.ts'
export type { Unavailable } from './xds-subscription.ts'
export type { AssignmentTaker, ResourceListener, ResourceSink }

export interface XdsDeps {
  readonly bootstrap: envoy.config.bootstrap.v3.Bootstrap
  /** Bootstrap node with the overrides of the command line. */
  readonly node: envoy.config.core.v3.Node
  /** --reject-unknown-dynamic-fields */
  readonly rejectUnknown: boolean
  /** --skip-deprecated-logs */
  readonly skipDeprecated: boolean
  readonly timers: Timers
  readonly clock: Clock
  readonly random: Random
  readonly stats: XdsStats & { drop(prefix: string): void }
  /** The `config` logger. */
  readonly log: Log
  /** --mode validate */
  readonly validating?: boolean
  /** How streams are opened; tests give fakes. */
  readonly openStream?: (target: GrpcTarget, method: string) => OpenStream
}

/** initial_fetch_timeout when it is not set, milliseconds. */
const FETCH_TIMEOUT = 15_000
const CDS_PREFIX = 'cluster_manager.cds.'
const LDS_PREFIX = 'listener_manager.lds.'
const ADS = {
  method: '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources',
  deltaMethod: '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
}

/** Who follows a filter's configuration. */
export interface ExtensionListener extends ResourceListener {
  onRemoved(): void
}

type Mux = GrpcMux | DeltaMux

/** All subscriptions of the process. Nothing is sent or read before `start` and the `follow…` calls. */
export class XdsClient {
  readonly #deps: XdsDeps
  readonly #policy: DecodePolicy
  readonly #warnings: WarningDigest
  /** Static ones by name. */
  readonly #clusters: StaticClusters
  readonly #ads: Mux | null
  readonly #cds: SourcePlan | null
  readonly #lds: SourcePlan | null
  /** Ends the pause of CDS while clusters warm. */
  #releaseClusters: (() => void) | null = null
  /** By cluster. */
  readonly #traffic = new Map<string, ControlPlaneTraffic>()
  readonly #closers = new Set<() => void>()
  readonly #assignments = new AssignmentCache()
  /** How many subscriptions count under a prefix. */
  readonly #prefixes = new Map<string, number>()

  /** Checks dynamic_resources. Throws ConfigError. */
  constructor(deps: XdsDeps) {
    this.#deps = deps
    const unknown = deps.stats.counter('server.dynamic_unknown_fields')
    this.#warnings = new WarningDigest(deps.log)
    this.#policy = {
      rejectUnknown: deps.rejectUnknown,
      warn: text => {
        if (!deps.skipDeprecated || !text.startsWith('Deprecated field')) this.#warnings.add(text)
      },
      countUnknown: () => unknown.inc(),
    }
    this.#clusters = new StaticClusters(deps.bootstrap.static_resources ?? {})
    const dynamic = deps.bootstrap.dynamic_resources ?? {}
    const at = FieldPath.root().field('dynamic_resources')
    this.#ads =
      dynamic.ads_config === undefined
        ? null
        : this.#mux(planApi(dynamic.ads_config, this.#clusters, at.field('ads_config')), ADS, deps.stats)
    if (this.#ads !== null) this.#checkNode('ads', at.field('ads_config'))
    const followed = (type: ResourceType, field: string, source: ConfigSourceProto | undefined): SourcePlan | null => {
      if (source === undefined) return null
      this.#checkNode(type.typeUrl, at.field(field))
      return this.#plan(source, at.field(field))
    }
    this.#cds = followed(CDS, 'cds_config', dynamic.cds_config)
    // --mode validate never makes the LDS API, in Envoy: its source may be one of another machine.
    this.#lds = deps.validating === true ? null : followed(LDS, 'lds_config', dynamic.lds_config)
    // The names are there from the beginning, although listeners begin only when the clusters are warm.
    if (this.#cds !== null) new SubscriptionStats(deps.stats, CDS_PREFIX, deps.clock)
    if (this.#lds !== null) new SubscriptionStats(deps.stats, LDS_PREFIX, deps.clock)
    const clustersAt = FieldPath.root().field('static_resources').field('clusters')
    for (let i = 0; i < this.#clusters.length; i++) {
      if (this.#clusters.typeOf(i) !== 'EDS') continue
      const source = this.#clusters.at(i).eds_cluster_config?.eds_config
      if (source === undefined) continue
      const place = clustersAt.index(i).field('eds_cluster_config').field('eds_config')
      this.#checkNode(EDS.typeUrl, place)
      this.#plan(source, place)
    }
  }

  /** A control plane must know who asks (Config::Utility::checkLocalInfo). */
  #checkNode(what: string, at: FieldPath): void {
    const { id = '', cluster = '' } = this.#deps.node
    if (id !== '' && cluster !== '') return
    const text =
      `${what}: node 'id' and 'cluster' are required. Set it either in 'node' config or via --service-node and ` +
      '--service-cluster options.'
    throw new ConfigError('CONFIG_REFERENCE', at, text)
  }

  get hasClusters(): boolean {
    return this.#cds !== null
  }

  get hasListeners(): boolean {
    return this.#lds !== null
  }

  /** Opens the ADS stream, if there is one. */
  start(): void {
    this.#ads?.start()
  }

  close(): void {
    for (const close of [...this.#closers]) close()
    this.#ads?.close()
  }

  /** Throws ConfigError when routes cannot be followed: to be asked while the listener that has the source is parsed. */
  checkRoutes(source: ConfigSourceProto, at: FieldPath): void {
    this.#checkNode(RDS.typeUrl, at)
    this.#plan(source, at)
  }

  /** The same for secrets of a listener or cluster. `what`: Envoy's name of the subscription, for the error. */
  checkSecret(what: string, source: ConfigSourceProto, at: FieldPath): void {
    this.#checkNode(what, at)
    // Where an API is, is only asked when it is followed.
    if (source.api_config_source === undefined) this.#plan(source, at)
  }

  /**
   * CDS. To be called when the static clusters are warm. Requests for endpoints and secrets wait until the sink has taken a version
   * over, so that the control plane gets one for all new clusters (cds_api_helper.cc). Not with `hasClusters` false.
   */
  followClusters(sink: ResourceSink): void {
    const { stats, clock } = this.#deps
    const prefix = CDS_PREFIX
    const reloads = stats.counter(`${prefix}config_reload`)
    const reloadTime = stats.gauge(`${prefix}config_reload_time_ms`)
    const fixed = new Set(this.#clusters.names())
    const set = new CompleteSet('cluster(s)', this.#pausing(sink, [EDS, SDS]), fixed, () => {
      reloads.inc()
      reloadTime.set(Math.floor(clock.wall()))
    })
    const { cds_config } = this.#deps.bootstrap.dynamic_resources!
    this.#follow(this.#cds!, timeoutOf(cds_config!), CDS, null, prefix, set)
  }

  /** LDS. To be called when all clusters are there; requests for routes wait while a version is taken over (lds_api.cc). */
  followListeners(sink: ResourceSink): void {
    const { static_resources, dynamic_resources } = this.#deps.bootstrap
    const fixed = new Set((static_resources?.listeners ?? []).map(l => l.name ?? ''))
    const set = new CompleteSet('listener(s)', this.#pausing(sink, [RDS, SDS]), fixed)
    const { lds_config } = dynamic_resources!
    this.#follow(this.#lds!, timeoutOf(lds_config!), LDS, null, LDS_PREFIX, set)
  }

  /**
   * RDS. One subscription per name and source serves all listeners: the caller shares it, and ends it when the last listener that
   * drains is gone. Not told about versions that are byte for byte what it has. Returns what ends it.
   *
   * @param statPrefix of the HTTP connection manager that asked first
   */
  followRoutes(name: string, source: ConfigSourceProto, statPrefix: string, listener: ResourceListener): () => void {
    const { stats, clock } = this.#deps
    const prefix = `http.${statPrefix}.rds.${name.replaceAll(':', '_')}.`
    const reloads = stats.counter(`${prefix}config_reload`)
    const reloadTime = stats.gauge(`${prefix}config_reload_time_ms`)
    const empty = stats.counter(`${prefix}update_empty`)
    const onApplied = (): void => {
      reloads.inc()
      reloadTime.set(Math.floor(clock.wall()))
    }
    // That a route configuration is gone is not heeded (rds_route_config_subscription.cc): what uses it goes by LDS.
    const resource = new NamedResource(
      listener,
      true,
      onApplied,
      () => empty.inc(),
      () => false,
    )
    const end = this.#follow(this.#plan(source, FieldPath.root()), timeoutOf(source), RDS, [name], prefix, resource)
    return () => {
      end()
      // Nobody else writes there, and a later subscription counts from zero, as Envoy's scope that goes with its owner.
      stats.drop(prefix)
    }
  }

  /**
   * EDS of one cluster. A new version of a cluster follows anew and the old one ends when the new one is warm: that asks the control
   * plane again, as Envoy does.
   *
   * @param edsName service_name, or the name of the cluster
   * @param statsName of the cluster (alt_stat_name)
   */
  followEndpoints(edsName: string, source: ConfigSourceProto, statsName: string, taker: AssignmentTaker): () => void {
    const prefix = `cluster.${statsName}.`
    const empty = this.#deps.stats.counter(`${prefix}update_empty`)
    const plan = this.#plan(source, FieldPath.root())
    const cache = this.#assignments
    const useCached = this.#deps.stats.counter(`${prefix}assignment_use_cached`)
    const listener = new EndpointsListener(taker, edsName, cache, useCached, text => this.#warnings.add(text))
    const resource = new NamedResource(
      listener,
      false,
      () => {},
      () => empty.inc(),
    )
    // Before the subscription, which may end within its own start.
    cache.use(edsName)
    const end = this.#follow(plan, timeoutOf(source), EDS, [edsName], prefix, resource)
    let ended = false
    return () => {
      if (!ended) cache.release(edsName)
      ended = true
      end()
    }
  }

  /** SDS. An answer without the secret is refused (SdsApi::validateUpdateSize). */
  followSecret(name: string, source: ConfigSourceProto, listener: ResourceListener): () => void {
    const missing = (): never => {
      throw new Error(`Missing SDS resources for ${name} in onConfigUpdate()`)
    }
    // "It should never be removed except by the modification of the referenced cluster/listener" (sds_api.cc): no longer waited for.
    const removed = (): boolean => {
      listener.onUnavailable('missing')
      return false
    }
    const resource = new NamedResource(listener, true, () => {}, missing, removed)
    const plan = this.#plan(source, FieldPath.root())
    return this.#follow(plan, timeoutOf(source), SDS, [name], secretPrefix(name), resource)
  }

  /**
   * ECDS.
   *
   * @param kind http_filter or network_filter, of the statistics
   */
  followExtension(kind: string, name: string, source: ConfigSourceProto, listener: ExtensionListener): () => void {
    const missing = (): never => {
      throw new Error('Unexpected number of resources in ExtensionConfigDS response: 0')
    }
    const removed = (): boolean => {
      listener.onRemoved()
      return true
    }
    const resource = new NamedResource(listener, true, () => {}, missing, removed)
    const prefix = extensionPrefix(kind, name)
    const end = this.#follow(this.#plan(source, FieldPath.root()), timeoutOf(source), ECDS, [name], prefix, resource)
    return () => {
      end()
      this.#deps.stats.drop(prefix)
    }
  }

  /** Throws ConfigError when a filter's configuration cannot be followed. */
  checkExtension(source: ConfigSourceProto, at: FieldPath): void {
    this.#checkNode(ECDS.typeUrl, at)
    this.#plan(source, at)
  }

  /** RTDS. Throws ConfigError when the layer cannot be followed. */
  checkRuntime(source: ConfigSourceProto, at: FieldPath): void {
    this.#plan(source, at)
  }

  /** RTDS: one layer of the runtime. All of them count under `runtime.`. */
  followRuntime(name: string, source: ConfigSourceProto, taker: RuntimeTaker): void {
    const resource = new RuntimeResource(name, taker)
    this.#follow(this.#plan(source, FieldPath.root()), timeoutOf(source), RTDS, [name], 'runtime.', resource)
  }

  /** Throws ConfigError when workloads cannot be followed. */
  checkWorkloads(source: ConfigSourceProto): void {
    const at = FieldPath.root().field('bootstrap_extensions')
    this.#checkNode(WDS.typeUrl, at)
    this.#plan(source, at)
  }

  /** All workloads of an ambient mesh. */
  followWorkloads(source: ConfigSourceProto, handler: UpdateHandler): void {
    this.#follow(this.#plan(source, FieldPath.root()), timeoutOf(source), WDS, null, WORKLOAD_STATS, handler)
  }

  /** Files of a secret changed and could not be taken over. */
  keyRotationFailed(name: string): Counter {
    return this.#deps.stats.counter(`${secretPrefix(name)}key_rotation_failed`)
  }

  /**
   * How many clusters warm, after the first round of initialisation. While there are any, CDS is not answered: a control plane can
   * take the ACK as "the new clusters can be used" (cluster_manager_impl.cc, updateClusterCounts).
   */
  setWarmingClusters(count: number): void {
    if (count > 0) this.#releaseClusters ??= this.pause(CDS)
    else {
      this.#releaseClusters?.()
      this.#releaseClusters = null
    }
  }

  /**
   * Holds requests for these types back until the returned function is called, then sends at most one each. For phases in which many
   * subscriptions are made: the secondary clusters (EDS), the init manager's start (RDS).
   */
  pause(...types: ResourceType[]): () => void {
    return this.#ads?.pause(...types.map(t => t.typeUrl)) ?? ((): void => {})
  }

  #pausing(sink: ResourceSink, types: ResourceType[]): ResourceSink {
    return {
      ready: () => sink.ready(),
      apply: (version, changed, removed) => {
        const resume = this.pause(...types)
        try {
          return sink.apply(version, changed, removed)
        } finally {
          resume()
        }
      },
    }
  }

  #plan(source: ConfigSourceProto, at: FieldPath): SourcePlan {
    // Nothing is followed with --mode validate, and Envoy does not mind then that there is no ADS.
    return planSource(source, this.#clusters, this.#ads !== null || this.#deps.validating === true, at)
  }

  #follow(
    plan: SourcePlan,
    fetchTimeout: number,
    type: ResourceType,
    names: readonly string[] | null,
    prefix: string,
    handler: UpdateHandler,
  ): () => void {
    const deps = this.#deps
    const users = this.#prefixes.get(prefix) ?? 0
    this.#prefixes.set(prefix, users + 1)
    const stats = new SubscriptionStats(deps.stats, prefix, deps.clock, users > 0)
    const subscription = new XdsSubscription(deps.timers, deps.clock, stats, handler)
    let own: Mux | null = null
    if (plan.kind === 'ads') subscription.start(this.#ads!, type, names, fetchTimeout)
    else if (plan.kind === 'file') {
      // A file is there or it is not: Envoy has no first-fetch timeout for it.
      subscription.start(new FileSource(plan.path, plan.watchedDirectory, this.#policy, deps.log), type, names, 0)
    } else {
      own = this.#mux(plan.api, type, prefixed(deps.stats, prefix))
      subscription.start(own, type, names, fetchTimeout)
      own.start()
    }
    const close = (): void => {
      if (!this.#closers.delete(close)) return
      const left = this.#prefixes.get(prefix)! - 1
      if (left > 0) this.#prefixes.set(prefix, left)
      else this.#prefixes.delete(prefix)
      subscription.close()
      own?.close()
    }
    this.#closers.add(close)
    return close
  }

  #mux(api: ApiSource, methods: typeof ADS, stats: XdsDeps['stats']): Mux {
    const { node, timers, random, log, openStream } = this.#deps
    const method = api.delta ? methods.deltaMethod : methods.method
    return new (api.delta ? DeltaMux : GrpcMux)({
      ...api,
      open: openStream?.(api.target, method) ?? grpcTransport(api.target, method, this.#trafficOf(api.target)),
      method: method.slice(method.lastIndexOf('/') + 1),
      target: api.target.name,
      retryBase: api.target.retryBase,
      retryMax: api.target.retryMax,
      node,
      policy: this.#policy,
      timers,
      random,
      stats,
      log,
    })
  }

  #trafficOf({ name, statsName }: GrpcTarget): ControlPlaneTraffic | null {
    if (statsName === '') return null
    let traffic = this.#traffic.get(name)
    if (traffic === undefined) {
      traffic = new ControlPlaneTraffic(this.#deps.stats.scope(`cluster.${sanitizeStatsName(statsName)}.`))
      this.#traffic.set(name, traffic)
    }
    return traffic
  }

  /** What the streams of this process to a host of a cluster count, for /clusters; undefined: there is none. */
  hostTraffic(cluster: string, address: string): HostTraffic | undefined {
    return this.#traffic.get(cluster)?.find(address)
  }
}

function timeoutOf(source: ConfigSourceProto): number {
  return source.initial_fetch_timeout ?? FETCH_TIMEOUT
}

/** Of the statistics of a secret; what a name of Istio's may have in it as in Stats::Utility::sanitizeStatsName. */
function secretPrefix(name: string): string {
  return `sds.${name.replace(/:\/\/|:\/|[:\0]/g, '_')}.`
}

/** Of the statistics of a filter that is discovered. */
export function extensionPrefix(kind: string, name: string): string {
  return `extension_config_discovery.${kind}.${name.replace(/:\/\/|:\/|[:\0]/g, '_')}.`
}

function prefixed(stats: XdsDeps['stats'], prefix: string): XdsDeps['stats'] {
  const scope = stats.scope(prefix)
  return {
    counter: name => scope.counter(name),
    gauge: name => scope.gauge(name),
    histogram: name => scope.histogram(name),
    scope: more => scope.scope(more),
    text: (name, value) => stats.text(prefix + name, value),
    exactGauge: (name, value) => stats.exactGauge(prefix + name, value),
    drop: more => stats.drop(prefix + more),
  }
}
