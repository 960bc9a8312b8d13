import { ConfigError } from '../../base/errors.ts'
import { TimerNode, type TimerOwner } from '../../base/timer.ts'
import type { HeaderBlock } from '../../codec/header-block.ts'
import type { FieldPath } from '../../config/field-path.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import { allHeadersMatch, compileHeaderMatches, type HeaderMatch } from '../../config/header-match.ts'
import {
  type FractionConfig,
  type HeaderMatchConfig,
  parseFraction,
  parseHeaderMatchers,
} from '../../config/matcher.ts'
import { defineSupport } from '../../config/support.ts'
import type { Counter, Gauge, StatsScope } from '../../stats/stats.ts'
import { ResponseFlag } from '../../telemetry/stream-info.ts'
import { DataVerdict, HeadersVerdict, type HttpFilter } from '../filter.ts'
import type { HttpFilterFactory, HttpFilterServices } from '../filter-factory.ts'
import { ResponseLimiter } from '../response-limiter.ts'
import type { StreamContext } from '../stream-context.ts'

type Proto = envoy.extensions.filters.http.fault.v3.HTTPFault

const support = defineSupport<Proto>('envoy.extensions.filters.http.fault.v3.HTTPFault', {
  delay: 'yes',
  abort: 'yes',
  upstream_cluster: 'yes',
  headers: 'yes',
  downstream_nodes: 'yes',
  max_active_faults: 'yes',
  response_rate_limit: 'yes',
  delay_percent_runtime: 'yes',
  abort_percent_runtime: 'yes',
  delay_duration_runtime: 'yes',
  abort_http_status_runtime: 'yes',
  max_active_faults_runtime: 'yes',
  response_rate_limit_percent_runtime: 'yes',
  abort_grpc_status_runtime: 'yes',
  disable_downstream_cluster_stats: 'yes',
})

interface FaultConfig {
  readonly delay: { readonly fixed: number; readonly byHeader: boolean; readonly fraction: FractionConfig } | null
  readonly abort: {
    readonly httpStatus: number
    readonly grpcStatus: number
    readonly byHeader: boolean
    readonly fraction: FractionConfig
    readonly body: string
  } | null
  readonly rateLimit: { readonly kbps: number; readonly byHeader: boolean; readonly fraction: FractionConfig } | null
  readonly upstreamCluster: string
  readonly headers: readonly HeaderMatchConfig[]
  readonly downstreamNodes: readonly string[]
  readonly maxActiveFaults: number
  readonly delayDurationKey: string
  readonly abortHttpKey: string
  readonly abortGrpcKey: string
  readonly maxActiveKey: string
  readonly downstreamClusterStats: boolean
}

export const faultFactory: HttpFilterFactory<Proto, FaultConfig> = {
  category: 'envoy.filters.http',
  name: 'envoy.filters.http.fault',
  typeUrls: ['envoy.extensions.filters.http.fault.v3.HTTPFault'],
  overrideTypeUrls: ['envoy.extensions.filters.http.fault.v3.HTTPFault'],
  parse,
  parseOverride: (proto, at, warnings) => parse(proto as Proto, at, warnings),
  create: (config, services) => new FaultFilter(config, services),
  declareStats: (_config, stats, httpPrefix) => void new FaultStats(stats, httpPrefix),
}

