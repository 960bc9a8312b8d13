import t from 'tap'
import type { CodecStream, StreamDecoder } from '../../../src/codec/codec.ts'
import { HeaderBlock } from '../../../src/codec/header-block.ts'
import { type Connection, Flow } from '../../../src/io/connection.ts'
import type { Http2Codec } from '../../../src/upstream/connector.ts'
import type { WorkerHost } from '../../../src/upstream/host.ts'
import { type HttpPoolUser, type PoolFailure, Resource } from '../../../src/upstream/upstream.ts'
import { endpoint, staticCluster } from './fakes.ts'
import { anyRequest, TestWorld } from './world.ts'

/** A codec whose peer is the test. */
class FakeHttp2 implements Http2Codec {
  readonly protocol = 'HTTP/2'
  readonly streams: FakeStream[] = []
  concurrencyLimit = 100
  readonly decoder: StreamDecoder
  next: (() => void) | null = null
  constructor(decoder: StreamDecoder) {
    this.decoder = decoder
  }

  dispatch(): void {
    this.next?.()
    this.next = null
  }

  newStream(user: unknown): CodecStream | null {
    if (this.activeStreams >= this.concurrencyLimit) return null
    const s = new FakeStream(user)
    this.streams.push(s)
    return s
  }

  get activeStreams(): number {
    return this.streams.filter(s => !s.over).length
  }

  drain(): void {}
  onConnectionWritable(): void {}
  onConnectionClosed(why: number): void {
    for (const s of this.streams.filter(x => !x.over)) {
      s.over = true
      this.decoder.onReset(s, why as 6, '')
    }
  }

  answer(s: FakeStream): void {
    s.over = true
    const h = new HeaderBlock()
    h.status = 200
    this.decoder.onHeaders(s, h, true)
  }
}

class FakeStream implements CodecStream {
  over = false
  closeAfter = false
  headerBytesSent = 0
  headerBytesReceived = 0
  wireBytesSent = 0
  wireBytesReceived = 0
  readonly id = 1
  readonly bufferedBytes = 0
  resets = 0
  user: unknown
  constructor(user: unknown) {
    this.user = user
  }
  encodeHeaders(): void {}
  encode1xx(): void {}
  encodeData(): Flow {
    return Flow.Continue
  }
  encodeTrailers(): void {}
  reset(): void {
    this.over = true
    this.resets++
  }
  holdReading(): void {}
}

class User implements HttpPoolUser {
  stream: CodecStream | null = null
  failure: PoolFailure | null = null
  reset = -1
  done = false
  protocol = ''
  onPoolReady(stream: CodecStream, _host: unknown, _c: Connection, protocol: string): void {
    this.stream = stream
    this.protocol = protocol
    stream.encodeHeaders(new HeaderBlock(), true)
  }
  onPoolFailure(failure: PoolFailure): void {
    this.failure = failure
  }
  onResponseHeaders(_h: HeaderBlock, end: boolean): void {
    this.done = end
  }
  onResponseData(): Flow {
    return Flow.Continue
  }
  onResponseTrailers(): void {}
  onUpstreamReset(why: number): void {
    this.reset = why
  }
  onUpstreamWritable(): void {}
}

function start(http2: object = {}, extra: object = {}) {
  const world = new TestWorld(staticCluster([endpoint('10.0.0.1', 80)], { http2_protocol_options: http2, ...extra }))
  const codecs: FakeHttp2[] = []
  world.codecs.makeHttp2 = (_c, decoder) => {
    const codec = new FakeHttp2(decoder)
    codecs.push(codec)
    return codec
  }
  const host = world.cluster.pick(anyRequest) as WorkerHost
  const ask = (): User => {
    const user = new User()
    world.cluster.httpPool(host, 0, 'HTTP/2', null).newStream(user)
    return user
  }
  return { world, host, codecs, ask, made: world.connector.made, stats: world.clusterStats }
}

t.test('one connection carries many streams; a second is opened only at max_concurrent_streams', async t => {
  const { ask, made, stats } = start({ max_concurrent_streams: 2 })
  const users = [ask(), ask(), ask()]
  t.equal(made.length, 2)
  made[0]!.connect()
  t.equal(users[0]!.protocol, 'HTTP/2')
  t.ok(users[1]!.stream)
  t.notOk(users[2]!.stream)
  t.equal(stats('upstream_cx_http2_total'), 2)
  made[1]!.connect()
  t.ok(users[2]!.stream)
})

