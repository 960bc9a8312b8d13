import { compileRegex, regexError } from '../base/regex.ts'
import { type PrometheusOptions, prometheusText } from '../stats/prometheus.ts'
import type { HistogramSample, StatsStore } from '../stats/store.ts'
import type { TagExtractor } from '../stats/tags.ts'
import {
  type AdminHandler,
  type AdminParameter,
  type AdminRequest,
  type AdminResponse,
  badRequest as bad,
  choice,
  flag,
  JSON_TYPE,
  text,
} from './handler.ts'
import { PROTOBUF_EXPOSITION, prometheusProtobuf, wantsProtobuf } from './prometheus-protobuf.ts'
import { type HistogramMode, histogramsJson, histogramText } from './stats-histograms.ts'
import { activeStatsPage, statsPage } from './stats-html.ts'

export interface StatsSource {
  readonly store: StatsStore
  tags(): TagExtractor
  /** Bounds of the buckets of one histogram (stats_config.histogram_bucket_settings). */
  buckets(name: string): readonly number[]
  /** Brings values that are only computed on demand up to date (uptime); workers' new names are in. */
  refresh(): Promise<void> | void
}

const FORMATS = ['html', 'active-html', 'text', 'json']
const TYPES = ['All', 'Counters', 'Histograms', 'Gauges', 'TextReadouts']
const MODES = ['cumulative', 'disjoint', 'detailed', 'summary', 'none']
const BUCKET_USAGE = 'usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary|prometheusnative)\n'

const USED_ONLY = flag('usedonly', 'Only include stats that have been written by system since restart')
const FILTER = text('filter', 'Regular expression (Google re2) for filtering stats')
const INVERT = flag('invert_filter', 'Invert the filter regex')

const STATS_PARAMETERS: readonly AdminParameter[] = [
  USED_ONLY,
  FILTER,
  INVERT,
  choice('format', 'Format to use', FORMATS),
  choice('type', 'Stat types to include.', TYPES),
  choice('histogram_buckets', 'Histogram bucket display mode', ['cumulative', 'disjoint', 'detailed', 'summary']),
]

export function statsHandlers(source: StatsSource): readonly AdminHandler[] {
  return [
    {
      path: '/stats',
      help: 'print server stats',
      parameters: STATS_PARAMETERS,
      mutates: false,
      handle: request => stats(source, request),
    },
    {
      path: '/stats/prometheus',
      help: 'print server stats in prometheus format',
      parameters: [
        USED_ONLY,
        flag('text_readouts', 'Render text_readouts as new gaugues with value 0 (increases Prometheus data size)'),
        FILTER,
        INVERT,
        choice('histogram_buckets', 'Histogram bucket display mode', ['cumulative', 'summary']),
      ],
      mutates: false,
      handle: request => prometheus(source, request),
    },
  ]
}

type Filter = (name: string) => boolean

