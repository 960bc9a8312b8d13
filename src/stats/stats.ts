/**
 * What the data plane sees of statistics. Implemented over one Float64 slab per worker (single writer, no atomics) by
 * `stats/slab.ts`; main merges by name at scrape. Names are Envoy's full dotted names (`cluster.X.upstream_rq_total`).
 */
export interface Counter {
  inc(): void
  add(n: number): void
}

export interface Gauge {
  inc(): void
  dec(): void
  add(n: number): void
  set(n: number): void
}

export interface Histogram {
  /** Unit as in Envoy: milliseconds, bytes or percent, by name. */
  record(value: number): void
}

/** Asking twice for one name gives the same cell. Look up at materialisation, never per request. */
export interface StatsScope {
  counter(name: string): Counter
  gauge(name: string): Gauge
  histogram(name: string): Histogram
  /** A scope that puts `prefix` (with its final dot) before every name. */
  scope(prefix: string): StatsScope
}
