import t from 'tap'
import { Generator, type Link } from '../../../../bench/load/open-loop/generator.ts'
import { Schedule } from '../../../../bench/load/open-loop/schedule.ts'

/** A connection whose server answers when the test says so. */
class FakeLink implements Link {
  open = true
  readonly due: number[] = []
  private readonly generator: Generator

  constructor(generator: Generator, slots = 1) {
    this.generator = generator
    for (let i = 0; i < slots; i++) generator.onFree(this)
  }

  send(due: number): void {
    this.due.push(due)
  }

  unanswered(): number[] {
    return this.due
  }

  answer(now: number, status = 200): void {
    this.generator.onAnswer(this.due.shift()!, now, status, false)
    this.generator.onFree(this)
    this.generator.turn(now)
  }
}

/** One request per millisecond over so many connections; times are microseconds. */
function load(seconds: number, connections = 1, measureFrom = 0): [Generator, FakeLink[]] {
  const generator = new Generator()
  const links = Array.from({ length: connections }, () => new FakeLink(generator))
  generator.begin(new Schedule(0, 1000, seconds), measureFrom)
  return [generator, links]
}

t.test('requests are due evenly and no rounding error grows', t => {
  const schedule = new Schedule(5, 3, 1000)
  let last = 0
  for (let i = 0; i < 3000; i++) last = schedule.take()
  t.equal(schedule.total, 3000)
  t.equal(last, 5 + 2999 * (1e6 / 3))
  t.equal(schedule.next, Number.POSITIVE_INFINITY)
  t.end()
})

t.test('a stalled server: every request of the stall counts from when it was due', t => {
  const [generator, [link]] = load(2)
  // Answers at once for half a second, then nothing for a whole second, then at once again.
  for (let now = 0; now < 2_000_000; now += 1000) {
    generator.turn(now)
    const stalled = now >= 500_000 && now < 1_500_000
    while (!stalled && link!.due.length > 0) link!.answer(now)
  }
  const { recorder } = generator
  t.ok(generator.finished)
  t.equal(recorder.answered, 2000)
  t.equal(recorder.latency.count, 2000)
  // 1000 of 2000 requests were due during the stall; their latencies are 1 s, 999 ms … 1 ms.
  t.equal(recorder.latency.valueAt(50), 0)
  t.equal(Math.round(recorder.latency.valueAt(75) / 10_000), 50)
  t.equal(Math.round(recorder.latency.valueAt(99.9) / 10_000), 100)
  t.equal(recorder.latency.max, 1_000_000)
  t.equal(recorder.queued, 1000, 'all but the one on the way had to wait for the connection')
  t.equal(recorder.lateness.max, 0, 'and none of that is blamed on the generator')
  t.end()
})

t.test('a generator that is late says so', t => {
  const [generator, links] = load(1, 8)
  generator.turn(0)
  links[0]!.answer(100)
  generator.turn(4000)
  t.equal(generator.recorder.sent, 5)
  t.equal(generator.recorder.queued, 0)
  t.equal(generator.recorder.lateness.max, 3000)
  t.end()
})

t.test('what is due before the end of the warm-up is sent and not counted', t => {
  const [generator, [link]] = load(1, 1, 500_000)
  for (let now = 0; now < 1_000_000; now += 1000) {
    generator.turn(now)
    link!.answer(now + 10, now < 500_000 ? 500 : 200)
  }
  t.equal(generator.recorder.sent, 500)
  t.equal(generator.recorder.answered, 500)
  t.equal(generator.recorder.errors.status, 0)
  t.equal(generator.recorder.latency.max, 10)
  t.end()
})

t.test('what is never answered and what is never sent are errors, and latencies of at least their age', t => {
  const [generator, links] = load(1, 2)
  for (let now = 0; now < 1_000_000; now += 1000) generator.turn(now)
  t.notOk(generator.finished)
  generator.giveUp(3_000_000, links)
  const { recorder } = generator
  t.equal(recorder.errors.timeout, 2)
  t.equal(recorder.errors.unsent, 998)
  t.equal(recorder.latency.count, 1000)
  t.equal(recorder.latency.max, 3_000_000)
  t.ok(recorder.latency.min > 1_999_000)
  t.end()
})

t.test('a closed connection takes no request, a status of 400 and above is an error with a latency', t => {
  const [generator, links] = load(1, 2)
  links[0]!.open = false
  generator.turn(0)
  t.equal(links[0]!.due.length, 0)
  t.equal(links[1]!.due.length, 1)
  links[1]!.answer(70, 503)
  t.equal(generator.recorder.errors.status, 1)
  t.equal(generator.recorder.statuses.get(503), 1)
  t.equal(generator.recorder.latency.max, 70)
  t.end()
})

t.test('connections take turns', t => {
  const [generator, links] = load(1, 3)
  for (let now = 0; now < 9000; now += 1000) {
    generator.turn(now)
    for (const link of links) if (link.due.length > 0) link.answer(now)
  }
  generator.turn(9000)
  generator.turn(10_000)
  generator.turn(11_000)
  t.same(
    links.map(link => link.due.length),
    [1, 1, 1],
  )
  t.end()
})
