import t from 'tap'
import { differ, differAnswers, differStats } from '../../../../bench/compare/differ.ts'
import { Normaliser } from '../../../../bench/compare/normalise.ts'
import type { Attempt, Exchange, TypeAnswer } from '../../../../bench/compare/result.ts'

const ATTEMPT: Attempt = {
  cluster: 'c',
  protocol: 'HTTP/1.1',
  head: ['GET / HTTP/1.1', 'host: a.test', 'x-b: 1'],
  body: '',
  end: 'complete',
}
const EXCHANGE: Exchange = {
  status: 'HTTP/1.1 200 OK',
  headers: ['server: envoy', 'set-cookie: a', 'set-cookie: b'],
  body: 'hello',
  trailers: [],
  connection: 'kept',
  log: { code: '200', flags: '-', details: 'via_upstream', route: 'r' },
  attempts: [ATTEMPT],
}
const said = (remora: Exchange): string[] =>
  differ(EXCHANGE, remora).map(({ aspect, what, envoy, remora: other }) => `${aspect}|${what}|${envoy}|${other}`)

t.test('equal exchanges do not differ; the order of headers counts, on both sides of the proxy', t => {
  t.same(said(EXCHANGE), [])
  t.same(said({ ...EXCHANGE, headers: ['set-cookie: a', 'set-cookie: b', 'server: envoy'] }), [
    'headers|order|server, set-cookie, set-cookie|set-cookie, set-cookie, server',
  ])
  const swapped = { ...ATTEMPT, head: ['GET / HTTP/1.1', 'x-b: 1', 'host: a.test'] }
  t.same(said({ ...EXCHANGE, attempts: [swapped] }), ['attempts|1 order|host, x-b|x-b, host'])
  const more = ['x-new: 1', ...EXCHANGE.headers]
  t.same(said({ ...EXCHANGE, headers: more }), ['headers|x-new|not there|1'], 'of what both have')
  t.end()
})

t.test('every part that can differ is told apart', t => {
  const cases: readonly (readonly [Partial<Exchange>, string])[] = [
    [{ status: 'HTTP/1.1 503 Service Unavailable' }, 'status||HTTP/1.1 200 OK|HTTP/1.1 503 Service Unavailable'],
    [{ headers: EXCHANGE.headers.slice(1) }, 'headers|server|envoy|not there'],
    [{ headers: [...EXCHANGE.headers, 'x-new: 1'] }, 'headers|x-new|not there|1'],
    [{ headers: ['server: envoy', 'set-cookie: b', 'set-cookie: a'] }, 'headers|set-cookie|a, b|b, a'],
    [{ body: 'bye' }, 'body||hello|bye'],
    [{ trailers: ['t: 1'] }, 'headers|trailer t|not there|1'],
    [{ connection: 'closed' }, 'connection||kept|closed'],
    [{ log: { ...EXCHANGE.log, flags: 'UF' } }, 'flags||-|UF'],
    [{ log: { ...EXCHANGE.log, details: 'x' } }, 'details||via_upstream|x'],
    [{ log: { ...EXCHANGE.log, route: 's' } }, 'log|route|r|s'],
    [{ attempts: [] }, 'attempts|number|1|0'],
    [{ attempts: [{ ...ATTEMPT, cluster: 'd' }] }, 'attempts|1 cluster|c|d'],
    [{ attempts: [{ ...ATTEMPT, body: 'x' }] }, 'attempts|1 body||x'],
    [
      { attempts: [{ ...ATTEMPT, head: ['GET /x HTTP/1.1', ...ATTEMPT.head.slice(1)] }] },
      'attempts|1 request line|GET / HTTP/1.1|GET /x HTTP/1.1',
    ],
    [{ attempts: [{ ...ATTEMPT, head: ATTEMPT.head.slice(0, 2) }] }, 'attempts|1 x-b|1|not there'],
  ]
  for (const [change, expected] of cases) t.same(said({ ...EXCHANGE, ...change }), [expected])
  t.equal(said({ ...EXCHANGE, log: {} }).length, 4, 'a missing log line')
  t.end()
})

