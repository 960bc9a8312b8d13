import type { CallOuts, TcpCall, TcpCallUser } from '../../../config/services.ts'
import type { SampledHistogram } from '../../../stats/slab.ts'
import type { Counter } from '../../../stats/stats.ts'
import type { SenderServices, SinkServices, StatsFlush, StatsSender, StatsSink } from '../sink.ts'
import { StatsdLines, type StatsdStyle } from './lines.ts'

/** Statsd over TCP, parsed. */
export interface TcpStatsdConfig {
  readonly style: StatsdStyle
  readonly cluster: string
}

/** A collector that does not read costs no more memory than this (TcpStatsdSink::MAX_BUFFERED_STATS_BYTES). */
const MAX_BUFFERED = 16 * 1024 * 1024

export class TcpStatsdSink implements StatsSink {
  readonly #lines: StatsdLines
  readonly #services: SinkServices

  constructor({ style }: TcpStatsdConfig, services: SinkServices) {
    this.#lines = new StatsdLines(style, services.tags)
    this.#services = services
  }

  flush(stats: StatsFlush): void {
    let text = ''
    this.#lines.flush(stats, line => {
      text += `${line}\n`
    })
    if (text !== '') this.#services.deliver([Buffer.from(text)])
  }

  sample(name: string, value: number): void {
    this.#services.deliver([Buffer.from(`${this.#lines.sample(name, value)}\n`)])
  }
}

/** A connection for every worker, made when there is something to send. */
export class TcpStatsdSender implements StatsSender, TcpCallUser {
  readonly #lines: StatsdLines
  readonly #cluster: string
  readonly #callOuts: CallOuts
  readonly #overflow: Counter
  #call: TcpCall | null = null
  #opening = false

  constructor({ style, cluster }: TcpStatsdConfig, services: SenderServices) {
    this.#lines = new StatsdLines(style, services.tags)
    this.#cluster = cluster
    this.#callOuts = services.callOuts
    this.#overflow = services.stats.counter('statsd.cx_overflow')
  }

  send(messages: readonly Uint8Array[]): void {
    for (const message of messages) this.#write(message)
  }

  samples(histograms: readonly SampledHistogram[], values: Float64Array, count: number): void {
    let text = ''
    for (let i = 0; i < count; i++) text += `${this.#lines.sample(histograms[i]!.name, values[i]!)}\n`
    this.#write(Buffer.from(text))
  }

  onTcpClosed(): void {
    this.#call = null
    this.#opening = false
  }

  #write(bytes: Uint8Array): void {
    if (this.#call !== null && this.#call.buffered > MAX_BUFFERED) {
      this.#overflow.inc()
      const call = this.#call
      this.#call = null
      call.cancel()
      return
    }
    if (this.#call === null) {
      this.#opening = true
      const call = this.#callOuts.tcp(this.#cluster, this)
      // It may be over already: no cluster, no host.
      if (!this.#opening) return
      this.#opening = false
      this.#call = call
    }
    this.#call.send(bytes)
  }
}
