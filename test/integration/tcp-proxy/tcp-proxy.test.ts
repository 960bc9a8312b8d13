import net from 'node:net'
import t from 'tap'
import { TimerWheel } from '../../../src/base/timer-wheel.ts'
import { Acceptor } from '../../../src/io/acceptor.ts'
import { ipAddress } from '../../../src/io/address.ts'
import { CloseHow, CloseReason, type Connection } from '../../../src/io/connection.ts'
import { openListenSocket, PLAIN_SOCKET } from '../../../src/io/listen-socket.ts'
import { accept, type SocketConnection } from '../../../src/io/socket-connection.ts'
import { SocketLoop } from '../../../src/io/socket-loop.ts'
import { NetworkFilterChain } from '../../../src/network/filter-chain.ts'
import { TcpProxy } from '../../../src/network/tcp-proxy.ts'
import type { TcpProxyConfig } from '../../../src/network/tcp-proxy-config.ts'
import type { AccessLogger } from '../../../src/telemetry/format-context.ts'
import { ResponseFlag, type StreamInfo } from '../../../src/telemetry/stream-info.ts'
import type { Cluster } from '../../../src/upstream/upstream.ts'
import { VirtualTimers } from '../../unit/base/virtual-clock.ts'
import { fakeServices } from '../../unit/network/fake-services.ts'
import { loopbackCluster } from './loopback-cluster.ts'

const CONFIG: TcpProxyConfig = {
  statPrefix: 'p',
  clusters: [{ name: 'up', weight: 1, metadataMatch: null }],
  totalWeight: 1,
  metadataMatch: null,
  idleTimeout: 3_600_000,
  maxConnectAttempts: 1,
  backoff: null,
  hashSourceIp: false,
  maxConnectionDuration: 0,
  durationJitter: 0,
  tunnel: null,
  accessLogs: [],
}

interface Setup {
  readonly port: number
  readonly logged: StreamInfo[]
  readonly connections: SocketConnection[]
  stat(name: string): number
  cluster(name: string, port: number): void
  /** As the listener does when the handshake meets its timeout. */
  refuse(): void
  close(): void
}

async function proxy(
  config: Partial<TcpProxyConfig>,
  timers = new TimerWheel(),
  bufferLimit = 64 * 1024,
): Promise<Setup> {
  const clusters = new Map<string, Cluster>()
  const services = fakeServices(timers, { localSize: () => 1, get: name => clusters.get(name) ?? null })
  const loop = new SocketLoop(timers)
  const logged: StreamInfo[] = []
  const logger: AccessLogger = { log: context => void logged.push(context.info) }
  const named = { filterChainName: 'fc', listenerName: 'l', listenerMetadata: null, filterChainMetadata: null }
  const filter = new TcpProxy({ ...CONFIG, ...config }, { ...services, ...named }, [logger])
  const connections: SocketConnection[] = []
  const acceptor = new Acceptor(loop, {
    onAccept(fd) {
      const chain = new NetworkFilterChain({ onConnectionClosed() {} })
      const c = accept(loop, fd, chain, 0)
      if (c === null) return
      c.setWatermarks(bufferLimit)
      connections.push(c)
      chain.start(c, [filter])
    },
    onAcceptError() {},
  })
  acceptor.listen(openListenSocket(ipAddress('127.0.0.1', 0), PLAIN_SOCKET), 16)
  return {
    port: acceptor.port,
    logged,
    connections,
    stat: name => services.stats.value(name),
    cluster: (name, port) => void clusters.set(name, loopbackCluster(name, port, loop, services.stats)),
    refuse() {
      const chain = new NetworkFilterChain({ onConnectionClosed() {} })
      const c = {
        startTime: timers.now(),
        remote: ipAddress('127.0.0.1', 1),
        bytesReceived: 0,
        bytesSent: 0,
        transportFailure: '',
        closed: false,
        streamInfo: null,
        holdReading() {},
        close() {},
      }
      chain.start(c as unknown as Connection, [filter])
      chain.onClose(c as unknown as Connection, CloseReason.ConnectTimeout)
    },
    close() {
      acceptor.close(true)
      for (const c of connections) c.close(CloseHow.NoFlush)
    },
  }
}

