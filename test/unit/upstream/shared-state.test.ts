import t from 'tap'
import { CLUSTER_BLOCK, HOST_BLOCK, SharedPages, SharedStateAllocator } from '../../../src/upstream/shared-state.ts'
import { HostCell } from '../../../src/upstream/upstream.ts'

function world(workers: number) {
  const allocator = new SharedStateAllocator(workers)
  const first = allocator.allocate(HOST_BLOCK)
  const pages = Array.from({ length: workers }, (_, w) => {
    const p = new SharedPages()
    p.add(allocator.view(w, 0))
    return p
  })
  return { allocator, first, pages }
}

t.test('a limit holds over all workers', async t => {
  const { first, pages } = world(2)
  const a = pages[0]!.cells(first)
  const b = pages[1]!.cells(first)
  t.equal(a.takeBelow(1, 2), true)
  t.equal(b.takeBelow(1, 2), true)
  t.equal(a.takeBelow(1, 2), false)
  b.take(1, -1)
  t.equal(a.takeBelow(1, 2), true)
})

t.test('what a dead worker held is given back, what others hold stays', async t => {
  const { allocator, first, pages } = world(2)
  pages[0]!.cells(first).take(HostCell.ActiveRequests, 3)
  pages[1]!.cells(first).take(HostCell.ActiveRequests, 2)
  pages[0]!.cells(first).count(HostCell.RqTotal)
  allocator.releaseWorker(0)
  t.equal(allocator.cells(first).load(HostCell.ActiveRequests), 2)
  t.equal(allocator.counter(first, HostCell.RqTotal), 1, 'counters are history')
  allocator.releaseWorker(0)
  t.equal(allocator.cells(first).load(HostCell.ActiveRequests), 2)
})

t.test('a block is used again only when every worker let go of it', async t => {
  const { allocator, first, pages } = world(2)
  const cells = pages[1]!.cells(first)
  cells.take(HostCell.ActiveConnections, 1)
  const epoch = allocator.retire(first)
  allocator.acknowledge(0, epoch)
  t.not(allocator.allocate(HOST_BLOCK).base, first.base, 'worker 1 has not confirmed')
  allocator.acknowledge(1, epoch)
  t.not(allocator.allocate(HOST_BLOCK).base, first.base, 'worker 1 still has a connection')
  cells.take(HostCell.ActiveConnections, -1)
  cells.count(HostCell.RqTotal)
  allocator.reclaim()
  t.equal(allocator.allocate(HOST_BLOCK).base, first.base)
  t.equal(allocator.counter(first, HostCell.RqTotal), 0)
})

t.test('pages are added as they fill', async t => {
  const announced: number[] = []
  const allocator = new SharedStateAllocator(1, i => announced.push(i))
  const bases = new Set<string>()
  for (let i = 0; i < 5000; i++) {
    const b = allocator.allocate(HOST_BLOCK)
    bases.add(`${b.page}:${b.base}`)
  }
  t.equal(bases.size, 5000)
  t.same(announced, [0, 1])
})

t.test('a confirmed batch frees all that was retired before it was sent, clusters included', async t => {
  const allocator = new SharedStateAllocator(2)
  const cluster = allocator.allocate(CLUSTER_BLOCK)
  const host = allocator.allocate(HOST_BLOCK)
  allocator.retire(host)
  allocator.retire(cluster)
  const sent = allocator.newestEpoch
  allocator.acknowledge(0, sent)
  allocator.acknowledge(1, sent)
  t.equal(allocator.allocate(CLUSTER_BLOCK).base, cluster.base)
  t.equal(allocator.allocate(HOST_BLOCK).base, host.base)
})
