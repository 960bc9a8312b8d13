import t from 'tap'
import type { RouterFilter } from '../../../src/http/filters/router.ts'
import { shadowRequests } from '../../../src/http/router/shadow.ts'
import type { StreamContext } from '../../../src/http/stream-context.ts'
import { StreamInfo } from '../../../src/telemetry/stream-info.ts'
import { tableOf, withRoutes } from '../routing/configs.ts'
import { endpoint, FakeTimers, staticCluster } from '../upstream/fakes.ts'
import { TestWorld } from '../upstream/world.ts'
import { request } from './fakes.ts'

function send(mirror: object, fields: Record<string, string> = {}, body: string[] = [], timeout = 0, hosts = 1) {
  const endpoints = hosts === 0 ? [] : [endpoint('10.0.0.1', 80)]
  const world = new TestWorld(staticCluster(endpoints))
  const timers = new FakeTimers()
  const services = { timers, clusters: { get: (name: string) => (name === 'c' ? world.cluster : null) } }
  const table = tableOf(
    withRoutes([{ match: { prefix: '/' }, route: { cluster: 'c', request_mirror_policies: [mirror] } }]),
  )
  const h = request(fields)
  const { shadows } = table.route(h, new StreamInfo(), 0)!.action!
  const stream = {
    random: 0,
    requestHeaders: h,
    span: null,
    manager: { localAddress: '10.0.0.9' },
  } as unknown as StreamContext
  const chunks = body.map(part => Buffer.from(part))
  shadowRequests(shadows, stream, chunks, null, { services } as unknown as RouterFilter, timeout)
  return { world, timers, connector: world.connector, original: h, count: world.clusterStats }
}

t.test('a copy goes to the mirror, marked as a shadow of an internal request', async t => {
  const { connector, original, world } = send({ cluster: 'c' }, { 'x-forwarded-for': '1.2.3.4' })
  connector.last.connect()
  t.match(connector.last.written, /^GET \/ HTTP\/1\.1\r\nhost: lab\.test-shadow\r\n/)
  t.match(connector.last.written, /x-envoy-internal: true\r\n/)
  t.match(connector.last.written, /x-forwarded-for: 1\.2\.3\.4,10\.0\.0\.9\r\n/)
  t.equal(original.authority, 'lab.test', 'the original is untouched')
  connector.last.receive('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi')
  t.equal(world.clusterStats('internal.upstream_rq_200'), 1)
  t.equal(world.clusterStats('upstream_rq_active'), 0)
})

t.test('the suffix stands before the port, and can be left out', async t => {
  const port = send({ cluster: 'c' }, { ':authority': 'lab.test:8080' }).connector
  port.last.connect()
  t.match(port.last.written, /host: lab\.test-shadow:8080\r\n/)
  const plain = send({ cluster: 'c', disable_shadow_host_suffix_append: true }).connector
  plain.last.connect()
  t.match(plain.last.written, /host: lab\.test\r\n/)
})

t.test('the body is sent whole', async t => {
  const { connector } = send({ cluster: 'c' }, { ':method': 'POST', 'content-length': '4' }, ['ab', 'cd'])
  connector.last.connect()
  t.match(connector.last.written, /\r\n\r\nabcd$/)
})

t.test('the cluster may come from a header; without one nothing is sent', async t => {
  t.equal(send({ cluster_header: 'x-mirror' }, { 'x-mirror': 'c' }).connector.made.length, 1)
  t.equal(send({ cluster_header: 'x-mirror' }, { 'x-mirror': 'nobody' }).connector.made.length, 0)
  t.equal(send({ cluster_header: 'x-mirror' }).connector.made.length, 0)
})

t.test('the runtime fraction decides', async t => {
  const fraction = (numerator: number) => ({ cluster: 'c', runtime_fraction: { default_value: { numerator } } })
  t.equal(send(fraction(0)).connector.made.length, 0)
  t.equal(send(fraction(100)).connector.made.length, 1)
})

t.test('a mirror that does not answer in time is reset', async t => {
  const { connector, timers, count } = send({ cluster: 'c' }, {}, [], 100)
  connector.last.connect()
  timers.advance(100)
  t.equal(count('upstream_rq_timeout'), 1)
  t.equal(count('upstream_rq_active'), 0)
  t.equal(connector.last.closed, true)
})

t.test('a mirror without hosts, or that refuses, only counts', async t => {
  t.equal(send({ cluster: 'c' }, {}, [], 0, 0).count('upstream_rq_503'), 1)
  const { connector, count } = send({ cluster: 'c' })
  connector.last.refuse()
  t.equal(count('upstream_rq_503'), 1)
})
