import { isTagged, readTagged } from '../../../stats/explicit-tags.ts'
import type { TagExtractor } from '../../../stats/tags.ts'
import { CounterDeltas } from '../counter-deltas.ts'
import type { StatsFlush } from '../sink.ts'

/** How a dialect writes a line. */
export interface StatsdStyle {
  readonly prefix: string
  /** Null: names with all that is in them. */
  readonly tags: TagStyle | null
}

export interface TagStyle {
  /** Behind the name, or behind the value and its type. */
  readonly after: 'name' | 'value'
  readonly start: string
  readonly assign: string
  readonly separator: string
}

/** What stands before and behind the value and its type. */
interface LineParts {
  readonly head: string
  readonly tail: string
}

/** Enough for every histogram of a large mesh; then it starts anew. */
const MAX_KNOWN = 50_000

/** Lines of one dialect; names are split once. */
export class StatsdLines {
  readonly #style: StatsdStyle
  readonly #tags: TagExtractor
  readonly #deltas = new CounterDeltas()
  readonly #known = new Map<string, LineParts>()

  constructor(style: StatsdStyle, tags: TagExtractor) {
    this.#style = style
    this.#tags = tags
  }

  /** Statsd has no totals: counters are told by how much they grew. */
  flush({ counters, gauges }: StatsFlush, line: (text: string) => void): void {
    const deltas = this.#deltas.take(counters)
    for (let i = 0; i < counters.length; i++) {
      const { name, used } = counters[i]!
      if (used) line(this.#text(name, deltas[i]!, '|c'))
    }
    for (const { name, value, exact } of gauges) line(this.#text(name, exact ?? value, '|g'))
  }

  /** Every histogram is a timer; samples are whole numbers, as in Envoy. */
  sample(name: string, value: number): string {
    return this.#text(name, Math.trunc(value), '|ms')
  }

  #text(name: string, value: number | bigint, type: string): string {
    const { head, tail } = this.#known.get(name) ?? this.#split(name)
    return `${head}${value}${type}${tail}`
  }

  #split(name: string): LineParts {
    if (this.#known.size >= MAX_KNOWN) this.#known.clear()
    const { prefix, tags: style } = this.#style
    const explicit = isTagged(name) ? readTagged(name) : null
    let parts: LineParts
    if (style === null) parts = { head: `${prefix}.${explicit === null ? name : explicit.display}:`, tail: '' }
    else {
      const { name: base, tags } = explicit === null ? this.#tags.extract(name) : explicit.tagged
      const list = tags.map(([tag, value]) => `${tag}${style.assign}${value}`).join(style.separator)
      const text = list === '' ? '' : style.start + list
      parts =
        style.after === 'name'
          ? { head: `${prefix}.${base}${text}:`, tail: '' }
          : { head: `${prefix}.${base}:`, tail: text }
    }
    this.#known.set(name, parts)
    return parts
  }
}
