import t from 'tap'
import { taggedName } from '../../../src/stats/explicit-tags.ts'
import { Slab } from '../../../src/stats/slab.ts'
import { StatsStore } from '../../../src/stats/store.ts'

/** Main with `n` workers. */
function process(n = 1): { store: StatsStore; slabs: Slab[]; flush: () => void; evict: () => number } {
  const store = new StatsStore()
  const slabs = Array.from({ length: n }, (_, id) => new Slab(update => store.onSlabUpdate(id, update)))
  const flush = () => {
    for (const slab of slabs) {
      slab.flushNames()
      store.onHistogramUpdate(slab.drainHistograms())
    }
    store.flushHistograms()
  }
  const evict = () => {
    flush()
    const names = store.evict()
    for (const slab of slabs) slab.evict(names)
    return names.length
  }
  return { store, slabs, flush, evict }
}

const requests = (app: string) => taggedName('istio_requests_total', ['app', app])
const counted = (store: StatsStore) => store.snapshot().counters.map(c => `${c.name} ${c.value} ${c.used}`)

t.test('a series is marked unused first, and goes when it is not used until the next eviction', async t => {
  const { store, slabs, evict } = process()
  slabs[0]!.counter(requests('a')).add(2)
  t.equal(evict(), 0)
  t.strictSame(counted(store), ['istio_requests_total.app.a 2 false'])
  t.equal(evict(), 1)
  t.strictSame(counted(store), [])
})

t.test('one that is used again stays, with all that it counted', async t => {
  const { store, slabs, evict } = process(2)
  slabs[0]!.counter(requests('a')).add(2)
  evict()
  slabs[1]!.counter(requests('a')).inc()
  t.equal(evict(), 0)
  slabs[1]!.counter(requests('a')).inc()
  slabs[0]!.flushNames()
  t.strictSame(counted(store), ['istio_requests_total.app.a 4 true'])
})

t.test('stats without tags of their own are never evicted nor marked', async t => {
  const { store, slabs, evict } = process()
  slabs[0]!.counter('cluster.a.upstream_rq_total').inc()
  for (let i = 0; i < 3; i++) t.equal(evict(), 0)
  t.strictSame(counted(store), ['cluster.a.upstream_rq_total 1 true'])
})

t.test('a series that comes back counts from 0, in a cell that another had', async t => {
  const { store, slabs, evict, flush } = process()
  slabs[0]!.counter(requests('a')).add(5)
  evict()
  evict()
  slabs[0]!.counter(requests('b')).inc()
  slabs[0]!.counter(requests('a')).inc()
  flush()
  t.strictSame(counted(store), ['istio_requests_total.app.a 1 true', 'istio_requests_total.app.b 1 true'])
})

t.test('one that comes back in another cell is found by its name', async t => {
  const { store, slabs, evict, flush } = process()
  slabs[0]!.counter(requests('a')).inc()
  slabs[0]!.counter(requests('b')).inc()
  evict()
  slabs[0]!.counter(requests('a')).inc()
  t.equal(evict(), 1, 'b')
  t.equal(evict(), 1, 'a')
  slabs[0]!.counter(requests('b')).add(7)
  flush()
  t.equal(store.value('istio_requests_total.app.b'), 7)
})

t.test('gauges and histograms go too', async t => {
  const { store, slabs, evict } = process()
  slabs[0]!.gauge(taggedName('istio_build', ['tag', 'x'])).set(1)
  slabs[0]!.histogram(taggedName('istio_request_bytes', ['app', 'a'])).record(3)
  t.equal(evict(), 0)
  const { gauges, histograms } = store.snapshot()
  t.strictSame([gauges[0]!.used, histograms[0]!.used], [false, false])
  t.strictSame([store.used().gauges.length, store.used().histograms.length], [0, 0], 'sinks are not told of them')
  t.equal(evict(), 2)
  t.strictSame(store.snapshot().gauges, [])
  t.strictSame(store.snapshot().histograms, [])
})

t.test('what a worker that died had counted is evicted as well', async t => {
  const { store, slabs, evict, flush } = process()
  slabs[0]!.counter(requests('a')).inc()
  flush()
  store.foldWorker(0)
  evict()
  t.equal(evict(), 1)
  t.strictSame(counted(store), [])
})

t.test('sinks are told what an idle counter counted since, when it is used again', async t => {
  const { store, slabs, evict } = process()
  const { counters: before } = store.used()
  t.equal(before.length, 0)
  slabs[0]!.counter(requests('a')).add(2)
  evict()
  t.strictSame(
    store.used().counters.map(c => [c.total, c.used]),
    [[2, false]],
  )
  slabs[0]!.counter(requests('a')).inc()
  t.strictSame(
    store.used().counters.map(c => [c.total, c.used]),
    [[3, true]],
  )
})
