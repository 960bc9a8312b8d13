import t from 'tap'
import { usesHttp2, usesTls } from '../../../../bench/compare/client.ts'
import { listenerFor } from '../../../../bench/compare/compare.ts'
import type { RewrittenListener } from '../../../../bench/compare/rewrite-listener.ts'
import { readTrace, requestBytes } from '../../../../bench/compare/trace.ts'

const har = (...entries: object[]): string => JSON.stringify({ log: { entries } })
const request = (url: string, more: object = {}): object => ({ method: 'GET', url, headers: [], ...more })

t.test('a list: a URL per line, a method before it, comments left out', t => {
  const { entries } = readTrace('# two\nhttp://a.test/x?y=1\n\n  DELETE https://b.test:8443/z  \n', 'list', 10)
  t.same(
    entries.map(entry => requestBytes(entry)),
    ['GET /x?y=1 HTTP/1.1\r\nhost: a.test\r\n\r\n', 'DELETE /z HTTP/1.1\r\nhost: b.test:8443\r\n\r\n'],
  )
  t.equal(entries[0]!.answer.status, 200)
  t.end()
})

t.test(
  'a HAR: headers in order with their case and doubles, without those of a connection; bodies with their length',
  t => {
    const headers = [
      ':authority',
      'Host',
      'X-A',
      'Connection',
      'x-a',
      'Content-Length',
      'Transfer-Encoding',
      'bad name',
    ].map((name, i) => ({ name, value: `v${i}` }))
    const text = har({ request: request('http://a.test/', { method: 'POST', headers, postData: { text: 'häh' } }) })
    const bytes = requestBytes(readTrace(text, 'h', 10).entries[0]!)
    t.equal(
      Buffer.from(bytes, 'latin1').toString('utf8'),
      'POST / HTTP/1.1\r\nhost: a.test\r\nX-A: v2\r\nx-a: v4\r\ncontent-length: 4\r\n\r\nhäh',
    )
    t.end()
  },
)

t.test('values cannot smuggle lines', t => {
  const headers = [{ name: 'x-a', value: 'b\r\nx-evil: 1' }]
  const bytes = requestBytes(readTrace(har({ request: request('http://a.test/', { headers }) }), 'h', 10).entries[0]!)
  t.notMatch(bytes, '\r\nx-evil')
  t.end()
})

t.test('upstreams answer what the HAR has, without what described its coding', t => {
  const response = {
    status: 201,
    headers: [
      { name: 'Content-Encoding', value: 'gzip' },
      { name: 'Content-Length', value: '99' },
      { name: 'X-B', value: '1' },
    ],
    content: { text: 'AAEC', encoding: 'base64' },
  }
  const { answer } = readTrace(har({ request: request('http://a.test/'), response }), 'h', 10).entries[0]!
  t.same(answer, { status: 201, headers: [['X-B', '1']], body: Buffer.from([0, 1, 2]), breaks: 'never' })
  // Status 0: the browser had no answer.
  const none = readTrace(har({ request: request('http://a.test/'), response: { status: 0 } }), 'h', 10).entries[0]!
  t.equal(none.answer.status, 200)
  // Nor is this one: no server can send it.
  const wrong = readTrace(har({ request: request('http://a.test/'), response: { status: 999 } }), 'h', 10).entries[0]!
  t.equal(wrong.answer.status, 200)
  for (const [status, breaks] of [
    [0, 'before'],
    [200, 'within'],
  ] as const) {
    const response = { status, _error: 'net::ERR_FAILED', content: { text: 'x' } }
    const { answer } = readTrace(har({ request: request('http://a.test/'), response }), 'h', 10).entries[0]!
    t.equal(answer.breaks, breaks)
  }
  t.end()
})

