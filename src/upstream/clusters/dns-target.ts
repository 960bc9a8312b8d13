import { isIP } from 'node:net'
import type { Random } from '../../base/random.ts'
import { TimerNode, type TimerOwner, type Timers } from '../../base/timer.ts'
import type { Counter, StatsScope } from '../../stats/stats.ts'
import type { DnsConfig } from '../cluster-config.ts'

export interface DnsAnswer {
  /** Literal addresses, in the order given. */
  readonly ips: readonly string[]
  /** Smallest TTL in milliseconds. */
  readonly ttl: number
}

export interface DnsResolver {
  /** Calls `done` later and once: an answer (possibly without addresses: the name does not exist), or null for a failure. */
  resolve(name: string, family: DnsConfig['lookupFamily'], done: (answer: DnsAnswer | null) => void): void
}

/** The update_* counters of a DNS cluster. */
export class DnsStats {
  readonly attempt: Counter
  readonly success: Counter
  readonly failure: Counter
  readonly empty: Counter
  readonly noRebuild: Counter

  constructor(scope: StatsScope) {
    this.attempt = scope.counter('update_attempt')
    this.success = scope.counter('update_success')
    this.failure = scope.counter('update_failure')
    this.empty = scope.counter('update_empty')
    this.noRebuild = scope.counter('update_no_rebuild')
  }
}

/** One name that is looked up again and again (StrictDnsClusterImpl::ResolveTarget, LogicalDnsCluster). */
export class DnsTarget implements TimerOwner {
  readonly name: string
  private readonly config: DnsConfig
  private readonly resolver: DnsResolver
  private readonly timers: Timers
  private readonly random: Random
  private readonly stats: DnsStats
  private readonly onAnswer: (ips: readonly string[] | null) => void
  private readonly refresh = new TimerNode(this, 0)
  private failures = 0
  private stopped = false

  /** `onAnswer`: null = the look-up failed, keep what is there. */
  constructor(
    name: string,
    config: DnsConfig,
    resolver: DnsResolver,
    timers: Timers,
    random: Random,
    stats: DnsStats,
    onAnswer: (ips: readonly string[] | null) => void,
  ) {
    this.name = name
    this.config = config
    this.resolver = resolver
    this.timers = timers
    this.random = random
    this.stats = stats
    this.onAnswer = onAnswer
  }

  start(): void {
    if (this.stopped) return
    this.stats.attempt.inc()
    if (isIP(this.name) !== 0) {
      // A literal address resolves to itself and never changes, yet counts as an update each time.
      this.finish({ ips: [this.name], ttl: Number.POSITIVE_INFINITY })
      return
    }
    this.resolver.resolve(this.name, this.config.lookupFamily, answer => this.finish(answer))
  }

  stop(): void {
    this.stopped = true
    this.timers.cancel(this.refresh)
  }

  onTimer(): void {
    this.start()
  }

  private finish(answer: DnsAnswer | null): void {
    if (this.stopped) return
    if (answer === null) {
      this.stats.failure.inc()
      this.onAnswer(null)
      this.timers.arm(this.refresh, this.failureDelay())
      return
    }
    this.failures = 0
    this.stats.success.inc()
    if (answer.ips.length === 0) this.stats.empty.inc()
    this.onAnswer(answer.ips)
    let delay = this.config.refreshRate
    // A TTL of 0 means the refresh rate, as in Envoy; below a second it would make a busy loop.
    if (this.config.respectTtl && answer.ttl > 0 && Number.isFinite(answer.ttl)) delay = Math.max(1000, answer.ttl)
    if (this.config.jitter > 0) delay += this.random.next32() % this.config.jitter
    this.timers.arm(this.refresh, delay)
  }

  /** JitteredExponentialBackOff: random below base × 2^n, at most max; without dns_failure_refresh_rate the refresh rate. */
  private failureDelay(): number {
    const backOff = this.config.failureRefresh
    if (backOff === null) return this.config.refreshRate
    const ceiling = Math.min(backOff.max, backOff.base * 2 ** Math.min(this.failures++, 30))
    return Math.max(1, this.random.next32() % Math.max(1, ceiling))
  }
}
