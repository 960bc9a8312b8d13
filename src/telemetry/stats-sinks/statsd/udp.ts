import type { Address } from '../../../io/connection.ts'
import { datagramSocket } from '../../../io/datagram-socket.ts'
import type { SampledHistogram } from '../../../stats/slab.ts'
import type { TagExtractor } from '../../../stats/tags.ts'
import type { StatsFlush, StatsSender, StatsSink } from '../sink.ts'
import { StatsdLines, type StatsdStyle } from './lines.ts'
import { StatsdPackets } from './packets.ts'

/** A statsd dialect over UDP or a Unix datagram socket, parsed. */
export interface UdpStatsdConfig {
  readonly style: StatsdStyle
  readonly address: Address
  /** 0: every line is a datagram. */
  readonly maxBytes: number
}

/** Sends by itself on every thread, as Envoy: main counters and gauges, workers their samples. */
export class UdpStatsd implements StatsSink, StatsSender {
  readonly #lines: StatsdLines
  readonly #packets: StatsdPackets
  readonly #line: (text: string) => void

  constructor({ style, address, maxBytes }: UdpStatsdConfig, tags: TagExtractor) {
    this.#lines = new StatsdLines(style, tags)
    this.#packets = new StatsdPackets(datagramSocket(address), maxBytes)
    this.#line = text => this.#packets.add(text)
  }

  flush(stats: StatsFlush): void {
    this.#lines.flush(stats, this.#line)
    this.#packets.flush()
  }

  sample(name: string, value: number): void {
    this.#packets.add(this.#lines.sample(name, value))
    this.#packets.flush()
  }

  samples(histograms: readonly SampledHistogram[], values: Float64Array, count: number): void {
    for (let i = 0; i < count; i++) this.#packets.add(this.#lines.sample(histograms[i]!.name, values[i]!))
    this.#packets.flush()
  }

  /** Nothing is delivered: main has a socket of its own. */
  send(): void {}
}
