/** Health checks, DNS, EDS by file and outlier detection of the whole proxy, against real peers. TEST_ENVOY: another envoy, for comparison. */
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { settled, until } from '../../harness/until.ts'
import { RunningProxy } from '../proxy/running-proxy.ts'
import { http1Patient, http2Patient, NameServer, type Patient, tcpPatient } from './peers.ts'

const HCM = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
const ROUTER = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router'
const CARES = 'type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig'
const HTTP_OPTIONS = 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
const socket = (address: string, port: number) => ({ socket_address: { address, port_value: port } })
const endpoint = (address: string, port: number) => ({ endpoint: { address: socket(address, port) } })

function assignment(name: string, endpoints: readonly object[]) {
  return { cluster_name: name, endpoints: [{ lb_endpoints: endpoints }] }
}

/** A proxy that routes `/<cluster>` to the cluster of that name. */
async function proxyWith(clusters: readonly { readonly name: string }[]): Promise<RunningProxy> {
  const routes = clusters.map(({ name }) => ({ match: { prefix: `/${name}` }, route: { cluster: name } }))
  const hcm = {
    '@type': HCM,
    stat_prefix: 'http',
    route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes }] },
    http_filters: [{ name: 'router', typed_config: { '@type': ROUTER } }],
  }
  const proxy = await RunningProxy.start({
    upstream: 0,
    ...(process.env['TEST_ENVOY'] === undefined ? {} : { command: process.env['TEST_ENVOY'] }),
    bootstrap: (port, admin) =>
      JSON.stringify({
        node: { id: 'n', cluster: 'c' },
        admin: { address: socket('127.0.0.1', admin) },
        stats_flush_interval: '0.1s',
        static_resources: {
          clusters,
          listeners: [
            {
              name: 'l',
              address: socket('127.0.0.1', port),
              filter_chains: [{ filters: [{ name: 'hcm', typed_config: hcm }] }],
            },
          ],
        },
      }),
  })
  t.teardown(() => proxy.stop())
  return proxy
}

