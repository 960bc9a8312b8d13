import t from 'tap'
import { StatsFlusher } from '../../../src/server/stats-flusher.ts'
import type { WorkerPool } from '../../../src/server/workers.ts'
import { taggedName } from '../../../src/stats/explicit-tags.ts'
import { Slab } from '../../../src/stats/slab.ts'
import { StatsStore } from '../../../src/stats/store.ts'
import type { ToWorker } from '../../../src/worker/messages.ts'

/** Workers that answer when they are told to. */
class Pool {
  readonly told: ToWorker[] = []
  #answer: () => void = () => {}
  waits = false

  flush(): Promise<void> {
    if (!this.waits) return Promise.resolve()
    return new Promise(resolve => {
      this.#answer = resolve
    })
  }

  answer(): void {
    this.#answer()
  }

  broadcast(message: ToWorker): void {
    this.told.push(message)
  }
}

function flusher(bootstrap: object) {
  const store = new StatsStore()
  const pool = new Pool()
  const parts = { store, pool: pool as unknown as WorkerPool, refresh: () => {} }
  return { store, pool, flusher: new StatsFlusher(bootstrap, parts) }
}

t.test('every so many flushes stats are evicted, and workers are told which', async t => {
  const { store, pool, flusher: f } = flusher({ stats_flush_interval: 2000, stats_eviction_interval: 4000 })
  const slab = new Slab(update => store.onSlabUpdate(0, update))
  const name = taggedName('istio_requests_total', ['app', 'a'])
  slab.counter(name).inc()
  slab.flushNames()
  for (let i = 0; i < 3; i++) await f.flush()
  t.strictSame(pool.told, [], 'marked only')
  await f.flush()
  t.strictSame(pool.told, [{ type: 'evict-stats', names: [name] }])
})

t.test('a flush that comes while another waits for workers is dropped and counted', async t => {
  const { store, pool, flusher: f } = flusher({})
  pool.waits = true
  const first = f.flush()
  await f.flush()
  t.equal(store.value('server.dropped_stat_flushes'), 1)
  pool.answer()
  await first
  pool.waits = false
  await f.flush()
  t.equal(store.value('server.dropped_stat_flushes'), 1)
})