async function stats(source: StatsSource, request: AdminRequest): Promise<AdminResponse> {
  const query = request.query
  const format = query.get('format') ?? 'text'
  if (format === 'prometheus') return prometheus(source, request)
  if (!FORMATS.includes(format)) {
    return bad('usage: /stats?format=(html|active-html|json|prometheus|text)\n\n')
  }
  const type = query.get('type') ?? 'All'
  if (!TYPES.includes(type)) return bad('invalid &type= param')
  const hidden = query.get('hidden')
  if (hidden !== undefined && !['include', 'only', 'exclude'].includes(hidden)) {
    return bad('usage: /stats?hidden=(include|only|exclude)\n\n')
  }
  const mode = query.get('histogram_buckets') || 'summary'
  if (mode === 'prometheusnative') {
    return bad('unsupported prometheusnative histogram type when not using protobuf exposition format')
  }
  if (!MODES.includes(mode)) {
    return bad(BUCKET_USAGE)
  }
  const filter = filterOf(query)
  if (typeof filter === 'string') return bad(filter)
  const usedOnly = query.has('usedonly')
  // The page of active-html asks for the figures itself, as JSON.
  if (format === 'active-html') return activeStatsPage(STATS_PARAMETERS, query)
  await source.refresh()
  const snapshot = source.store.snapshot()
  const keep = (s: { readonly name: string; readonly used: boolean }): boolean =>
    (!usedOnly || s.used) && filter(s.name) && hidden !== 'only'
  const want = (kind: string): boolean => type === 'All' || type === kind
  const texts = want('TextReadouts')
    ? snapshot.texts.filter(t => filter(t.name) && hidden !== 'only' && (!usedOnly || t.value !== ''))
    : []
  const counters = want('Counters') ? snapshot.counters.filter(keep) : []
  const gauges = want('Gauges') ? snapshot.gauges.filter(keep) : []
  const numbers = [...counters, ...gauges].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  // `none` is the same as the default here (observed on the real Envoy).
  const shown: HistogramMode = mode === 'none' ? 'summary' : (mode as HistogramMode)
  const histograms = want('Histograms') ? snapshot.histograms.filter(keep) : []
  if (format === 'json') return json(texts, numbers, histograms, shown, source)
  let out = ''
  for (const t of texts) out += `${t.name}: "${t.value}"\n`
  for (const n of numbers) out += `${n.name}: ${n.exact ?? n.value}\n`
  for (const h of histograms) out += `${h.name}:${histogramText(h, shown, source.buckets(h.name))}\n`
  return format === 'html' ? statsPage(STATS_PARAMETERS, query, out) : { status: 200, body: out }
}

function json(
  texts: readonly { readonly name: string; readonly value: string }[],
  numbers: readonly { readonly name: string; readonly value: number; readonly exact?: bigint }[],
  histograms: readonly HistogramSample[],
  mode: HistogramMode,
  source: StatsSource,
): AdminResponse {
  const items: string[] = []
  for (const t of texts) items.push(`{"name":${JSON.stringify(t.name)},"value":${JSON.stringify(t.value)}}`)
  for (const n of numbers) items.push(`{"name":${JSON.stringify(n.name)},"value":${n.exact ?? n.value}}`)
  if (histograms.length > 0) items.push(histogramsJson(histograms, mode, source.buckets))
  return { status: 200, contentType: JSON_TYPE, body: `{"stats":[${items.join(',')}]}` }
}

async function prometheus(source: StatsSource, request: AdminRequest): Promise<AdminResponse> {
  const query = request.query
  const mode = query.get('histogram_buckets') || 'cumulative'
  if (mode === 'prometheusnative') {
    return bad('unsupported prometheusnative histogram type when not using protobuf exposition format')
  }
  if (mode === 'detailed' || mode === 'disjoint') return bad('unsupported prometheus histogram bucket mode')
  if (!MODES.includes(mode)) {
    return bad(BUCKET_USAGE)
  }
  const filter = filterOf(query)
  if (typeof filter === 'string') return bad(filter)
  await source.refresh()
  const snapshot = source.store.snapshot()
  const options: PrometheusOptions = {
    usedOnly: query.has('usedonly'),
    textReadouts: query.has('text_readouts'),
    filter,
    histograms: mode === 'cumulative' ? 'cumulative' : 'summary',
    buckets: source.buckets,
  }
  if (wantsProtobuf(request.header('accept'))) {
    const body = prometheusProtobuf(snapshot, source.tags(), options)
    return { status: 200, contentType: PROTOBUF_EXPOSITION, body }
  }
  return { status: 200, body: prometheusText(snapshot, source.tags(), options) }
}

/** The regex is searched for, not fully matched. A string is the error. */
function filterOf(query: ReadonlyMap<string, string>): Filter | string {
  const pattern = query.get('filter') ?? ''
  if (pattern === '') return () => true
  const error = regexError(pattern)
  if (error !== null) return `Invalid re2 regex: ${error}`
  const regex = compileRegex(`(?s:.*)(?:${pattern})(?s:.*)`)
  const invert = query.has('invert_filter')
  return name => regex.fullMatch(name) !== invert
}
