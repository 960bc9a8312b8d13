import { nextBucketNumber, type TokenBucket, type TokenBucketConfig } from '../../base/token-bucket.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import type { Runtime } from '../../config/services.ts'
import { defineSupport } from '../../config/support.ts'
import { parseTokenBucket } from '../../config/token-bucket.ts'
import { CloseHow, type Connection } from '../../io/connection.ts'
import type { Counter, StatsScope } from '../../stats/stats.ts'
import { connectionInfo } from '../../telemetry/connection-info.ts'
import { ResponseFlag } from '../../telemetry/stream-info.ts'
import { NetVerdict, type NetworkFilter, type NetworkFilterFactory } from '../filter.ts'
import type { NetworkFilterExtension, NetworkFilterServices } from '../filter-factory.ts'

type Proto = envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit

interface LocalRateLimitConfig {
  readonly statPrefix: string
  readonly number: number
  readonly bucket: TokenBucketConfig
  /** runtime_enabled: '' = only the default. */
  readonly runtimeKey: string
  readonly enabled: boolean
}

const support = defineSupport<Proto>('envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit', {
  stat_prefix: 'yes',
  token_bucket: 'yes',
  runtime_enabled: 'yes',
  share_key: 'yes',
})

/** envoy.filters.network.local_ratelimit */
export const networkLocalRateLimitFactory: NetworkFilterExtension<Proto, LocalRateLimitConfig> = {
  category: 'envoy.filters.network',
  name: 'envoy.filters.network.local_ratelimit',
  typeUrls: ['envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit'],
  terminal: false,
  parse(proto, at, warnings) {
    support.check(proto, at, warnings)
    const bucket = parseTokenBucket(proto.token_bucket ?? {}, at.field('token_bucket'), 'local rate limit')
    return {
      statPrefix: proto.stat_prefix ?? '',
      number: numberOf(proto.share_key ?? '', bucket),
      bucket,
      runtimeKey: proto.runtime_enabled?.runtime_key ?? '',
      enabled: proto.runtime_enabled?.default_value ?? true,
    }
  },
  create: (config, services) => new ConnectionRate(config, services),
  declareStats: (config, stats) => void limitedBy(config, stats),
}

/** Filters of one share_key with equal buckets have one bucket. The keys stay, as few as configurations name. */
const shared = new Map<string, number>()

function numberOf(shareKey: string, { max, perFill, interval }: TokenBucketConfig): number {
  if (shareKey === '') return nextBucketNumber()
  const key = `${max} ${perFill} ${interval} ${shareKey}`
  let number = shared.get(key)
  if (number === undefined) {
    number = nextBucketNumber()
    shared.set(key, number)
  }
  return number
}

function limitedBy(config: LocalRateLimitConfig, stats: StatsScope): Counter {
  return stats.counter(`local_rate_limit.${config.statPrefix}.rate_limited`)
}

class ConnectionRate implements NetworkFilterFactory {
  readonly bucket: TokenBucket
  readonly limited: Counter
  readonly #config: LocalRateLimitConfig
  readonly #runtime: Runtime

  constructor(config: LocalRateLimitConfig, services: NetworkFilterServices) {
    this.#config = config
    this.#runtime = services.runtime
    this.bucket = services.tokenBuckets.bucket(config.number, config.bucket)
    this.limited = limitedBy(config, services.stats)
  }

  newInstance(): NetworkFilter {
    return new RatedConnection(this)
  }

  get enabled(): boolean {
    const { runtimeKey, enabled } = this.#config
    return runtimeKey === '' ? enabled : this.#runtime.boolean(runtimeKey, enabled)
  }
}

class RatedConnection implements NetworkFilter {
  readonly #rate: ConnectionRate
  #refused = false

  constructor(rate: ConnectionRate) {
    this.#rate = rate
  }

  onConnection(c: Connection): NetVerdict {
    const { enabled, bucket, limited } = this.#rate
    if (!enabled || bucket.consume(1)) return NetVerdict.Continue
    this.#refused = true
    limited.inc()
    // Envoy has no flag of its own for this.
    connectionInfo(c).setFlag(ResponseFlag.UpstreamRetryLimitExceeded)
    c.close(CloseHow.NoFlush)
    return NetVerdict.Stop
  }

  onData(): NetVerdict {
    return this.#refused ? NetVerdict.Stop : NetVerdict.Continue
  }

  onClose(): void {}
}