function parse(proto: Proto, at: FieldPath, warnings: string[]): FaultConfig {
  support.check(proto, at, warnings)
  const delay = proto.delay
  const abort = proto.abort
  const limit = proto.response_rate_limit
  if (delay !== undefined && delay.fixed_delay === undefined && delay.header_delay === undefined) {
    throw new ConfigError('CONFIG_INVALID', at.field('delay'), 'fault_delay_secifier: is required', {
      advice: 'set fixed_delay or header_delay',
    })
  }
  return {
    delay:
      delay === undefined
        ? null
        : {
            fixed: delay.fixed_delay ?? 0,
            byHeader: delay.header_delay !== undefined,
            fraction: parseFraction(
              delay.percentage,
              key(proto.delay_percent_runtime, 'fault.http.delay.fixed_delay_percent'),
            ),
          },
    abort:
      abort === undefined
        ? null
        : {
            httpStatus: abort.http_status ?? 0,
            grpcStatus: abort.grpc_status ?? -1,
            byHeader: abort.header_abort !== undefined,
            fraction: parseFraction(
              abort.percentage,
              key(proto.abort_percent_runtime, 'fault.http.abort.abort_percent'),
            ),
            body: abort.response_body ?? 'fault filter abort',
          },
    rateLimit:
      limit === undefined
        ? null
        : {
            kbps: Number(limit.fixed_limit?.limit_kbps ?? 0),
            byHeader: limit.header_limit !== undefined,
            fraction: parseFraction(
              limit.percentage,
              key(proto.response_rate_limit_percent_runtime, 'fault.http.rate_limit.response_percent'),
            ),
          },
    upstreamCluster: proto.upstream_cluster ?? '',
    headers: parseHeaderMatchers(proto.headers ?? [], at.field('headers')),
    downstreamNodes: proto.downstream_nodes ?? [],
    maxActiveFaults: proto.max_active_faults ?? -1,
    delayDurationKey: key(proto.delay_duration_runtime, 'fault.http.delay.fixed_duration_ms'),
    abortHttpKey: key(proto.abort_http_status_runtime, 'fault.http.abort.http_status'),
    abortGrpcKey: key(proto.abort_grpc_status_runtime, 'fault.http.abort.grpc_status'),
    maxActiveKey: key(proto.max_active_faults_runtime, 'fault.http.max_active_faults'),
    downstreamClusterStats: proto.disable_downstream_cluster_stats !== true,
  }
}

function key(configured: string | undefined, otherwise: string): string {
  return configured === undefined || configured === '' ? otherwise : configured
}

class FaultState implements TimerOwner {
  stream: StreamContext | null = null
  settings: FaultSettings | null = null
  limiter: ResponseLimiter | null = null
  downstreamCluster = ''
  delaying = false
  /** Counted in active_faults. */
  counted = false
  readonly timer: TimerNode
  private readonly filter: FaultFilter

  constructor(filter: FaultFilter) {
    this.filter = filter
    this.timer = new TimerNode(this, 0)
  }

  onTimer(): void {
    this.filter.onDelayOver(this.stream!, this)
  }
}

/** A configuration with its matchers compiled, made once per configuration object. */
class FaultSettings {
  readonly config: FaultConfig
  readonly headers: readonly HeaderMatch[]

  constructor(config: FaultConfig) {
    this.config = config
    this.headers = compileHeaderMatches(config.headers)
  }
}

class FaultStats {
  readonly aborts: Counter
  readonly delays: Counter
  readonly overflow: Counter
  readonly limited: Counter
  readonly activeGauge: Gauge

  constructor(stats: StatsScope, httpPrefix: string) {
    const scope = stats.scope(`${httpPrefix}fault.`)
    this.aborts = scope.counter('aborts_injected')
    this.delays = scope.counter('delays_injected')
    this.overflow = scope.counter('faults_overflow')
    this.limited = scope.counter('response_rl_injected')
    this.activeGauge = scope.gauge('active_faults')
  }
}

/** envoy.filters.http.fault */
class FaultFilter implements HttpFilter<FaultState> {
  index = 0
  name = ''
  private readonly services: HttpFilterServices
  private readonly own: FaultSettings
  private readonly overrides = new Map<FaultConfig, FaultSettings>()
  private readonly stats: FaultStats
  private active = 0

  constructor(config: FaultConfig, services: HttpFilterServices) {
    this.services = services
    this.own = new FaultSettings(config)
    this.stats = new FaultStats(services.stats, services.httpPrefix)
  }

  newState(): FaultState {
    return new FaultState(this)
  }

