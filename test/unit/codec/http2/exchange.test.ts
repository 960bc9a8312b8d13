import t from 'tap'
import { type CodecStream, ResetReason } from '../../../../src/codec/codec.ts'
import { HeaderBlock } from '../../../../src/codec/header-block.ts'
import { Http2ClientCodec } from '../../../../src/codec/http2/client.ts'
import { defaultHttp2Options, type Http2Options } from '../../../../src/codec/http2/options.ts'
import { Http2ServerCodec } from '../../../../src/codec/http2/server.ts'
import { Flow } from '../../../../src/io/connection.ts'
import { FakeConnection, FakeTimers, Recorder } from './fakes.ts'

class Pair {
  readonly timers = new FakeTimers()
  readonly clientSide = new FakeConnection()
  readonly serverSide = new FakeConnection()
  readonly up = new Recorder()
  readonly down = new Recorder()
  readonly client: Http2ClientCodec
  readonly server: Http2ServerCodec

  constructor(options: Partial<Http2Options> = {}) {
    const all = { ...defaultHttp2Options, ...options }
    this.client = new Http2ClientCodec(this.clientSide.asConnection(), this.up, all, this.timers)
    this.server = new Http2ServerCodec(this.serverSide.asConnection(), this.down, all, this.timers)
    this.settle()
  }

  /** Carries bytes both ways until nothing moves. */
  settle(): void {
    for (;;) {
      const up = this.clientSide.take()
      const down = this.serverSide.take()
      if (up.length + down.length === 0) return
      this.server.dispatch(up, false)
      this.client.dispatch(down, false)
    }
  }
}

function request(path: string, ...fields: string[]): HeaderBlock {
  const h = new HeaderBlock()
  h.method = 'GET'
  h.scheme = 'http'
  h.path = path
  h.authority = 'a.test'
  h.list.push(...fields)
  return h
}

function response(status: number, ...fields: string[]): HeaderBlock {
  const h = new HeaderBlock()
  h.status = status
  h.list.push(...fields)
  return h
}

function trailers(...fields: string[]): HeaderBlock {
  const h = new HeaderBlock()
  h.list.push(...fields)
  return h
}

t.test('a request and its response cross with headers, body, trailers and interim head', async t => {
  const pair = new Pair()
  const s = pair.client.newStream('u')!
  s.encodeHeaders(request('/x', 'a', 'b'), false)
  s.encodeData(Buffer.from('hello'), false)
  s.encodeTrailers(trailers('t', 'v'))
  pair.settle()
  t.same(pair.down.take(), [
    'new 1',
    'headers 1: :method=GET :scheme=http :path=/x :authority=a.test a=b',
    'data 1: hello',
    'trailers 1: t=v',
  ])
  t.same(pair.up.take(), ['complete 1'])
  const r = pair.down.streams[0]!
  r.encode1xx(response(103, 'link', '<a>'))
  r.encodeHeaders(response(200, 'server', 'x'), false)
  r.encodeData(Buffer.from('abc'), false)
  r.encodeData(Buffer.from('def'), true)
  t.same(pair.down.take(), ['complete 1'])
  t.equal(pair.server.activeStreams, 0)
  pair.settle()
  t.same(pair.up.take(), ['headers 1: :status=103 link=<a>', 'headers 1: :status=200 server=x', 'data 1 end: abcdef'])
  t.equal(pair.client.activeStreams, 0)
  t.ok(r.wireBytesSent > 30 && r.headerBytesSent < r.wireBytesSent)
})

t.test('streams are recycled and their state does not leak into the next exchange', async t => {
  const pair = new Pair()
  for (let i = 0; i < 50; i++) {
    const s = pair.client.newStream(i)!
    t.equal(s.user, i)
    s.encodeHeaders(request(`/p${i % 3}`, 'x-id', String(i)), true)
    pair.settle()
    const r = pair.down.streams.at(-1)!
    r.encodeHeaders(response(200, 'content-length', '2'), false)
    r.encodeData(Buffer.from('ok'), true)
    pair.settle()
    t.equal(pair.up.take().at(-1), `data ${i * 2 + 1} end: ok`)
  }
  t.equal(new Set(pair.down.streams).size, 1)
})

t.test('a stream beyond the window is paused, queued, and resumed by WINDOW_UPDATE', async t => {
  const pair = new Pair({
    initialStreamWindowSize: 65535,
    initialConnectionWindowSize: 65535,
    streamBufferLimit: 50000,
  })
  const s = pair.client.newStream(null)!
  s.encodeHeaders(request('/big'), false)
  const body = Buffer.alloc(200_000, 'z')
  pair.down.onHead = r => r.holdReading(1, true)
  t.equal(s.encodeData(body, false), Flow.Pause)
  pair.settle()
  t.equal(s.bufferedBytes, 200_000 - 65535)
  t.notMatch(pair.up.take().join(), /writable/)
  pair.down.streams[0]!.holdReading(1, false)
  pair.settle()
  t.equal(s.bufferedBytes, 0)
  t.same(pair.up.take(), ['writable 1'])
  s.encodeData(new Uint8Array(0), true)
  pair.settle()
  const data = pair.down.take().find(line => line.startsWith('data'))!
  t.equal(data.length, 'data 1 end: '.length + 200_000)
})

t.test('a full socket keeps DATA in the stream until it drains', async t => {
  const pair = new Pair()
  const s = pair.client.newStream(null)!
  pair.clientSide.full = true
  s.encodeHeaders(request('/'), false)
  pair.settle()
  t.equal(s.encodeData(Buffer.from('abc'), true), Flow.Pause)
  pair.settle()
  t.equal(s.bufferedBytes, 3)
  pair.clientSide.full = false
  pair.client.onConnectionWritable()
  pair.settle()
  t.equal(pair.down.take().at(-1), 'data 1 end: abc')
})

