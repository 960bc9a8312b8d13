/** Counters, gauges and histograms of a worker, and the shared gauges of limits: `node bench/micro/stats.ts`. */
import { Slab } from '../../src/stats/slab.ts'
import { gaugeBlock, gaugesOf, SharedPages, SharedStateAllocator } from '../../src/upstream/shared-state.ts'
import { measure } from './reference.ts'

const ROUND = 1_000_000

const slab = new Slab(() => {})
const counter = slab.root.counter('cluster.a.upstream_rq_total')
const gauge = slab.root.gauge('cluster.a.upstream_rq_active')
const histogram = slab.root.histogram('cluster.a.upstream_rq_time')
const many = Array.from({ length: 1024 }, (_, i) => slab.root.counter(`cluster.c${i}.upstream_rq_total`))

measure(
  'increment of a counter',
  () => {
    for (let i = 0; i < ROUND; i++) counter.inc()
  },
  ROUND,
)
measure(
  'increment, one of 1,024 counters in turn',
  () => {
    for (let i = 0; i < ROUND; i++) many[i & 1023]!.inc()
  },
  ROUND,
)
measure(
  'up and down of a gauge',
  () => {
    for (let i = 0; i < ROUND; i++) {
      gauge.inc()
      gauge.dec()
    }
  },
  ROUND,
)
measure(
  'value of a histogram',
  () => {
    for (let i = 0; i < ROUND; i++) histogram.record((i & 255) + 0.25)
    slab.drainHistograms()
  },
  ROUND,
)

const allocator = new SharedStateAllocator(1)
const block = allocator.allocate(gaugeBlock(1))
const pages = new SharedPages()
pages.add(allocator.view(0, block.page))
const limit = gaugesOf(pages.cells(block), 1)[0]!
measure(
  'take and give of a limit that workers share',
  () => {
    for (let i = 0; i < ROUND; i++) if (limit.tryTake(1024)) limit.give()
  },
  ROUND,
)
const scope = slab.root.scope('http.ingress.')
measure(
  'look-up of a counter by name',
  () => {
    for (let i = 0; i < ROUND / 10; i++) scope.counter('downstream_rq_total').inc()
  },
  ROUND / 10,
)
