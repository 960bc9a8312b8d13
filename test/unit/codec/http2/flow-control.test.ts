import t from 'tap'
import { type CodecStream, ResetReason } from '../../../../src/codec/codec.ts'
import { HeaderBlock } from '../../../../src/codec/header-block.ts'
import { Http2ClientCodec } from '../../../../src/codec/http2/client.ts'
import { consume, MAX_WINDOW, receive, shift } from '../../../../src/codec/http2/flow-window.ts'
import { defaultHttp2Options, type Http2Options } from '../../../../src/codec/http2/options.ts'
import { ProtocolLimits } from '../../../../src/codec/http2/protocol-limits.ts'
import { Http2ServerCodec } from '../../../../src/codec/http2/server.ts'
import { noHttp2Stats } from '../../../../src/codec/http2/stats.ts'
import type { Http2Stream } from '../../../../src/codec/http2/stream.ts'
import { Flow } from '../../../../src/io/connection.ts'
import { FakeConnection, FakeTimers, Recorder } from './fakes.ts'
import { assemble, describeFrames } from './frame-text.ts'
import { Random } from './random.ts'

const smallWindows: Http2Options = {
  ...defaultHttp2Options,
  initialStreamWindowSize: 65_535,
  initialConnectionWindowSize: 65_535,
}

function head(path: string): HeaderBlock {
  const h = new HeaderBlock()
  h.method = 'POST'
  h.path = path
  h.scheme = 'http'
  h.authority = 'a'
  return h
}

t.test('a send window may go negative by SETTINGS but never above 2^31-1', async t => {
  const side = { sendWindow: 0 }
  t.ok(shift(side, -50))
  t.equal(side.sendWindow, -50)
  t.ok(shift(side, MAX_WINDOW + 50))
  t.notOk(shift(side, 1))
  t.equal(side.sendWindow, MAX_WINDOW)
})

t.test('a receive window gives back exactly what was consumed, and refuses what exceeds it', async t => {
  const random = new Random(3)
  const side = { receiveWindow: 1000, consumed: 0 }
  let inFlight = 0
  let granted = 1000
  let received = 0
  for (let i = 0; i < 5000; i++) {
    const bytes = random.below(400)
    const fits = bytes <= granted - received
    t.equal(receive(side, bytes), fits) || t.bailout()
    if (fits) {
      received += bytes
      inFlight += bytes
    }
    const done = random.below(inFlight + 1)
    inFlight -= done
    granted += consume(side, done, 1000)
    if (granted - received !== side.receiveWindow) {
      t.fail(`after ${i}`)
      return
    }
  }
})

t.test('what is sent is not kept, however long more is waiting than the window takes', async t => {
  const near = new FakeConnection()
  const far = new FakeConnection()
  const up = new Recorder()
  const client = new Http2ClientCodec(near.asConnection(), up, defaultHttp2Options, new FakeTimers())
  const server = new Http2ServerCodec(far.asConnection(), new Recorder(), smallWindows, new FakeTimers())
  const s = client.newStream(null) as Http2Stream
  s.encodeHeaders(head('/endless'), false)
  let most = 0
  let longest = 0
  for (let i = 0; i < 1000; i++) {
    while (s.bufferedBytes < 200_000) s.encodeData(Buffer.alloc(16_000), false)
    server.dispatch(near.take(), false)
    client.dispatch(far.take(), false)
    if (s.bufferedBytes === 0) t.fail('nothing waits')
    most = Math.max(
      most,
      s.queue!.chunks.reduce((sum, chunk) => sum + chunk.length, 0),
    )
    longest = Math.max(longest, s.queue!.chunks.length)
  }
  t.ok(most <= 216_000, `${most} bytes`)
  t.ok(longest <= 100, `${longest} chunks`)
})

