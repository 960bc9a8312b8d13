import type { Clock } from '../base/clock.ts'
import { xxHash64 } from '../base/xxhash64.ts'
import type { Counter, Gauge, Histogram, StatsScope } from '../stats/stats.ts'

export interface XdsStats extends StatsScope {
  text(name: string, value: string): void
  /** A gauge with all 64 bits. */
  exactGauge(name: string, value: bigint): void
}

/** ALL_SUBSCRIPTION_STATS (subscription_impl stats.h) under `prefix`, which ends with a dot. */
export class SubscriptionStats {
  readonly attempt: Counter
  readonly success: Counter
  readonly rejected: Counter
  readonly failure: Counter
  readonly initFetchTimeout: Counter
  readonly #time: Gauge
  readonly #duration: Histogram
  readonly #stats: XdsStats
  readonly #prefix: string
  readonly #clock: Clock

  /** @param shared another subscription counts there, too: a new version of a cluster follows the same endpoints */
  constructor(stats: XdsStats, prefix: string, clock: Clock, shared = false) {
    this.#stats = stats
    this.#prefix = prefix
    this.#clock = clock
    this.attempt = stats.counter(`${prefix}update_attempt`)
    this.success = stats.counter(`${prefix}update_success`)
    this.rejected = stats.counter(`${prefix}update_rejected`)
    this.failure = stats.counter(`${prefix}update_failure`)
    this.initFetchTimeout = stats.counter(`${prefix}init_fetch_timeout`)
    stats.gauge(`${prefix}version`)
    this.#time = stats.gauge(`${prefix}update_time`)
    this.#duration = stats.histogram(`${prefix}update_duration`)
    if (!shared) stats.text(`${prefix}version_text`, '')
  }

  /** An update was taken over; `began` on the clock's monotonic time. */
  accepted(version: string, began: number): void {
    this.success.inc()
    this.#stats.exactGauge(`${this.#prefix}version`, xxHash64(Buffer.from(version, 'utf8')))
    this.#stats.text(`${this.#prefix}version_text`, version)
    this.#time.set(Math.floor(this.#clock.wall()))
    this.#duration.record(Math.floor(this.#clock.now() - began))
  }
}
