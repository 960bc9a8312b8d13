import { type CelNode, parseCel } from '../../config/cel.ts'
import type { FieldPath } from '../../config/field-path.ts'
import type { stats } from '../../config/gen/messages.d.ts'
import { defineSupport } from '../../config/support.ts'
import { METRICS, TAGS } from './metrics.ts'

type Proto = stats.PluginConfig
type Metric = stats.MetricConfig

/** stats.PluginConfig, parsed. Expressions are named by their index in `expressions`. */
export interface IstioStatsConfig {
  readonly hostFallback: boolean
  /** ms between reports of TCP connections and of gRPC messages. */
  readonly reportInterval: number
  readonly waypoint: boolean
  readonly expressions: readonly CelNode[]
  readonly dropped: readonly string[]
  /** By metric: what becomes of its standard tags; null = the tag is removed. */
  readonly overrides: Readonly<Record<string, Readonly<Record<string, number | null>>>>
  /** By metric: tags that come behind the standard ones. */
  readonly additions: Readonly<Record<string, readonly (readonly [tag: string, expression: number])[]>>
  readonly custom: readonly CustomMetricConfig[]
}

export interface CustomMetricConfig {
  /** Without `istio_`. */
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly value: number
}

const support = defineSupport<Proto>('stats.PluginConfig', {
  disable_host_header_fallback: 'yes',
  tcp_reporting_duration: 'yes',
  metrics: 'yes',
  definitions: 'yes',
  reporter: 'yes',
  // Deprecated, and of no effect in the real filter either: stats_eviction_interval of the bootstrap took its place.
  rotation_interval: 'warn',
  graceful_deletion_interval: 'warn',
})

const metricSupport = defineSupport<Metric>('stats.MetricConfig', {
  dimensions: 'yes',
  name: 'yes',
  tags_to_remove: 'yes',
  // "NOT IMPLEMENTED" in the real filter.
  match: 'warn',
  drop: 'yes',
})

export const ISTIO_STATS = 'stats.PluginConfig'

/** A metric, tag or expression that is not known is left out with a warning: telemetry never refuses a listener. */
export function parseIstioStats(proto: Proto, at: FieldPath, warnings: string[]): IstioStatsConfig {
  support.check(proto, at, warnings)
  const reader = new OverrideReader(warnings)
  for (const [i, d] of (proto.definitions ?? []).entries()) reader.define(d, at.field('definitions').index(i))
  for (const [i, m] of (proto.metrics ?? []).entries()) {
    const place = at.field('metrics').index(i)
    metricSupport.check(m, place, warnings)
    reader.read(m, place)
  }
  return {
    hostFallback: proto.disable_host_header_fallback !== true,
    reportInterval: proto.tcp_reporting_duration ?? 5000,
    waypoint: proto.reporter === 'SERVER_GATEWAY',
    expressions: reader.expressions,
    dropped: reader.dropped,
    overrides: reader.overrides,
    additions: reader.additions,
    custom: reader.custom,
  }
}

class OverrideReader {
  readonly expressions: CelNode[] = []
  readonly dropped: string[] = []
  readonly overrides: Record<string, Record<string, number | null>> = {}
  readonly additions: Record<string, [string, number][]> = {}
  readonly custom: CustomMetricConfig[] = []
  readonly #ids = new Map<string, number>()
  readonly #warnings: string[]

  constructor(warnings: string[]) {
    this.#warnings = warnings
  }

  define(proto: stats.MetricDefinition, at: FieldPath): void {
    const name = proto.name ?? ''
    if (METRICS.includes(name)) {
      this.#warnings.push(`${at}: Re-defining standard metric not allowed:: ${name}`)
      return
    }
    const value = this.#expression(proto.value ?? '', at)
    if (value === null || this.custom.some(c => c.name === name)) return
    const type = proto.type === 'GAUGE' ? 'gauge' : proto.type === 'HISTOGRAM' ? 'histogram' : 'counter'
    this.custom.push({ name, type, value })
  }

  read(proto: Metric, at: FieldPath): void {
    const name = proto.name ?? ''
    if (proto.drop === true) {
      if (METRICS.includes(name)) this.dropped.push(name)
      return
    }
    const standard = name === '' ? METRICS : METRICS.filter(metric => metric === name)
    const custom = this.custom.map(c => c.name).filter(metric => name === '' || metric === name)
    for (const tag of proto.tags_to_remove ?? []) {
      if (!TAGS.includes(tag)) this.#warnings.push(`${at}: Tag is not standard: ${tag}`)
      else for (const metric of standard) this.#override(metric, tag, null)
    }
    for (const tag of Object.keys(proto.dimensions ?? {}).sort()) {
      const id = this.#expression(proto.dimensions![tag]!, at.field('dimensions').key(tag))
      if (TAGS.includes(tag)) {
        for (const metric of standard) this.#override(metric, tag, id)
        if (id !== null) for (const metric of custom) this.#add(metric, tag, id)
      } else if (id !== null) for (const metric of [...standard, ...custom]) this.#add(metric, tag, id)
    }
  }

  #override(metric: string, tag: string, id: number | null): void {
    this.overrides[metric] ??= {}
    this.overrides[metric][tag] = id
  }

  #add(metric: string, tag: string, id: number): void {
    this.additions[metric] ??= []
    this.additions[metric].push([tag, id])
  }

  #expression(text: string, at: FieldPath): number | null {
    const known = this.#ids.get(text)
    if (known !== undefined) return known
    const node = parseCel(text)
    if (typeof node === 'string') {
      this.#warnings.push(`${at}: Failed to parse expression: ${text} (${node})`)
      return null
    }
    this.expressions.push(node)
    this.#ids.set(text, this.expressions.length - 1)
    return this.expressions.length - 1
  }
}