t.test("the peer's SETTINGS lower the streams per connection", async t => {
  const { ask, made, codecs } = start()
  const a = ask()
  made[0]!.connect()
  codecs[0]!.concurrencyLimit = 1
  made[0]!.receive('settings')
  const b = ask()
  t.ok(a.stream)
  t.notOk(b.stream)
  t.equal(made.length, 2)
  codecs[0]!.next = () => codecs[0]!.answer(codecs[0]!.streams[0]!)
  made[0]!.receive('answer')
  t.ok(b.stream, 'served by the connection that became free first')
})

t.test('GOAWAY: streams end, the connection closes with the last, new streams go elsewhere', async t => {
  const { ask, made, codecs, stats } = start()
  const a = ask()
  made[0]!.connect()
  codecs[0]!.decoder.onGoAway!()
  t.equal(stats('upstream_cx_close_notify'), 1)
  ask()
  t.equal(made.length, 2)
  t.equal(made[0]!.closed, false)
  codecs[0]!.answer(codecs[0]!.streams[0]!)
  t.equal(a.done, true)
  t.equal(made[0]!.closed, true)
})

t.test('a reset by the user or by the peer leaves the connection in use', async t => {
  const { ask, made, codecs, stats, world } = start()
  const a = ask()
  const b = ask()
  made[0]!.connect()
  a.stream!.reset(0)
  t.equal(codecs[0]!.streams[0]!.resets, 1)
  t.equal(stats('upstream_rq_tx_reset'), 1)
  codecs[0]!.streams[1]!.over = true
  codecs[0]!.decoder.onReset(codecs[0]!.streams[1]!, 2, '')
  t.equal(b.reset, 2)
  t.equal(stats('upstream_rq_rx_reset'), 1)
  t.equal(made[0]!.closed, false)
  t.equal(world.taken(Resource.Requests), 0)
  t.equal(stats('upstream_rq_active'), 0)
})

t.test('a lost connection resets all its streams and counts them', async t => {
  const { ask, made, stats, world } = start()
  const a = ask()
  const b = ask()
  made[0]!.connect()
  made[0]!.gone(0)
  t.same([a.reset, b.reset], [6, 6])
  t.equal(stats('upstream_cx_destroy_remote_with_active_rq'), 1)
  t.equal(stats('upstream_rq_active'), 0)
  t.equal(world.taken(Resource.Connections), 0)
})

t.test('use_downstream_protocol_config follows the downstream stream', async t => {
  const name = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
  const world = new TestWorld(
    staticCluster([endpoint('10.0.0.1', 80)], {
      typed_extension_protocol_options: { [name]: { type_url: name, message: { use_downstream_protocol_config: {} } } },
    }),
  )
  world.codecs.makeHttp2 = (_c, decoder) => new FakeHttp2(decoder)
  const host = world.cluster.pick(anyRequest)!
  for (const protocol of ['HTTP/2', 'HTTP/1.1']) {
    const user = new User()
    world.cluster.httpPool(host, 0, protocol, null).newStream(user)
    world.connector.last.connect()
    t.equal(user.protocol, protocol)
  }
})

t.test('auto_config takes the protocol that ALPN chose', async t => {
  const name = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
  const tls = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext'
  const world = new TestWorld(
    staticCluster([endpoint('10.0.0.1', 80)], {
      transport_socket: { name: 'tls', typed_config: { type_url: tls, message: {} } },
      typed_extension_protocol_options: { [name]: { type_url: name, message: { auto_config: {} } } },
    }),
  )
  world.codecs.makeHttp2 = (_c, decoder) => new FakeHttp2(decoder)
  const host = world.cluster.pick(anyRequest)!
  const first = new User()
  world.cluster.httpPool(host, 0, 'HTTP/1.1', null).newStream(first)
  t.same(world.connector.last.options.alpn, ['h2', 'http/1.1'])
  world.connector.last.connect('h2')
  t.equal(first.protocol, 'HTTP/2')
  t.equal(world.clusterStats('upstream_cx_http2_total'), 1)
})
