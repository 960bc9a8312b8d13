import { BUCKETS, QUANTILES } from '../stats/histogram.ts'
import { metricName, type PrometheusOptions } from '../stats/prometheus.ts'
import type { HistogramSample, StatsSnapshot } from '../stats/store.ts'
import type { TagExtractor } from '../stats/tags.ts'

/** What a scraper asks for with `Accept`, and what the answer says. */
export const PROTOBUF_EXPOSITION =
  'application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited'

export function wantsProtobuf(accept: string | undefined): boolean {
  return accept?.includes('application/vnd.google.protobuf') === true
}

/** io.prometheus.client.MetricType */
const COUNTER = 0
const GAUGE = 1
const SUMMARY = 2
const HISTOGRAM = 4

/** Length-delimited io.prometheus.client.MetricFamily messages, in the order of the text form. */
export function prometheusProtobuf(snapshot: StatsSnapshot, tags: TagExtractor, options: PrometheusOptions): Buffer {
  const keep = (s: { readonly name: string; readonly used: boolean }): boolean =>
    (!options.usedOnly || s.used) && options.filter(s.name)
  const out: Buffer[] = []
  const families = <T extends { readonly name: string }>(
    samples: readonly T[],
    type: number,
    value: (sample: T) => Buffer,
    extra: (sample: T) => readonly (readonly [string, string])[] = () => [],
  ): void => {
    for (const [name, metrics] of grouped(samples, tags)) {
      const parts = [bytes(1, Buffer.from(metricName(name))), varintField(3, type)]
      for (const { labels, sample } of metrics) {
        const pairs = [...labels, ...extra(sample)].map(([label, text]) => {
          const safe = label.replace(/[^A-Za-z0-9_]/g, '_')
          return bytes(1, Buffer.concat([bytes(1, Buffer.from(safe)), bytes(2, Buffer.from(text))]))
        })
        parts.push(bytes(4, Buffer.concat([...pairs, value(sample)])))
      }
      const family = Buffer.concat(parts)
      out.push(varint(family.length), family)
    }
  }
  families(snapshot.counters.filter(keep), COUNTER, s => bytes(3, double(1, s.value)))
  families(snapshot.gauges.filter(keep), GAUGE, s => bytes(2, double(1, s.value)))
  if (options.textReadouts) {
    const texts = snapshot.texts.filter(text => options.filter(text.name))
    families(
      texts,
      GAUGE,
      () => bytes(2, double(1, 0)),
      text => [['text_value', text.value]],
    )
  }
  const histograms = snapshot.histograms.filter(keep)
  if (options.histograms === 'summary') families(histograms, SUMMARY, summary)
  else families(histograms, HISTOGRAM, h => histogram(h, options.buckets?.(h.name) ?? BUCKETS))
  return Buffer.concat(out)
}

interface Metric<T> {
  readonly labels: readonly (readonly [string, string])[]
  readonly sample: T
}

/** By name without tags, sorted by it. */
function grouped<T extends { readonly name: string }>(
  samples: readonly T[],
  tags: TagExtractor,
): [string, Metric<T>[]][] {
  const groups = new Map<string, Metric<T>[]>()
  for (const sample of samples) {
    const { name, tags: labels } = tags.extract(sample.name)
    const known = groups.get(name)
    if (known === undefined) groups.set(name, [{ labels, sample }])
    else known.push({ labels, sample })
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
}

function histogram({ cumulative }: HistogramSample, bounds: readonly number[]): Buffer {
  const counts = cumulative.cumulative(bounds)
  const buckets = bounds.map((bound, i) => bytes(3, Buffer.concat([varintField(1, counts[i] ?? 0), double(2, bound)])))
  return bytes(7, Buffer.concat([varintField(1, cumulative.count), double(2, cumulative.sum()), ...buckets]))
}

function summary({ cumulative }: HistogramSample): Buffer {
  const values = cumulative.quantiles()
  const quantiles = QUANTILES.map((q, i) =>
    bytes(3, Buffer.concat([double(1, q), double(2, values === null ? Number.NaN : (values[i] ?? 0))])),
  )
  return bytes(4, Buffer.concat([varintField(1, cumulative.count), double(2, cumulative.sum()), ...quantiles]))
}

/** Counts pass 2^32, never 2^53. */
function varint(value: number): Buffer {
  const out: number[] = []
  let left = value
  while (left > 0x7f) {
    out.push((left % 0x80) | 0x80)
    left = Math.floor(left / 0x80)
  }
  out.push(left)
  return Buffer.from(out)
}

function varintField(field: number, value: number): Buffer {
  return Buffer.concat([varint(field << 3), varint(value)])
}

function bytes(field: number, value: Buffer): Buffer {
  return Buffer.concat([varint((field << 3) | 2), varint(value.length), value])
}

function double(field: number, value: number): Buffer {
  const out = Buffer.alloc(9)
  out[0] = (field << 3) | 1
  out.writeDoubleLE(value, 1)
  return out
}
