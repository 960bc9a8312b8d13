import t from 'tap'
import { ResetReason } from '../../../src/codec/codec.ts'
import { FieldPath } from '../../../src/config/field-path.ts'
import type { envoy } from '../../../src/config/gen/messages.d.ts'
import { type GrpcServiceConfig, parseGrpcService } from '../../../src/config/grpc-service.ts'
import { GrpcFrameReader, grpcFrame } from '../../../src/http/grpc-frames.ts'
import { Flow } from '../../../src/io/connection.ts'
import type { FormatContext } from '../../../src/telemetry/format-context.ts'
import { StreamInfo } from '../../../src/telemetry/stream-info.ts'
import { CalloutWorld } from './callout-world.ts'
import { request } from './fakes.ts'

type Proto = envoy.config.core.v3.GrpcService

const parse = (proto: Proto): GrpcServiceConfig => parseGrpcService(proto, FieldPath.root(), [])
const toC = (more: Partial<Proto> = {}, target: object = {}): GrpcServiceConfig =>
  parse({ envoy_grpc: { cluster_name: 'c', ...target }, ...more })
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const OK_REPLY = '00 00000002 6869'

/** How calls ended, as text. */
class Ends {
  readonly list: string[] = []
  onReply(message: Uint8Array): void {
    this.list.push(`reply ${Buffer.from(message).toString()}`)
  }
  onFailure(status: number, text: string): void {
    this.list.push(`${status} ${text}`.trim())
  }
}

function call(world: CalloutWorld, service = toC(), timeout = 0, parent: FormatContext | null = null) {
  const ends = new Ends()
  const pending = world.services.callOuts.grpc(service).call('/p.S/M', Buffer.from('ask'), timeout, ends, parent)
  return { ends: ends.list, pending }
}

function connected(service = toC(), timeout = 0) {
  const world = new CalloutWorld()
  const made = call(world, service, timeout)
  world.connect()
  return { world, ...made, stream: world.last }
}

t.test('a unary call sends the head as the real proxy does, and its message in a frame', async t => {
  const { stream } = connected(toC({ initial_metadata: [{ key: 'X-A', value: '%PROTOCOL%' }] }), 750)
  t.same(stream.head, [
    ':method: POST',
    ':path: /p.S/M',
    ':authority: c',
    ':scheme: http',
    'te: trailers',
    'grpc-timeout: 750m',
    'content-type: application/grpc',
    'x-a: %PROTOCOL%',
    'x-envoy-internal: true',
    'x-forwarded-for: 10.9.9.9',
    'x-envoy-expected-rq-timeout-ms: 750',
  ])
  t.same(stream.body, hex('00 00000003 61736b'))
  t.equal(stream.requestEnded, true)
})

t.test(
  'formats of initial_metadata are evaluated for a call of a request; authority and skip_envoy_headers count',
  async t => {
    const world = new CalloutWorld()
    const info = new StreamInfo()
    info.protocol = 'HTTP/1.1'
    const parent = {
      info,
      requestHeaders: request({ 'x-foo': 'bar' }),
      responseHeaders: null,
      responseTrailers: null,
      localReplyBody: '',
    }
    const metadata = [
      { key: 'x-fmt', value: 'a %REQ(x-foo)% %PROTOCOL%' },
      { key: 'x-none', value: '%REQ(x-none)%' },
    ]
    call(world, toC({ initial_metadata: metadata }, { authority: 'other:99', skip_envoy_headers: true }), 0, parent)
    world.connect()
    t.same(world.last.head.slice(2), [
      ':authority: other:99',
      ':scheme: http',
      'te: trailers',
      'content-type: application/grpc',
      'x-fmt: a bar HTTP/1.1',
    ])
  },
)