async function status(proxy: RunningProxy, path: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${proxy.port}${path}`)
  await response.arrayBuffer()
  return response.status
}

/** Workers hear of hosts a moment later than the statistics. */
function answers(proxy: RunningProxy, path: string, wanted: number): Promise<number> {
  return settled(
    () => status(proxy, path),
    seen => seen === wanted,
  )
}

t.test('health checks by HTTP/1, HTTP/2, gRPC and TCP take a host out and back', async t => {
  const patients: Record<string, Patient> = {
    one: await http1Patient(),
    two: await http2Patient(false),
    grpc: await http2Patient(true),
    tcp: await tcpPatient(),
  }
  t.teardown(() => {
    for (const patient of Object.values(patients)) patient.close()
  })
  const checks: Record<string, object> = {
    one: { http_health_check: { path: '/health' } },
    two: { http_health_check: { path: '/health', codec_client_type: 'HTTP2' } },
    grpc: { grpc_health_check: {} },
    // Here a wrong answer is one that may go on: only the time tells.
    tcp: { timeout: '3s', tcp_health_check: { send: { text: '70696e67' }, receive: [{ text: '706f6e67' }] } },
  }
  const http2 = {
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': HTTP_OPTIONS,
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
  }
  const proxy = await proxyWith(
    Object.keys(checks).map(name => ({
      name,
      type: 'STATIC',
      common_lb_config: { healthy_panic_threshold: { value: 0 } },
      ...(name === 'grpc' ? http2 : {}),
      health_checks: [
        {
          // Only what hangs takes this long; the patients answer at once.
          timeout: '20s',
          interval: '0.05s',
          no_traffic_interval: '0.05s',
          unhealthy_threshold: 1,
          healthy_threshold: 1,
          ...checks[name],
        },
      ],
      load_assignment: assignment(name, [endpoint('127.0.0.1', patients[name]!.port)]),
    })),
  )
  for (const [name, patient] of Object.entries(patients)) {
    const healthy = (n: number) => async () => (await proxy.stat(`cluster.${name}.membership_healthy`)) === n
    t.ok(await healthy(1)(), `${name}: LIVE means that the first round is over`)
    patient.healthy = false
    await until(healthy(0), `${name} is out`)
    t.equal(await answers(proxy, `/${name}`, 503), 503)
    t.equal(await proxy.stat(`cluster.${name}.health_check.healthy`), 0)
    t.ok((await proxy.stat(`cluster.${name}.health_check.failure`)) > 0)
    patient.healthy = true
    await until(healthy(1), `${name} is back`)
  }
  t.equal(await answers(proxy, '/one', 200), 200)
})

t.test('names: the TTL is kept, new addresses come, a failing server changes nothing', async t => {
  const names = new NameServer()
  const port = await names.listen()
  const upstream = await http1Patient()
  t.teardown(() => {
    names.close()
    upstream.close()
  })
  const dns = {
    respect_dns_ttl: true,
    dns_refresh_rate: '0.1s',
    dns_failure_refresh_rate: { base_interval: '0.1s', max_interval: '0.2s' },
    dns_lookup_family: 'V4_ONLY',
    typed_dns_resolver_config: {
      name: 'cares',
      typed_config: { '@type': CARES, resolvers: [socket('127.0.0.1', port)] },
    },
  }
  const proxy = await proxyWith([
    {
      name: 'strict',
      type: 'STRICT_DNS',
      ...dns,
      load_assignment: assignment('strict', [endpoint('service.test', upstream.port)]),
    } as { name: string },
    {
      name: 'logical',
      type: 'LOGICAL_DNS',
      ...dns,
      load_assignment: assignment('logical', [endpoint('service.test', upstream.port)]),
    } as { name: string },
  ])
  const total = (name: string) => proxy.stat(`cluster.${name}.membership_total`)
  t.equal(await total('strict'), 1)
  t.equal(await total('logical'), 1)
  t.equal(await status(proxy, '/strict'), 200)
  t.equal(await status(proxy, '/logical'), 200)

  names.ips = ['127.0.0.1', '127.0.0.2']
  await until(async () => (await total('strict')) === 2, 'the second address')
  t.equal(await total('logical'), 1, 'one logical host, whatever the addresses')

  names.failing = true
  await until(async () => (await proxy.stat('cluster.strict.update_failure')) > 1, 'failures')
  t.equal(await total('strict'), 2)
  t.equal(await status(proxy, '/logical'), 200)

  names.failing = false
  names.ips = ['127.0.0.1']
  await until(async () => (await total('strict')) === 1, 'one address again')
  t.equal(await answers(proxy, '/strict', 200), 200)
})

t.test('outlier detection ejects a host that fails and takes it back', async t => {
  const [good, bad] = [await http1Patient(), await http1Patient()]
  bad.healthy = false
  t.teardown(() => {
    good.close()
    bad.close()
  })
  const proxy = await proxyWith([
    {
      name: 'two',
      type: 'STATIC',
      outlier_detection: {
        consecutive_5xx: 3,
        // 503 would count as a gateway failure, too.
        enforcing_consecutive_gateway_failure: 0,
        interval: '0.1s',
        // Long enough for what is asked meanwhile.
        base_ejection_time: '4s',
        max_ejection_percent: 50,
      },
      load_assignment: assignment('two', [endpoint('127.0.0.1', good.port), endpoint('127.0.0.1', bad.port)]),
    } as { name: string },
  ])
  const ejected = () => proxy.stat('cluster.two.outlier_detection.ejections_active')
  await until(async () => {
    await status(proxy, '/two')
    return (await ejected()) === 1
  }, 'the ejection')
  const six = async (): Promise<Set<number>> => {
    const seen = new Set<number>()
    for (let i = 0; i < 6; i++) seen.add(await status(proxy, '/two'))
    return seen
  }
  const asked = await settled(six, seen => seen.has(200) && seen.size === 1)
  t.same([...asked], [200], 'only the good one is asked')
  // More than once when it had its time meanwhile.
  t.ok((await proxy.stat('cluster.two.outlier_detection.ejections_enforced_consecutive_5xx')) >= 1)
  bad.healthy = true
  await until(async () => (await ejected()) === 0, 'it is taken back')
})

t.test('EDS by file follows a file that is moved into place', async t => {
  const upstream = await http1Patient()
  t.teardown(() => upstream.close())
  const path = join(t.testdir(), 'eds.json')
  const publish = (ips: readonly string[]): void => {
    const resource = assignment(
      'files',
      ips.map(ip => endpoint(ip, upstream.port)),
    )
    const type = 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment'
    writeFileSync(`${path}.new`, JSON.stringify({ resources: [{ '@type': type, ...resource }] }))
    renameSync(`${path}.new`, path)
  }
  publish(['127.0.0.1'])
  const proxy = await proxyWith([
    { name: 'files', type: 'EDS', eds_cluster_config: { eds_config: { path_config_source: { path } } } } as {
      name: string
    },
  ])
  const total = () => proxy.stat('cluster.files.membership_total')
  t.equal(await total(), 1)
  t.equal(await status(proxy, '/files'), 200)
  publish(['127.0.0.1', '127.0.0.2'])
  await until(async () => (await total()) === 2, 'two endpoints')
  publish([])
  await until(async () => (await total()) === 0, 'no endpoint')
  t.equal(await answers(proxy, '/files', 503), 503)
})
