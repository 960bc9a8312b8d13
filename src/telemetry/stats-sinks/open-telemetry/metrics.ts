import { WireWriter } from '../../../config/wire-writer.ts'
import type { HistogramBins } from '../../../stats/histogram.ts'
import type { TagExtractor } from '../../../stats/tags.ts'

/** AggregationTemporality */
const DELTA = 1
const CUMULATIVE = 2
/** Field numbers of the messages' data. */
const GAUGE = 5
const SUM = 7
const HISTOGRAM = 9

export interface MetricStyle {
  readonly resource: readonly string[]
  readonly attributes: boolean
  readonly extractedNames: boolean
  readonly prefix: string
  readonly batchSize: number
}

/**
 * Encodes opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest. Every stat is a metric with one data point, as in
 * Envoy. Times are ms since the epoch.
 */
export class MetricWriter {
  readonly #style: MetricStyle
  readonly #tags: TagExtractor
  readonly #at: bigint
  readonly #requests: Uint8Array[] = []
  #metrics = new WireWriter()
  #count = 0

  constructor(style: MetricStyle, tags: TagExtractor, at: number) {
    this.#style = style
    this.#tags = tags
    this.#at = nanoseconds(at)
  }

  gauge(name: string, value: number | bigint): void {
    this.#metric(name, GAUGE, w => this.#number(w, name, value, null))
  }

  counter(name: string, value: number, from: number, delta: boolean): void {
    this.#metric(name, SUM, w => {
      this.#number(w, name, value, from)
      w.uintField(2, delta ? DELTA : CUMULATIVE)
      w.boolField(3, true)
    })
  }

  histogram(name: string, bins: HistogramBins, bounds: readonly number[], from: number, delta: boolean): void {
    const counts = bins.cumulative(bounds)
    this.#metric(name, HISTOGRAM, w => {
      w.messageField(1, () => {
        fixed64(w, 2, nanoseconds(from))
        fixed64(w, 3, this.#at)
        fixed64(w, 4, BigInt(bins.count))
        w.tag(5, 1)
        w.double(bins.sum())
        w.messageField(6, () => {
          for (let i = 0; i < counts.length; i++) w.fixed64(BigInt(counts[i]! - (counts[i - 1] ?? 0)))
          w.fixed64(BigInt(bins.count - (counts.at(-1) ?? 0)))
        })
        w.messageField(7, () => {
          for (const bound of bounds) w.double(bound)
        })
        this.#attributes(w, 9, name)
      })
      w.uintField(2, delta ? DELTA : CUMULATIVE)
    })
  }

  finish(): readonly Uint8Array[] {
    if (this.#count > 0) this.#endRequest()
    return this.#requests
  }

  #metric(name: string, field: number, data: (w: WireWriter) => void): void {
    const w = this.#metrics
    const { prefix, extractedNames } = this.#style
    // ScopeMetrics.metrics
    w.messageField(2, () => {
      w.stringField(1, prefix + (extractedNames ? this.#tags.extract(name).name : name))
      w.messageField(field, () => data(w))
    })
    if (++this.#count === this.#style.batchSize) this.#endRequest()
  }

  /** NumberDataPoint; gauges have no beginning. */
  #number(w: WireWriter, name: string, value: number | bigint, from: number | null): void {
    w.messageField(1, () => {
      if (from !== null) fixed64(w, 2, nanoseconds(from))
      fixed64(w, 3, this.#at)
      fixed64(w, 6, BigInt(value))
      this.#attributes(w, 7, name)
    })
  }

  /** In the order of their names, other than elsewhere. */
  #attributes(w: WireWriter, field: number, name: string): void {
    if (!this.#style.attributes) return
    const { tags } = this.#tags.extract(name)
    for (const [tag, value] of [...tags].sort(([a], [b]) => (a < b ? -1 : 1))) attribute(w, field, tag, value)
  }

  #endRequest(): void {
    const { resource } = this.#style
    const w = new WireWriter(this.#metrics.length + 512)
    w.messageField(1, () => {
      w.messageField(1, () => {
        for (let i = 0; i < resource.length; i += 2) attribute(w, 1, resource[i]!, resource[i + 1]!)
      })
      w.bytesField(2, this.#metrics.view())
    })
    this.#requests.push(w.take())
    this.#metrics.clear()
    this.#count = 0
  }
}

function attribute(w: WireWriter, field: number, name: string, value: string): void {
  w.messageField(field, () => {
    w.stringField(1, name)
    w.messageField(2, () => {
      w.tag(1, 2)
      w.text(value)
    })
  })
}

function fixed64(w: WireWriter, field: number, value: bigint): void {
  w.tag(field, 1)
  w.fixed64(value)
}

function nanoseconds(ms: number): bigint {
  return BigInt(Math.round(ms)) * 1_000_000n
}
