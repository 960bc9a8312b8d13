import type { HeaderBlock } from '../codec/header-block.ts'
import type { FormatContext } from '../telemetry/format-context.ts'
import type { StreamInfo } from '../telemetry/stream-info.ts'
import { HashPolicies, type HashResult } from './hash-policy.ts'
import { RateLimit } from './rate-limit.ts'
import { CompiledRetryPolicy } from './retry-policy.ts'
import { compilePathRewrite, HostRewrite, type PathRewrite } from './rewrite.ts'
import type { HedgePolicy, InternalRedirectPolicy, RouteAction, ShadowPolicy } from './route.ts'
import type {
  JsonStruct,
  MirrorConfig,
  RouteActionConfig,
  RouteMatchConfig,
  WeightedClusterConfig,
} from './route-config.ts'
import type { RouteServices } from './route-table.ts'

/** The parts of a route action that are compiled once and shared by its cluster variants. */
export class ActionTemplate {
  readonly config: RouteActionConfig
  readonly hashPolicies: HashPolicies
  readonly pathRewrite: PathRewrite | null
  readonly hostRewrite: HostRewrite | null
  readonly retry: CompiledRetryPolicy | null
  readonly shadows: readonly ShadowPolicy[]
  readonly rateLimits: readonly RateLimit[]

  constructor(config: RouteActionConfig, match: RouteMatchConfig, services: RouteServices) {
    this.config = config
    this.hashPolicies = new HashPolicies(config.hashPolicies)
    this.pathRewrite = config.pathRewrite === null ? null : compilePathRewrite(config.pathRewrite, match)
    this.hostRewrite = config.hostRewrite === null ? null : new HostRewrite(config.hostRewrite)
    this.retry = config.retry === null ? null : new CompiledRetryPolicy(config.retry, services.runtime)
    this.rateLimits = config.rateLimits.map(limit => new RateLimit(limit))
    this.shadows = config.mirrors.map(mirror => new CompiledShadow(mirror, services))
  }

  action(cluster: string, weighted: WeightedClusterConfig | null): CompiledAction {
    return new CompiledAction(this, cluster, weighted)
  }
}

export class CompiledAction implements RouteAction {
  readonly clusterName: string
  readonly clusterNotFoundCode: number
  readonly timeout: number
  readonly idleTimeout: number
  readonly maxStreamDuration: number
  readonly grpcTimeoutHeaderMax: number
  readonly grpcTimeoutHeaderOffset: number
  readonly maxGrpcTimeout: number
  readonly grpcTimeoutOffset: number
  readonly retry: CompiledRetryPolicy | null
  readonly hedge: HedgePolicy | null
  readonly shadows: readonly ShadowPolicy[]
  readonly internalRedirect: InternalRedirectPolicy | null
  readonly priority: 0 | 1
  readonly metadataMatch: JsonStruct | null
  readonly upgrades: Readonly<Record<string, boolean>> | null
  readonly terminateConnect: boolean
  readonly terminatePost: boolean
  readonly rateLimits: readonly RateLimit[]
  readonly includeVirtualHostRateLimits: boolean
  readonly requestBufferLimit: number
  readonly appendXForwardedHost: boolean
  readonly autoHostRewrite: boolean
  readonly #template: ActionTemplate
  readonly #weighted: WeightedClusterConfig | null
  constructor(template: ActionTemplate, cluster: string, weighted: WeightedClusterConfig | null) {
    const { config } = template
    this.#template = template
    this.#weighted = weighted
    this.clusterName = cluster
    this.clusterNotFoundCode = config.clusterNotFoundCode
    this.timeout = config.timeout
    this.idleTimeout = config.idleTimeout
    this.maxStreamDuration = config.maxStreamDuration
    this.grpcTimeoutHeaderMax = config.grpcTimeoutHeaderMax
    this.grpcTimeoutHeaderOffset = config.grpcTimeoutHeaderOffset
    this.maxGrpcTimeout = config.maxGrpcTimeout
    this.grpcTimeoutOffset = config.grpcTimeoutOffset
    this.retry = template.retry
    this.hedge = config.hedge
    this.shadows = template.shadows
    this.internalRedirect = config.internalRedirect
    this.priority = config.priority
    this.metadataMatch = mergeMatch(config.metadataMatch, weighted?.metadataMatch ?? null)
    this.upgrades = config.upgrades
    this.terminateConnect = config.terminateConnect
    this.terminatePost = config.terminatePost
    this.rateLimits = template.rateLimits
    this.includeVirtualHostRateLimits = config.includeVirtualHostRateLimits
    this.requestBufferLimit = config.requestBufferLimit
    this.appendXForwardedHost = config.appendXForwardedHost
    this.autoHostRewrite = config.hostRewrite?.kind === 'auto'
  }

