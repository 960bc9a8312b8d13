import type { envoy } from '../../config/gen/messages.d.ts'
import type { GrpcServiceConfig } from '../../config/grpc-service.ts'
import { latin1 } from '../../config/matcher.ts'
import type { PendingCall } from '../../config/services.ts'
import { checkFormat } from '../../config/substitution-format.ts'
import { defineSupport } from '../../config/support.ts'
import {
  DEFAULT_LIMIT_TIMEOUT,
  type LimitAnswer,
  LimitService,
  type LimitUser,
  parseLimitService,
} from '../../http/filters/ratelimit/limit-service.ts'
import { CloseHow, type Connection, ReadHold } from '../../io/connection.ts'
import type { RateLimitDescriptor } from '../../routing/rate-limit.ts'
import type { Counter, Gauge, StatsScope } from '../../stats/stats.ts'
import { connectionInfo } from '../../telemetry/connection-info.ts'
import { withoutStream } from '../../telemetry/format-context.ts'
import { compileFormat, type TextFormatter } from '../../telemetry/formatter.ts'
import { NetVerdict, type NetworkFilter, type NetworkFilterFactory, type ReadContinuation } from '../filter.ts'
import type { NetworkFilterExtension, NetworkFilterServices } from '../filter-factory.ts'

type Proto = envoy.extensions.filters.network.ratelimit.v3.RateLimit
type DescriptorProto = envoy.extensions.common.ratelimit.v3.RateLimitDescriptor

const support = defineSupport<Proto>('envoy.extensions.filters.network.ratelimit.v3.RateLimit', {
  stat_prefix: 'yes',
  domain: 'yes',
  descriptors: 'yes',
  timeout: 'yes',
  failure_mode_deny: 'yes',
  rate_limit_service: 'yes',
})
const descriptorSupport = defineSupport<DescriptorProto>('envoy.extensions.common.ratelimit.v3.RateLimitDescriptor', {
  entries: 'yes',
  // Envoy takes no notice of them either.
  limit: 'warn',
  hits_addend: 'warn',
  is_negative_hits: 'warn',
})

interface ConnectionLimitsConfig {
  readonly statPrefix: string
  readonly domain: string
  /** Per descriptor: key, format of the value, key, format … */
  readonly descriptors: readonly (readonly string[])[]
  readonly timeout: number
  readonly failureDeny: boolean
  readonly service: GrpcServiceConfig
}

const NAMESPACE = 'envoy.filters.network.ratelimit'
const NOTHING = new Uint8Array(0)

/** envoy.filters.network.ratelimit: a service outside counts connections by their descriptors. */
export const networkRateLimitFactory: NetworkFilterExtension<Proto, ConnectionLimitsConfig> = {
  category: 'envoy.filters.network',
  name: 'envoy.filters.network.ratelimit',
  typeUrls: ['envoy.extensions.filters.network.ratelimit.v3.RateLimit'],
  terminal: false,
  parse(proto, at, warnings) {
    support.check(proto, at, warnings)
    return {
      statPrefix: proto.stat_prefix ?? '',
      domain: proto.domain ?? '',
      descriptors: (proto.descriptors ?? []).map((descriptor, i) => {
        const place = at.field('descriptors').index(i)
        descriptorSupport.check(descriptor, place, warnings)
        return (descriptor.entries ?? []).flatMap(({ key = '', value = '' }, j) => {
          checkFormat(value, place.field('entries').index(j).field('value'))
          return [latin1(key), value]
        })
      }),
      timeout: proto.timeout ?? DEFAULT_LIMIT_TIMEOUT,
      failureDeny: proto.failure_mode_deny ?? false,
      service: parseLimitService(proto.rate_limit_service, at.field('rate_limit_service'), warnings),
    }
  },
  create: (config, services) => new ConnectionLimits(config, services),
  declareStats: (config, stats) => void new ConnectionLimitStats(config, stats),
}

class ConnectionLimitStats {
  readonly total: Counter
  readonly ok: Counter
  readonly overLimit: Counter
  readonly error: Counter
  readonly allowedByFailure: Counter
  readonly closed: Counter
  readonly active: Gauge

  constructor(config: ConnectionLimitsConfig, stats: StatsScope) {
    const scope = stats.scope(`ratelimit.${config.statPrefix}.`)
    this.total = scope.counter('total')
    this.ok = scope.counter('ok')
    this.overLimit = scope.counter('over_limit')
    this.error = scope.counter('error')
    this.allowedByFailure = scope.counter('failure_mode_allowed')
    this.closed = scope.counter('cx_closed')
    this.active = scope.gauge('active')
  }
}

