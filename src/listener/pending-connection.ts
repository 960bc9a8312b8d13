import { TimerNode, type TimerOwner } from '../base/timer.ts'
import { type CloseReason, type Connection, type ConnectionHandler, ReadHold } from '../io/connection.ts'
import type { SocketConnection } from '../io/socket-connection.ts'
import { ListenerVerdict, type PendingConnection } from './filters/listener-filter.ts'
import { type Listener, type ListenerFilterInstance, refusal } from './listener.ts'
import { portMatches } from './listener-config.ts'

const NOTHING = new Uint8Array(0)

/** A connection that was accepted and has no filter chain yet: listener filters look at its first bytes. */
export class PendingSocket implements ConnectionHandler, PendingConnection, TimerOwner {
  readonly connection: SocketConnection
  bytes: Uint8Array
  readonly #listener: Listener
  /** As they were when it came: the listener may be updated meanwhile. */
  readonly #filters: readonly ListenerFilterInstance[]
  readonly #handOver: boolean
  readonly #timer: TimerNode
  #at = 0
  #done = false
  #ended = false

  /** `handOver`: whether use_original_dst may still pass it on (once only). `bytes`: read by the listener before. */
  constructor(listener: Listener, connection: SocketConnection, bytes: Uint8Array, handOver: boolean) {
    this.#listener = listener
    this.#filters = listener.filters
    this.connection = connection
    this.bytes = bytes
    this.#handOver = handOver
    this.#timer = new TimerNode(this, 0)
    connection.handler = this
    listener.stats.preActive.inc()
  }

  start(): void {
    this.#run()
    if (!this.#done) this.connection.holdReading(ReadHold.Setup, false)
    const { listenerFiltersTimeout } = this.#listener.config
    if (!this.#done && listenerFiltersTimeout > 0) this.#listener.timers.arm(this.#timer, listenerFiltersTimeout)
  }

  onData(_: Connection, chunk: Uint8Array, end: boolean): void {
    if (this.#done) return
    if (chunk.length > 0) this.bytes = this.bytes.length === 0 ? chunk : Buffer.concat([this.bytes, chunk])
    if (end) this.#ended = true
    this.#run()
    if (this.#done || !this.#ended) return
    // The peer is gone before it said enough.
    this.#listener.stats.filterRemoteClose.inc()
    this.#refuse()
  }

  onClose(_: Connection, _why: CloseReason): void {
    if (this.#done) return
    this.#listener.stats.filterRemoteClose.inc()
    this.#finish()
    this.#listener.onPendingGone(this.connection)
  }

  onTimer(): void {
    if (this.#done) return
    this.#listener.stats.preTimeout.inc()
    if (this.#listener.config.continueOnTimeout) this.#established()
    else this.#refuse()
  }

  consume(length: number): void {
    this.bytes = this.bytes.subarray(length)
  }

  #run(): void {
    const filters = this.#filters
    while (this.#at < filters.length) {
      const instance = filters[this.#at]!
      if (!this.#applies(instance)) {
        this.#at++
        continue
      }
      const verdict = instance.filter.inspect(this)
      if (verdict === ListenerVerdict.Continue) {
        this.#at++
        continue
      }
      if (verdict === ListenerVerdict.NeedMore && this.bytes.length <= instance.filter.maxBytes) return
      this.#listener.stats.filterError.inc()
      this.#refuse()
      return
    }
    this.#established()
  }

  #applies(instance: ListenerFilterInstance): boolean {
    return instance.disabled === null || !portMatches(instance.disabled, this.connection.local.port)
  }

  #established(): void {
    this.#finish()
    this.#listener.onPendingReady(this.connection, this.bytes, this.#ended, this.#handOver)
    this.bytes = NOTHING
  }

  #refuse(): void {
    this.#finish()
    this.#listener.onPendingGone(this.connection)
    this.connection.close(refusal(this.bytes))
  }

  #finish(): void {
    this.#done = true
    this.#listener.timers.cancel(this.#timer)
    this.#listener.stats.preActive.dec()
  }
}