t.test('resets cross with Envoy’s reasons and codes', async t => {
  const pair = new Pair()
  const a = pair.client.newStream(null)!
  a.encodeHeaders(request('/'), false)
  pair.settle()
  a.reset(ResetReason.Local)
  pair.settle()
  t.equal(pair.down.take().at(-1), `reset 1 ${ResetReason.Remote} http2.remote_reset`)
  const b = pair.client.newStream(null)!
  b.encodeHeaders(request('/'), true)
  pair.settle()
  pair.down.streams.at(-1)!.reset(ResetReason.LocalRefused)
  pair.settle()
  t.equal(pair.up.take().at(-1), `reset 3 ${ResetReason.RemoteRefused} http2.remote_refuse`)
  t.equal(pair.client.activeStreams + pair.server.activeStreams, 0)
})

/** A response of 100,000 bytes to a request that goes on; its client takes no more of it than the first window. */
function answeredEarly(complete: boolean): { pair: Pair; asking: CodecStream; answering: CodecStream } {
  const pair = new Pair({ initialStreamWindowSize: 65535, initialConnectionWindowSize: 65535 })
  const asking = pair.client.newStream(null)!
  asking.encodeHeaders(request('/upload'), false)
  pair.settle()
  const answering = pair.down.streams[0]!
  pair.up.onHead = r => r.holdReading(1, true)
  answering.encodeHeaders(response(200), false)
  answering.encodeData(Buffer.alloc(100_000, 'z'), complete)
  return { pair, asking, answering }
}

t.test(
  'a complete response that waits for window goes out before the reset of its request, which does no harm',
  async t => {
    const { pair, asking, answering } = answeredEarly(true)
    pair.settle()
    answering.reset(ResetReason.Local)
    asking.encodeData(Buffer.from('more of the request'), false)
    pair.settle()
    t.equal(pair.server.activeStreams, 1, 'it waits')
    asking.holdReading(1, false)
    pair.settle()
    const seen = pair.up.take()
    const data = seen.find(line => line.startsWith('data'))!
    t.equal(data.length, 'data 1 end: '.length + 100_000)
    t.equal(pair.client.activeStreams + pair.server.activeStreams, 0)
  },
)

t.test('a response that is not complete is cut off by a reset, whatever waits', async t => {
  const { pair, answering } = answeredEarly(false)
  answering.reset(ResetReason.Local)
  pair.settle()
  t.match(pair.up.take().at(-1), /^reset 1 /)
  t.equal(pair.server.activeStreams, 0)
})

t.test('drain warns with 2^31-1, then names the last stream and refuses later ones', async t => {
  const pair = new Pair()
  const s = pair.client.newStream(null)!
  s.encodeHeaders(request('/'), true)
  pair.settle()
  pair.server.drain(false)
  pair.server.drain(false)
  pair.settle()
  t.same(pair.up.take(), ['complete 1', 'goaway'])
  t.equal(pair.client.newStream(null), null)
  pair.server.drain(true)
  pair.settle()
  pair.down.streams[0]!.encodeHeaders(response(204), true)
  pair.settle()
  t.equal(pair.up.take().at(-1), 'headers 1 end: :status=204')
})

t.test('an unanswered keepalive PING ends the connection', async t => {
  const connectionKeepalive = { interval: 1000, timeout: 200, intervalJitter: 0, connectionIdleInterval: 0 }
  const pair = new Pair({ connectionKeepalive })
  const s = pair.client.newStream(null)!
  s.encodeHeaders(request('/'), true)
  pair.settle()
  pair.timers.advance(1000)
  pair.settle()
  pair.timers.advance(200)
  pair.settle()
  t.same(pair.up.take(), ['complete 1'])
  pair.timers.advance(1000)
  pair.clientSide.take()
  pair.serverSide.take()
  pair.timers.advance(200)
  t.same(pair.up.take(), [
    `reset 1 ${ResetReason.ConnectionTermination} http2_ping_timeout`,
    'error http2_ping_timeout',
  ])
})

t.test('SETTINGS that are never acknowledged end the connection', async t => {
  const timers = new FakeTimers()
  const connection = new FakeConnection()
  const decoder = new Recorder()
  new Http2ServerCodec(connection.asConnection(), decoder, defaultHttp2Options, timers)
  timers.advance(30_000)
  t.same(decoder.take(), ['error SETTINGS not acknowledged'])
  t.equal(timers.size, 0)
})

t.test('the concurrency limit of both sides holds', async t => {
  const pair = new Pair({ maxConcurrentStreams: 2 })
  pair.client.newStream(null)
  pair.client.newStream(null)!.reset(ResetReason.Local)
  t.ok(pair.client.newStream(null))
  t.equal(pair.client.newStream(null), null)
})

t.test('closing the connection resets every stream, those without an id too', async t => {
  const pair = new Pair()
  pair.client.newStream('early')
  pair.client.newStream('sent')!.encodeHeaders(request('/'), false)
  pair.client.onConnectionClosed(ResetReason.ConnectionTermination)
  t.same(pair.up.take().sort(), [
    `reset 0 ${ResetReason.ConnectionTermination} `,
    `reset 1 ${ResetReason.ConnectionTermination} `,
  ])
  t.equal(pair.client.activeStreams, 0)
  t.equal(pair.timers.size, 0)
})