async function upstream(serve: (socket: net.Socket) => void): Promise<{ port: number; close(): void }> {
  const server = net.createServer({ allowHalfOpen: true }, socket => {
    socket.on('error', () => {})
    serve(socket)
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  return { port: (server.address() as net.AddressInfo).port, close: () => server.close() }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate)
}

/** Sends, perhaps half-closes, collects until the end: `text`, plus `<reset>` when it ended so. */
function client(port: number, send: string, half = true): Promise<string> {
  return new Promise(resolve => {
    let got = ''
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    socket.on('data', d => {
      got += d
    })
    socket.on('end', () => {
      resolve(got)
      socket.destroy()
    })
    socket.on('error', () => resolve(`${got}<reset>`))
    if (send !== '') socket.write(send)
    if (half) socket.end()
  })
}

t.test('bytes both ways, half-close both ways, one log line', async t => {
  const up = await upstream(s => {
    let all = ''
    s.on('data', d => {
      all += d
    })
    s.on('end', () => s.end(`got ${all}`))
  })
  const p = await proxy({})
  t.teardown(() => {
    p.close()
    up.close()
  })
  p.cluster('up', up.port)
  t.equal(await client(p.port, 'hello'), 'got hello')
  await until(() => p.logged.length === 1)
  const info = p.logged[0]!
  t.equal(info.flags, 0)
  t.equal(info.bytesReceived, 5)
  t.equal(info.bytesSent, 9)
  t.equal(info.upstreamHost, `127.0.0.1:${up.port}`)
  t.equal(info.upstreamClusterName, 'up')
  t.equal(info.upstreamAttempts, 1)
  t.match(info.upstreamLocal, /^127\.0\.0\.1:\d+$/)
  t.equal(info.filterChainName, 'fc')
  t.equal(p.stat('tcp.p.downstream_cx_total'), 1)
  t.equal(p.stat('tcp.p.downstream_cx_rx_bytes_total'), 5)
  t.equal(p.stat('tcp.p.downstream_cx_tx_bytes_total'), 9)
})

t.test('refused: UF,URX after max_connect_attempts, with the reason', async t => {
  const up = await upstream(() => {})
  up.close()
  const p = await proxy({ maxConnectAttempts: 3 })
  t.teardown(() => p.close())
  p.cluster('up', up.port)
  // RST when the byte was not read before the close, else FIN.
  t.match(await client(p.port, 'x', false), /^(<reset>)?$/)
  await until(() => p.logged.length === 1)
  const info = p.logged[0]!
  t.ok(info.hasFlag(ResponseFlag.UpstreamConnectionFailure))
  t.ok(info.hasFlag(ResponseFlag.UpstreamRetryLimitExceeded))
  t.equal(info.upstreamAttempts, 3)
  t.equal(info.upstreamTransportFailure, 'delayed_connect_error:_Connection_refused')
  t.equal(info.upstreamHost, `127.0.0.1:${up.port}`)
  t.equal(p.stat('cluster.up.upstream_cx_connect_attempts_exceeded'), 1)
})

t.test('no healthy host is UH, no such cluster is NC', async t => {
  const p = await proxy({})
  t.teardown(() => p.close())
  await client(p.port, '')
  await until(() => p.logged.length === 1)
  t.ok(p.logged[0]!.hasFlag(ResponseFlag.NoClusterFound))
  t.equal(p.stat('tcp.p.downstream_cx_no_route'), 1)
  p.cluster('up', 0)
  await client(p.port, '')
  await until(() => p.logged.length === 2)
  t.ok(p.logged[1]!.hasFlag(ResponseFlag.NoHealthyUpstream))
  t.equal(p.logged[1]!.upstreamAttempts, 0)
})

t.test('an upstream RST is UR and reaches the client as RST', async t => {
  const up = await upstream(s => s.once('data', () => s.resetAndDestroy()))
  const p = await proxy({})
  t.teardown(() => {
    p.close()
    up.close()
  })
  p.cluster('up', up.port)
  t.equal(await client(p.port, 'x', false), '<reset>')
  await until(() => p.logged.length === 1)
  t.ok(p.logged[0]!.hasFlag(ResponseFlag.UpstreamRemoteReset))
})

t.test('idle timeout and maximum duration', async t => {
  const up = await upstream(s => s.on('data', d => s.write(d)))
  t.teardown(() => up.close())
  const timers = new VirtualTimers()
  const p = await proxy({ idleTimeout: 500 }, timers)
  t.teardown(() => p.close())
  p.cluster('up', up.port)
  const ended = client(p.port, 'x', false)
  await until(() => p.stat('tcp.p.downstream_cx_tx_bytes_total') === 1)
  // What is written leaves at the end of the turn.
  await new Promise(setImmediate)
  timers.pass(499)
  t.equal(p.stat('tcp.p.idle_timeout'), 0)
  timers.pass(2)
  t.equal(await ended, 'x')
  await until(() => p.logged.length === 1)
  t.equal(p.logged[0]!.flags, 0)
  t.equal(p.stat('tcp.p.idle_timeout'), 1)

  const limited = await proxy({ maxConnectionDuration: 500 }, timers)
  t.teardown(() => limited.close())
  limited.cluster('up', up.port)
  const cut = client(limited.port, 'x', false)
  await until(() => limited.stat('tcp.p.downstream_cx_tx_bytes_total') === 1)
  // What is written leaves at the end of the turn.
  await new Promise(setImmediate)
  timers.pass(501)
  t.equal(await cut, 'x')
  await until(() => limited.logged.length === 1)
  t.ok(limited.logged[0]!.hasFlag(ResponseFlag.DurationTimeout))
  t.equal(limited.stat('tcp.p.max_downstream_connection_duration'), 1)
})

t.test('a slow upstream holds the client back, and everything arrives', async t => {
  const sockets: net.Socket[] = []
  const up = await upstream(s => {
    s.pause()
    sockets.push(s)
  })
  const p = await proxy({})
  t.teardown(() => {
    p.close()
    up.close()
  })
  p.cluster('up', up.port)
  const size = 24 * 1024 * 1024
  const done = new Promise<number>(resolve => {
    const socket = net.connect({ port: p.port, host: '127.0.0.1', allowHalfOpen: true })
    socket.end(Buffer.alloc(size))
    socket.on('close', () => resolve(0)).on('error', () => {})
    socket.on('end', () => resolve(1)).resume()
  })
  await until(() => p.stat('tcp.p.downstream_flow_control_paused_reading_total') > 0)
  // It is let go and held again while the kernel's buffers grow.
  await until(() => p.connections[0]!.readHolds > 0)
  let received = 0
  sockets[0]!.on('data', d => {
    received += d.length
  })
  sockets[0]!.on('end', () => sockets[0]!.end())
  sockets[0]!.resume()
  await done
  t.equal(received, size)
  await until(() => p.logged.length === 1)
  t.equal(p.logged[0]!.bytesReceived, size)
  t.ok(p.stat('tcp.p.downstream_flow_control_resumed_reading_total') > 0)
})

t.test('a slow client holds the upstream back, and everything arrives', async t => {
  const size = 24 * 1024 * 1024
  const up = await upstream(s => s.end(Buffer.alloc(size)))
  const p = await proxy({})
  t.teardown(() => {
    p.close()
    up.close()
  })
  p.cluster('up', up.port)
  const socket = net.connect({ port: p.port, host: '127.0.0.1', allowHalfOpen: true }).pause()
  await until(() => p.connections[0]?.awaitsDrain === true && p.connections[0].bufferedBytes > 32 * 1024)
  let received = 0
  socket.on('data', d => {
    received += d.length
  })
  const ended = new Promise(resolve => socket.on('end', resolve))
  socket.resume()
  await ended
  t.equal(received, size)
  socket.end()
  await until(() => p.logged.length === 1)
  t.equal(p.logged[0]!.bytesSent, size)
})

t.test('weighted clusters: shares follow the weights', async t => {
  const p = await proxy({
    clusters: [
      { name: 'a', weight: 3, metadataMatch: null },
      { name: 'b', weight: 1, metadataMatch: null },
    ],
    totalWeight: 4,
  })
  t.teardown(() => p.close())
  p.cluster('a', 0)
  p.cluster('b', 0)
  for (let i = 0; i < 200; i++) await client(p.port, '')
  await until(() => p.logged.length === 200)
  const a = p.logged.filter(info => info.upstreamClusterName === 'a').length
  // Six times the standard deviation, for whoever is the millionth to run this.
  t.ok(a > 113 && a < 187, `${a} of 200`)
})

t.test('a connection that ends in the handshake has its log line', async t => {
  const p = await proxy({})
  t.teardown(() => p.close())
  p.refuse()
  t.equal(p.logged.length, 1)
  t.equal(p.logged[0]!.upstreamAttempts, 0)
  t.equal(p.logged[0]!.connectionTerminationDetails, 'transport socket timeout was reached')
  t.equal(p.stat('tcp.p.downstream_cx_total'), 1)
})
