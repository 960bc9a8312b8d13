import t from 'tap'
import type { WorkerServices } from '../../../src/config/services.ts'
import { registerExtensions } from '../../../src/extensions.ts'
import { internalAddress } from '../../../src/io/address.ts'
import { CloseHow } from '../../../src/io/connection.ts'
import { SocketLoop } from '../../../src/io/socket-loop.ts'
import { INTERNAL_UPSTREAM } from '../../../src/io/transport-sockets/internal-upstream.ts'
import { StatsStore } from '../../../src/stats/store.ts'
import type { TransportSocketConfig } from '../../../src/upstream/cluster-config.ts'
import type { UpstreamConnectOptions } from '../../../src/upstream/connector.ts'
import { WorkerConnector } from '../../../src/worker/connector.ts'
import { VirtualTimers } from '../base/virtual-clock.ts'
import { Recorder } from '../io/loopback.ts'

registerExtensions()

t.test('clusters that share the object of their transport socket count each for itself', async t => {
  const store = new StatsStore()
  const timers = new VirtualTimers()
  const services = { timers, stats: store } as unknown as WorkerServices
  const listeners = { bufferLimit: 1024, find: () => ({ onInternal: () => {} }) }
  const connector = new WorkerConnector(new SocketLoop(timers), services, listeners)
  const raw = {
    category: 'envoy.transport_sockets.upstream',
    typeUrl: 'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer',
    config: null,
  }
  const metadata = [{ kind: 'host', name: 'envoy.lb' }]
  const transportSocket = { typeUrl: INTERNAL_UPSTREAM, config: { metadata, inner: raw } }
  const [a, b] = [store.scope('cluster.a.'), store.scope('cluster.b.')]
  for (const stats of [a, b, b]) {
    const options: UpstreamConnectOptions = {
      connectTimeout: 1000,
      bufferLimit: 1024,
      bind: null,
      original: null,
      tcpKeepalive: null,
      stats,
      transportSocket: transportSocket as unknown as TransportSocketConfig,
      hostname: '',
      serverName: '',
      verifyName: '',
      alpn: [],
      alpnOverrides: false,
      host: null,
      proxied: null,
      shared: null,
    }
    connector.connect(internalAddress('l', ''), options, new Recorder()).close(CloseHow.NoFlush)
  }
  t.equal(store.value('cluster.a.internal_upstream.no_metadata'), 1)
  t.equal(store.value('cluster.b.internal_upstream.no_metadata'), 2)
})
