import t from 'tap'
import { latencySample } from '../../../bench/load/cases/latency.ts'
import type { OpenLoopResult } from '../../../bench/load/open-loop/result.ts'
import { deviation, ExpectedAnswers } from '../../../bench/load/user/expected.ts'

function expecting(...statuses: readonly number[]): ExpectedAnswers {
  const expected = new ExpectedAnswers(statuses.length)
  for (const [place, status] of statuses.entries()) expected.learn(place, { status, grpcFailed: false })
  return expected
}

t.test('every window of requests in turn is as expected, wherever it begins and whatever is in flight', async t => {
  const wrong: string[] = []
  const cycle = [404, 200, 200, 503, 200, 403, 200]
  for (const kinds of [[404, 503, 403], [200], [503], []])
    for (let from = 0; from < cycle.length; from++)
      for (let sent = 1; sent < 40; sent++)
        for (const inFlight of [0, 1, 5].filter(most => most < sent)) {
          const all = Array.from({ length: sent }, (_, i) => kinds.includes(cycle[(from + i) % cycle.length]!))
          // Those without an answer: first the one kind, then the other.
          for (const lost of [true, false]) {
            let drop = inFlight
            const answered = all.filter(one => one !== lost || drop-- <= 0)
            const seen = answered.filter(one => one).length
            const per = cycle.filter(status => kinds.includes(status)).length
            if (deviation(seen, answered.length, per, cycle.length, inFlight) !== 0)
              wrong.push(`${kinds} from ${from}: ${seen} of ${answered.length} answers, ${inFlight} in flight`)
          }
        }
  t.same(wrong, [])
})

t.test('one refusal is too many where none is expected, and one answer where all are refused', async t => {
  t.equal(deviation(1, 60_000, 0, 500, 32), 1)
  t.equal(deviation(59_999, 60_000, 3, 3, 32), -1)
  t.equal(deviation(0, 60_000, 0, 500, 32), 0)
  t.equal(deviation(60_000, 60_000, 3, 3, 32), 0)
})

t.test('a share is off by more than one cycle and what is in flight', async t => {
  t.equal(deviation(302, 1000, 3, 10, 10), 0)
  t.equal(deviation(304, 1000, 3, 10, 10), 4)
  t.equal(deviation(292, 1000, 3, 10, 10), -8)
})

t.test('refusals under load that nobody expects are errors, and say so', async t => {
  t.same(expecting(200, 304).surpriseByRefusals(412, 60_000, 32), {
    errors: 412,
    text:
      '412 of 60,000 answers were refusals (status above 399), 0 were expected: ' +
      'under load it does not answer as it does when asked alone (overload, circuit breakers, a rate limit?)',
  })
  t.equal(expecting(200, 404, 399).surpriseByRefusals(20_000, 60_000, 32), null)
  t.match(expecting(200, 404, 399).surpriseByRefusals(10, 60_000, 32), {
    errors: 19_990,
    text: /^10 of .*, 20,000 were expected: .*asked alone$/,
  })
})

t.test('one refusal is not taken for another', async t => {
  const expected = expecting(200, 404)
  t.equal(expected.surpriseByStatus({ 200: 500, 404: 500 }, 500, 1000, 32), null)
  t.match(expected.surpriseByStatus({ 200: 500, 404: 300, 503: 200 }, 500, 1000, 32), {
    errors: 200,
    text: /^200 of 1,000 answers had status 503, 0 were expected: .*overload/,
  })
})

t.test('answers with status 200 that are refusals of gRPC count, where the load looks at them', async t => {
  const expected = expecting(200)
  t.match(expected.surpriseByStatus({ 200: 100 }, 7, 100, 0), { errors: 7, text: /gRPC status other than 0, 0 were/ })
  t.equal(expected.surpriseByStatus({ 200: 100 }, null, 100, 0), null)
  expected.learn(0, { status: 200, grpcFailed: true })
  t.match(expected.surpriseByStatus({ 200: 100 }, 7, 100, 0), { errors: 7 }, 'the first proxy has said what is right')
})

t.test('nothing is expected while a request was not asked, or not answered', async t => {
  t.equal(new ExpectedAnswers(2).surpriseByRefusals(9, 9, 0), null)
  t.equal(expecting(200, 0).surpriseByStatus({ 503: 9 }, 9, 9, 0), null)
})

t.test('the open-loop generator’s statuses are errors by themselves, or by what is expected', async t => {
  const latency = { count: 0, min: 0, mean: 0, max: 0, percentiles: [] }
  const result: OpenLoopResult = {
    tool: 'open-loop',
    url: '',
    protocol: 'h2',
    connections: 1,
    rate: 100,
    achievedRate: 100,
    seconds: 1,
    warmup: 0,
    due: 102,
    sent: 102,
    answered: 100,
    queued: 0,
    errors: { connect: 0, reset: 2, closed: 0, protocol: 0, status: 50, timeout: 0, unsent: 0 },
    statuses: { 200: 50, 404: 50 },
    latency,
    lateness: latency,
  }
  t.equal(latencySample(result).errors, 52)
  const alike = latencySample(result, expecting(200, 404))
  t.equal(alike.errors, 2)
  t.notOk('unlike' in alike)
  t.match(latencySample(result, expecting(200)), { errors: 52, unlike: /^50 of 100 answers had status 404/ })
})
