import { BUCKETS, type HistogramBins, QUANTILES } from './histogram.ts'
import type { HistogramSample, NumberSample, StatsSnapshot } from './store.ts'
import type { TagExtractor } from './tags.ts'

export interface PrometheusOptions {
  readonly usedOnly: boolean
  readonly textReadouts: boolean
  /** Full dotted names to show. */
  readonly filter: (name: string) => boolean
  /** `summary` prints quantiles instead of buckets. */
  readonly histograms: 'cumulative' | 'summary'
  /** Bucket bounds per histogram (stats_config.histogram_bucket_settings). */
  readonly buckets?: (name: string) => readonly number[]
}

interface Group<T> {
  readonly name: string
  readonly samples: { readonly labels: string; readonly sample: T }[]
}

/**
 * Text exposition as Envoy prints it: `# TYPE` without `# HELP`, counters, gauges, text readouts, histograms; metrics ordered by
 * their dotted tag-extracted name, samples by full stat name, labels in extraction order.
 */
export function prometheusText(snapshot: StatsSnapshot, tags: TagExtractor, options: PrometheusOptions): string {
  const keep = (s: { readonly name: string; readonly used: boolean }): boolean =>
    (!options.usedOnly || s.used) && options.filter(s.name)
  const out: string[] = []
  for (const [kind, samples] of [
    ['counter', snapshot.counters],
    ['gauge', snapshot.gauges],
  ] as const) {
    for (const group of groups(samples.filter(keep), tags)) {
      const metric = metricName(group.name)
      out.push(`# TYPE ${metric} ${kind}`)
      for (const { labels, sample } of group.samples) out.push(`${metric}{${labels}} ${numberText(sample)}`)
    }
  }
  if (options.textReadouts) {
    const texts = snapshot.texts.filter(t => options.filter(t.name))
    for (const group of groups(texts, tags)) {
      const metric = metricName(group.name)
      out.push(`# TYPE ${metric} gauge`)
      for (const { labels, sample } of group.samples) {
        out.push(`${metric}{${labels}${labels === '' ? '' : ','}text_value="${escapeLabel(sample.value)}"} 0`)
      }
    }
  }
  for (const group of groups(snapshot.histograms.filter(keep), tags)) histogramGroup(group, options, out)
  return out.length === 0 ? '' : `${out.join('\n')}\n`
}

/** Stats that a filter publishes under names of its own: this part is stripped, and there is no `envoy_`. */
const CUSTOM_NAMESPACE = 'istiocustom.'

/** `envoy_` and every character outside [A-Za-z0-9_] replaced. */
export function metricName(dotted: string): string {
  if (dotted.startsWith(CUSTOM_NAMESPACE)) return dotted.slice(CUSTOM_NAMESPACE.length).replace(/[^A-Za-z0-9_]/g, '_')
  return `envoy_${dotted.replace(/[^A-Za-z0-9_]/g, '_')}`
}

/** `%.32g`: the exact decimal expansion to 32 digits, as Envoy prints histogram sums. */
export function exactDouble(value: number): string {
  if (!Number.isFinite(value) || Number.isInteger(value)) return `${value}`
  return value.toPrecision(32).replace(/\.?0+$/, '')
}

function histogramGroup(group: Group<HistogramSample>, options: PrometheusOptions, out: string[]): void {
  const metric = metricName(group.name)
  out.push(`# TYPE ${metric} ${options.histograms === 'summary' ? 'summary' : 'histogram'}`)
  for (const { labels, sample } of group.samples) {
    const bins = sample.cumulative
    const before = labels === '' ? '' : `${labels},`
    if (options.histograms === 'summary') summaryLines(metric, before, bins, out)
    else bucketLines(metric, before, bins, options.buckets?.(sample.name) ?? BUCKETS, out)
    out.push(`${metric}_sum{${labels}} ${exactDouble(bins.sum())}`)
    out.push(`${metric}_count{${labels}} ${bins.count}`)
  }
}

function bucketLines(
  metric: string,
  before: string,
  bins: HistogramBins,
  buckets: readonly number[],
  out: string[],
): void {
  const counts = bins.cumulative(buckets)
  for (let i = 0; i < buckets.length; i++) out.push(`${metric}_bucket{${before}le="${buckets[i]}"} ${counts[i]}`)
  out.push(`${metric}_bucket{${before}le="+Inf"} ${bins.count}`)
}

function summaryLines(metric: string, before: string, bins: HistogramBins, out: string[]): void {
  const values = bins.quantiles()
  QUANTILES.forEach((q, i) => {
    out.push(`${metric}{${before}quantile="${q}"} ${values === null ? 'nan' : exactDouble(values[i] ?? 0)}`)
  })
}

function numberText(sample: NumberSample): string {
  if (sample.exact !== undefined) return `${sample.exact}`
  return Number.isSafeInteger(sample.value) ? `${sample.value}` : `${BigInt(Math.trunc(sample.value))}`
}

function groups<T extends { readonly name: string }>(samples: readonly T[], tags: TagExtractor): Group<T>[] {
  const byName = new Map<string, Group<T>>()
  for (const sample of samples) {
    const tagged = tags.extract(sample.name)
    let group = byName.get(tagged.name)
    if (group === undefined) {
      group = { name: tagged.name, samples: [] }
      byName.set(tagged.name, group)
    }
    const labels = tagged.tags.map(([label, value]) => `${labelName(label)}="${escapeLabel(value)}"`).join(',')
    group.samples.push({ labels, sample })
  }
  return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
}

function labelName(label: string): string {
  return label.replace(/[^A-Za-z0-9_]/g, '_')
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