/** The service of one filter, and what is counted. */
class ConnectionLimits implements NetworkFilterFactory {
  readonly config: ConnectionLimitsConfig
  readonly services: NetworkFilterServices
  readonly stats: ConnectionLimitStats
  readonly #service: LimitService
  readonly #descriptors: readonly (readonly (string | TextFormatter)[])[]

  constructor(config: ConnectionLimitsConfig, services: NetworkFilterServices) {
    this.config = config
    this.services = services
    this.stats = new ConnectionLimitStats(config, services.stats)
    this.#service = new LimitService(config.service, config.timeout, services)
    this.#descriptors = config.descriptors.map(entries =>
      entries.map((text, i) => (i % 2 === 0 ? text : compileFormat(text))),
    )
  }

  newInstance(_: Connection, chain: ReadContinuation): NetworkFilter {
    return new LimitedConnection(this, chain)
  }

  ask(c: Connection, user: LimitUser): PendingCall {
    const parent = withoutStream(connectionInfo(c))
    const descriptors = this.#descriptors.map((entries): RateLimitDescriptor => {
      const texts = entries.map(entry => (typeof entry === 'string' ? entry : entry.format(parent)))
      return { entries: texts, hits: 1, countsHits: false, limit: null, gives: false, headers: undefined }
    })
    return this.#service.ask(this.config.domain, descriptors, user, parent)
  }

  isOn(what: 'enabled' | 'enforcing'): boolean {
    const { runtime, random } = this.services
    return runtime.fraction(`ratelimit.tcp_filter_${what}`, 100, 100, random.next())
  }
}

const Phase = { Asking: 0, Passed: 1, Refused: 2 } as const
type Phase = (typeof Phase)[keyof typeof Phase]

/** One connection: nothing is read of it, and no filter behind this one hears of it, before the service has answered. */
class LimitedConnection implements NetworkFilter, LimitUser {
  readonly #limits: ConnectionLimits
  readonly #chain: ReadContinuation
  #phase: Phase = Phase.Passed
  #connection: Connection | null = null
  #call: PendingCall | null = null
  /** `ask` has not returned. */
  #inCall = false

  constructor(limits: ConnectionLimits, chain: ReadContinuation) {
    this.#limits = limits
    this.#chain = chain
  }

  onConnection(c: Connection): NetVerdict {
    const limits = this.#limits
    if (!limits.isOn('enabled')) return NetVerdict.Continue
    this.#phase = Phase.Asking
    this.#connection = c
    limits.stats.active.inc()
    limits.stats.total.inc()
    this.#inCall = true
    const call = limits.ask(c, this)
    this.#inCall = false
    if ((this.#phase as Phase) !== Phase.Asking) {
      return (this.#phase as Phase) === Phase.Passed ? NetVerdict.Continue : NetVerdict.Stop
    }
    this.#call = call
    c.holdReading(ReadHold.Filter, true)
    return NetVerdict.Stop
  }

  onData(): NetVerdict {
    return this.#phase === Phase.Passed ? NetVerdict.Continue : NetVerdict.Stop
  }

  onLimit({ code, metadata }: LimitAnswer): void {
    const limits = this.#limits
    const c = this.#connection!
    this.#call = null
    limits.stats.active.dec()
    if (metadata !== null && Object.keys(metadata).length > 0) connectionInfo(c).mergeMetadata(NAMESPACE, metadata)
    if (code === 'error') {
      limits.stats.error.inc()
      if (limits.config.failureDeny) this.#refuse(c)
      else {
        limits.stats.allowedByFailure.inc()
        this.#pass(c)
      }
      return
    }
    if (code === 'ok') limits.stats.ok.inc()
    else limits.stats.overLimit.inc()
    if (code === 'over_limit' && limits.isOn('enforcing')) this.#refuse(c)
    else this.#pass(c)
  }

  onClose(): void {
    if (this.#call === null) return
    this.#call.cancel()
    this.#call = null
    this.#limits.stats.active.dec()
  }

  #pass(c: Connection): void {
    this.#phase = Phase.Passed
    if (this.#inCall) return
    // The filters behind hear of the connection first, and may hold what is read themselves.
    this.#chain.continueReading(this, c, NOTHING, false)
    c.holdReading(ReadHold.Filter, false)
  }

  #refuse(c: Connection): void {
    this.#phase = Phase.Refused
    this.#limits.stats.closed.inc()
    c.close(CloseHow.NoFlush)
  }
}
