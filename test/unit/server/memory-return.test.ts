import t from 'tap'
import { MemoryReturn } from '../../../src/server/memory-return.ts'
import { VirtualTimers } from '../base/virtual-clock.ts'

class Process {
  readonly timers = new VirtualTimers()
  trims = 0
  cpu = 0
  readonly memory = new MemoryReturn(
    () => this.trims++,
    this.timers,
    () => this.cpu,
  )

  /** 250 ms in which all threads together use `cpu` ms. */
  live(cpu: number): void {
    this.cpu += cpu
    this.timers.pass(251)
  }
}

t.test('memory goes back a moment after a thread rests, once', async t => {
  const p = new Process()
  p.live(0)
  t.equal(p.trims, 0)
  p.memory.soon()
  p.memory.soon()
  t.equal(p.trims, 0)
  p.live(20)
  t.equal(p.trims, 1)
  p.live(0)
  p.live(0)
  t.equal(p.trims, 1)
})

t.test('it waits for the threads that still work', async t => {
  const p = new Process()
  p.memory.soon()
  for (let i = 0; i < 5; i++) p.live(240)
  t.equal(p.trims, 0)
  p.live(2)
  t.equal(p.trims, 1)
})

t.test('it does not wait for ever, and begins anew with the next rest', async t => {
  const p = new Process()
  p.memory.soon()
  for (let i = 0; i < 60; i++) p.live(240)
  p.live(0)
  t.equal(p.trims, 0)
  p.memory.soon()
  p.live(0)
  t.equal(p.trims, 1)
})
