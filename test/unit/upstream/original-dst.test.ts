import t from 'tap'
import { HeaderBlock } from '../../../src/codec/header-block.ts'
import { makeAddress } from '../../../src/config/endpoint.ts'
import { ipAddress } from '../../../src/io/address.ts'
import type { Connection } from '../../../src/io/connection.ts'
import { MetHosts } from '../../../src/server/met-hosts.ts'
import { StatsStore } from '../../../src/stats/store.ts'
import { AddressState } from '../../../src/telemetry/filter-state-values.ts'
import { StreamInfo } from '../../../src/telemetry/stream-info.ts'
import type { OriginalDstCluster } from '../../../src/upstream/clusters/original-dst.ts'
import type { WorkerHost } from '../../../src/upstream/host.ts'
import { SharedCells } from '../../../src/upstream/shared-state.ts'
import { HostCell } from '../../../src/upstream/upstream.ts'
import { anyRequest, TestWorld } from './world.ts'

function start(original_dst_lb_config: object = {}) {
  const world = new TestWorld({
    name: 'c',
    type: 'ORIGINAL_DST',
    lb_policy: 'CLUSTER_PROVIDED',
    original_dst_lb_config,
  })
  const to = (ip: string, port: number, localRestored = true) =>
    ({ local: makeAddress(ip, port), localRestored }) as unknown as Connection
  return { world, cluster: world.cluster as OriginalDstCluster, to }
}

t.test('the host is where the connection was going', async t => {
  const { cluster, to } = start()
  const host = cluster.pick({ ...anyRequest, downstream: to('10.0.0.5', 8080) })!
  t.equal(host.address.text, '10.0.0.5:8080')
  t.equal(cluster.pick({ ...anyRequest, downstream: to('10.0.0.5', 8080) }), host)
})

t.test('a connection that was not redirected has none: it would loop', async t => {
  const { world, cluster, to } = start()
  t.equal(cluster.pick({ ...anyRequest, downstream: to('10.0.0.5', 8080, false) }), null)
  t.equal(world.clusterStats('upstream_cx_none_healthy'), 1)
})

t.test('a header or the filter state may name it; anything malformed is refused', async t => {
  const { world, cluster } = start({ use_http_header: true })
  const ask = (value: string) => {
    const h = new HeaderBlock()
    h.push('x-envoy-original-dst-host', value)
    return cluster.pick({ ...anyRequest, requestHeaders: h })?.address.text
  }
  t.equal(ask('10.0.0.9:81'), '10.0.0.9:81')
  t.equal(ask('[::1]:81'), '[::1]:81')
  for (const bad of ['a.b:80', '10.0.0.9', '10.0.0.9:99999', '::1:80', '10.0.0.9:8x']) t.equal(ask(bad), undefined)
  t.equal(world.clusterStats('original_dst_host_invalid'), 5)
})

t.test('filter state comes before metadata, metadata before a header, all before the connection', async t => {
  const { world, cluster, to } = start({ use_http_header: true, metadata_key: { key: 'm', path: [{ key: 'host' }] } })
  const info = new StreamInfo()
  const requestHeaders = new HeaderBlock()
  const ask = () => {
    const downstream = to('10.0.0.1', 1)
    return cluster.pick({ ...anyRequest, info, requestHeaders, downstream })?.address.text
  }
  t.equal(ask(), '10.0.0.1:1')
  requestHeaders.push('x-envoy-original-dst-host', '10.0.0.2:2')
  t.equal(ask(), '10.0.0.2:2')
  info.mergeMetadata('m', { host: ['10.0.0.3:3', 'other'] })
  t.equal(ask(), '10.0.0.3:3')
  info.setState('envoy.network.transport_socket.original_dst_address', new AddressState(ipAddress('10.0.0.4', 4)))
  t.equal(ask(), '10.0.0.4:4')
  info.reset()
  info.mergeMetadata('m', { host: 'nonsense' })
  t.equal(ask(), '10.0.0.2:2', 'what is malformed is counted, and the next one asked')
  t.equal(world.clusterStats('original_dst_host_invalid'), 1)
})

t.test('the connection’s own facts count, too', async t => {
  const { cluster } = start({ metadata_key: { key: 'm', path: [{ key: 'host' }] } })
  const streamInfo = new StreamInfo()
  streamInfo.mergeMetadata('m', { host: '10.0.0.3:3' })
  const downstream = { localRestored: false, streamInfo } as unknown as Connection
  t.equal(cluster.pick({ ...anyRequest, downstream })!.address.text, '10.0.0.3:3')
})

t.test('upstream_port_override', async t => {
  const { cluster, to } = start({ upstream_port_override: 15008 })
  t.equal(cluster.pick({ ...anyRequest, downstream: to('10.0.0.5', 8080) })!.address.text, '10.0.0.5:15008')
})

t.test('hosts unused for two cleanup intervals go, and main hears of both', async t => {
  const { world, cluster, to } = start()
  const host = cluster.pick({ ...anyRequest, downstream: to('10.0.0.5', 1) })!
  t.match(world.met, [{ cluster: 'c', met: [{ address: host.address, hostname: 'c10.0.0.5:1' }], gone: [] }])
  world.timers.advance(5000)
  t.equal(cluster.hostCount, 1)
  world.timers.advance(5000)
  t.equal(cluster.hostCount, 0)
  t.match(world.met[1], { met: [], gone: ['10.0.0.5:1'] })
  t.equal(world.timers.count, 0)
})

t.test('a host with connections stays', async t => {
  const { world, cluster, to } = start()
  const host = cluster.pick({ ...anyRequest, downstream: to('10.0.0.5', 1) }) as WorkerHost
  const connection = { close() {} }
  host.addTcp(connection)
  world.timers.advance(60_000)
  t.equal(cluster.hostCount, 1)
  host.removeTcp(connection)
  world.timers.advance(10_000)
  t.equal(cluster.hostCount, 0)
})

t.test('main shows a host once, with what all workers count of it', async t => {
  const store = new StatsStore()
  const hosts = new MetHosts(store, 'cluster.c.')
  const cells = [0, 1].map(() => new SharedArrayBuffer(2 * HostCell.Count * 4))
  for (const [worker, memory] of cells.entries()) {
    hosts.update(worker, [{ address: ipAddress('10.0.0.5', 1), hostname: 'h', cells: memory }], [])
    new SharedCells(new Int32Array(memory, 0, HostCell.Count), new Int32Array(memory, HostCell.Count * 4), 0).count(
      HostCell.CxTotal,
    )
  }
  const gauge = () => store.snapshot().gauges.find(g => g.name === 'cluster.c.membership_total')?.value
  t.equal(hosts.all().length, 1)
  t.equal(hosts.all()[0]!.counter(HostCell.CxTotal), 2)
  t.equal(gauge(), 1)
  hosts.update(0, [], ['10.0.0.5:1'])
  t.equal(gauge(), 1)
  hosts.forget(1)
  t.equal(gauge(), 0)
})

t.test('http_header_name without use_http_header is refused', async t => {
  const says = (envoyText: string): Error => ({ envoyText }) as unknown as Error
  t.throws(
    () => start({ http_header_name: 'x' }),
    says(
      'ORIGINAL_DST cluster: invalid config http_header_name=x and use_http_header is false. ' +
        'Set use_http_header to true if http_header_name is desired.',
    ),
  )
})
