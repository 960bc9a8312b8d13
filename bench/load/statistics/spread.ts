import type { LatencyPoint, MemoryUse, Spread } from '../result.ts'

/** Median (of an even number: the mean of the middle two), least and greatest. Null for no values. */
export function spreadOf(values: readonly number[]): Spread | null {
  if (values.length === 0) return null
  const sorted = [...values].sort((a, b) => a - b)
  return { median: middle(sorted), min: sorted[0]!, max: sorted[sorted.length - 1]! }
}

export function medianOf(values: readonly number[]): number {
  return middle([...values].sort((a, b) => a - b))
}

export function medianMemory(all: readonly MemoryUse[]): MemoryUse | null {
  if (all.length === 0) return null
  return {
    rssBytes: medianOf(all.map(one => one.rssBytes)),
    pssBytes: medianOf(all.map(one => one.pssBytes)),
    anonBytes: medianOf(all.map(one => one.anonBytes)),
  }
}

/** Point by point; the percentiles of the first distribution are those of the result. */
export function medianLatency(all: readonly (readonly LatencyPoint[])[]): readonly LatencyPoint[] | null {
  const first = all[0]
  if (first === undefined) return null
  return first.map(({ percentile }) => {
    const values: number[] = []
    for (const one of all) {
      const point = one.find(candidate => candidate.percentile === percentile)
      if (point !== undefined) values.push(point.microseconds)
    }
    return { percentile, microseconds: medianOf(values) }
  })
}

function middle(sorted: readonly number[]): number {
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}
