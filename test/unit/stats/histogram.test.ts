import t from 'tap'
import { binLeft, binOf, binWidth, HistogramBins } from '../../../src/stats/histogram.ts'

const filled = (samples: readonly (readonly [number, number])[]): HistogramBins => {
  const bins = new HistogramBins()
  for (const [value, n] of samples) for (let i = 0; i < n; i++) bins.record(value)
  return bins
}

t.test('quantiles are what the real Envoy printed for the same bins', async t => {
  const lengths = filled([
    [0, 3],
    [1, 1],
    [8, 1],
    [16, 1],
    [22, 1],
    [25, 1],
    [26, 1],
    [32, 1],
    [62, 1],
    [490, 1],
    [520, 1],
    [530, 1],
    [540, 1],
  ])
  t.strictSame(lengths.quantiles(), [0, 1.05, 25.5, 495.00000000000006, 535, 545, 545, 545, 545, 545])
  const perConnection = filled([
    [1, 4],
    [2, 6],
    [4, 1],
    [5, 1],
    [6, 1],
    [8, 1],
    [9, 1],
  ])
  t.strictSame(perConnection.quantiles(), [1.02, 1.08, 2.057142857142857, 5.05, 8.05, 9.05, 9.05, 9.05, 9.05, 9.05])
  t.strictSame(filled([[252, 3]]).quantiles(), [252.5, 252.5, 255, 257.5, 257.5, 257.5, 257.5, 257.5, 257.5, 257.5])
})

t.test('a bucket counts the whole bin that begins at its bound', async t => {
  const bins = filled([
    [1, 4],
    [2, 6],
    [4, 1],
    [5, 1],
    [6, 1],
    [8, 1],
    [9, 1],
  ])
  t.strictSame(bins.cumulative([0.5, 1, 5, 10, 25]), [0, 4, 12, 15, 15])
})

t.test('the sum takes each sample at the circllhist midpoint of its bin', async t => {
  t.equal(
    filled([
      [0, 32],
      [1, 3],
      [13, 1],
      [16, 1],
      [22, 1],
    ]).sum(),
    55.59807599807599,
  )
})

t.test('every integer lies inside its bin, up to two significant digits', async t => {
  for (let v = 1; v < 5_000_000; v = Math.ceil(v * 1.07)) {
    const bin = binOf(v)
    t.ok(v >= binLeft(bin) - 1e-6 && v < binLeft(bin) + binWidth(bin) + 1e-6, `${v}`)
  }
})

t.test('an empty histogram has no quantiles, and draining empties it', async t => {
  const bins = filled([[7, 2]])
  t.strictSame(bins.drain(), [binOf(7), 2])
  t.equal(bins.quantiles(), null)
  t.equal(bins.count, 0)
})