t.test('a stream that is reset while its queue is being sent sends nothing more', async t => {
  const connection = new FakeConnection()
  const recorder = new Recorder()
  let pending = 0
  const stats = {
    ...noHttp2Stats,
    pendingSendBytes: { ...noHttp2Stats.pendingSendBytes, add: (n: number) => (pending += n) },
  }
  const client = new Http2ClientCodec(connection.asConnection(), recorder, smallWindows, new FakeTimers(), stats)
  client.dispatch(assemble(['SETTINGS 0'], false), false)
  const s = client.newStream(null) as Http2Stream
  s.encodeHeaders(head('/dies'), false)
  for (let i = 0; i < 10; i++) s.encodeData(Buffer.alloc(16_000, i), i === 9)
  t.equal(pending, 160_000 - 65_535)
  connection.take()
  // As a connection does that finds itself dead when it is written to.
  connection.onWrite = () => s.reset(ResetReason.Local)
  const queue = s.queue!
  client.dispatch(assemble(['WINDOW_UPDATE 0 : 200000', 'WINDOW_UPDATE 1 : 200000'], false), false)
  connection.onWrite = null
  const sent = describeFrames(connection.take())
  t.equal(sent.filter(frame => frame.startsWith('DATA')).length, 1, 'only what was being written')
  t.equal(sent.filter(frame => frame.startsWith('RST_STREAM')).length, 1)
  t.equal(queue.chunks.length, 0)
  t.equal(pending, 0)
  t.equal(client.activeStreams, 0)
  t.same(recorder.take(), [], 'nor is its message told complete')
})

t.test('random windows, chunks, holds and full sockets deliver every byte in order', async t => {
  for (let seed = 1; seed <= 25; seed++) {
    const random = new Random(seed)
    const timers = new FakeTimers()
    const options: Http2Options = {
      ...defaultHttp2Options,
      initialStreamWindowSize: 65535 + random.below(30_000),
      initialConnectionWindowSize: 65535 + random.below(60_000),
      streamBufferLimit: 1 + random.below(60_000),
    }
    const near = new FakeConnection()
    const far = new FakeConnection()
    const up = new Recorder()
    const down = new Recorder()
    const client = new Http2ClientCodec(near.asConnection(), up, options, timers)
    const server = new Http2ServerCodec(far.asConnection(), down, options, timers)
    const got = new Map<CodecStream, number>()
    const ended = new Set<CodecStream>()
    down.onBody = (s, chunk, end) => {
      let next = got.get(s) ?? 0
      for (let i = 0; i < chunk.length; i++) if (chunk[i] !== next++ % 251) throw new Error('out of order')
      got.set(s, next)
      if (end) ended.add(s)
      s.holdReading(1, random.below(3) === 0)
    }
    const move = (): void => {
      const there = near.take()
      const back = far.take()
      if (there.length > 0) server.dispatch(there, false)
      if (back.length > 0) client.dispatch(back, false)
    }
    const total = 400_000
    const senders = Array.from({ length: 4 }, (_, i) => {
      const s = client.newStream(null)!
      s.encodeHeaders(head(`/${i}`), false)
      return { s, sent: 0, blocked: false }
    })
    up.onRoom = s => {
      for (const sender of senders) if (sender.s === s) sender.blocked = false
    }
    for (let step = 0; ended.size < 4; step++) {
      if (step > 20_000) {
        t.fail(`seed ${seed} does not finish`)
        return
      }
      const sender = senders[random.below(4)]!
      if (!sender.blocked && sender.sent < total) {
        const size = Math.min(total - sender.sent, 1 + random.below(30_000))
        const from = sender.sent
        const chunk = Buffer.from(Array.from({ length: size }, (_, i) => (from + i) % 251))
        sender.sent += size
        sender.blocked = sender.s.encodeData(chunk, sender.sent === total) === Flow.Pause
        // One chunk may pass the watermark, no more.
        if (sender.s.bufferedBytes > options.streamBufferLimit + 30_000) t.fail('buffer above its bound')
      }
      if (random.below(5) === 0) near.full = !near.full
      if (!near.full) client.onConnectionWritable()
      if (random.below(2) === 0) move()
      if (random.below(3) === 0) for (const s of down.streams) s.holdReading(1, false)
    }
    t.same([...got.values()], [total, total, total, total], `seed ${seed}`)
  }
})