  decodeHeaders(s: StreamContext, h: HeaderBlock): HeadersVerdict {
    const settings = this.settingsOf(s)
    const config = settings.config
    if (config.upstreamCluster !== '' && config.upstreamCluster !== (s.route()?.action?.clusterName ?? ''))
      return HeadersVerdict.Continue
    if (
      config.downstreamNodes.length > 0 &&
      !config.downstreamNodes.includes(h.get('x-envoy-downstream-service-node') ?? '')
    ) {
      return HeadersVerdict.Continue
    }
    if (!allHeadersMatch(settings.headers, h)) return HeadersVerdict.Continue
    const state = s.slot(this.index) as FaultState
    state.stream = s
    state.settings = settings
    state.downstreamCluster = config.downstreamClusterStats ? (h.get('x-envoy-downstream-service-cluster') ?? '') : ''
    this.setUpLimit(s, state, h)
    const delay = this.delayOf(state, h)
    if (delay > 0) {
      if (!this.take(state)) return HeadersVerdict.Continue
      this.stats.delays.inc()
      this.countDownstream(state, 'delays_injected')
      s.info.setFlag(ResponseFlag.DelayInjected)
      state.delaying = true
      this.services.timers.arm(state.timer, delay)
      return HeadersVerdict.StopAllAndWatermark
    }
    return this.maybeAbort(s, state, h) ? HeadersVerdict.StopIteration : HeadersVerdict.Continue
  }

  decodeData(s: StreamContext): DataVerdict {
    if (!s.hasSlot(this.index)) return DataVerdict.Continue
    return (s.slot(this.index) as FaultState).delaying ? DataVerdict.StopAndWatermark : DataVerdict.Continue
  }

  decodeTrailers(s: StreamContext): HeadersVerdict {
    if (!s.hasSlot(this.index)) return HeadersVerdict.Continue
    return (s.slot(this.index) as FaultState).delaying ? HeadersVerdict.StopIteration : HeadersVerdict.Continue
  }

  encodeData(s: StreamContext, d: Uint8Array, end: boolean): DataVerdict {
    if (!s.hasSlot(this.index)) return DataVerdict.Continue
    const limiter = (s.slot(this.index) as FaultState).limiter
    if (limiter === null) return DataVerdict.Continue
    limiter.write(d, end)
    return DataVerdict.StopNoBuffer
  }

  encodeTrailers(s: StreamContext): HeadersVerdict {
    if (!s.hasSlot(this.index)) return HeadersVerdict.Continue
    const limiter = (s.slot(this.index) as FaultState).limiter
    return limiter?.holdTrailers() === true ? HeadersVerdict.StopIteration : HeadersVerdict.Continue
  }

  onDestroy(s: StreamContext): void {
    if (!s.hasSlot(this.index)) return
    const state = s.slot(this.index) as FaultState
    this.services.timers.cancel(state.timer)
    state.limiter?.stop()
    this.give(state)
    state.stream = null
  }

  onDelayOver(s: StreamContext, state: FaultState): void {
    state.delaying = false
    this.give(state)
    if (!this.maybeAbort(s, state, s.requestHeaders!)) s.continueDecoding(this.index)
  }

  private settingsOf(s: StreamContext): FaultSettings {
    const override = s.route()?.filterConfig(this.name) as FaultConfig | undefined
    if (override === undefined) return this.own
    let settings = this.overrides.get(override)
    if (settings === undefined) {
      // One per route configuration object; a new push brings new objects, so the old ones must not pile up.
      if (this.overrides.size >= 256) this.overrides.clear()
      settings = new FaultSettings(override)
      this.overrides.set(override, settings)
    }
    return settings
  }

  /** ms to wait; 0 = no delay. */
  private delayOf(state: FaultState, h: HeaderBlock): number {
    const config = state.settings!.config
    const delay = config.delay
    if (delay === null) return 0
    let ms = delay.fixed
    if (delay.byHeader) {
      ms = headerNumber(h, 'x-envoy-fault-delay-request')
      if (ms <= 0) return 0
    }
    if (
      !this.happens(
        delay.fraction,
        delay.byHeader ? h.get('x-envoy-fault-delay-request-percentage') : undefined,
        state,
        'delay.fixed_delay_percent',
      )
    ) {
      return 0
    }
    if (delay.byHeader) return ms
    return this.services.runtime.integer(this.clusterKey(state, config.delayDurationKey), ms)
  }

