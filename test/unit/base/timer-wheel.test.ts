import t from 'tap'
import { TimerNode, type TimerOwner } from '../../../src/base/timer.ts'
import { type TimerLoop, TimerWheel } from '../../../src/base/timer-wheel.ts'
import { VirtualClock, VirtualTimers } from './virtual-clock.ts'

class Recorder implements TimerOwner {
  readonly fired: { kind: number; at: number }[] = []
  readonly clock: VirtualClock
  onFire: ((kind: number) => void) | null = null

  constructor(clock: VirtualClock) {
    this.clock = clock
  }

  onTimer(kind: number): void {
    this.fired.push({ kind, at: this.clock.time })
    this.onFire?.(kind)
  }
}

function setup(time?: number) {
  const timers = new VirtualTimers(new VirtualClock(time))
  const owner = new Recorder(timers.clock)
  return { timers, owner, clock: timers.clock }
}

/** Deterministic randomness: a failing run can be repeated. */
function mulberry(seed: number): () => number {
  let a = seed
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let x = Math.imul(a ^ (a >>> 15), 1 | a)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
  }
}

t.test('fires at its deadline, not before', async t => {
  const { timers, owner } = setup(1000.4)
  timers.arm(new TimerNode(owner, 1), 10)
  timers.pass(9.9)
  t.same(owner.fired, [])
  timers.pass(0.7)
  t.equal(owner.fired.length, 1)
  t.equal(timers.size, 0)
})

t.test('a cancelled timer does not fire and cancelling twice is harmless', async t => {
  const { timers, owner } = setup()
  const node = new TimerNode(owner, 1)
  timers.arm(node, 10)
  timers.cancel(node)
  timers.cancel(node)
  timers.pass(100)
  t.same(owner.fired, [])
  t.equal(node.bucket, -1)
})

t.test('a suspended timer does not fire, is not counted, and may be armed again for sooner or for later', async t => {
  const { timers, owner } = setup()
  const nodes = [0, 1, 2, 3].map(kind => new TimerNode(owner, kind))
  for (const node of nodes) timers.arm(node, 1000)
  for (const node of nodes) timers.suspend(node)
  timers.suspend(nodes[0]!)
  t.equal(nodes[0]!.deadline, 0)
  t.equal(timers.size, 0)
  timers.arm(nodes[1]!, 10)
  timers.arm(nodes[2]!, 5000)
  timers.cancel(nodes[3]!)
  t.equal(nodes[3]!.bucket, -1, 'cancelled: the wheel does not hold its owner')
  timers.pass(6000)
  t.same(owner.fired, [
    { kind: 1, at: 1010 },
    { kind: 2, at: 6000 },
  ])
  t.same(
    nodes.map(node => node.bucket),
    [-1, -1, -1, -1],
    'nothing is held beyond its old time',
  )
})

t.test(
  'the deadline is 0 whenever a timer is not armed: after it fired, in its callback, and after a cancel',
  async t => {
    const { timers, owner } = setup()
    const node = new TimerNode(owner, 1)
    let seen = -1
    owner.onFire = () => {
      seen = node.deadline
    }
    timers.arm(node, 5)
    t.ok(node.deadline > 0)
    timers.pass(10)
    t.equal(seen, 0)
    t.equal(node.deadline, 0)
    timers.arm(node, 5)
    timers.cancel(node)
    t.equal(node.deadline, 0)
  },
)

t.test('arming again moves the deadline', async t => {
  const { timers, owner } = setup()
  const node = new TimerNode(owner, 1)
  timers.arm(node, 10)
  timers.pass(5)
  timers.arm(node, 300)
  timers.pass(299)
  t.same(owner.fired, [])
  timers.pass(1)
  t.same(owner.fired, [{ kind: 1, at: 1305 }])
})

t.test('a callback may cancel a timer of the same tick and re-arm itself', async t => {
  const { timers, owner } = setup()
  const nodes = [0, 1, 2].map(kind => new TimerNode(owner, kind))
  for (const node of nodes) timers.arm(node, 5)
  owner.onFire = kind => {
    for (const node of nodes) timers.cancel(node)
    if (owner.fired.length < 3) timers.arm(nodes[kind]!, 0)
  }
  timers.pass(10)
  t.equal(owner.fired.length, 3)
  t.equal(new Set(owner.fired.map(f => f.kind)).size, 1)
  t.same(
    owner.fired.map(f => f.at),
    [1005, 1006, 1007],
  )
})