t.test('what two runs cannot have in common is made equal, and equality within a run is kept', t => {
  const own = (port: number, folder: string, id: string, ms: number, date: string): Exchange =>
    new Normaliser(new Map([[port, 'listener l']]), folder).exchange({
      ...EXCHANGE,
      headers: [
        `Date: ${date}`,
        `X-Envoy-Upstream-Service-Time: ${ms}`,
        `x-request-id: ${id}`,
        `via: 127.0.0.1:${port}`,
      ],
      log: { details: `at ${folder}/x` },
      attempts: [
        { ...ATTEMPT, head: ['GET / HTTP/1.1', `x-request-id: ${id}`, 'x-envoy-expected-rq-timeout-ms: 900'] },
        { ...ATTEMPT, head: ['GET / HTTP/1.1', `traceparent: 00-${id}`, `x-envoy-expected-rq-timeout-ms: ${ms}`] },
      ],
    })
  const id = '11111111-2222-4333-8444-555555555555'
  const a = own(20001, '/tmp/a', id, 3, new Date().toUTCString())
  const b = own(20777, '/tmp/b', id.replaceAll('5', '6'), 5, new Date(Date.now() - 1000).toUTCString())
  t.same(differ(a, b), [])
  t.same(a.headers, [
    'date: {date}',
    'x-envoy-upstream-service-time: {ms}',
    'x-request-id: {uuid 1}',
    'via: 127.0.0.1:{port of listener l}',
  ])
  t.same(a.attempts[0]!.head, ['GET / HTTP/1.1', 'x-request-id: {uuid 1}', 'x-envoy-expected-rq-timeout-ms: 900'])
  t.same(a.attempts[1]!.head, ['GET / HTTP/1.1', 'traceparent: {trace}', 'x-envoy-expected-rq-timeout-ms: {remaining}'])
  const old = new Normaliser(new Map(), '/x').exchange({
    ...EXCHANGE,
    headers: ['date: Thu, 01 Jan 1970 00:00:00 GMT'],
  })
  t.same(old.headers, ['date: Thu, 01 Jan 1970 00:00:00 GMT'], 'a date passed through is compared')
  t.end()
})

t.test('stat names of the configuration and what their counters grew by', t => {
  const stats = (counters: Record<string, number>, ...more: string[]) => ({
    names: new Set([...Object.keys(counters), ...more]),
    counters: new Map(Object.entries(counters)),
  })
  const none = stats({})
  const envoy = stats(
    {
      'cluster.x.http2.trailers': 0,
      'cluster.a.upstream_rq_200': 3,
      'cluster.a.upstream_cx_total': 2,
      'server.x': 1,
      'http.i.rq': 1,
    },
    'cluster.a.hist',
  )
  const remora = stats({
    'cluster.a.upstream_rq_200': 2,
    'cluster.a.upstream_cx_total': 1,
    'http.i.rq': 1,
    'http.i.new': 0,
  })
  t.same(differStats({ before: none, after: envoy }, { before: none, after: remora }, ['cluster.x.http2.']), {
    onlyEnvoy: ['cluster.a.hist'],
    onlyRemora: ['http.i.new'],
    counts: [{ name: 'cluster.a.upstream_rq_200', envoy: 3, remora: 2 }],
    common: 3,
  })
  t.end()
})

t.test('answers to a push differ by verdict and reason, by what was asked for, and by what was not', t => {
  const answer = (more: object = {}): TypeAnswer => ({
    type: 'Cluster',
    names: ['a'],
    absent: [],
    rejections: [],
    answered: true,
    ...more,
  })
  const listener = answer({ type: 'Listener', names: [] })
  t.same(differAnswers([answer(), listener], [listener, answer()]), [])
  const told = (remora: readonly TypeAnswer[]): string[] =>
    differAnswers([answer()], remora).map(({ what, envoy, remora: other }) => `${what}|${envoy}|${other}`)
  t.same(told([answer({ rejections: ['no good', 'worse'] })]), ['Cluster|ACK; got 1: a|NACK: no good; worse; got 1: a'])
  t.same(told([answer({ answered: false })]), ['Cluster|ACK; got 1: a|no answer; got 1: a'])
  t.same(told([answer({ absent: ['b'] })]), ['Cluster|ACK; got 1: a|ACK; got 1: a; in vain: b'])
  t.same(told([answer(), listener]), ['Listener|not asked for|ACK; got 0: '])
  t.end()
})
