import t from 'tap'
import type { WorkerServices } from '../../../src/config/services.ts'
import { registerExtensions } from '../../../src/extensions.ts'
import { internalAddress, ipAddress } from '../../../src/io/address.ts'
import { CloseHow } from '../../../src/io/connection.ts'
import { IPPROTO_TCP, SOL_SOCKET } from '../../../src/io/listen-socket.ts'
import type { SocketConnection } from '../../../src/io/socket-connection.ts'
import { SocketLoop } from '../../../src/io/socket-loop.ts'
import { INTERNAL_UPSTREAM } from '../../../src/io/transport-sockets/internal-upstream.ts'
import { StatsStore } from '../../../src/stats/store.ts'
import type { TransportSocketConfig } from '../../../src/upstream/cluster-config.ts'
import type { UpstreamConnectOptions } from '../../../src/upstream/connector.ts'
import { WorkerConnector } from '../../../src/worker/connector.ts'
import { VirtualTimers } from '../base/virtual-clock.ts'
import { loopback, Recorder } from '../io/loopback.ts'
import { socketOption } from '../io/socket-option.ts'

registerExtensions()

const SO_KEEPALIVE = 9
const TCP_KEEPCNT = 6

const RAW = {
  category: 'envoy.transport_sockets.upstream',
  typeUrl: 'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer',
  config: null,
}

const PLAIN = {
  connectTimeout: 1000,
  bufferLimit: 1024,
  bind: null,
  original: null,
  tcpKeepalive: null,
  hostname: '',
  serverName: '',
  verifyName: '',
  alpn: [],
  alpnOverrides: false,
  host: null,
  proxied: null,
  shared: null,
} satisfies Omit<UpstreamConnectOptions, 'stats' | 'transportSocket'>

function workerConnector(loop: SocketLoop, stats: StatsStore): WorkerConnector {
  const services = { timers: loop.timers, stats } as unknown as WorkerServices
  const listeners = { bufferLimit: 1024, find: () => ({ onInternal: () => {} }) }
  return new WorkerConnector(loop, services, listeners)
}

t.test('clusters that share the object of their transport socket count each for itself', async t => {
  const store = new StatsStore()
  const connector = workerConnector(new SocketLoop(new VirtualTimers()), store)
  const metadata = [{ kind: 'host', name: 'envoy.lb' }]
  const transportSocket = { typeUrl: INTERNAL_UPSTREAM, config: { metadata, inner: RAW } }
  const [a, b] = [store.scope('cluster.a.'), store.scope('cluster.b.')]
  for (const stats of [a, b, b]) {
    const options = { ...PLAIN, stats, transportSocket: transportSocket as unknown as TransportSocketConfig }
    connector.connect(internalAddress('l', ''), options, new Recorder()).close(CloseHow.NoFlush)
  }
  t.equal(store.value('cluster.a.internal_upstream.no_metadata'), 1)
  t.equal(store.value('cluster.b.internal_upstream.no_metadata'), 2)
})

t.test('tcp_keepalive of a cluster is set on its connections', async t => {
  const pair = await loopback()
  t.teardown(() => pair.close())
  const store = new StatsStore()
  const options = {
    ...PLAIN,
    tcpKeepalive: { probes: 3, time: null, interval: null },
    stats: store.scope('cluster.a.'),
    transportSocket: RAW as unknown as TransportSocketConfig,
  }
  const connection = workerConnector(pair.loop, store).connect(
    ipAddress('127.0.0.1', pair.port),
    options,
    new Recorder(),
  )
  t.teardown(() => connection.close(CloseHow.NoFlush))
  const { fd } = connection as SocketConnection
  t.equal(socketOption(fd, SOL_SOCKET, SO_KEEPALIVE), 1)
  t.equal(socketOption(fd, IPPROTO_TCP, TCP_KEEPCNT), 3)
})
