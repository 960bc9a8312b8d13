import t from 'tap'
import { histogramsJson, histogramText, shortestNumber, shortNumber } from '../../../src/admin/stats-histograms.ts'
import { BUCKETS, binOf, HistogramBins } from '../../../src/stats/histogram.ts'
import type { HistogramSample } from '../../../src/stats/store.ts'
import { recorded } from './recorded.ts'

/** Bins as the recording's `detailed` form names them: `left,width:count`. */
function bins(text: string): HistogramBins {
  const made = new HistogramBins()
  for (const part of text.split(', ')) {
    const [left = '', , count = ''] = part.split(/[,:]/)
    made.add(binOf(Number(left)), Number(count))
  }
  return made
}

/** The histograms of the recording, read back from its `detailed` form. */
const samples: HistogramSample[] = recorded('histograms-detailed')
  .body.split(/\n(?=\S)/)
  .filter(part => part !== '')
  .map(part => {
    const [name = '', totals = '', intervals = ''] = part.split('\n')
    const after = (line: string): string => line.slice(line.indexOf('=') + 1)
    return {
      name: name.slice(0, -1),
      cumulative: bins(after(totals)),
      interval: bins(after(intervals)),
      used: true,
    }
  })

for (const mode of ['detailed', 'cumulative', 'disjoint', 'summary'] as const) {
  t.test(`${mode}: text as the real Envoy prints it`, t => {
    const body = samples.map(h => `${h.name}:${histogramText(h, mode, BUCKETS)}\n`).join('')
    t.equal(body, recorded(`histograms-${mode}`).body)
    t.end()
  })

  t.test(`${mode}: JSON as the real Envoy prints it, byte for byte`, t => {
    t.equal(`{"stats":[${histogramsJson(samples, mode, () => BUCKETS)}]}`, recorded(`histograms-json-${mode}`).body)
    t.end()
  })
}

t.test('a histogram without values', t => {
  const empty: HistogramSample = {
    name: 'h',
    cumulative: new HistogramBins(),
    interval: new HistogramBins(),
    used: false,
  }
  t.equal(histogramText(empty, 'summary', BUCKETS), ' No recorded values')
  t.equal(histogramText(empty, 'cumulative', BUCKETS), ' No recorded values')
  t.match(
    histogramsJson([empty], 'summary', () => BUCKETS),
    '{"cumulative":null,"interval":null}',
  )
  t.end()
})

t.test('an empty interval of a histogram with values is nan, in JSON null', t => {
  const h: HistogramSample = { name: 'h', cumulative: bins('1,0.1:1'), interval: new HistogramBins(), used: true }
  t.match(histogramText(h, 'summary', BUCKETS), /^ P0\(nan,1\.05\) /)
  t.match(
    histogramsJson([h], 'summary', () => BUCKETS),
    '{"cumulative":1.05,"interval":null}',
  )
  t.end()
})

t.test('numbers: %g in text, the shorter form in JSON', t => {
  for (const [value, text, json] of [
    [300000, '300000', '3e+05'],
    [1800000, '1.8e+06', '1800000'],
    [10000, '10000', '10000'],
    [0.5, '0.5', '0.5'],
    [0, '0', '0'],
    [495.00000000000006, '495', '495.00000000000006'],
  ] as const) {
    t.equal(shortNumber(value), text)
    t.equal(shortestNumber(value), json)
  }
  t.end()
})