t.test('a reply ends with its message once the status has come', async t => {
  const { world, ends, stream } = connected()
  stream.answer(200, { 'content-type': 'application/grpc' })
  stream.data(hex(OK_REPLY))
  t.same(ends, [])
  stream.trailers({ 'grpc-status': '0' })
  t.same(ends, ['reply hi'])
  t.same(world.counters(/upstream_rq_(2xx|active|completed)/), {
    upstream_rq_2xx: 1,
    upstream_rq_completed: 1,
    'internal.upstream_rq_2xx': 1,
    'internal.upstream_rq_completed': 1,
  })
  t.equal(world.world.stats.get('http.async-client.rq_total'), 1)
})

t.test('a reply may come in any pieces', async t => {
  const whole = hex('00 00000003 616263')
  for (let cut = 1; cut < whole.length; cut++) {
    const { ends, stream } = connected()
    stream.answer(200)
    stream.data(whole.subarray(0, cut))
    stream.data(whole.subarray(cut))
    stream.trailers({ 'grpc-status': '0' })
    t.same(ends, ['reply abc'])
  }
})

t.test('the last of several messages counts, an empty one is a message', async t => {
  const { ends, stream } = connected()
  stream.answer(200)
  stream.data(Buffer.concat([hex(OK_REPLY), hex('00 00000000')]))
  stream.trailers({ 'grpc-status': '0' })
  t.same(ends, ['reply'.concat(' ')])
})

t.test('status and message come from the trailers or from a head that is all there is', async t => {
  const rows: [(s: ReturnType<typeof connected>['stream']) => void, string][] = [
    [s => s.answer(200, { 'grpc-status': '7', 'grpc-message': 'no%20way' }, true), '7 no%20way'],
    [s => s.answer(503, { 'grpc-status': '7' }, true), '7'],
    [s => s.answer(200, {}, true), '2'],
    [s => s.answer(200, { 'grpc-status': '99' }, true), '-1'],
    [s => s.answer(200, { 'grpc-status': '0x1' }, true), '-1'],
    [s => s.answer(200, { 'grpc-status': '0' }, true), '13'],
    [s => s.answer(404, {}, true), '12'],
    [s => s.answer(503), '14'],
    [s => s.answer(500), '2'],
  ]
  for (const [serve, expected] of rows) {
    const { ends, stream } = connected()
    serve(stream)
    t.same(ends, [expected])
    t.equal(stream.over, true)
  }
  const { ends, stream } = connected()
  stream.answer(200)
  stream.trailers({ 'grpc-status': '5', 'grpc-message': 'gone' })
  t.same(ends, ['5 gone'])
})

t.test('broken replies: compressed, too long, without status, without message', async t => {
  const rows: [(s: ReturnType<typeof connected>['stream']) => void, string, boolean][] = [
    [s => s.data(hex('01 00000001 00')), '13', true],
    [s => s.data(hex('00 00000065')), '8', true],
    [s => s.data(hex('00 ffffffff')), '8', true],
    [s => s.data(hex(OK_REPLY), true), '2', false],
    [s => s.trailers({ 'grpc-status': '0' }), '13', false],
    [s => s.break(ResetReason.Remote), '13', false],
  ]
  for (const [serve, expected, reset] of rows) {
    const { ends, stream } = connected(toC({}, { max_receive_message_length: 100 }))
    stream.answer(200)
    serve(stream)
    t.same(ends, [expected])
    t.equal(stream.wasReset, reset)
  }
  // An empty message may have the flag, as in Envoy.
  const { ends, stream } = connected()
  stream.answer(200)
  stream.data(hex('01 00000000'))
  stream.trailers({ 'grpc-status': '0' })
  t.same(ends, ['reply'.concat(' ')])
})

t.test('without max_receive_message_length a reply has at most 4 MiB', async t => {
  const { ends, stream } = connected()
  stream.answer(200)
  stream.data(hex('00 00400001'))
  t.same(ends, ['8'])
})