t.test('what is left out is said', t => {
  const upgrade = request('http://a.test/ws', { headers: [{ name: 'Upgrade', value: 'websocket' }] })
  const many = ['http://a.test/1', 'http://a.test/2', 'http://a.test/3'].map(url => ({ request: request(url) }))
  const { entries, notes } = readTrace(har({ request: upgrade }, ...many), 'h', 2)
  t.equal(entries.length, 2)
  t.same(notes, ['h, entry 1: upgrades and CONNECT are not compared', '1 requests beyond --limit 2 were left out'])
  t.end()
})

t.test('what is no trace says so', t => {
  t.throws(() => readTrace('{', 'h', 1), { message: /^h: / })
  t.throws(() => readTrace('{}', 'h', 1), { message: 'h: no log.entries: this is no HAR' })
  t.throws(() => readTrace('nonsense', 'h', 1), { message: 'h: nonsense is no URL' })
  t.throws(() => readTrace('# empty\n', 'h', 1), { message: 'h: no requests in it' })
  t.end()
})

t.test('a request goes to the listener of its port, else to one that speaks what its URL speaks', t => {
  const listener = (name: string, originalPort: number, tls: boolean, more: object = {}): RewrittenListener => ({
    name,
    originalAddress: '0.0.0.0',
    originalPort,
    port: 1,
    purpose: name,
    tls,
    plain: !tls,
    codec: 'AUTO',
    ...more,
  })
  const listeners = [listener('a', 8080, false), listener('b', 8443, true), listener('c', 80, false)]
  const index = (url: string): number => listenerFor(readTrace(url, 'l', 1).entries[0]!, listeners)
  t.equal(index('http://x.test:8080/'), 0)
  t.equal(index('http://x.test/'), 2)
  t.equal(index('https://x.test/'), 1)
  t.equal(index('http://x.test:99/'), 0)
  t.equal(listenerFor(readTrace('https://x.test/', 'l', 1).entries[0]!, listeners.slice(0, 1)), 0)
  listeners.push(
    listener('tcp', 9000, false, { codec: null }),
    listener('http', 9000, false),
    listener('own', 9000, false, { originalAddress: '10.0.0.1', codec: null }),
  )
  t.equal(index('http://x.test:9000/'), 4, 'of several on a port the one that has a connection manager')
  t.equal(index('http://10.0.0.1:9000/'), 5, 'or the one whose address it is')
  t.end()
})

t.test(
  'the codec of a listener decides about HTTP/2, then the user, then the trace; TLS where there is a choice the URL',
  t => {
    const place: RewrittenListener = {
      name: 'l',
      originalAddress: '',
      originalPort: 1,
      port: 1,
      purpose: 'l',
      tls: false,
      plain: true,
      codec: 'AUTO',
    }
    const recorded = readTrace(har({ request: request('https://x/', { httpVersion: 'h2' }) }), 'h', 1).entries[0]!
    const listed = readTrace('http://x/', 'l', 1).entries[0]!
    t.same(
      [usesHttp2(recorded, place, false), usesHttp2(listed, place, false), usesHttp2(listed, place, true)],
      [true, false, true],
    )
    t.equal(usesHttp2(listed, { ...place, codec: 'HTTP2' }, false), true)
    t.equal(usesHttp2(recorded, { ...place, codec: 'HTTP1' }, true), false)
    t.same([usesTls(recorded, place), usesTls(listed, { ...place, tls: true, plain: false })], [false, true])
    const either = { ...place, tls: true }
    t.same([usesTls(recorded, either), usesTls(listed, either)], [true, false])
    t.end()
  },
)

t.test('te goes out over HTTP/2 only, and only where it asks for trailers', t => {
  const te = (value: string) => har({ request: request('http://x/', { headers: [{ name: 'TE', value }] }) })
  const entry = readTrace(te('trailers'), 'h', 1).entries[0]!
  t.same(entry.headers, [['TE', 'trailers']])
  t.notMatch(requestBytes(entry), /te:/i)
  t.same(readTrace(te('gzip'), 'h', 1).entries[0]!.headers, [])
  t.end()
})
