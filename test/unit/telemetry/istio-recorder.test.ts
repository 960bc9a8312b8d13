import t from 'tap'
import type { WorkerServices } from '../../../src/config/services.ts'
import { taggedName } from '../../../src/stats/explicit-tags.ts'
import { Slab } from '../../../src/stats/slab.ts'
import { StatsStore } from '../../../src/stats/store.ts'
import { IstioRecorder } from '../../../src/telemetry/istio-stats/recorder.ts'

const CONFIG = {
  hostFallback: true,
  reportInterval: 5000,
  waypoint: false,
  expressions: [],
  dropped: [],
  overrides: {},
  additions: {},
  custom: [],
}

t.test('a filter whose series was evicted makes it anew, and counts on no cell that is not its own', async t => {
  const store = new StatsStore()
  const slab = new Slab(update => store.onSlabUpdate(0, update))
  const evictedStats = { generation: 0 }
  const services = { stats: slab.root, evictedStats } as unknown as WorkerServices
  const recorder = new IstioRecorder(CONFIG, services)
  const series = recorder.series(['app', 'a'], [])
  recorder.use(series)
  recorder.count('requests_total')
  slab.evict([taggedName('istiocustom.istio_requests_total', ['app', 'a'])])
  evictedStats.generation++
  const other = slab.counter('other')
  recorder.use(series)
  recorder.count('requests_total')
  slab.flushNames()
  t.equal(store.value('istiocustom.istio_requests_total.app.a'), 1)
  t.equal(store.value('other'), 0)
  other.inc()
  t.equal(store.value('other'), 1)
})

t.test('peers cannot name series without bound, not even where every metric is dropped', async t => {
  const recorder = new IstioRecorder({ ...CONFIG, dropped: ['requests_total'] }, {} as WorkerServices)
  const first = recorder.series(['app', 'first'], [])
  for (let i = 0; i < 20_000; i++) {
    recorder.use(recorder.series(['app', String(i)], []))
    recorder.count('requests_total')
  }
  t.equal(recorder.series(['app', 'first'], []), first)
  t.not(recorder.series(['app', 'late'], []), recorder.series(['app', 'late'], []), 'it is not kept')
})
