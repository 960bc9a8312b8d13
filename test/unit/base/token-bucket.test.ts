import t from 'tap'
import { nextBucketNumber, nextToken, TokenBuckets, tokenBucketMemory } from '../../../src/base/token-bucket.ts'

const MS = 1e6
const CONFIG = { max: 3, perFill: 1, interval: 1000 }

function threads() {
  const clock = { time: 1e12 }
  const memory = tokenBucketMemory(7)
  return {
    clock,
    first: new TokenBuckets(memory, () => clock.time),
    second: new TokenBuckets(memory, () => clock.time),
  }
}

t.test('threads take from one bucket, and it fills with time for all of them', async t => {
  const { clock, first, second } = threads()
  const [a, b] = [first.bucket(1, CONFIG), second.bucket(1, CONFIG)]
  t.ok(a.consume(1) && b.consume(1) && a.consume(1))
  t.notOk(b.consume(1))
  t.equal(a.remaining(), 0)
  t.equal(nextToken(b), 1000)
  clock.time += 999 * MS
  t.notOk(b.consume(1))
  clock.time += MS
  t.ok(b.consume(1))
  t.notOk(a.consume(1))
  clock.time += 60_000 * MS
  t.equal(b.remaining(), 3, 'never more than its size')
})

t.test('several tokens are taken together or not at all, and may be given back', async t => {
  const { first } = threads()
  const bucket = first.bucket(1, CONFIG)
  t.ok(bucket.consume(2))
  t.notOk(bucket.consume(2))
  t.equal(bucket.remaining(), 1)
  t.ok(bucket.consume(-5))
  t.equal(bucket.remaining(), 3)
})

t.test('another number, or another name of a number, is another bucket', async t => {
  const { first, second } = threads()
  t.not(nextBucketNumber(), nextBucketNumber())
  const one = { ...CONFIG, max: 1 }
  t.ok(first.bucket(1, one).consume(1))
  t.ok(first.bucket(2, one).consume(1))
  t.ok(first.named(1, 'a', one).consume(1))
  t.ok(first.named(1, 'b', one).consume(1))
  t.ok(first.named(2, 'a', one).consume(1))
  t.notOk(second.named(1, 'a', one).consume(1), 'but each is one for all threads')
  const own = first.own(one)
  t.ok(own.consume(1))
  t.notOk(own.consume(1))
  t.ok(second.own(one).consume(1))
})

t.test('a full bucket gives its slot to others and loses nothing by it', async t => {
  const { clock, first } = threads()
  const old = first.bucket(1, CONFIG)
  old.consume(1)
  clock.time += 1000 * MS
  for (let i = 2; i < 20_000; i++) {
    first.bucket(i, CONFIG).consume(1)
    clock.time += MS
  }
  t.equal(old.remaining(), 3)
  t.ok(old.consume(3))
  t.notOk(old.consume(1))
})

t.test('with every slot taken limits still hold, thread by thread', async t => {
  const { first } = threads()
  const many = Array.from({ length: 9000 }, (_, i) => first.bucket(i + 1, CONFIG))
  t.ok(many.every(bucket => bucket.consume(3)))
  t.ok(many.every(bucket => !bucket.consume(1)))
})

t.test('refill makes it new', async t => {
  const { first } = threads()
  const bucket = first.bucket(1, CONFIG)
  bucket.consume(3)
  bucket.refill()
  t.equal(bucket.remaining(), 3)
})
