import t from 'tap'
import { multiplexed } from '../../../src/base/multiplexed.ts'
import { Moderation } from '../../../src/io/moderation.ts'

/** Turns of `every` ms, in each of which `begun` streams begin, while `open` are open. How many of the last 100 of 200 waited. */
function waits(open: number, every: number, begun: number): number {
  let now = 0
  let paused = 0
  const moderation = new Moderation(
    () => now,
    () => {
      paused++
      now += 0.05
    },
  )
  multiplexed.open = open
  for (let turn = 0; turn < 200; turn++) {
    if (turn === 100) paused = 0
    moderation.beforeTurn()
    multiplexed.begun += begun
    now += every
  }
  return paused
}

t.test('turns wait only while many streams are open, many begin and turns are close to each other', async t => {
  t.teardown(() => {
    multiplexed.open = 0
    multiplexed.begun = 0
  })
  t.equal(waits(500, 0.03, 4), 100)
  t.equal(waits(127, 0.03, 4), 0, 'few are under way')
  t.equal(waits(500, 0.03, 0), 0, 'they only wait: long requests, watches')
  t.equal(waits(500, 0.09, 2), 0, 'not many begin')
  t.equal(waits(500, 0.11, 40), 0, 'turns are long as they are')
})

t.test('a pause takes 50 µs at least, and ends', async t => {
  t.teardown(() => {
    multiplexed.open = 0
  })
  multiplexed.open = 500
  const moderation = new Moderation()
  let pauses = 0
  for (let turn = 0; turn < 200_000 && pauses < 50; turn++) {
    multiplexed.begun += 100
    const start = performance.now()
    moderation.beforeTurn()
    if (performance.now() - start >= 0.05) pauses++
  }
  t.equal(pauses, 50)
})
