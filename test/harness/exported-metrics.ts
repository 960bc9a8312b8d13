import { decodeMessage } from '../../src/config/binary.ts'
import type { UpstreamRecord } from './behaviour.ts'
import { frames, plain } from './exported-logs.ts'

const STREAM = ':path: /envoy.service.metrics.v3.MetricsService/StreamMetrics'
const EXPORT = ':path: /opentelemetry.proto.collector.metrics.v1.MetricsService/Export'

type Json = Record<string, unknown>
/** `name`: of MetricFamily, `key`: of OpenTelemetry. */
type Tag = { readonly name?: string; readonly key?: string; readonly value: string | { readonly string_value: string } }

/**
 * What stat sinks sent, as far as `wanted` matches: lines of statsd, metrics as JSON. Sorted, as the real proxy sends them in hash
 * order; samples that are times have no value. Null: it is nothing of the sort.
 */
export function exportedMetrics(record: UpstreamRecord, wanted: readonly RegExp[]): string | object[] | null {
  const keep = (text: string) => wanted.some(pattern => pattern.test(text))
  if (record.protocol === 'udp' || record.protocol === 'tcp') {
    const lines = record.body.toString('latin1').split('\n').filter(keep)
    return lines
      .map(line => line.replace(/\d+(\|ms)/, isTime(line) ? '{ms}$1' : '$&'))
      .sort()
      .join('\n')
  }
  if (record.head.includes(STREAM)) return streamed(record, keep)
  if (record.head.includes(EXPORT)) return otlp(frames(record.body), keep)
  if (record.head.some(line => line.startsWith('POST /v1/metrics'))) return otlp([record.body], keep)
  return null
}

/** All messages of a stream: who sent the first, then every series with its values one after the other. */
function streamed(record: UpstreamRecord, keep: (name: string) => boolean): object[] {
  const type = 'envoy.service.metrics.v3.StreamMetricsMessage'
  const messages = frames(record.body).map(bytes => plain(decodeMessage(type, bytes).message, '') as Json)
  const series = new Map<string, Json[]>()
  let longest = 0
  for (const message of messages) {
    const families = (message['envoy_metrics'] ?? []) as Json[]
    longest = Math.max(longest, families.length)
    for (const family of families) {
      const name = String(family['name'])
      for (const metric of family['metric'] as Json[]) {
        const { label, timestamp_ms: time, ...value } = metric
        if (!keep(taggedText(name, (label ?? []) as Tag[]))) continue
        const key = JSON.stringify({ name, type: family['type'], label })
        const values = series.get(key) ?? []
        values.push({ timed: Math.abs(Number(time) - Date.now()) < 60_000, ...withoutTimes(name, value) })
        series.set(key, values)
      }
    }
  }
  const batch = Number(record.head.find(line => line.startsWith('x-batch: '))?.slice(9) ?? 0)
  return [
    {
      identifiers: messages
        .map((message, i) => (message['identifier'] === undefined ? null : i))
        .filter(i => i !== null),
    },
    { identifier: messages[0]?.['identifier'] },
    ...(batch === 0 ? [{ messages: messages.length }] : [{ several: messages.length > 1, within: longest <= batch }]),
    ...[...series]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, values]) => ({ series: key, values: values.map(value => JSON.stringify(value)) })),
  ]
}

function otlp(messages: readonly Buffer[], keep: (name: string) => boolean): object[] {
  const type = 'opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest'
  return messages.map(bytes => {
    const message = plain(decodeMessage(type, bytes).message, '') as { resource_metrics: Json[] }
    return {
      resource_metrics: (message.resource_metrics ?? []).map(entry => ({
        ...entry,
        resource: resource(entry['resource'] as Json),
        scope_metrics: (entry['scope_metrics'] as { metrics: Json[] }[]).map(scope => {
          const metrics = scope.metrics.filter(metric => keep(taggedText(String(metric['name']), attributesOf(metric))))
          const shown = metrics.map(metric => withoutTimes(String(metric['name']), metric))
          return { ...scope, metrics: shown.map(metric => JSON.stringify(metric)).sort() }
        }),
      })),
    }
  })
}

/** `name;tag=value`, as Graphite's lines are. */
function taggedText(name: string, tags: readonly Tag[]): string {
  const text = ({ name, key, value }: Tag) =>
    `;${name ?? key}=${typeof value === 'string' ? value : value.string_value}`
  return name + tags.map(text).join('')
}

function attributesOf(metric: Json): readonly Tag[] {
  const kind = (metric['gauge'] ?? metric['sum'] ?? metric['histogram']) as { data_points: { attributes?: Tag[] }[] }
  return kind.data_points[0]?.attributes ?? []
}

/** The real proxy's is a hash map, and says what language it is written in. */
function resource(value: Json): Json {
  const attributes = (value['attributes'] ?? []) as { key: string; value: Json }[]
  const shown = attributes.map(({ key, value: inner }) => [key, /sdk\.(language|version)$/.test(key) ? '{sdk}' : inner])
  return { ...value, attributes: Object.fromEntries(shown.sort(([a], [b]) => (String(a) < String(b) ? -1 : 1))) }
}

/** What was measured with a clock. */
function isTime(name: string): boolean {
  return /_ms\b|_time\b|_time[:.]/.test(name)
}

function withoutTimes(name: string, value: Json): Json {
  return shapeOf(value, isTime(name)) as Json
}

/** Values of histograms in one line each, without what the clock made; a point that has a beginning is told from others. */
function shapeOf(value: unknown, timed: boolean): unknown {
  if (Array.isArray(value)) {
    if (typeof value[0] !== 'object') return value.join(' ')
    return value.map(inner => shapeOf(inner, timed))
  }
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([key, inner]) => {
    if (key === 'start_time_unix_nano') return [key, '{start}']
    if (key === 'quantile') return [key, (inner as Json[]).map(p => pair(p['quantile'], p['value'], timed)).join(' ')]
    if (key === 'bucket') {
      return [key, (inner as Json[]).map(p => pair(p['upper_bound'], p['cumulative_count'], timed)).join(' ')]
    }
    return [key, shapeOf(inner, timed)]
  })
  // A sum of 0 is not sent.
  return Object.fromEntries(
    timed ? entries.filter(([key]) => !/^(sum|sample_sum|bucket_counts)$/.test(String(key))) : entries,
  )
}

function pair(key: unknown, value: unknown, timed: boolean): string {
  return timed ? `${key ?? 0}` : `${key ?? 0}=${value ?? 0}`
}
