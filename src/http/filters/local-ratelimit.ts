import { nextToken, type TokenBucket } from '../../base/token-bucket.ts'
import { HeaderBlock } from '../../codec/header-block.ts'
import type { FractionConfig } from '../../config/matcher.ts'
import type { Connection } from '../../io/connection.ts'
import { HeaderMutation } from '../../routing/header-mutation.ts'
import { RateLimit, type RateLimitDescriptor } from '../../routing/rate-limit.ts'
import type { Counter, StatsScope } from '../../stats/stats.ts'
import { ResponseFlag } from '../../telemetry/stream-info.ts'
import { HeadersVerdict, type HttpFilter } from '../filter.ts'
import type { HttpFilterFactory, HttpFilterServices } from '../filter-factory.ts'
import type { StreamContext } from '../stream-context.ts'
import {
  type LocalRateLimitConfig,
  type LocalRateLimitProto,
  parseLocalRateLimit,
  parseLocalRateLimitOverride,
} from './local-ratelimit/config.ts'
import { Limit, Limiter } from './local-ratelimit/limiter.ts'

export const localRateLimitFactory: HttpFilterFactory<LocalRateLimitProto, LocalRateLimitConfig> = {
  category: 'envoy.filters.http',
  name: 'envoy.filters.http.local_ratelimit',
  typeUrls: ['envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit'],
  overrideTypeUrls: ['envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit'],
  parse: parseLocalRateLimit,
  parseOverride: (proto, at, warnings) => parseLocalRateLimitOverride(proto as LocalRateLimitProto, at, warnings),
  create: (config, services) => new LocalRateLimitFilter(config, services),
  declareStats: (config, stats) => void new RateLimitStats(config, stats),
}

/** A configuration with its buckets. */
class Settings {
  readonly config: LocalRateLimitConfig
  readonly limiter: Limiter
  readonly limits: readonly RateLimit[]
  readonly requestHeaders: HeaderMutation
  readonly responseHeaders: HeaderMutation
  readonly stats: RateLimitStats

  constructor(config: LocalRateLimitConfig, services: HttpFilterServices) {
    this.config = config
    this.limiter = new Limiter(config.limiter, services.tokenBuckets, false)
    this.limits = config.rateLimits.map(limit => new RateLimit(limit))
    this.requestHeaders = new HeaderMutation(config.requestHeaders, [])
    this.responseHeaders = new HeaderMutation(config.responseHeaders, [])
    this.stats = new RateLimitStats(config, services.stats)
  }
}

class RateLimitStats {
  readonly enabled: Counter
  readonly enforced: Counter
  readonly limited: Counter
  readonly shadowed: Counter
  readonly ok: Counter

  constructor(config: LocalRateLimitConfig, stats: StatsScope) {
    const scope = stats.scope(`${config.statPrefix}.http_local_rate_limit.`)
    this.enabled = scope.counter('enabled')
    this.enforced = scope.counter('enforced')
    this.limited = scope.counter('rate_limited')
    this.shadowed = scope.counter('shadow_mode')
    this.ok = scope.counter('ok')
  }
}

/** What the response is to tell. */
class LimitState {
  bucket: TokenBucket | null = null
}

/**
 * The limiters of connections (local_rate_limit_per_downstream_connection). As in Envoy there is one per connection, made by
 * the first configuration that asks for it, whichever others its requests meet later.
 */
const ofConnections = new WeakMap<Connection, Limiter>()

/** envoy.filters.http.local_ratelimit */
class LocalRateLimitFilter implements HttpFilter<LimitState> {
  index = 0
  name = ''
  readonly #services: HttpFilterServices
  readonly #own: Settings
  readonly #overrides = new WeakMap<LocalRateLimitConfig, Settings>()

  constructor(config: LocalRateLimitConfig, services: HttpFilterServices) {
    this.#services = services
    this.#own = new Settings(config, services)
  }

  newState(): LimitState {
    return new LimitState()
  }

