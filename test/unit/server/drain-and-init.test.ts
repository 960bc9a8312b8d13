import t from 'tap'
import { InitManager } from '../../../src/server/init-manager.ts'
import { WorkerDrainState } from '../../../src/worker/drain-state.ts'
import { ControlCell } from '../../../src/worker/messages.ts'

const setup = (strategy: 'gradual' | 'immediate') => {
  const clock = { time: 1000, now: () => clock.time, wall: () => 0 }
  const random = { value: 0, next: () => random.value, next32: () => random.value }
  const control = new SharedArrayBuffer(ControlCell.Count * 4)
  return { clock, random, control, drain: new WorkerDrainState(control, clock, random, strategy, 10_000) }
}

t.test('gradual draining closes with a chance that grows to certainty over the drain time', async t => {
  const { clock, random, drain } = setup('gradual')
  const listener = drain.decision(false)
  t.equal(listener.closing(), false)
  listener.start()
  clock.time += 5000
  random.value = 4999
  t.equal(listener.closing(), true)
  random.value = 5000
  t.equal(listener.closing(), false)
  listener.start()
  clock.time += 5000
  t.equal(listener.closing(), true, 'a second start does not begin again')
})

t.test('the immediate strategy closes at once', async t => {
  const { drain, random } = setup('immediate')
  random.value = 9999
  const listener = drain.decision(false)
  listener.start()
  t.equal(listener.closing(), true)
})

t.test('one listener may drain alone', async t => {
  const { drain } = setup('immediate')
  const [a, b] = [drain.decision(false), drain.decision(false)]
  a.start()
  t.equal(a.closing(), true)
  t.equal(b.closing(), false)
})

t.test('/healthcheck/fail closes everywhere, whatever the strategy', async t => {
  const { drain, control } = setup('gradual')
  new Int32Array(control)[ControlCell.HealthCheckFailed] = 1
  t.equal(drain.healthCheckFailed, true)
  t.equal(drain.decision(false).closing(), true)
  t.equal(drain.decision(true).closing(), false, 'drain_type MODIFY_ONLY')
})

t.test('the init manager is ready once, when the last target is', async t => {
  const init = new InitManager()
  let ready = 0
  const first = init.add('a')
  const second = init.add('b')
  init.start(() => ready++)
  first()
  first()
  t.strictSame(init.waiting, ['b'])
  t.equal(ready, 0)
  second()
  t.equal(ready, 1)
  t.equal(init.done, true)
})

t.test('without targets it is ready at once', async t => {
  let ready = 0
  new InitManager().start(() => ready++)
  t.equal(ready, 1)
})
