import t from 'tap'
import { Histogram, highestEquivalent, lowestEquivalent } from '../../../../bench/load/open-loop/histogram.ts'

// Vectors of HdrHistogram's own tests (three significant digits).
t.test('equivalent values are those of HdrHistogram', t => {
  for (const [value, lowest] of [
    [10007, 10000],
    [10009, 10008],
    [2047, 2047],
    [2049, 2048],
  ] as const)
    t.equal(lowestEquivalent(value), lowest, `lowest of ${value}`)
  for (const [value, highest] of [
    [8180, 8183],
    [8191, 8191],
    [8193, 8199],
    [9995, 9999],
    [10007, 10007],
    [10008, 10015],
  ] as const)
    t.equal(highestEquivalent(value), highest, `highest of ${value}`)
  t.end()
})

t.test('percentiles, mean, minimum and maximum are those of HdrHistogram for its test data', t => {
  const histogram = new Histogram()
  for (let i = 0; i < 10_000; i++) histogram.record(1000)
  histogram.record(100_000_000)
  t.equal(histogram.count, 10_001)
  t.equal(histogram.min, 1000)
  t.equal(histogram.max, 100_000_000)
  t.equal(histogram.mean, (1000 * 10_000 + 100_000_000) / 10_001)
  for (const percentile of [30, 99, 99.99]) t.equal(histogram.valueAt(percentile), 1000, `${percentile} %`)
  t.equal(histogram.valueAt(99.999), 100_000_000)
  t.equal(histogram.valueAt(100), 100_000_000)
  t.end()
})

t.test('every percentile lies within a thousandth of the exact one', t => {
  const histogram = new Histogram()
  const values: number[] = []
  let random = 12345
  for (let i = 0; i < 20_000; i++) {
    random = (Math.imul(random, 1103515245) + 12345) >>> 0
    const value = Math.floor(2 ** ((random / 2 ** 32) * 30))
    values.push(value)
    histogram.record(value)
  }
  values.sort((a, b) => a - b)
  for (const percentile of [0.1, 1, 10, 50, 90, 99, 99.9, 99.99]) {
    const exact = values[Math.ceil((percentile / 100) * values.length - 1e-9) - 1]!
    const found = histogram.valueAt(percentile)
    t.ok(found >= exact && found <= exact * 1.001 + 1, `${percentile} %: ${found} for ${exact}`)
  }
  t.end()
})

t.test('values outside of the range are clamped, none is lost', t => {
  const histogram = new Histogram()
  histogram.record(-5)
  histogram.record(1e12)
  t.equal(histogram.count, 2)
  t.equal(histogram.min, 0)
  t.equal(histogram.max, 2 ** 31 - 1)
  t.equal(new Histogram().valueAt(99), 0)
  t.end()
})

t.test('two histograms add up', t => {
  const a = new Histogram()
  const b = new Histogram()
  for (let i = 1; i <= 100; i++) (i % 2 === 0 ? a : b).record(i)
  a.add(b)
  t.equal(a.count, 100)
  t.equal(a.valueAt(50), 50)
  t.equal(a.min, 1)
  t.equal(a.max, 100)
  t.end()
})
