import type { Metric, Spread } from '../result.ts'

/** Three significant digits, thousands apart: 1.23, 45.6, 789, 12,300. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '—'
  const size = Math.abs(value)
  if (size >= 1000) return Math.round(Number(value.toPrecision(3))).toLocaleString('en-US')
  if (size === 0) return '0'
  return String(Number(value.toPrecision(3)))
}

/** Short enough for an axis: 0, 500, 1k, 2.5k, 1M. */
export function short(value: number): string {
  const size = Math.abs(value)
  if (size >= 1e9) return `${trim(value / 1e9)}G`
  if (size >= 1e6) return `${trim(value / 1e6)}M`
  if (size >= 1e3) return `${trim(value / 1e3)}k`
  return trim(value)
}

export function bytes(value: number): string {
  const steps = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let step = 0
  let size = value
  while (Math.abs(size) >= 1024 && step < steps.length - 1) {
    size /= 1024
    step++
  }
  return `${trim(size)} ${steps[step]}`
}

export function micros(value: number): string {
  if (value < 1000) return `${trim(value)} µs`
  return value < 1e6 ? `${trim(value / 1e3)} ms` : `${trim(value / 1e6)} s`
}

/** A value of a metric with its unit, in a size people read. */
export function measured(value: number, unit: string): string {
  if (!Number.isFinite(value)) return '—'
  if (unit === 'B') return bytes(value)
  if (unit.startsWith('B/')) return `${bytes(value)}${unit.slice(1)}`
  const inMicros = { µs: 1, us: 1, ms: 1e3, s: 1e6 }[unit]
  if (inMicros !== undefined) return micros(value * inMicros)
  return `${figure(value)} ${unit}`
}

export function spread(value: Spread, unit: string): string {
  const median = measured(value.median, unit)
  if (value.min === value.max) return median
  const [low, high] = [measured(value.min, unit), measured(value.max, unit)]
  // "12 (11 – 13) MiB" where all have the same unit.
  const own = median.slice(median.indexOf(' ') + 1)
  if (![low, high].every(text => text.slice(text.indexOf(' ') + 1) === own)) return `${median} (${low} – ${high})`
  const bare = (text: string) => text.slice(0, text.indexOf(' '))
  return `${bare(median)} (${bare(low)} – ${bare(high)}) ${own}`
}

/** 1.42×, and 0.042× where two digits would hide it. */
export function times(ratio: number): string {
  return `${ratio >= 10 ? ratio.toFixed(1) : ratio >= 0.1 ? ratio.toFixed(2) : ratio.toPrecision(2)}×`
}

export function direction(metric: Metric): string {
  return metric.higherIsBetter ? 'more is better' : 'less is better'
}

export function percentileName(percentile: number): string {
  return percentile === 100 ? 'max' : `p${percentile}`
}

function trim(value: number): string {
  return String(Number(value.toPrecision(3)))
}
