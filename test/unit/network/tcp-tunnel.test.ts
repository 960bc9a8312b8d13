import t from 'tap'
import { type CodecStream, ResetReason } from '../../../src/codec/codec.ts'
import { HeaderBlock } from '../../../src/codec/header-block.ts'
import { CloseReason, type Connection } from '../../../src/io/connection.ts'
import { TcpTunnel, Tunneling, type TunnelUser } from '../../../src/network/tcp-tunnel.ts'
import { StreamInfo } from '../../../src/telemetry/stream-info.ts'
import { type Host, PoolFailure } from '../../../src/upstream/upstream.ts'

class FakeStream {
  readonly sent: string[] = []
  bufferedBytes = 0
  wireBytesSent = 7
  wireBytesReceived = 9

  encodeHeaders(h: HeaderBlock, end: boolean): void {
    this.sent.push(`${h.method} ${h.authority} ${h.list.join(' ')}${end ? ' end' : ''}`)
  }

  encodeData(chunk: Uint8Array, end: boolean): 0 {
    this.sent.push(`${Buffer.from(chunk)}${end ? ' end' : ''}`)
    return 0
  }

  reset(reason: ResetReason): void {
    this.sent.push(`reset ${reason}`)
  }
}

class User implements TunnelUser {
  readonly info = new StreamInfo()
  readonly requestHeaders = null
  readonly responseHeaders = null
  readonly responseTrailers = null
  readonly localReplyBody = ''
  readonly heard: string[] = []

  onTunnelReady(): void {
    this.heard.push('ready')
  }

  onTcpFailure(failure: PoolFailure, _: Host, text: string): void {
    this.heard.push(`failure ${failure} ${text}`)
  }

  onTunnelData(chunk: Uint8Array, end: boolean): void {
    this.heard.push(`${Buffer.from(chunk)}${end ? ' end' : ''}`)
  }

  onTunnelWritable(): void {
    this.heard.push('writable')
  }

  onTunnelClosed(why: CloseReason): void {
    this.heard.push(`closed ${why}`)
  }
}

const HOST = {} as Host
const CONNECTION = { encrypted: false } as Connection
const CONFIG = {
  hostname: 'h:1',
  usePost: false,
  postPath: '/',
  headersToAdd: [],
  propagateResponseHeaders: false,
  propagateResponseTrailers: true,
}

function start(protocol = 'HTTP/2'): { user: User; stream: FakeStream; tunnel: TcpTunnel } {
  const user = new User()
  const stream = new FakeStream()
  const tunnel = new TcpTunnel(user, new Tunneling(CONFIG))
  tunnel.onPoolReady(stream as unknown as CodecStream, HOST, CONNECTION, protocol)
  return { user, stream, tunnel }
}

function answer(status: number): HeaderBlock {
  const h = new HeaderBlock()
  h.status = status
  return h
}

t.test('any 2xx that goes on is consent; interim answers are none', async t => {
  for (const status of [200, 204, 299]) {
    const { user, stream, tunnel } = start()
    tunnel.onResponseHeaders(answer(103), false)
    t.same(user.heard, [])
    tunnel.onResponseHeaders(answer(status), false)
    t.same(user.heard, ['ready'])
    t.match(stream.sent, [/^CONNECT h:1 /])
  }
})

t.test('a refusal is a failed connection, named by its status; so is consent that ends at once', async t => {
  for (const [status, end] of [
    [403, false],
    [200, true],
  ] as const) {
    const { user, stream, tunnel } = start()
    tunnel.onResponseHeaders(answer(status), end)
    t.same(user.heard, [`failure ${PoolFailure.RemoteConnectionFailure} tunnel_response:${status}`])
    t.equal(stream.sent[1], `reset ${ResetReason.Local}`)
    tunnel.onResponseData(Buffer.from('late'), true)
    tunnel.onUpstreamReset()
    t.equal(user.heard.length, 1)
  }
})

t.test('a stream that breaks off is a failure before consent, and the end of the connection after it', async t => {
  const before = start()
  before.tunnel.onUpstreamReset()
  t.same(before.user.heard, [`failure ${PoolFailure.RemoteConnectionFailure} `])
  const after = start()
  after.tunnel.onResponseHeaders(answer(200), false)
  after.tunnel.onUpstreamReset()
  t.same(after.user.heard, ['ready', `closed ${CloseReason.Remote}`])
  t.equal(after.tunnel.bytesSent, 7)
})

t.test('HTTP/2 ends its two sides one by one, by trailers too, which the filter state then has', async t => {
  const { user, stream, tunnel } = start()
  tunnel.onResponseHeaders(answer(200), false)
  const trailers = new HeaderBlock()
  trailers.push('x-t', '1')
  tunnel.onResponseTrailers(trailers)
  t.same(user.heard, ['ready', ' end'])
  t.match(JSON.stringify(user.info.state('envoy.tcp_proxy.propagate_response_trailers')), '"x-t"')
  tunnel.write(Buffer.from('more'))
  tunnel.end()
  t.equal(user.heard[2], `closed ${CloseReason.Remote}`)
  t.same(stream.sent.slice(1), ['more', ' end'], 'a stream that is over is not reset: it may be somebody else’s')
})

t.test('HTTP/1 has one end for both sides', async t => {
  const { user, stream, tunnel } = start('HTTP/1.1')
  tunnel.onResponseHeaders(answer(200), false)
  tunnel.end()
  t.same(user.heard, ['ready', `closed ${CloseReason.Local}`])
  t.equal(stream.sent.at(-1), `reset ${ResetReason.Local}`)
})

t.test('nobody waits any more: the wait is cancelled, and what comes all the same is reset', async t => {
  const user = new User()
  const tunnel = new TcpTunnel(user, new Tunneling(CONFIG))
  let cancelled = 0
  tunnel.waitFor({ cancel: () => cancelled++ })
  tunnel.cancel()
  t.equal(cancelled, 1)
  const stream = new FakeStream()
  tunnel.onPoolReady(stream as unknown as CodecStream, HOST, CONNECTION, 'HTTP/2')
  tunnel.onPoolFailure(PoolFailure.Timeout, HOST, '')
  t.same(stream.sent, [`reset ${ResetReason.Local}`])
  t.same(user.heard, [])
})
