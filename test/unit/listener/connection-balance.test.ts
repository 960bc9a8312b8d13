import t from 'tap'
import { balanceMemory, ConnectionBalance, leaveBalance } from '../../../src/listener/connection-balance.ts'

const workers = (count: number) => {
  const shared = balanceMemory(count)
  return { shared, of: Array.from({ length: count }, (_, i) => new ConnectionBalance(shared, i)) }
}

t.test('the worker with the fewest is picked, the first of several', async t => {
  const { of } = workers(3)
  for (const balance of of) balance.join()
  t.same(
    [0, 1, 2, 3, 4].map(() => of[1]!.pick()),
    [0, 1, 2, 0, 1],
  )
  of[0]!.give()
  of[0]!.give()
  t.equal(of[2]!.pick(), 0)
  of[2]!.take()
  const picked = [of[0]!.pick(), of[0]!.pick(), of[0]!.pick()]
  t.same(picked, [0, 0, 1], 'a connection from elsewhere counts, too: it was 1, 2, 2')
})

t.test('who does not accept, or is dead, is not picked', async t => {
  const { shared, of } = workers(2)
  t.equal(of[1]!.pick(), 1, 'alone before anybody joined')
  of[1]!.join()
  t.same([of[1]!.pick(), of[1]!.pick()], [1, 1])
  of[0]!.join()
  t.equal(of[1]!.pick(), 0)
  leaveBalance(shared, 0)
  t.equal(of[1]!.pick(), 1)
  of[1]!.keep(0)
  t.equal(of[1]!.pick(), 1, 'what was meant for the dead one does not make it come back')
})