t.test('a stalled loop fires everything that came due, in order of deadline', async t => {
  const { timers, owner, clock } = setup()
  const waits = [70_000, 3, 256, 16_384, 255, 257, 65_536, 1]
  for (const ms of waits) timers.arm(new TimerNode(owner, ms), ms)
  clock.time += 100_000
  timers.advance()
  t.same(
    owner.fired.map(f => f.kind),
    waits.toSorted((a, b) => a - b),
  )
})

t.test('deadlines beyond the horizon of the wheel and beyond 2^32 ms of uptime', async t => {
  const day = 86_400_000
  const { timers, owner } = setup(2 ** 32 - 5)
  timers.arm(new TimerNode(owner, 1), 60 * day)
  timers.arm(new TimerNode(owner, 2), 10)
  timers.pass(10)
  t.same(owner.fired, [{ kind: 2, at: 2 ** 32 + 5 }])
  timers.pass(60 * day - 11)
  t.equal(owner.fired.length, 1)
  timers.pass(1)
  t.same(owner.fired[1], { kind: 1, at: 2 ** 32 - 5 + 60 * day })
})

t.test('property: same firings as a sorted list, never early, at most one tick late', async t => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = mulberry(seed)
    const { timers, owner, clock } = setup(random() * 1e7)
    const nodes = Array.from({ length: 40 }, (_, kind) => new TimerNode(owner, kind))
    const model = new Map<number, number>()
    let seen = 0
    for (let step = 0; step < 300; step++) {
      const node = nodes[Math.floor(random() * nodes.length)]!
      const choice = random()
      if (choice < 0.5) {
        const ms = random() * 10 ** (1 + Math.floor(random() * 8))
        timers.arm(node, ms)
        model.set(node.kind, clock.time + ms)
      } else if (choice < 0.65) {
        if (choice < 0.57) timers.cancel(node)
        else timers.suspend(node)
        model.delete(node.kind)
      } else {
        const ms = random() * 10 ** (1 + Math.floor(random() * 7))
        timers.pass(ms)
        for (; seen < owner.fired.length; seen++) {
          const { kind, at } = owner.fired[seen]!
          const due = model.get(kind)
          if (due === undefined || at < due || at > due + 1)
            return void t.fail(`seed ${seed}: ${kind} at ${at}, due ${due}`)
          model.delete(kind)
        }
        for (const [kind, due] of model) {
          if (due <= clock.time - 1) return void t.fail(`seed ${seed}: ${kind} due ${due} missed at ${clock.time}`)
        }
        if (timers.size !== model.size) return void t.fail(`seed ${seed}: size ${timers.size}, expected ${model.size}`)
      }
    }
  }
  t.pass()
  return undefined
})

t.test('the loop is asked to wake for the nearest bucket and let go when nothing is armed', async t => {
  const calls: string[] = []
  const loop: TimerLoop = {
    wakeIn: ms => void calls.push(`wake ${ms}`),
    keepAlive: on => void calls.push(`alive ${on}`),
    atEndOfTurn: () => void calls.push('turn'),
  }
  const clock = new VirtualClock(1000)
  const wheel = new TimerWheel(clock, loop)
  const owner = new Recorder(clock)
  const far = new TimerNode(owner, 1)
  const near = new TimerNode(owner, 2)
  wheel.arm(far, 200)
  wheel.arm(near, 20)
  wheel.arm(near, 100)
  t.same(calls, ['alive true', 'wake 200', 'wake 20'])
  clock.time = 1020
  wheel.advance()
  t.same(calls.slice(3), ['wake 80'])
  wheel.cancel(near)
  wheel.cancel(far)
  t.same(calls.slice(4), ['alive false'])
})

t.test('now() is read once per turn', async t => {
  let reads = 0
  const loop: TimerLoop = { wakeIn: () => {}, keepAlive: () => {}, atEndOfTurn: () => {} }
  const wheel = new TimerWheel({ now: () => ++reads, wall: () => 0 }, loop)
  const first = wheel.now()
  t.equal(wheel.now(), first)
  wheel.endTurn()
  t.equal(wheel.now(), first + 1)
})

t.test('runs on the event loop of Node', async t => {
  const wheel = new TimerWheel()
  const began = performance.now()
  const at = await new Promise<number>(resolve =>
    wheel.arm(new TimerNode({ onTimer: () => resolve(performance.now()) }, 0), 5),
  )
  t.ok(at - began >= 5)
})

t.test('deadline is 0 whenever a timer is not armed: owners ask it before they arm', async t => {
  const { timers, owner } = setup()
  const node = new TimerNode(owner, 1)
  timers.arm(node, 10)
  t.ok(node.deadline > 0)
  timers.cancel(node)
  t.equal(node.deadline, 0)
  timers.arm(node, 10)
  timers.pass(11)
  t.equal(owner.fired.length, 1)
  t.equal(node.deadline, 0)
})
