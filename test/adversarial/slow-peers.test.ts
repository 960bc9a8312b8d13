import t from 'tap'
import { dataFrame, frame, HEADERS, headersFrames, PREFACE, settingsFrame } from '../harness/h2-frames.ts'
import { encodeFields } from '../harness/hpack.ts'
import { until } from '../harness/until.ts'
import { RunningProxy } from '../integration/proxy/running-proxy.ts'
import { opened } from './exchange.ts'
import { RecordingUpstream } from './recording-upstream.ts'

const BOUND = 30_000
const MANAGER = [
  'request_headers_timeout: 0.4s',
  'request_timeout: 1.2s',
  'stream_idle_timeout: 0.5s',
  'delayed_close_timeout: 0.1s',
  'drain_timeout: 0.1s',
  'common_http_protocol_options: { idle_timeout: 0.8s }',
].join('\n          ')

const FIELDS = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/slow'],
  [':authority', 'x'],
] as const
const SETTINGS = settingsFrame([])

/** What the client sends first, and then one byte of it after the other, for ever. */
const peers: Record<string, { readonly first: Buffer; readonly drip: string; readonly answer: RegExp }> = {
  'a client that says nothing': { first: Buffer.alloc(0), drip: '', answer: /^$/ },
  'a head that comes byte by byte': {
    first: Buffer.from('GET / HTTP/1.1\r\nHost: x\r\nA: '),
    drip: 'a',
    answer: /^HTTP\/1\.1 408/,
  },
  'a head that comes line by line': {
    first: Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n'),
    drip: 'a:b\r\n',
    answer: /^HTTP\/1\.1 408/,
  },
  'a head that stops': { first: Buffer.from('GET / HTTP/1.1\r\nHost: x\r\nA: '), drip: '', answer: /^HTTP\/1\.1 408/ },
  'a request line that stops': { first: Buffer.from('GE'), drip: '', answer: /^HTTP\/1\.1 408/ },
  'a body that stops': {
    first: Buffer.from('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na'),
    drip: '',
    answer: /^HTTP\/1\.1 (408|504)/,
  },
  'a body that comes byte by byte': {
    first: Buffer.from('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na'),
    drip: 'a',
    answer: /^HTTP\/1\.1 408/,
  },
  'chunks that come byte by byte': {
    first: Buffer.from('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'),
    drip: '1\r\na\r\n',
    answer: /^HTTP\/1\.1 408/,
  },
  'a chunk extension without end': {
    first: Buffer.from('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;'),
    drip: 'a',
    answer: /^HTTP\/1\.1 408/,
  },
  'trailers without end': {
    first: Buffer.from('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: '),
    drip: 'a',
    answer: /^HTTP\/1\.1 408/,
  },
  'empty lines for ever': { first: Buffer.from('\r\n'), drip: '\r\n', answer: /^(HTTP\/1\.1 408|$)/ },
  'an HTTP/2 preface that stops': { first: PREFACE.subarray(0, 10), drip: '', answer: /./ },
  'an HTTP/2 connection without a request': { first: Buffer.concat([PREFACE, SETTINGS]), drip: '', answer: /./ },
  'an HTTP/2 preface without SETTINGS': { first: PREFACE, drip: '', answer: /./ },
  'an HTTP/2 frame that stops': {
    first: Buffer.concat([PREFACE, SETTINGS, headersFrames(1, FIELDS, true).subarray(0, 20)]),
    drip: '',
    answer: /./,
  },
  'an HTTP/2 head without its CONTINUATION': {
    first: Buffer.concat([PREFACE, SETTINGS, frame(HEADERS, 0, 1, encodeFields(FIELDS))]),
    drip: '',
    answer: /./,
  },
  'an HTTP/2 body that stops': {
    first: Buffer.concat([PREFACE, SETTINGS, headersFrames(1, FIELDS, false), dataFrame(1, Buffer.from('a'), false)]),
    drip: '',
    answer: /408|504/,
  },
}

t.test('every peer that makes no progress is ended by a configured timeout', async t => {
  const upstream = await RecordingUpstream.start()
  const proxy = await RunningProxy.start({ upstream: upstream.port, manager: MANAGER })
  t.teardown(async () => {
    await proxy.stop()
    await upstream.stop()
  })
  await Promise.all(
    Object.entries(peers).map(async ([name, { first, drip, answer }]) => {
      const socket = await opened(proxy.port)
      let text = ''
      socket.on('data', chunk => {
        text += chunk.toString('latin1')
      })
      if (first.length > 0) socket.write(first)
      const timer = drip === '' ? null : setInterval(() => socket.write(drip), 40)
      const closed = await new Promise<boolean>(resolve => {
        const bound = setTimeout(resolve, BOUND, false)
        socket.on('close', () => {
          clearTimeout(bound)
          resolve(true)
        })
      })
      if (timer !== null) clearInterval(timer)
      socket.destroy()
      t.ok(closed, `${name} is disconnected`)
      t.match(text, answer, `${name} is told so`)
    }),
  )
  await until(async () => (await proxy.stat('http.http.downstream_cx_active')) === 0, 'no connection is left')
  await until(async () => (await proxy.stat('http.http.downstream_rq_active')) === 0, 'nor request')
  t.same(upstream.requests, [], 'no half request counts as one upstream')
})