  decodeHeaders(s: StreamContext, h: HeaderBlock): HeadersVerdict {
    const settings = this.#settingsOf(s)
    const { config } = settings
    if (!this.#isOn(config.enabled)) return HeadersVerdict.Continue
    settings.stats.enabled.inc()
    const limiter = config.perConnection ? this.#limiterOf(s.info.connection!, config) : settings.limiter
    const members = config.perCluster ? this.#services.clusters.localSize() : 1
    const descriptors = config.limiter.descriptors.length === 0 ? NONE : this.#descriptors(s, settings)
    const limit = limiter.check(descriptors, members)
    const { bucket } = limiter
    if (bucket !== null && (limiter.headers ?? config.limitHeaders)) {
      const state = s.slot(this.index) as LimitState
      state.bucket = bucket
    }
    if (limit === Limit.Allowed) {
      settings.stats.ok.inc()
      return HeadersVerdict.Continue
    }
    settings.stats.limited.inc()
    if (limit === Limit.Shadowed) {
      settings.stats.shadowed.inc()
      return HeadersVerdict.Continue
    }
    if (!this.#isOn(config.enforced)) {
      settings.requestHeaders.apply(h, s)
      return HeadersVerdict.Continue
    }
    settings.stats.enforced.inc()
    const headers = new HeaderBlock()
    settings.responseHeaders.apply(headers, s)
    if (config.retryAfter && bucket !== null) headers.set('retry-after', String(Math.ceil(nextToken(bucket) / 1000)))
    s.info.setFlag(ResponseFlag.RateLimited)
    s.sendLocalReply(config.status, 'local_rate_limited', 'local_rate_limited', headers, config.grpcStatus)
    return HeadersVerdict.StopIteration
  }

  encodeHeaders(s: StreamContext, h: HeaderBlock): HeadersVerdict {
    if (!s.hasSlot(this.index)) return HeadersVerdict.Continue
    const { bucket } = s.slot(this.index) as LimitState
    if (bucket === null) return HeadersVerdict.Continue
    h.push('x-ratelimit-limit', String(bucket.max))
    h.push('x-ratelimit-remaining', String(Math.floor(bucket.remaining())))
    h.push('x-ratelimit-reset', String(Math.floor(nextToken(bucket) / 1000)))
    return HeadersVerdict.Continue
  }

  /** rate_limits of the filter, else those of the route and, by vh_rate_limits, of its virtual host. */
  #descriptors(s: StreamContext, settings: Settings): RateLimitDescriptor[] {
    const out: RateLimitDescriptor[] = []
    if (settings.limits.length > 0) {
      this.#describe(s, settings.limits, -1, out)
      return out
    }
    const route = s.route()
    const action = route === null ? null : route.action
    if (action === null) return out
    const { stage, virtualHost } = settings.config
    this.#describe(s, action.rateLimits, stage, out)
    if (
      action.includeVirtualHostRateLimits ||
      virtualHost === 'INCLUDE' ||
      (virtualHost === 'OVERRIDE' && action.rateLimits.length === 0)
    ) {
      this.#describe(s, route!.virtualHost.rateLimits, stage, out)
    }
    return out
  }

  /** `stage` -1: they are the filter's, and have none. */
  #describe(s: StreamContext, limits: readonly RateLimit[], stage: number, out: RateLimitDescriptor[]): void {
    const { cluster } = this.#services.node
    for (let i = 0; i < limits.length; i++) {
      const limit = limits[i]!
      if (limit.disableKey !== '' || limit.onStreamDone || (stage >= 0 && limit.stage !== stage)) continue
      const descriptor = limit.descriptor(s, cluster, stage < 0)
      if (descriptor !== null) out.push(descriptor)
    }
  }

  #limiterOf(connection: Connection, config: LocalRateLimitConfig): Limiter {
    let limiter = ofConnections.get(connection)
    if (limiter === undefined) {
      limiter = new Limiter(config.limiter, this.#services.tokenBuckets, true)
      ofConnections.set(connection, limiter)
    }
    return limiter
  }

  #settingsOf(s: StreamContext): Settings {
    const override = s.route()?.filterConfig(this.name) as LocalRateLimitConfig | undefined
    if (override === undefined) return this.#own
    let settings = this.#overrides.get(override)
    if (settings === undefined) {
      settings = new Settings(override, this.#services)
      this.#overrides.set(override, settings)
    }
    return settings
  }

  #isOn(fraction: FractionConfig | null): boolean {
    if (fraction === null) return false
    const { key, numerator, denominator } = fraction
    return this.#services.runtime.fraction(key, numerator, denominator, this.#services.random.next())
  }
}

const NONE: readonly RateLimitDescriptor[] = []
