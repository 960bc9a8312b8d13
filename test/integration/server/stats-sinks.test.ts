import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { ProxyProcess } from '../../../bench/wire/proxy-process.ts'
import { allocatePort } from '../../harness/ports.ts'
import { until } from '../../harness/until.ts'
import { UpstreamSet } from '../../harness/upstream.ts'

const ENVOY = fileURLToPath(new URL('../../../bin/envoy', import.meta.url))

t.test('a last flush goes to every collector when the process ends', async t => {
  const upstreams = new UpstreamSet()
  await upstreams.start({ datagrams: { kind: 'udp' }, stream: { kind: 'tcp', script: 'collect' } })
  const directory = mkdtempSync(join(tmpdir(), 'remora-sinks-'))
  t.teardown(async () => {
    await upstreams.stop()
    rmSync(directory, { recursive: true })
  })
  const address = (name: string) => ({
    socket_address: { address: '127.0.0.1', port_value: upstreams.ports.get(name)! },
  })
  const sink = (config: object) => ({
    name: 'envoy.stat_sinks.statsd',
    typed_config: { '@type': 'type.googleapis.com/envoy.config.metrics.v3.StatsdSink', ...config },
  })
  const admin = await allocatePort()
  const endpoints = [{ lb_endpoints: [{ endpoint: { address: address('stream') } }] }]
  const config = join(directory, 'bootstrap.json')
  writeFileSync(
    config,
    JSON.stringify({
      node: { id: 'n', cluster: 'c' },
      admin: { address: { socket_address: { address: '127.0.0.1', port_value: admin } } },
      // No other flush comes.
      stats_flush_interval: '299s',
      stats_sinks: [sink({ address: address('datagrams') }), sink({ tcp_cluster_name: 'stream', prefix: 'tcp' })],
      static_resources: {
        clusters: [{ name: 'stream', type: 'STATIC', load_assignment: { cluster_name: 'stream', endpoints } }],
      },
    }),
  )
  const proxy = await ProxyProcess.start([ENVOY], config, directory, admin)
  const got = (name: string, text: string) =>
    upstreams.state.records.some(record => record.upstream === name && record.body.includes(text))
  // The connection is there by then.
  await until(() => got('stream', 'tcp.server.initialization_time_ms:'))
  t.notOk(got('datagrams', 'envoy.server.live:'))
  await proxy.stop()
  await until(() => got('datagrams', 'envoy.server.live:1|g') && got('stream', 'tcp.server.live:1|g'))
})
