import type { Counter, Gauge, Histogram, StatsScope } from './stats.ts'

/** Full names, per kind. */
export class StatNames {
  readonly counters = new Set<string>()
  readonly gauges = new Set<string>()
  readonly histograms = new Set<string>()

  drop(prefix: string): void {
    for (const names of [this.counters, this.gauges, this.histograms]) {
      for (const name of names) if (name.startsWith(prefix)) names.delete(name)
    }
  }
}

/** Takes the names that it is asked for; what it gives counts nothing. */
export class NamingScope implements StatsScope {
  readonly #names: StatNames
  readonly #prefix: string

  constructor(names: StatNames, prefix = '') {
    this.#names = names
    this.#prefix = prefix
  }

  counter(name: string): Counter {
    this.#names.counters.add(this.#prefix + name)
    return NOTHING
  }

  gauge(name: string): Gauge {
    this.#names.gauges.add(this.#prefix + name)
    return NOTHING
  }

  histogram(name: string): Histogram {
    this.#names.histograms.add(this.#prefix + name)
    return NOTHING
  }

  scope(prefix: string): StatsScope {
    return new NamingScope(this.#names, this.#prefix + prefix)
  }
}

const NOTHING = { inc() {}, dec() {}, add() {}, set() {}, record() {} }
