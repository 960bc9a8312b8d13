import t from 'tap'
import { HeaderBlock } from '../../../src/codec/header-block.ts'
import { makeAddress } from '../../../src/config/endpoint.ts'
import type { Connection } from '../../../src/io/connection.ts'
import type { OriginalDstCluster } from '../../../src/upstream/clusters/original-dst.ts'
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
  t.equal(cluster.pick({ ...anyRequest, overrideHost: '10.0.0.7:1' })!.address.text, '10.0.0.7:1')
})

t.test('upstream_port_override', async t => {
  const { cluster, to } = start({ upstream_port_override: 15008 })
  t.equal(cluster.pick({ ...anyRequest, downstream: to('10.0.0.5', 8080) })!.address.text, '10.0.0.5:15008')
})

t.test('hosts unused for two cleanup intervals go', async t => {
  const { world, cluster, to } = start()
  cluster.pick({ ...anyRequest, downstream: to('10.0.0.5', 1) })
  t.equal(world.clusterStats('membership_total'), 1)
  world.timers.advance(5000)
  t.equal(cluster.hostCount, 1)
  world.timers.advance(5000)
  t.equal(cluster.hostCount, 0)
  t.equal(world.clusterStats('membership_total'), 0)
  t.equal(world.timers.count, 0)
})
