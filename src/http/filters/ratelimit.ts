import { HeaderBlock } from '../../codec/header-block.ts'
import type { FractionConfig } from '../../config/matcher.ts'
import type { PendingCall } from '../../config/services.ts'
import { HeaderMutation } from '../../routing/header-mutation.ts'
import { RateLimit, type RateLimitDescriptor } from '../../routing/rate-limit.ts'
import type { Route } from '../../routing/route.ts'
import { ResponseFlag } from '../../telemetry/stream-info.ts'
import { chargeResponseCode, ResponseOrigin } from '../../upstream/response-code-stats.ts'
import type { Cluster } from '../../upstream/upstream.ts'
import { DataVerdict, HeadersVerdict, type HttpFilter } from '../filter.ts'
import type { HttpFilterFactory, HttpFilterServices } from '../filter-factory.ts'
import { addToRequest, addToResponse, isSendable, unsendable } from '../service-headers.ts'
import type { StreamContext } from '../stream-context.ts'
import {
  parseRateLimit,
  parseRateLimitRoute,
  type RateLimitFilterConfig,
  type RateLimitPerRouteProto,
  type RateLimitProto,
  type RateLimitRouteConfig,
} from './ratelimit/config.ts'
import { limitHeaders, retryAfter } from './ratelimit/limit-headers.ts'
import { type LimitAnswer, LimitService, type LimitUser, NOBODY } from './ratelimit/limit-service.ts'

export const rateLimitFactory: HttpFilterFactory<RateLimitProto, RateLimitFilterConfig, RateLimitRouteConfig> = {
  category: 'envoy.filters.http',
  name: 'envoy.filters.http.ratelimit',
  typeUrls: ['envoy.extensions.filters.http.ratelimit.v3.RateLimit'],
  overrideTypeUrls: ['envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute'],
  parse: parseRateLimit,
  parseOverride: (proto, at, warnings) => parseRateLimitRoute(proto as RateLimitPerRouteProto, at, warnings),
  create: (config, services) => new RateLimitFilter(config, services),
}

const NONE: readonly RateLimitDescriptor[] = []
const NOTHING: readonly string[] = []

/** The question about one request. */
class LimitState implements LimitUser {
  readonly filter: RateLimitFilter
  stream: StreamContext | null = null
  /** Of the time when the service was asked: later filters may have it chosen anew. */
  route: Route | null = null
  cluster: Cluster | null = null
  descriptors = NONE
  /** The service has been asked and has not answered. */
  calling = false
  /** `ask` has not returned. */
  inCall = false
  /** The request may go on. */
  passed = false
  /** It was answered here. */
  refused = false
  call: PendingCall | null = null
  /** Of the response: name, value, name, value … */
  responseHeaders = NOTHING

  constructor(filter: RateLimitFilter) {
    this.filter = filter
  }

  onLimit(answer: LimitAnswer): void {
    this.calling = false
    this.call = null
    if (this.stream !== null) this.filter.onLimit(this.stream, this, answer)
  }
}

/** envoy.filters.http.ratelimit: a service outside counts requests by their descriptors. */
class RateLimitFilter implements HttpFilter<LimitState> {
  index = 0
  name = ''
  readonly #config: RateLimitFilterConfig
  readonly #services: HttpFilterServices
  readonly #service: LimitService
  readonly #limits: readonly RateLimit[]
  readonly #responseHeaders: HeaderMutation
  readonly #routeLimits = new WeakMap<RateLimitRouteConfig, readonly RateLimit[]>()

  constructor(config: RateLimitFilterConfig, services: HttpFilterServices) {
    this.#config = config
    this.#services = services
    this.#service = new LimitService(config.service, config.timeout, services)
    this.#limits = config.rateLimits.map(limit => new RateLimit(limit))
    this.#responseHeaders = new HeaderMutation(config.responseHeaders, [])
  }

  newState(): LimitState {
    return new LimitState(this)
  }

