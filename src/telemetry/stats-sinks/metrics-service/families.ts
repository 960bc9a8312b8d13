import { WireWriter } from '../../../config/wire-writer.ts'
import { type HistogramBins, QUANTILES } from '../../../stats/histogram.ts'
import type { TagExtractor } from '../../../stats/tags.ts'

/** io.prometheus.client.MetricType */
const COUNTER = 0
const GAUGE = 1
const SUMMARY = 2
const HISTOGRAM = 4
/** StreamMetricsMessage.envoy_metrics */
const METRICS = 2

/** Encodes envoy.service.metrics.v3.StreamMetricsMessage, without its identifier. A stat is a family of its own, as in Envoy. */
export class FamilyWriter {
  readonly #tags: TagExtractor | null
  readonly #at: number
  readonly #batchSize: number
  readonly #messages: Uint8Array[] = []
  #w = new WireWriter()
  #count = 0

  /** `tags`: they become labels; null: they stay in the names. `at`: ms since the epoch. `batchSize` 0: one message. */
  constructor(tags: TagExtractor | null, at: number, batchSize: number) {
    this.#tags = tags
    this.#at = at
    this.#batchSize = batchSize
  }

  counter(name: string, value: number): void {
    this.#family(name, COUNTER, w => w.messageField(3, () => doubleField(w, 1, value)))
  }

  gauge(name: string, value: number): void {
    this.#family(name, GAUGE, w => w.messageField(2, () => doubleField(w, 1, value)))
  }

  summary(name: string, bins: HistogramBins): void {
    const values = bins.quantiles()
    this.#family(name, SUMMARY, w =>
      w.messageField(4, () => {
        uintField(w, 1, bins.count)
        doubleField(w, 2, bins.sum())
        for (let i = 0; i < QUANTILES.length; i++) {
          w.messageField(3, () => {
            doubleField(w, 1, QUANTILES[i]!)
            doubleField(w, 2, values === null ? Number.NaN : values[i]!)
          })
        }
      }),
    )
  }

  histogram(name: string, bins: HistogramBins, bounds: readonly number[]): void {
    const counts = bins.cumulative(bounds)
    this.#family(name, HISTOGRAM, w =>
      w.messageField(7, () => {
        uintField(w, 1, bins.count)
        doubleField(w, 2, bins.sum())
        for (let i = 0; i < bounds.length; i++) {
          w.messageField(3, () => {
            uintField(w, 1, counts[i]!)
            doubleField(w, 2, bounds[i]!)
          })
        }
      }),
    )
  }

  /** There is always one message, so that a collector hears of every flush. */
  finish(): readonly Uint8Array[] {
    if (this.#count > 0 || this.#messages.length === 0) this.#endMessage()
    return this.#messages
  }

  #family(name: string, type: number, value: (w: WireWriter) => void): void {
    const w = this.#w
    const tagged = this.#tags === null ? null : this.#tags.extract(name)
    w.messageField(METRICS, () => {
      w.stringField(1, tagged === null ? name : tagged.name)
      w.tag(3, 0)
      w.varint(type)
      w.messageField(4, () => {
        for (const [tag, text] of tagged?.tags ?? []) {
          w.messageField(1, () => {
            w.stringField(1, tag)
            w.stringField(2, text)
          })
        }
        value(w)
        w.tag(6, 0)
        w.bigVarint(BigInt(this.#at))
      })
    })
    if (++this.#count === this.#batchSize) this.#endMessage()
  }

  #endMessage(): void {
    this.#messages.push(this.#w.take())
    this.#w = new WireWriter()
    this.#count = 0
  }
}

/** The messages are proto2: a value of 0 is written too. */
function doubleField(w: WireWriter, field: number, value: number): void {
  w.tag(field, 1)
  w.double(value)
}

function uintField(w: WireWriter, field: number, value: number): void {
  w.tag(field, 0)
  if (value <= 0xffffffff) w.varint(value)
  else w.bigVarint(BigInt(value))
}