t.test('no cluster, no host, refused, reset: unavailable, and the text says which', async t => {
  const world = new CalloutWorld()
  t.same(call(world, parse({ envoy_grpc: { cluster_name: 'nobody' } })).ends, ['14 Cluster not available'])
  const empty = new CalloutWorld(0)
  t.same(call(empty).ends, ['14 no healthy upstream'])
  t.same(empty.counters(/503|none_healthy/), {
    upstream_rq_503: 1,
    'internal.upstream_rq_503': 1,
    upstream_cx_none_healthy: 1,
  })
  const refused = call(world)
  world.world.connector.last.refuse()
  const before = 'upstream connect error or disconnect/reset before headers. reset reason: '
  t.same(refused.ends, [`14 ${before}remote connection failure`])
  const { ends, stream, world: reset } = connected()
  stream.break(ResetReason.Remote)
  t.same(ends, [`14 ${before}remote reset`])
  t.equal(reset.counters(/upstream_rq_503/)['internal.upstream_rq_503'], 1)
})

t.test('a server that does not answer in time is given up', async t => {
  const { world, ends, stream } = connected(toC(), 100)
  world.world.timers.advance(99)
  t.same(ends, [])
  world.world.timers.advance(1)
  t.same(ends, ['14 upstream request timeout'])
  t.equal(stream.wasReset, true)
  t.same(world.counters(/504|rq_timeout/), {
    upstream_rq_504: 1,
    'internal.upstream_rq_504': 1,
    upstream_rq_timeout: 1,
  })
})

t.test('a call that is cancelled says nothing more and frees its stream; cancelling twice does no harm', async t => {
  const { ends, stream, pending, world } = connected(toC(), 100)
  pending.cancel()
  pending.cancel()
  t.equal(stream.wasReset, true)
  world.world.timers.advance(1000)
  t.equal(world.counters(/rq_timeout/)['upstream_rq_timeout'], undefined)
  t.same(ends, [])
})

const policy = { retry_on: 'unavailable,5xx', num_retries: 2, retry_back_off: { base_interval: 10 } }

t.test(
  'the retry policy: trailers-only statuses, HTTP statuses and resets; an attempt may take the longest back-off',
  async t => {
    const { world, ends, stream } = connected(toC({ retry_policy: policy }), 750)
    t.equal(stream.head.at(-1), 'x-envoy-expected-rq-timeout-ms: 100')
    stream.answer(200, { 'grpc-status': '14' }, true)
    t.same(ends, [])
    world.world.timers.advance(10)
    t.equal(world.streams.length, 2)
    t.same(world.last.body, hex('00 00000003 61736b'), 'the message is sent again')
    world.last.answer(500)
    world.world.timers.advance(20)
    t.equal(world.streams.length, 3)
    world.last.answer(200, { 'grpc-status': '14' }, true)
    t.same(ends, ['14'])
    t.same(world.counters(/retry/), {
      'retry.upstream_rq_completed': 2,
      'retry.upstream_rq_2xx': 1,
      'retry.upstream_rq_200': 1,
      'retry.upstream_rq_5xx': 1,
      'retry.upstream_rq_500': 1,
      upstream_rq_retry: 2,
      upstream_rq_retry_backoff_exponential: 2,
      upstream_rq_retry_limit_exceeded: 1,
    })
  },
)

t.test('a slow attempt is retried', async t => {
  const { world, ends } = connected(toC({ retry_policy: { ...policy, num_retries: 1 } }), 750)
  world.world.timers.advance(100)
  world.world.timers.advance(10)
  t.equal(world.streams.length, 2)
  world.last.answer(200)
  world.last.data(hex(OK_REPLY))
  world.last.trailers({ 'grpc-status': '0' })
  t.same(ends, ['reply hi'])
  t.same(world.counters(/per_try_timeout|retry_success/), {
    upstream_rq_per_try_timeout: 1,
    upstream_rq_retry_success: 1,
  })
})

t.test('a status in trailers is not retried: the answer has begun', async t => {
  const { ends, stream, world } = connected(toC({ retry_policy: policy }))
  stream.answer(200)
  stream.trailers({ 'grpc-status': '14' })
  t.same(ends, ['14'])
  t.equal(world.streams.length, 1)
})

