import { TimerNode, type TimerOwner, type Timers } from '../../base/timer.ts'
import type { envoy } from '../../config/gen/messages.d.ts'
import type { Runtime } from '../../config/services.ts'
import { defineSupport } from '../../config/support.ts'
import { CloseHow, type Connection, ReadHold } from '../../io/connection.ts'
import type { Counter, Gauge } from '../../stats/stats.ts'
import type { SharedGauge } from '../../upstream/shared-state.ts'
import { NetVerdict, type NetworkFilter, type NetworkFilterFactory } from '../filter.ts'
import type { NetworkFilterExtension, NetworkFilterServices } from '../filter-factory.ts'

type Proto = envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit

export interface ConnectionLimitConfig {
  readonly statPrefix: string
  readonly maxConnections: number
  /** ms that a refused connection is kept before it is closed; 0 = closed at once. */
  readonly delay: number
  /** runtime_enabled: '' = only the default. */
  readonly runtimeKey: string
  readonly enabled: boolean
}

const support = defineSupport<Proto>('envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit', {
  stat_prefix: 'yes',
  max_connections: 'yes',
  delay: 'yes',
  runtime_enabled: 'yes',
})

/** envoy.filters.network.connection_limit */
export const connectionLimitFactory: NetworkFilterExtension<Proto, ConnectionLimitConfig> = {
  category: 'envoy.filters.network',
  name: 'envoy.filters.network.connection_limit',
  typeUrls: ['envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit'],
  terminal: false,
  sharedGauges: 1,
  parse(proto, at, warnings) {
    support.check(proto, at, warnings)
    return {
      statPrefix: proto.stat_prefix ?? '',
      maxConnections: Number(proto.max_connections ?? 0),
      delay: proto.delay ?? 0,
      runtimeKey: proto.runtime_enabled?.runtime_key ?? '',
      enabled: proto.runtime_enabled?.default_value ?? true,
    }
  },
  create: (config, services) => new ConnectionLimit(config, services),
}

/** The limit of one filter chain: its connections are counted over all workers, as in Envoy. */
class ConnectionLimit implements NetworkFilterFactory {
  readonly delay: number
  readonly timers: Timers
  readonly limited: Counter
  readonly active: Gauge
  readonly #config: ConnectionLimitConfig
  readonly #runtime: Runtime
  readonly #taken: SharedGauge

  constructor(config: ConnectionLimitConfig, services: NetworkFilterServices) {
    this.#config = config
    this.#runtime = services.runtime
    this.#taken = services.gauges[0]!
    this.delay = config.delay
    this.timers = services.timers
    const scope = services.stats.scope(`connection_limit.${config.statPrefix}.`)
    this.limited = scope.counter('limited_connections')
    this.active = scope.gauge('active_connections')
  }

  newInstance(): NetworkFilter {
    return new LimitedConnection(this)
  }

  get enabled(): boolean {
    const { runtimeKey, enabled } = this.#config
    return runtimeKey === '' ? enabled : this.#runtime.boolean(runtimeKey, enabled)
  }

  tryTake(): boolean {
    return this.#taken.tryTake(this.#config.maxConnections)
  }

  give(): void {
    this.#taken.give()
  }
}

class LimitedConnection implements NetworkFilter, TimerOwner {
  readonly #limit: ConnectionLimit
  #counted = false
  #refused: Connection | null = null
  #timer: TimerNode | null = null

  constructor(limit: ConnectionLimit) {
    this.#limit = limit
  }

  onConnection(c: Connection): NetVerdict {
    const limit = this.#limit
    if (!limit.enabled) return NetVerdict.Continue
    // Refused connections are active ones too, in Envoy's gauge.
    limit.active.inc()
    this.#counted = limit.tryTake()
    if (this.#counted) return NetVerdict.Continue
    limit.limited.inc()
    this.#refused = c
    if (limit.delay === 0) {
      c.close(CloseHow.NoFlush)
      return NetVerdict.Stop
    }
    this.#timer = new TimerNode(this, 0)
    limit.timers.arm(this.#timer, limit.delay)
    return NetVerdict.Stop
  }

  onData(c: Connection): NetVerdict {
    if (this.#refused === null) return NetVerdict.Continue
    // Not before: a TLS client gets its handshake, as in Envoy.
    c.holdReading(ReadHold.Overload, true)
    return NetVerdict.Stop
  }

  onTimer(): void {
    this.#refused?.close(CloseHow.NoFlush)
  }

  onClose(): void {
    const limit = this.#limit
    if (this.#timer !== null) limit.timers.cancel(this.#timer)
    if (this.#counted) limit.give()
    if (this.#counted || this.#refused !== null) limit.active.dec()
  }
}