t.test('a held stream gets no window back, the connection neither, until the hold ends or the stream dies', async t => {
  const options = { ...defaultHttp2Options, initialStreamWindowSize: 65535, initialConnectionWindowSize: 65535 }
  const connection = new FakeConnection()
  const recorder = new Recorder()
  const server = new Http2ServerCodec(connection.asConnection(), recorder, options, new FakeTimers())
  recorder.onHead = s => s.holdReading(4, true)
  const body = 'x'.repeat(16000)
  server.dispatch(assemble(['SETTINGS 0', 'HEADERS 1 endh : GET', `x3 DATA 1 : "${body}"`], true), false)
  t.same(describeFrames(connection.take()), [])
  recorder.streams[0]!.holdReading(4, false)
  t.same(describeFrames(connection.take()), ['WINDOW_UPDATE 0: 48000', 'WINDOW_UPDATE 1: 48000'])
  recorder.streams[0]!.holdReading(4, true)
  server.dispatch(assemble([`x3 DATA 1 : "${body}"`, 'RST_STREAM 1 : 8'], false), false)
  t.same(describeFrames(connection.take()), ['WINDOW_UPDATE 0: 48000'])
})

t.test('DATA for a stream we reset is dropped but given back to the connection', async t => {
  const options = { ...defaultHttp2Options, initialConnectionWindowSize: 65535 }
  const connection = new FakeConnection()
  const recorder = new Recorder()
  const server = new Http2ServerCodec(connection.asConnection(), recorder, options, new FakeTimers())
  recorder.onHead = s => s.reset(0)
  server.dispatch(assemble(['SETTINGS 0', 'HEADERS 1 endh : GET', `x3 DATA 1 : "${'x'.repeat(16000)}"`], true), false)
  t.same(describeFrames(connection.take()), ['RST_STREAM 1: 2', 'WINDOW_UPDATE 0: 48000'].sort())
})

t.test('a complete message that the peer never takes is reset after the flush timeout', async t => {
  const timers = new FakeTimers()
  const connection = new FakeConnection()
  const recorder = new Recorder()
  const server = new Http2ServerCodec(connection.asConnection(), recorder, defaultHttp2Options, timers)
  server.dispatch(assemble(['SETTINGS 0 : 4=0', 'SETTINGS 0 ack', 'HEADERS 1 end endh : GET'], true), false)
  const answer = new HeaderBlock()
  answer.status = 200
  recorder.streams[0]!.encodeHeaders(answer, false)
  recorder.streams[0]!.encodeData(Buffer.from('never'), true)
  timers.advance(300_000)
  t.equal(server.activeStreams, 1)
  timers.advance(300_000)
  t.equal(server.activeStreams, 0)
  t.equal(recorder.take().at(-1), 'reset 1 0 ')
  t.equal(timers.size, 0)
})

t.test('outbound frames count against the limit only while they may still be in the socket', async t => {
  const limits = new ProtocolLimits({ ...defaultHttp2Options, maxOutboundControlFrames: 10 }, noHttp2Stats)
  let written = 0
  for (let i = 0; i < 100; i++) {
    for (let k = 0; k < 8; k++) limits.controlFrameSent()
    written += 100
    // The socket is never empty, but what was written two rounds ago has left.
    limits.progress(written, 100)
    t.equal(limits.outboundFlood(), '') || t.bailout()
  }
  for (let k = 0; k < 30; k++) limits.controlFrameSent()
  t.match(limits.outboundFlood(), /control frames/)
})

t.test('a flood of PING that is not read ends the connection', async t => {
  const connection = new FakeConnection()
  const recorder = new Recorder()
  const server = new Http2ServerCodec(connection.asConnection(), recorder, defaultHttp2Options, new FakeTimers())
  connection.take()
  server.dispatch(assemble(['SETTINGS 0', 'x1001 PING 0 : hex 0000000000000000'], true), false)
  t.same(recorder.take(), ['error Too many control frames in the outbound queue'])
  t.equal(describeFrames(connection.take()).at(-1), 'GOAWAY last 0 code 11')
})

t.test('rapid reset ends the connection', async t => {
  const connection = new FakeConnection()
  const recorder = new Recorder()
  const server = new Http2ServerCodec(connection.asConnection(), recorder, defaultHttp2Options, new FakeTimers())
  const lines = ['SETTINGS 0']
  for (let i = 0; i < 260; i++) lines.push(`HEADERS ${i * 2 + 1} end endh : GET`, `RST_STREAM ${i * 2 + 1} : 8`)
  server.dispatch(assemble(lines, true), false)
  t.equal(recorder.take().at(-1), 'error too_many_premature_resets')
})