class Talk {
  readonly heard: string[] = []
  onMessage(message: Uint8Array): void {
    this.heard.push(Buffer.from(message).toString())
  }
  onClosed(status: number, text: string): void {
    this.heard.push(`closed ${status} ${text}`.trim())
  }
}

t.test('a stream: messages before and after the connection is there, replies, half-close, end', async t => {
  const world = new CalloutWorld()
  const talk = new Talk()
  const stream = world.services.callOuts.grpc(toC()).open('/p.S/Stream', talk, null)
  stream.send(Buffer.from('one'))
  world.connect()
  stream.send(Buffer.from('two'))
  t.same(world.last.body, hex('00 00000003 6f6e65 00 00000003 74776f'))
  t.equal(world.last.requestEnded, false)
  world.last.answer(200)
  world.last.data(Buffer.concat([grpcFrame(Buffer.from('a')), grpcFrame(Buffer.from('b'))]))
  t.same(talk.heard, ['a', 'b'])
  stream.close()
  t.equal(world.last.requestEnded, true)
  stream.send(Buffer.from('late'))
  world.last.trailers({ 'grpc-status': '0' })
  t.same(talk.heard.slice(2), ['closed 0'])
  stream.send(Buffer.from('later'))
  t.equal(world.last.body.length, 16)
})

t.test('a stream says when more waits than the buffer limit', async t => {
  const world = new CalloutWorld(1, { per_connection_buffer_limit_bytes: 10 })
  const stream = world.services.callOuts.grpc(toC()).open('/p.S/Stream', new Talk(), null)
  stream.send(Buffer.from('12345'))
  t.equal(stream.blocked, false)
  stream.send(Buffer.from('1'))
  t.equal(stream.blocked, true)
  world.connect()
  t.equal(stream.blocked, false)
  world.last.flow = Flow.Pause
  stream.send(Buffer.from('1'))
  t.equal(stream.blocked, true)
  world.last.drained()
  t.equal(stream.blocked, false)
})

t.test('a server that ends a stream before we do: the rest of the request is not sent', async t => {
  const world = new CalloutWorld()
  const talk = new Talk()
  world.services.callOuts.grpc(toC()).open('/p.S/Stream', talk, null)
  world.connect()
  world.last.answer(200, { 'grpc-status': '12' }, true)
  t.same(talk.heard, ['closed 12'])
  t.equal(world.last.wasReset, true)
})

t.test('what is not supported of a GrpcService is refused', async t => {
  const refuse = (proto: Proto, reason: RegExp) => t.throws(() => parse(proto), reason)
  refuse({ google_grpc: { target_uri: 'x', stat_prefix: 'x' } }, /google_grpc is not supported/)
  refuse({}, /needs envoy_grpc/)
  const metadata = (key: string, value: string) => ({
    envoy_grpc: { cluster_name: 'c' },
    initial_metadata: [{ key, value }],
  })
  refuse(metadata(':path', 'x'), /may not be modified/)
  refuse(metadata('x', '%NO%'), /NO/)
  const back = { retry_back_off: { base_interval: 10, max_interval: 5 } }
  refuse({ envoy_grpc: { cluster_name: 'c' }, retry_policy: back }, /greater than or equal/)
})

t.test('frames are cut from a stream of bytes at any place, many in one chunk', async t => {
  const bytes = Buffer.concat(['', 'a', 'bcd', ''].map(text => grpcFrame(Buffer.from(text))))
  for (let size = 1; size <= bytes.length; size++) {
    const reader = new GrpcFrameReader(3)
    const found: string[] = []
    for (let at = 0; at < bytes.length; at += size) {
      reader.push(bytes.subarray(at, at + size))
      for (let m = reader.next(); m !== null; m = reader.next()) found.push(Buffer.from(m).toString())
    }
    t.same(found, ['', 'a', 'bcd', ''])
  }
})
