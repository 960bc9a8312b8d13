import t from 'tap'
import { prometheusText } from '../../../src/stats/prometheus.ts'
import { StatsStore } from '../../../src/stats/store.ts'
import { TagExtractor } from '../../../src/stats/tags.ts'
import { circuitBreakerGauges } from '../../../src/upstream/resource-manager.ts'
import { CLUSTER_BLOCK, SharedStateAllocator } from '../../../src/upstream/shared-state.ts'
import { SubscriptionStats } from '../../../src/xds/watcher-stats.ts'
import { VirtualClock } from '../base/virtual-clock.ts'

t.test('the version gauge shows all 64 bits of the hash (recorded from the real Envoy)', async t => {
  const store = new StatsStore()
  const stats = new SubscriptionStats(store, 'cluster_manager.cds.', new VirtualClock())
  t.match(store.snapshot().gauges, [{ name: 'cluster_manager.cds.update_time' }, { value: 0, used: false }])
  stats.accepted('1', 0)
  const version = store.snapshot().gauges.find(g => g.name.endsWith('.version'))
  t.equal(version?.exact, 13237225503670494420n)
  const options = { usedOnly: true, textReadouts: false, filter: () => true, histograms: 'summary' } as const
  t.match(prometheusText(store.snapshot(), new TagExtractor(false), options), 'cds_version{} 13237225503670494420\n')
})

t.test('remaining_cx_pools counts down from the largest 64-bit number unless there is a limit', async t => {
  const allocator = new SharedStateAllocator(1)
  const cells = allocator.cells(allocator.allocate(CLUSTER_BLOCK))
  const limits = (pools: number) => ({
    max: [1, 2, 3, 4, pools] as const,
    trackRemaining: true,
    retryBudget: null,
  })
  const seen = new Map<string, number | bigint>()
  circuitBreakerGauges(cells, [limits(2 ** 64), limits(4294967295)], (name, value) => seen.set(name, value))
  t.equal(seen.get('circuit_breakers.default.remaining_cx_pools'), 18446744073709551615n)
  t.equal(seen.get('circuit_breakers.high.remaining_cx_pools'), 4294967295)
  t.equal(seen.get('circuit_breakers.default.remaining_rq'), 3)
})
