import t from 'tap'
import type { Collection } from '../../../src/base/collect-garbage.ts'
import { Rest, type RestingThread } from '../../../src/base/rest.ts'
import { VirtualClock } from './virtual-clock.ts'

class Thread implements RestingThread {
  busy = 0
  heap = 10 * 1048576
  readonly collected: string[] = []
  busyMs(): number {
    return this.busy
  }
  usedHeap(): number {
    return this.heap
  }
  collect(what: Collection): void {
    this.collected.push(what)
    this.busy += 15
  }
}

/** A thread and what makes it live through 500 ms of which it worked so many. */
function setUp(): { thread: Thread; rests: () => number; live: (...worked: number[]) => void } {
  const clock = new VirtualClock()
  const thread = new Thread()
  let rests = 0
  const rest = new Rest(() => rests++, thread, clock)
  const live = (...worked: number[]): void => {
    for (const ms of worked) {
      thread.busy += ms
      clock.time += 500
      rest.look()
    }
  }
  return { thread, rests: () => rests, live }
}

t.test('the young generation is collected as soon as there is little traffic, and not before', async t => {
  const { thread, rests, live } = setUp()
  live(400, 450, 11)
  t.strictSame(thread.collected, [])
  live(9)
  t.strictSame(thread.collected, ['young'])
  t.equal(rests(), 1)
})

t.test('everything is collected after two seconds without traffic, once', async t => {
  const { thread, rests, live } = setUp()
  live(400, 5, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0)
  t.strictSame(thread.collected, ['young', 'all'])
  t.equal(rests(), 2)
})

t.test('a request now and then puts off the collection of everything', async t => {
  const { thread, live } = setUp()
  live(400, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0)
  t.strictSame(thread.collected, ['young'])
})

t.test('garbage of little work is left alone', async t => {
  const { thread, live } = setUp()
  live(5, 0, 0, 0, 0, 5, 0, 0, 0, 0)
  t.strictSame(thread.collected, [])
  live(5, 5)
  t.strictSame(thread.collected, ['young'])
})

t.test(
  'steady light traffic is worth a collection of the young generation each time there is something to collect',
  async t => {
    const { thread, live } = setUp()
    live(8, 8, 8, 8, 8, 8)
    t.strictSame(thread.collected, ['young', 'young'])
  },
)

t.test('a large heap is collected after much work only', async t => {
  const { thread, live } = setUp()
  thread.heap = 200 * 1048576
  live(300, 0, 0, 0, 0, 0, 0)
  t.strictSame(thread.collected, ['young'])
  live(100, 0, 0, 0, 0, 0)
  t.strictSame(thread.collected, ['young', 'young', 'all'])
})

t.test('the steps that a collection goes on in are no work that another has to follow', async t => {
  const { thread, live } = setUp()
  live(400, 5, 0, 1, 0, 1)
  t.strictSame(thread.collected, ['young', 'all'])
  live(40, 30, 0, 0, 0, 0, 0)
  t.strictSame(thread.collected, ['young', 'all'])
  live(100, 0, 0, 0, 0)
  t.strictSame(thread.collected, ['young', 'all', 'young', 'all'])
})

t.test('after six seconds without traffic what is left is moved together, once', async t => {
  const { thread, rests, live } = setUp()
  live(400, 5, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0)
  t.strictSame(thread.collected, ['young', 'all'])
  live(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
  t.strictSame(thread.collected, ['young', 'all', 'dense'])
  t.equal(rests(), 3)
})

t.test('a little work every five seconds does not keep what is left from being moved together', async t => {
  const { thread, live } = setUp()
  live(400, 5, 0, 1, 0, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0)
  t.strictSame(thread.collected, ['young', 'all', 'dense'])
})

t.test('traffic that pauses for less than six seconds does', async t => {
  const { thread, live } = setUp()
  live(400, 5, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0, 11, 0, 0, 0, 0)
  t.notOk(thread.collected.includes('dense'))
})

t.test('a heap that would stand still for long is not moved together', async t => {
  const { thread, live } = setUp()
  thread.heap = 100 * 1048576
  live(400, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
  t.strictSame(thread.collected, ['young', 'all'])
})
