import t from 'tap'
import { TimeToLive } from '../../../src/xds/time-to-live.ts'
import { VirtualTimers } from '../base/virtual-clock.ts'

function setUp() {
  const timers = new VirtualTimers()
  const over: string[] = []
  const ttl = new TimeToLive(timers, names => void over.push(names.join(' ')))
  return { timers, over, ttl }
}

t.test('what is not heard of again in time is over, together when at the same time', t => {
  const { timers, over, ttl } = setUp()
  ttl.set('a', 1000)
  ttl.set('b', 1000)
  ttl.set('c', 500)
  timers.pass(499)
  t.same(over, [])
  timers.pass(2)
  t.same(over, ['c'])
  timers.pass(500)
  t.same(over, ['c', 'a b'])
  timers.pass(5000)
  t.same(over.length, 2)
  t.end()
})

t.test('a heartbeat prolongs, one without a time to live ends the wait', t => {
  const { timers, over, ttl } = setUp()
  ttl.set('a', 1000)
  ttl.set('b', 1000)
  timers.pass(900)
  ttl.set('a', 1000)
  ttl.set('b', null)
  timers.pass(900)
  t.same(over, [])
  timers.pass(101)
  t.same(over, ['a'])
  t.end()
})

t.test('shortened is over sooner; nonsense is over at once; closed is never', t => {
  const { timers, over, ttl } = setUp()
  ttl.set('a', 10_000)
  ttl.set('a', 10)
  ttl.set('b', -5)
  timers.pass(11)
  t.same(over.join(' ').split(' ').toSorted(), ['a', 'b'])
  ttl.set('c', 10)
  ttl.close()
  timers.pass(100)
  t.equal(over.join(' ').includes('c'), false)
  t.end()
})
