import t from 'tap'
import { Slab } from '../../../src/stats/slab.ts'
import { StatsStore } from '../../../src/stats/store.ts'

/** A worker whose names reach the store at once. */
const worker = (store: StatsStore, id: number): Slab => new Slab(update => store.onSlabUpdate(id, update))
const value = (store: StatsStore, name: string): number | undefined => {
  const snapshot = store.snapshot()
  return [...snapshot.counters, ...snapshot.gauges].find(s => s.name === name)?.value
}

t.test('a counter is the sum over main and workers, read without a message', async t => {
  const store = new StatsStore()
  const a = worker(store, 0)
  const b = worker(store, 1)
  const inA = a.root.scope('cluster.c.').counter('upstream_rq_total')
  const inB = b.root.counter('cluster.c.upstream_rq_total')
  store.counter('cluster.c.upstream_rq_total').add(1)
  a.flushNames()
  b.flushNames()
  inA.inc()
  inB.add(5)
  t.equal(value(store, 'cluster.c.upstream_rq_total'), 7)
  t.equal(store.value('cluster.c.upstream_rq_total'), 7)
})

t.test('asking twice for one name gives one cell', async t => {
  const slab = worker(new StatsStore(), 0)
  t.equal(slab.root.counter('a'), slab.root.counter('a'))
})

t.test('what a dead worker counted stays, its gauges are given back', async t => {
  const store = new StatsStore()
  const slab = worker(store, 0)
  slab.root.counter('c').add(3)
  slab.root.gauge('g').set(4)
  slab.flushNames()
  t.equal(value(store, 'g'), 4)
  store.foldWorker(0)
  t.equal(value(store, 'c'), 3)
  t.equal(value(store, 'g'), undefined)
})

t.test('declared names exist at zero and are not used', async t => {
  const store = new StatsStore()
  store.declare('cluster.c.', { counters: ['a'], gauges: ['b'], histograms: ['h'] })
  const snapshot = store.snapshot()
  t.strictSame(snapshot.counters, [{ name: 'cluster.c.a', value: 0, used: false }])
  t.strictSame(snapshot.gauges, [{ name: 'cluster.c.b', value: 0, used: false }])
  t.match(snapshot.histograms, [{ name: 'cluster.c.h', used: false }])
})

t.test('two templates may stand under one prefix', async t => {
  const store = new StatsStore()
  store.declare('cluster.c.', { counters: ['a'], gauges: [], histograms: [] })
  store.declare('cluster.c.', { counters: ['ssl.b'], gauges: [], histograms: [] })
  t.same(
    store.snapshot().counters.map(counter => counter.name),
    ['cluster.c.a', 'cluster.c.ssl.b'],
  )
})

t.test('reset_counters is a baseline: gauges and histograms stay', async t => {
  const store = new StatsStore()
  const slab = worker(store, 0)
  const counter = slab.root.counter('c')
  slab.root.gauge('g').set(2)
  counter.add(10)
  slab.flushNames()
  store.resetCounters()
  t.equal(value(store, 'c'), 0)
  counter.inc()
  t.equal(value(store, 'c'), 1)
  t.equal(value(store, 'g'), 2)
})

t.test('a removed cluster takes its names along', async t => {
  const store = new StatsStore()
  const slab = worker(store, 0)
  slab.root.counter('cluster.c.x').inc()
  slab.flushNames()
  store.declare('cluster.c.', { counters: ['y'], gauges: [], histograms: [] })
  store.drop('cluster.c.')
  t.strictSame(store.snapshot().counters, [])
})

t.test('a cluster that comes again after a reset of counters starts at 0, not below', async t => {
  const store = new StatsStore()
  store.counter('cluster.c.x').add(5)
  store.resetCounters()
  store.drop('cluster.c.')
  store.counter('cluster.c.x').add(2)
  t.equal(store.value('cluster.c.x'), 2)
})

t.test('whether a name exists is asked once, and again when the name comes anew', async t => {
  const store = new StatsStore()
  const asked: string[] = []
  store.setRejector(name => {
    asked.push(name)
    return name.endsWith('y')
  })
  store.counter('cluster.c.x').inc()
  store.counter('cluster.c.y').inc()
  const names = (): string[] => store.snapshot().counters.map(counter => counter.name)
  t.strictSame(names(), ['cluster.c.x'])
  t.strictSame(names(), ['cluster.c.x'])
  t.equal(asked.length, 2)
  store.drop('cluster.c.')
  store.counter('cluster.c.x').inc()
  t.strictSame(names(), ['cluster.c.x'])
  t.equal(asked.length, 3)
})

t.test('histogram samples show after a flush, as an interval and for good', async t => {
  const store = new StatsStore()
  const slab = worker(store, 0)
  slab.root.histogram('h').record(5)
  slab.flushNames()
  store.onHistogramUpdate(slab.drainHistograms())
  t.equal(store.snapshot().histograms[0]?.cumulative.count, 0)
  store.flushHistograms()
  t.match(store.snapshot().histograms[0], { interval: { count: 1 }, cumulative: { count: 1 } })
  store.flushHistograms()
  t.match(store.snapshot().histograms[0], { interval: { count: 0 }, cumulative: { count: 1 } })
})

t.test('cells go on in a second chunk', async t => {
  const store = new StatsStore()
  const slab = worker(store, 0)
  for (let i = 0; i < 5000; i++) slab.root.counter(`c${i}`).add(i)
  slab.flushNames()
  t.equal(store.value('c4999'), 4999)
  t.equal(store.value('c17'), 17)
})

t.test('a 64-bit gauge keeps all its bits', async t => {
  const store = new StatsStore()
  store.exactGauge('version', 13237225503670494420n)
  t.match(store.snapshot().gauges, [{ name: 'version', exact: 13237225503670494420n }])
})
