import { flat } from '../../base/flat.ts'
import type { WorkerServices } from '../../config/services.ts'
import { taggedName } from '../../stats/explicit-tags.ts'
import type { Counter, Gauge, Histogram } from '../../stats/stats.ts'
import { type CelProgram, compileCel, printCel } from '../cel.ts'
import type { FormatContext } from '../format-context.ts'
import type { IstioStatsConfig } from './config.ts'

type Kind = 'counter' | 'gauge' | 'histogram'

/** Names come from peers: after so many series of one filter on one worker, new ones are not made any more. */
const MAX_SERIES = 20_000
const PREFIX = 'istiocustom.istio_'

/** The cells for one set of tags. */
export class Series {
  readonly tags: readonly string[]
  readonly values: readonly CelResult[]
  readonly cells = new Map<string, Counter | Gauge | Histogram>()
  /** Of `evictedStats`, when the cells were found. */
  generation = 0

  constructor(tags: readonly string[], values: readonly CelResult[]) {
    this.tags = tags
    this.values = values
  }
}

/**
 * Metrics of one filter: finds the cells for a set of tags, after removing, replacing and adding tags as configured. Tags are flat:
 * name, value, name, value.
 */
export class IstioRecorder {
  readonly #services: WorkerServices
  readonly #config: IstioStatsConfig
  readonly #programs: readonly (CelProgram | null)[]
  readonly #dropped: ReadonlySet<string>
  /** By tags and values of expressions. */
  readonly #series = new Map<string, Series>()
  #size = 0
  #current = new Series(NO_TAGS, NOTHING)
  #full = false
  /** Of `evictedStats`, when the series were counted. */
  #generation = 0

  constructor(config: IstioStatsConfig, services: WorkerServices) {
    this.#config = config
    this.#services = services
    this.#dropped = new Set(config.dropped)
    this.#programs = config.expressions.map(node => {
      const program = compileCel(node)
      if (typeof program !== 'string') return program
      services.log('filter').warning(`istio.stats: ${program}: its tags are 'unknown'`)
      return null
    })
  }

  /** Values of the configured expressions for what is recorded next. */
  evaluate(c: FormatContext): readonly CelResult[] {
    const programs = this.#programs
    if (programs.length === 0) return NOTHING
    return programs.map(program => {
      const value = program === null ? undefined : program(c, this.#services.node)
      if (value === undefined) return UNKNOWN
      const text = printCel(value)
      return { text, number: /^[0-9]{1,19}$/.test(text) ? Number(text) : 0 }
    })
  }

  /** For the tags of a stream, which are given away, and what `evaluate` gave for it. */
  series(tags: readonly string[], values: readonly CelResult[]): Series {
    let key = tags.join('\x02')
    for (let i = 0; i < values.length; i++) key += `\x01${values[i]!.text}`
    let series = this.#series.get(key)
    if (series === undefined) {
      series = new Series(tags, values.map(kept))
      // Metrics that are dropped take no cells.
      if (this.#size < MAX_SERIES && this.#series.size < MAX_SERIES) this.#series.set(key, series)
    }
    return series
  }

  /** `count` and `record` are about these until the next call. */
  use(series: Series): void {
    const generation = this.#services.evictedStats?.generation ?? 0
    if (generation !== this.#generation) {
      this.#generation = generation
      this.#series.clear()
      this.#size = 0
      this.#full = false
    }
    if (series.generation !== generation) {
      series.generation = generation
      series.cells.clear()
    }
    this.#current = series
  }

  count(metric: string, amount = 1): void {
    const cell = this.#cell(metric, 'counter', true) as Counter | null
    if (cell !== null) cell.add(amount)
  }

  record(metric: string, value: number): void {
    const cell = this.#cell(metric, 'histogram', true) as Histogram | null
    if (cell !== null) cell.record(value)
  }

  recordCustom(): void {
    for (const { name, type, value } of this.#config.custom) {
      const amount = this.#current.values[value]?.number ?? 0
      const cell = this.#cell(name, type, false)
      if (cell === null) continue
      if (type === 'counter') (cell as Counter).add(amount)
      else if (type === 'gauge') (cell as Gauge).set(amount)
      else (cell as Histogram).record(amount)
    }
  }

  /** `standard`: with the tags of the stream; custom metrics have only those that are added. */
  #cell(metric: string, kind: Kind, standard: boolean): Counter | Gauge | Histogram | null {
    const { cells, tags } = this.#current
    const known = cells.get(metric)
    if (known !== undefined) return known
    if (this.#dropped.has(metric)) return null
    if (this.#size >= MAX_SERIES) return this.#refuse()
    this.#size++
    const { stats } = this.#services
    const name = taggedName(`${PREFIX}${metric}`, this.#tagsOf(metric, standard ? tags : NO_TAGS))
    const cell = kind === 'counter' ? stats.counter(name) : kind === 'gauge' ? stats.gauge(name) : stats.histogram(name)
    cells.set(metric, cell)
    return cell
  }

  #tagsOf(metric: string, tags: readonly string[]): readonly string[] {
    const overrides = this.#config.overrides[metric]
    const additions = this.#config.additions[metric]
    if (overrides === undefined && additions === undefined) return tags
    const out: string[] = []
    for (let i = 0; i < tags.length; i += 2) {
      const tag = tags[i]!
      const id = overrides === undefined || !Object.hasOwn(overrides, tag) ? undefined : overrides[tag]
      if (id === null) continue
      out.push(tag, id === undefined ? tags[i + 1]! : (this.#current.values[id] ?? UNKNOWN).text)
    }
    for (const [tag, id] of additions ?? []) out.push(tag, (this.#current.values[id] ?? UNKNOWN).text)
    return out
  }

  #refuse(): null {
    if (!this.#full) {
      this.#full = true
      this.#services.log('filter').warning(`istio.stats: ${MAX_SERIES} series on this worker, new ones are not counted`)
    }
    return null
  }
}

/** It may be cut from a head, which it must not hold. What is not latin1 never is. */
function kept({ text, number }: CelResult): CelResult {
  return { text: /^[\0-\xff]*$/.test(text) ? flat(text) : text, number }
}

export interface CelResult {
  readonly text: string
  readonly number: number
}

const UNKNOWN: CelResult = { text: 'unknown', number: 0 }
const NOTHING: readonly CelResult[] = []
const NO_TAGS: readonly string[] = []