  withCluster(name: string): CompiledAction {
    return new CompiledAction(this.#template, name, this.#weighted)
  }

  /** Host first, then path, as RouteEntryImplBase::finalizeRequestHeaders; `keepOriginal` false = suppress_envoy_headers. */
  rewrite(h: HeaderBlock, context: FormatContext, upstreamHostname: string, keepOriginal = true): void {
    const { hostRewrite } = this.#template
    if (hostRewrite !== null) {
      const host = hostRewrite.host(h, context, upstreamHostname)
      if (host !== '') this.#rewriteHost(h, host, keepOriginal)
    }
    // A weighted cluster's own literal leaves no x-envoy-original-host.
    const literal = this.#weighted?.hostRewriteLiteral ?? ''
    if (literal !== '') h.authority = literal
    const rewrite = this.#template.pathRewrite
    if (rewrite === null) return
    const path = rewrite.rewrite(h.path, h, context)
    if (keepOriginal) replace(h, 'x-envoy-original-path', h.path)
    h.path = path
  }

  hash(h: HeaderBlock, info: StreamInfo): HashResult | null {
    return this.#template.config.hashPolicies.length === 0 ? null : this.#template.hashPolicies.hash(h, info)
  }

  #rewriteHost(h: HeaderBlock, host: string, keepOriginal: boolean): void {
    if (keepOriginal) replace(h, 'x-envoy-original-host', h.authority)
    if (this.appendXForwardedHost && h.authority !== '') {
      const before = h.get('x-forwarded-host')
      h.set('x-forwarded-host', before === undefined || before === '' ? h.authority : `${before},${h.authority}`)
    }
    h.authority = host
  }
}

/** An earlier value (of an outer proxy) is replaced in place, as Envoy's inline headers are. */
function replace(h: HeaderBlock, name: string, value: string): void {
  h.set(name, value)
}

/** The weighted cluster's `envoy.lb` keys win over the route's. */
function mergeMatch(route: JsonStruct | null, weighted: JsonStruct | null): JsonStruct | null {
  if (route === null || weighted === null) return weighted ?? route
  const lb = { ...(route['envoy.lb'] as object | undefined), ...(weighted['envoy.lb'] as object | undefined) }
  return { ...route, ...weighted, 'envoy.lb': lb }
}

class CompiledShadow implements ShadowPolicy {
  readonly cluster: string
  readonly clusterHeader: string
  readonly traceSampled: boolean | undefined
  readonly disableHostSuffix: boolean
  readonly hostRewriteLiteral: string
  readonly #config: MirrorConfig
  readonly #services: RouteServices

  constructor(config: MirrorConfig, services: RouteServices) {
    this.cluster = config.cluster
    this.clusterHeader = config.clusterHeader
    this.traceSampled = config.traceSampled
    this.disableHostSuffix = config.disableHostSuffix
    this.hostRewriteLiteral = config.hostRewriteLiteral
    this.#config = config
    this.#services = services
  }

  sampled(random: number): boolean {
    const { key, numerator, denominator } = this.#config.fraction
    return this.#services.runtime.fraction(key, numerator, denominator, random)
  }
}