  decodeHeaders(s: StreamContext, h: HeaderBlock): HeadersVerdict {
    if (!this.#isOn(this.#config.enabled) || !this.#concerns(h)) return HeadersVerdict.Continue
    const route = s.route()
    const { cluster } = s
    if (route === null || route.action === null || cluster === null) return HeadersVerdict.Continue
    const state = s.slot(this.index) as LimitState
    state.stream = s
    state.route = route
    state.cluster = cluster
    state.descriptors = this.#descriptors(s, route, false)
    if (state.descriptors.length === 0) return HeadersVerdict.Continue
    state.calling = true
    state.inCall = true
    const call = this.#service.ask(this.#domain(route), state.descriptors, state, s)
    state.inCall = false
    if (state.calling) state.call = call
    return state.passed ? HeadersVerdict.Continue : HeadersVerdict.StopAllAndWatermark
  }

  decodeData(s: StreamContext): DataVerdict {
    const waits = s.hasSlot(this.index) && (s.slot(this.index) as LimitState).calling
    return waits ? DataVerdict.StopAndWatermark : DataVerdict.Continue
  }

  decodeTrailers(s: StreamContext): HeadersVerdict {
    const waits = s.hasSlot(this.index) && (s.slot(this.index) as LimitState).calling
    return waits ? HeadersVerdict.StopIteration : HeadersVerdict.Continue
  }

  encodeHeaders(s: StreamContext, h: HeaderBlock): HeadersVerdict {
    if (!s.hasSlot(this.index)) return HeadersVerdict.Continue
    const state = s.slot(this.index) as LimitState
    if (!state.refused) addSendable(h, state.responseHeaders)
    return HeadersVerdict.Continue
  }

  onDestroy(s: StreamContext): void {
    if (!s.hasSlot(this.index)) return
    const state = s.slot(this.index) as LimitState
    if (state.stream === null) return
    state.stream = null
    if (state.call !== null) {
      state.call.cancel()
      state.call = null
      return
    }
    const route = state.route!
    const descriptors = this.#descriptors(s, route, true)
    if (descriptors.length > 0) this.#service.ask(this.#domain(route), descriptors, NOBODY, s)
  }

  onLimit(s: StreamContext, state: LimitState, answer: LimitAnswer): void {
    const config = this.#config
    const { code, metadata } = answer
    const { stats } = state.cluster!
    if (metadata !== null && Object.keys(metadata).length > 0) s.info.mergeMetadata(config.metadataNamespace, metadata)
    stats.counter(config.statInfix + code).inc()
    if (code === 'error') {
      if (this.#isOn(config.failureDeny)) {
        state.refused = true
        s.info.setFlag(ResponseFlag.RateLimitServiceError)
        s.sendLocalReply(config.statusOnError, '', 'rate_limiter_error')
        return
      }
      stats.counter(`${config.statInfix}failure_mode_allowed`).inc()
      this.#pass(s, state, answer)
      return
    }
    const out = answer.responseHeaders
    state.responseHeaders = out
    const over = code === 'over_limit'
    if (over) {
      chargeResponseCode(state.cluster!, config.status, ResponseOrigin.Internal)
      if (config.limitedHeader) out.push('x-envoy-ratelimited', 'true')
    }
    limitHeaders(answer.statuses, state.descriptors, config.limitHeaders, out)
    if (over && this.#isOn(config.enforced)) this.#refuse(s, state, answer)
    else this.#pass(s, state, answer)
  }

  #refuse(s: StreamContext, state: LimitState, answer: LimitAnswer): void {
    const { status, grpcStatus, retryAfter: tells } = this.#config
    state.refused = true
    const headers = new HeaderBlock()
    addSendable(headers, state.responseHeaders)
    this.#responseHeaders.apply(headers, s)
    const seconds = tells ? retryAfter(answer.statuses) : 0
    if (seconds > 0) headers.set('retry-after', String(seconds))
    s.info.setFlag(ResponseFlag.RateLimited)
    s.sendLocalReply(status, answer.body, 'request_rate_limited', headers, grpcStatus)
  }

  #pass(s: StreamContext, state: LimitState, { requestHeaders }: LimitAnswer): void {
    state.passed = true
    for (let i = 0; i < requestHeaders.length; i += 2) {
      const name = requestHeaders[i]!
      const value = requestHeaders[i + 1]!
      if (name === '') continue
      const reason = unsendable(name, value)
      if (reason === '') addToRequest(s.requestHeaders!, name, value)
      else s.unsendable ||= reason
    }
    if (!state.inCall) s.continueDecoding(this.index)
  }

  /** Those of the route's override, else those of the filter, else those of the route and, by vh_rate_limits, its virtual host. */
  #descriptors(s: StreamContext, route: Route, done: boolean): RateLimitDescriptor[] {
    const out: RateLimitDescriptor[] = []
    const override = this.#override(route)
    const own = override === null || override.rateLimits.length === 0 ? this.#limits : this.#limitsOf(override)
    if (own.length > 0) {
      for (let i = 0; i < own.length; i++) if (own[i]!.onStreamDone === done) this.#describe(s, own[i]!, true, out)
      return out
    }
    const action = route.action!
    this.#describeStage(s, action.rateLimits, done, out)
    const host = action.includeVirtualHostRateLimits ? 'INCLUDE' : (override?.virtualHost ?? 'OVERRIDE')
    if (host === 'INCLUDE' || (host === 'OVERRIDE' && action.rateLimits.length === 0)) {
      this.#describeStage(s, route.virtualHost.rateLimits, done, out)
    }
    return out
  }

  #describeStage(s: StreamContext, limits: readonly RateLimit[], done: boolean, out: RateLimitDescriptor[]): void {
    const { stage } = this.#config
    for (let i = 0; i < limits.length; i++) {
      const limit = limits[i]!
      if (limit.stage !== stage || limit.onStreamDone !== done) continue
      if (limit.disableKey !== '' && !this.#services.runtime.fraction(limit.runtimeKey, 100, 100, this.#random()))
        continue
      this.#describe(s, limit, false, out)
    }
  }

  #describe(s: StreamContext, limit: RateLimit, own: boolean, out: RateLimitDescriptor[]): void {
    const made = limit.descriptor(s, this.#services.node.cluster, own)
    if (made !== null) out.push(made)
  }

  #override(route: Route): RateLimitRouteConfig | null {
    return (route.filterConfig(this.name) as RateLimitRouteConfig | undefined) ?? null
  }

  #limitsOf(override: RateLimitRouteConfig): readonly RateLimit[] {
    let limits = this.#routeLimits.get(override)
    if (limits === undefined) {
      limits = override.rateLimits.map(limit => new RateLimit(limit))
      this.#routeLimits.set(override, limits)
    }
    return limits
  }

  #domain(route: Route): string {
    return this.#override(route)?.domain || this.#config.domain
  }

  #concerns(h: HeaderBlock): boolean {
    const { requestType } = this.#config
    return requestType === 'both' || (h.get('x-envoy-internal') === 'true') === (requestType === 'internal')
  }

  #isOn({ key, numerator, denominator }: FractionConfig): boolean {
    return this.#services.runtime.fraction(key, numerator, denominator, this.#random())
  }

  #random(): number {
    return this.#services.random.next()
  }
}

function addSendable(h: HeaderBlock, headers: readonly string[]): void {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!
    const value = headers[i + 1]!
    if (isSendable(name, value)) addToResponse(h, name, value)
  }
}
