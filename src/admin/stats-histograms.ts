import { binLeft, binWidth, formatDouble, type HistogramBins, QUANTILES } from '../stats/histogram.ts'
import type { HistogramSample } from '../stats/store.ts'

/** How /stats shows histograms (`?histogram_buckets=`). */
export type HistogramMode = 'cumulative' | 'disjoint' | 'detailed' | 'summary'

/** What follows `name:` on a line (several lines for `detailed`). */
export function histogramText(h: HistogramSample, mode: HistogramMode, buckets: readonly number[]): string {
  if (mode === 'detailed') {
    return `\n  totals=${binsText(h.cumulative)}\n  intervals=${binsText(h.interval)}\n  summary=${summaryText(h)}`
  }
  if (mode === 'summary') return ` ${h.cumulative.count === 0 ? 'No recorded values' : summaryText(h)}`
  const interval = bucketCounts(h.interval, buckets, mode)
  const cumulative = bucketCounts(h.cumulative, buckets, mode)
  const parts = buckets.map((b, i) => `B${shortNumber(b)}(${interval[i]},${cumulative[i]})`)
  return ` ${h.cumulative.count === 0 ? 'No recorded values' : parts.join(' ')}`
}

/** The single last element of /stats?format=json: all histograms in one object. */
export function histogramsJson(
  histograms: readonly HistogramSample[],
  mode: HistogramMode,
  bucketsOf: (name: string) => readonly number[],
): string {
  if (mode === 'summary') {
    const computed = histograms.map(h => `{"name":${JSON.stringify(h.name)},"values":[${quantilePairs(h)}]}`)
    return `{"histograms":{"supported_quantiles":[${SUPPORTED}],"computed_quantiles":[${computed.join(',')}]}}`
  }
  if (mode === 'detailed') {
    const details = histograms.map(h => {
      const percentiles = quantilePairs(h)
      return (
        `{"name":${JSON.stringify(h.name)},"totals":[${binsJson(h.cumulative)}],"intervals":[${binsJson(h.interval)}],` +
        `"percentiles":[${percentiles}]}`
      )
    })
    return `{"histograms":{"supported_percentiles":[${SUPPORTED}],"details":[${details.join(',')}]}}`
  }
  const items = histograms.map(h => {
    const buckets = bucketsOf(h.name)
    const interval = bucketCounts(h.interval, buckets, mode)
    const cumulative = bucketCounts(h.cumulative, buckets, mode)
    const list = buckets.map(
      (b, i) => `{"upper_bound":${shortestNumber(b)},"interval":${interval[i]},"cumulative":${cumulative[i]}}`,
    )
    return `{"name":${JSON.stringify(h.name)},"buckets":[${list.join(',')}]}`
  })
  return `{"histograms":[${items.join(',')}]}`
}

const SUPPORTED = QUANTILES.map(q => Number((q * 100).toFixed(3))).join(',')

function quantilePairs(h: HistogramSample): string {
  const interval = h.interval.quantiles()
  const cumulative = h.cumulative.quantiles()
  const shown = (quantiles: readonly number[] | null, i: number): string =>
    quantiles === null ? 'null' : shortestNumber(quantiles[i] ?? 0)
  return QUANTILES.map((_, i) => `{"cumulative":${shown(cumulative, i)},"interval":${shown(interval, i)}}`).join(',')
}

function binsJson(bins: HistogramBins): string {
  const parts: string[] = []
  bins.forEach((bin, count) => {
    const bound = shortestNumber(binLeft(bin))
    parts.push(`{"lower_bound":${bound},"width":${shortestNumber(binWidth(bin))},"count":${count}}`)
  })
  return parts.join(',')
}

function summaryText(h: HistogramSample): string {
  const interval = h.interval.quantiles()
  const cumulative = h.cumulative.quantiles()
  return QUANTILES.map((q, i) => {
    const name = Number((q * 100).toFixed(3))
    return `P${name}(${text(interval, i)},${text(cumulative, i)})`
  }).join(' ')
}

function text(quantiles: readonly number[] | null, i: number): string {
  return quantiles === null ? 'nan' : formatDouble(quantiles[i] ?? Number.NaN)
}

/** `left,width:count` per bin. */
function binsText(bins: HistogramBins): string {
  const parts: string[] = []
  bins.forEach((bin, count) => {
    parts.push(`${shortNumber(binLeft(bin))},${shortNumber(binWidth(bin))}:${count}`)
  })
  return parts.join(', ')
}

function bucketCounts(bins: HistogramBins, buckets: readonly number[], mode: 'cumulative' | 'disjoint'): number[] {
  const counts = bins.cumulative(buckets)
  return mode === 'cumulative' ? counts : counts.map((n, i) => n - (counts[i - 1] ?? 0))
}

/** C's `%g`: six significant digits, exponent with at least two digits. */
export function shortNumber(value: number): string {
  const exponent = value === 0 ? 0 : Math.floor(Math.log10(Math.abs(value)))
  if (exponent >= 6 || exponent < -4) {
    const [mantissa = '0', power = '0'] = value.toExponential(5).split('e')
    const sign = power.startsWith('-') ? '-' : '+'
    const digits = power.replace(/[+-]/, '').padStart(2, '0')
    return `${mantissa.replace(/\.?0+$/, '')}e${sign}${digits}`
  }
  return `${Number(value.toPrecision(6))}`
}

/** C++'s std::to_chars: the shorter of the fixed and the scientific form, fixed when they are equally long (300000 is 3e+05). */
export function shortestNumber(value: number): string {
  const fixed = `${value}`
  if (value === 0 || !Number.isFinite(value) || fixed.includes('e')) return fixed
  const [mantissa = '', power = ''] = value.toExponential().split('e')
  const scientific = `${mantissa}e${power[0]}${power.slice(1).padStart(2, '0')}`
  return scientific.length < fixed.length ? scientific : fixed
}
