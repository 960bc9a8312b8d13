import type { Counter, Gauge, Histogram, StatsScope } from '../stats/stats.ts'

/** What Envoy counts of its own admin listener: `listener.admin.*`, `http.admin.*`. */
export class AdminCounters {
  readonly #http: StatsScope
  readonly #listener: StatsScope
  readonly #connections: readonly Counter[]
  readonly #open: readonly Gauge[]
  readonly #closed: readonly Counter[]
  readonly #closedLocal: Counter
  readonly #closedRemote: Counter
  readonly #lengths: readonly Histogram[]
  readonly #accepted: Histogram
  /** HTTP/1 and HTTP/2. */
  readonly #codecs: readonly { readonly connections: Counter; readonly open: Gauge; readonly requests: Counter }[]
  readonly #rx: Counter
  readonly #tx: Counter
  readonly #requests: readonly Counter[]
  readonly #active: Gauge
  readonly #completed: readonly Counter[]
  readonly #time: Histogram
  readonly protocolErrors: Counter
  readonly headerTimeouts: Counter
  readonly requestTimeouts: Counter
  readonly idleTimeouts: Counter
  readonly tooLarge: Counter

  constructor(root: StatsScope) {
    const http = root.scope('http.admin.')
    const listener = root.scope('listener.admin.')
    this.#http = http
    this.#listener = listener
    this.#connections = [
      http.counter('downstream_cx_total'),
      listener.counter('downstream_cx_total'),
      listener.counter('main_thread.downstream_cx_total'),
    ]
    this.#open = [
      http.gauge('downstream_cx_active'),
      listener.gauge('downstream_cx_active'),
      listener.gauge('main_thread.downstream_cx_active'),
    ]
    this.#codecs = [1, 2].map(version => ({
      connections: http.counter(`downstream_cx_http${version}_total`),
      open: http.gauge(`downstream_cx_http${version}_active`),
      requests: http.counter(`downstream_rq_http${version}_total`),
    }))
    this.#closed = [http.counter('downstream_cx_destroy'), listener.counter('downstream_cx_destroy')]
    this.#closedLocal = http.counter('downstream_cx_destroy_local')
    this.#closedRemote = http.counter('downstream_cx_destroy_remote')
    this.#lengths = [http.histogram('downstream_cx_length_ms'), listener.histogram('downstream_cx_length_ms')]
    this.#accepted = listener.histogram('connections_accepted_per_socket_event')
    this.#rx = http.counter('downstream_cx_rx_bytes_total')
    this.#tx = http.counter('downstream_cx_tx_bytes_total')
    this.#requests = [http.counter('downstream_rq_total')]
    this.#active = http.gauge('downstream_rq_active')
    this.#completed = [http.counter('downstream_rq_completed'), listener.counter('http.admin.downstream_rq_completed')]
    this.#time = http.histogram('downstream_rq_time')
    this.protocolErrors = http.counter('downstream_cx_protocol_error')
    this.headerTimeouts = http.counter('downstream_rq_header_timeout')
    this.requestTimeouts = http.counter('downstream_rq_timeout')
    this.idleTimeouts = http.counter('downstream_cx_idle_timeout')
    this.tooLarge = http.counter('downstream_rq_too_large')
  }

  onConnection(): void {
    for (const counter of this.#connections) counter.inc()
    for (const gauge of this.#open) gauge.inc()
    this.#accepted.record(1)
  }

  /** The first bytes have told which protocol the client speaks. */
  onCodec(http2: boolean): void {
    const codec = this.#codecs[http2 ? 1 : 0]!
    codec.connections.inc()
    codec.open.inc()
  }

  /** `length`: milliseconds it was open. `protocol` '' when no byte came. */
  onClose(byPeer: boolean, length: number, received: number, sent: number, protocol: string): void {
    for (const gauge of this.#open) gauge.dec()
    if (protocol !== '') this.#codecs[protocol === 'HTTP/2' ? 1 : 0]!.open.dec()
    for (const counter of this.#closed) counter.inc()
    if (byPeer) this.#closedRemote.inc()
    else this.#closedLocal.inc()
    for (const histogram of this.#lengths) histogram.record(length)
    this.#rx.add(received)
    this.#tx.add(sent)
  }

  onRequest(http2: boolean): void {
    this.#codecs[http2 ? 1 : 0]!.requests.inc()
    for (const counter of this.#requests) counter.inc()
    this.#active.inc()
  }

  /** `status` 0: the client went away before the answer. `time`: milliseconds. */
  onDone(status: number, time: number): void {
    this.#active.dec()
    if (status === 0) return
    const group = `downstream_rq_${Math.floor(status / 100)}xx`
    this.#http.counter(group).inc()
    this.#listener.counter(`http.admin.${group}`).inc()
    for (const counter of this.#completed) counter.inc()
    this.#time.record(time)
  }
}