  private maybeAbort(s: StreamContext, state: FaultState, h: HeaderBlock): boolean {
    const config = state.settings!.config
    const abort = config.abort
    if (abort === null) return false
    let http = abort.httpStatus
    let grpc = abort.grpcStatus
    if (abort.byHeader) {
      http = headerNumber(h, 'x-envoy-fault-abort-request')
      grpc = headerNumber(h, 'x-envoy-fault-abort-grpc-request')
      if ((http < 200 || http > 599) && grpc < 0) return false
      if (http < 200 || http > 599) http = 0
    }
    if (
      !this.happens(
        abort.fraction,
        abort.byHeader ? h.get('x-envoy-fault-abort-request-percentage') : undefined,
        state,
        'abort.abort_percent',
      )
    ) {
      return false
    }
    if (!abort.byHeader) {
      if (http > 0) http = this.services.runtime.integer(this.clusterKey(state, config.abortHttpKey), http)
      if (grpc >= 0) grpc = this.services.runtime.integer(this.clusterKey(state, config.abortGrpcKey), grpc)
    }
    if (!this.take(state)) return false
    this.stats.aborts.inc()
    this.countDownstream(state, 'aborts_injected')
    s.info.setFlag(ResponseFlag.FaultInjected)
    s.sendLocalReply(http > 0 ? http : 200, abort.body, 'fault_filter_abort', null, grpc)
    return true
  }

  private setUpLimit(s: StreamContext, state: FaultState, h: HeaderBlock): void {
    const limit = state.settings!.config.rateLimit
    if (limit === null) return
    const kbps = limit.byHeader ? headerNumber(h, 'x-envoy-fault-throughput-response') : limit.kbps
    if (kbps <= 0) return
    if (
      !this.happens(
        limit.fraction,
        limit.byHeader ? h.get('x-envoy-fault-throughput-response-percentage') : undefined,
        state,
        'rate_limit.response_percent',
      )
    ) {
      return
    }
    if (!this.take(state)) return
    this.stats.limited.inc()
    state.limiter = new ResponseLimiter(s, this.index, kbps)
  }

  /** A header may lower the configured percentage, never raise it. */
  private happens(
    fraction: FractionConfig,
    header: string | undefined,
    state: FaultState,
    clusterSuffix: string,
  ): boolean {
    const random = this.services.random.next()
    let numerator = fraction.numerator
    if (header !== undefined && /^[0-9]{1,9}$/.test(header)) numerator = Math.min(numerator, Number(header))
    if (state.downstreamCluster !== '') {
      const own = `fault.http.${state.downstreamCluster}.${clusterSuffix}`
      if (this.services.runtime.get(own) !== undefined)
        return this.services.runtime.fraction(own, numerator, fraction.denominator, random)
    }
    return this.services.runtime.fraction(fraction.key, numerator, fraction.denominator, random)
  }

  private clusterKey(state: FaultState, runtimeKey: string): string {
    if (state.downstreamCluster === '' || !runtimeKey.startsWith('fault.http.')) return runtimeKey
    const own = `fault.http.${state.downstreamCluster}.${runtimeKey.slice(11)}`
    return this.services.runtime.get(own) === undefined ? runtimeKey : own
  }

  private take(state: FaultState): boolean {
    if (state.counted) return true
    const config = state.settings!.config
    const max = this.services.runtime.integer(config.maxActiveKey, config.maxActiveFaults)
    if (max >= 0 && this.active >= max) {
      this.stats.overflow.inc()
      return false
    }
    state.counted = true
    this.active++
    this.stats.activeGauge.inc()
    return true
  }

  private give(state: FaultState): void {
    if (!state.counted || state.limiter?.active === true) return
    state.counted = false
    this.active--
    this.stats.activeGauge.dec()
  }

  private countDownstream(state: FaultState, name: string): void {
    if (state.downstreamCluster === '') return
    this.services.stats.counter(`${this.services.httpPrefix}fault.${state.downstreamCluster}.${name}`).inc()
  }
}

function headerNumber(h: HeaderBlock, name: string): number {
  const value = h.get(name)
  return value !== undefined && /^[0-9]{1,15}$/.test(value) ? Number(value) : -1
}
