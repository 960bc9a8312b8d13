import type { Clock } from '../base/clock.ts'
import { TimerNode, type TimerOwner, type Timers } from '../base/timer.ts'
import type { ResourceType } from './resources/type.ts'
import type { ResourceSource, ResourceUpdate, ResourceWatcher, Watch } from './source.ts'
import type { SubscriptionStats } from './watcher-stats.ts'

/** Why a first answer is given up on. */
export type Unavailable = 'timeout' | 'rejected' | 'missing'

/** Who takes resources over: one of the watchers in resources/. */
export interface UpdateHandler {
  /** Throws when resources break the rules of their fields: such an update is refused before it is looked at any further. */
  check?(update: ResourceUpdate): void
  /** Throws to reject. */
  onUpdate(update: ResourceUpdate): void
  /** No answer within initial_fetch_timeout, or a bad one: do not wait any longer. The subscription goes on. May come repeatedly. */
  onUnavailable(why: Unavailable): void
}

/** Statistics and the first-fetch timer around a handler (grpc_subscription_impl.cc, filesystem_subscription_impl.cc). */
export class XdsSubscription implements ResourceWatcher, TimerOwner {
  readonly #handler: UpdateHandler
  readonly #timers: Timers
  readonly #clock: Clock
  readonly #stats: SubscriptionStats
  readonly #fetchTimer = new TimerNode(this, 0)
  #watch: Watch | null = null

  constructor(timers: Timers, clock: Clock, stats: SubscriptionStats, handler: UpdateHandler) {
    this.#handler = handler
    this.#timers = timers
    this.#clock = clock
    this.#stats = stats
  }

  /** @param fetchTimeout initial_fetch_timeout in milliseconds; 0 = wait for ever */
  start(source: ResourceSource, type: ResourceType, names: readonly string[] | null, fetchTimeout: number): void {
    if (fetchTimeout > 0) this.#timers.arm(this.#fetchTimer, fetchTimeout)
    if (source.countsStart) this.#stats.attempt.inc()
    this.#watch = source.watch(type, names, this)
  }

  close(): void {
    this.#timers.cancel(this.#fetchTimer)
    this.#watch?.close()
    this.#watch = null
  }

  onUpdate(update: ResourceUpdate): void {
    this.#timers.cancel(this.#fetchTimer)
    const began = this.#clock.now()
    // Envoy counts an incremental attempt before it takes it over, and once more when that is refused.
    if (update.removed !== undefined) {
      this.#handler.check?.(update)
      this.#stats.attempt.inc()
    }
    this.#handler.onUpdate(update)
    if (update.removed === undefined) this.#stats.attempt.inc()
    this.#stats.accepted(update.version, began)
  }

  onRejected(_text: string): void {
    this.#timers.cancel(this.#fetchTimer)
    this.#stats.attempt.inc()
    this.#stats.rejected.inc()
    this.#handler.onUnavailable('rejected')
  }

  /** While the source tries again the handler goes on waiting, and the timer bounds it. */
  onFailure(_text: string, retries: boolean): void {
    this.#stats.attempt.inc()
    this.#stats.failure.inc()
    if (retries) return
    this.#timers.cancel(this.#fetchTimer)
    this.#handler.onUnavailable('missing')
  }

  onTimer(): void {
    this.#stats.attempt.inc()
    this.#stats.initFetchTimeout.inc()
    this.#handler.onUnavailable('timeout')
  }
}
