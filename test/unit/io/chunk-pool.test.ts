import t from 'tap'
import {
  dropFreePages,
  keepChunk,
  longReads,
  reads,
  releaseChunk,
  spendChunk,
  takeChunk,
} from '../../../src/io/chunk-pool.ts'

const source = Buffer.alloc(65536, 'x')

t.test('memory is used again when every byte of it was written', async t => {
  const first = takeChunk(source, 50_000)
  t.equal(first.length, 50_000)
  t.ok(first.equals(source.subarray(0, 50_000)))
  spendChunk(first, 1000)
  const second = takeChunk(source, 50_000)
  t.not(second.buffer, first.buffer, 'while it is partly unwritten it is not')
  spendChunk(first.subarray(1000), 49_000)
  t.equal(takeChunk(source, 60_000).buffer, first.buffer)
})

t.test('a chunk that somebody keeps is never used again', async t => {
  const kept = takeChunk(source, 20_000)
  keepChunk(kept.subarray(10))
  spendChunk(kept, 20_000)
  for (let i = 0; i < 200; i++) t.not(takeChunk(source, 20_000).buffer, kept.buffer)
})

t.test('small chunks share memory, which is never used twice', async t => {
  const a = takeChunk(source, 100)
  spendChunk(a, 100)
  const b = takeChunk(Buffer.from('y'.repeat(100)), 100)
  t.equal(a.toString(), 'x'.repeat(100))
  t.equal(b.toString(), 'y'.repeat(100))
})

t.test('a read that fills much of its memory takes it along, one that does not is copied out', async t => {
  for (const [memory, enough] of [
    [reads, 16_385],
    [longReads, 65_537],
  ] as const) {
    const { address } = memory
    const before = memory.take(enough - 1)
    t.equal(memory.address, address, 'the same memory')
    const taken = memory.take(enough)
    t.equal(taken.length, enough)
    t.not(taken.buffer, before.buffer)
    t.equal(taken.buffer.byteLength, memory.size)
    t.not(memory.address, address, 'it belongs to the receiver')
    spendChunk(taken, enough)
    memory.take(enough)
    t.equal(memory.address, address, 'written out, it is used again')
  }
})

t.test('a chunk that its keeper releases is used again when it is written out too, whichever comes first', async t => {
  for (const releaseFirst of [false, true]) {
    const kept = takeChunk(source, 30_000)
    keepChunk(kept)
    keepChunk(kept.subarray(7))
    if (!releaseFirst) spendChunk(kept, 30_000)
    releaseChunk(kept)
    t.not(takeChunk(source, 30_000).buffer, kept.buffer, 'somebody else keeps it still')
    releaseChunk(kept)
    if (releaseFirst) {
      t.not(takeChunk(source, 30_000).buffer, kept.buffer, 'it is not written out')
      spendChunk(kept, 30_000)
    }
    t.equal(takeChunk(source, 30_000).buffer, kept.buffer)
  }
})

t.test('when a thread rests, pages that wait for use go to the collector', async t => {
  const chunk = takeChunk(source, 10_000)
  spendChunk(chunk, 10_000)
  dropFreePages()
  t.not(takeChunk(source, 10_000).buffer, chunk.buffer)
})
