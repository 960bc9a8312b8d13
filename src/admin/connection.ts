import { TimerNode, type TimerOwner, type Timers } from '../base/timer.ts'
import { type Codec, ResetReason } from '../codec/codec.ts'
import { defaultHttp1Options } from '../codec/http1/options.ts'
import { Http1ServerCodec } from '../codec/http1/server.ts'
import { startsWithPreface } from '../codec/http2/frames.ts'
import { defaultHttp2Options } from '../codec/http2/options.ts'
import { Http2ServerCodec } from '../codec/http2/server.ts'
import { CloseHow, CloseReason, type Connection, type ConnectionHandler } from '../io/connection.ts'
import type { AccessLogger } from '../telemetry/format-context.ts'
import type { AdminCounters } from './counters.ts'
import type { AdminRequest, AdminResponse } from './handler.ts'
import { AdminStreams } from './streams.ts'

/** What a connection needs of the admin server. */
export interface AdminHost {
  readonly timers: Timers
  readonly counters: AdminCounters
  readonly accessLogs: readonly AccessLogger[]
  /** Address of this machine, for x-forwarded-for of local clients. */
  readonly localAddress: string
  /** Never rejects. */
  answer(request: AdminRequest): Promise<AdminResponse>
  gone(connection: AdminConnection): void
}

/** A request must be complete, and its answer taken, within this time. Envoy waits for ever, which suits hostile clients. */
const EXCHANGE_TIMEOUT = 60_000
/** Between requests (scrapers keep their connections): Envoy's default for HTTP. */
const IDLE_TIMEOUT = 3_600_000

/** One client of the admin interface: HTTP/1.1, or HTTP/2 by prior knowledge, through the proxy's own codecs. */
export class AdminConnection implements ConnectionHandler, TimerOwner {
  readonly #host: AdminHost
  readonly #timer: TimerNode
  #connection!: Connection
  /** Made when the first bytes tell which. */
  #codec: Codec | null = null
  #streams!: AdminStreams
  /** Bytes of a request have come and its answer has not left yet. */
  #busy = false
  /** The client has half-closed: it goes when its last answer is written. */
  #ended = false

  constructor(host: AdminHost) {
    this.#host = host
    this.#timer = new TimerNode(this, 0)
  }

  begin(connection: Connection): void {
    this.#connection = connection
    this.#streams = new AdminStreams(
      this.#host,
      connection,
      () => this.#codec!.protocol,
      () => this.#answered(),
    )
    this.#host.counters.onConnection()
    this.#host.timers.arm(this.#timer, IDLE_TIMEOUT)
  }

  close(): void {
    this.#connection.close(CloseHow.NoFlush)
  }

  onData(_c: Connection, chunk: Uint8Array, end: boolean): void {
    if (!this.#busy && chunk.length > 0) {
      this.#busy = true
      this.#host.timers.arm(this.#timer, EXCHANGE_TIMEOUT)
    }
    this.#codec ??= this.#newCodec(chunk)
    this.#codec.dispatch(chunk, end)
    if (!end) return
    this.#ended = true
    if (this.#codec.activeStreams === 0) this.#connection.close(CloseHow.Flush)
  }

  onWritable(): void {
    this.#codec?.onConnectionWritable()
    // A big answer has left: the client reads.
    if (this.#busy && !this.#streams.busy) this.#idle()
  }

  onClose(c: Connection, why: CloseReason): void {
    const { timers, counters } = this.#host
    timers.cancel(this.#timer)
    this.#codec?.onConnectionClosed(ResetReason.ConnectionTermination)
    const byPeer = why === CloseReason.Remote || why === CloseReason.RemoteReset
    counters.onClose(byPeer, timers.now() - c.startTime, c.bytesReceived, c.bytesSent, this.#codec?.protocol ?? '')
    this.#host.gone(this)
  }

  onTimer(): void {
    const { counters } = this.#host
    if (!this.#busy) counters.idleTimeouts.inc()
    else if (this.#streams.busy) counters.requestTimeouts.inc()
    else counters.headerTimeouts.inc()
    this.#connection.close(CloseHow.NoFlush)
  }

  #newCodec(first: Uint8Array): Codec {
    const { counters, timers } = this.#host
    const connection = this.#connection
    const http2 = startsWithPreface(first)
    counters.onCodec(http2)
    if (http2) return new Http2ServerCodec(connection, this.#streams, defaultHttp2Options, timers)
    return new Http1ServerCodec(connection, this.#streams, defaultHttp1Options)
  }

  #answered(): void {
    if (this.#ended) this.#connection.close(CloseHow.Flush)
    // Above the watermark it stays busy until onWritable: who does not read is cut off.
    if (this.#connection.bufferedBytes < HIGH_WATER) this.#idle()
  }

  #idle(): void {
    this.#busy = false
    if (!this.#connection.closed) this.#host.timers.arm(this.#timer, IDLE_TIMEOUT)
  }
}

/** Below this what is buffered is as good as sent; the connection's own watermark is no lower. */
const HIGH_WATER = 1024 * 1024
