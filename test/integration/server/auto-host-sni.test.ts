import { spawn } from 'node:child_process'
import { renameSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { certificate } from '../../harness/certificates.ts'
import { allocatePort } from '../../harness/ports.ts'
import { until } from '../../harness/until.ts'

const ENVOY = fileURLToPath(new URL('../../../bin/envoy', import.meta.url))
const TYPE = 'type.googleapis.com/envoy'
const socket = (address: string, port: number) => ({ socket_address: { address, port_value: port } })

function get(port: number, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port, path, agent: false }, response => {
      let body = ''
      response.on('data', chunk => {
        body += chunk
      })
      response.on('end', () => resolve(body))
    })
    request.on('error', reject)
  })
}

t.test('auto_host_sni: the server name is the name of the endpoint, else sni', async t => {
  const { cert, key } = certificate('server')
  const upstream = https.createServer({ cert, key }, (request, response) => {
    // Each request on a connection of its own: the name is told once per connection.
    response.setHeader('connection', 'close')
    response.end(String((request.socket as TLSSocket & { servername?: string | false }).servername || 'none'))
  })
  await new Promise<void>(resolve => upstream.listen(0, '127.0.0.1', resolve))
  t.teardown(() => upstream.close())
  const port = (upstream.address() as AddressInfo).port
  const [admin, listen] = [await allocatePort(), await allocatePort()]
  const directory = t.testdir({})
  const eds = join(directory, 'eds.json')
  const assignment = (cluster_name: string, address: string, hostname?: string) => ({
    cluster_name,
    endpoints: [
      {
        lb_endpoints: [
          { endpoint: { address: socket(address, port), ...(hostname === undefined ? {} : { hostname }) } },
        ],
      },
    ],
  })
  const put = (version: string, hostname: string): void => {
    const type = `${TYPE}.config.endpoint.v3.ClusterLoadAssignment`
    const resources = [{ '@type': type, ...assignment('eds', '127.0.0.1', hostname) }]
    writeFileSync(`${eds}.new`, JSON.stringify({ version_info: version, resources }))
    renameSync(`${eds}.new`, eds)
  }
  put('1', 'first.test')
  const tls = (more: object) => ({
    transport_socket: {
      name: 'tls',
      typed_config: {
        '@type': `${TYPE}.extensions.transport_sockets.tls.v3.UpstreamTlsContext`,
        auto_host_sni: true,
        ...more,
      },
    },
  })
  const clusters = [
    { name: 'named', type: 'STATIC', load_assignment: assignment('named', '127.0.0.1', 'named.test'), ...tls({}) },
    {
      name: 'both',
      type: 'STATIC',
      load_assignment: assignment('both', '127.0.0.1', 'both.test'),
      ...tls({ sni: 'fixed.test' }),
    },
    {
      name: 'unnamed',
      type: 'STATIC',
      load_assignment: assignment('unnamed', '127.0.0.1'),
      ...tls({ sni: 'fixed.test' }),
    },
    {
      name: 'dns',
      type: 'STRICT_DNS',
      dns_lookup_family: 'V4_ONLY',
      load_assignment: assignment('dns', 'localhost'),
      ...tls({}),
    },
    {
      name: 'logical',
      type: 'LOGICAL_DNS',
      dns_lookup_family: 'V4_ONLY',
      load_assignment: assignment('logical', 'localhost'),
      ...tls({ sni: 'fixed.test' }),
    },
    {
      name: 'eds',
      type: 'EDS',
      eds_cluster_config: { eds_config: { path_config_source: { path: eds } } },
      ...tls({}),
    },
  ]
  const routes = clusters.map(({ name }) => ({ match: { path: `/${name}` }, route: { cluster: name } }))
  const hcm = {
    '@type': `${TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'in',
    route_config: { virtual_hosts: [{ name: 'v', domains: ['*'], routes }] },
    http_filters: [{ name: 'router', typed_config: { '@type': `${TYPE}.extensions.filters.http.router.v3.Router` } }],
  }
  const config = join(directory, 'bootstrap.json')
  const listeners = [
    {
      name: 'l',
      address: socket('127.0.0.1', listen),
      filter_chains: [{ filters: [{ name: 'hcm', typed_config: hcm }] }],
    },
  ]
  const node = { id: 'node', cluster: 'test' }
  const admins = { address: socket('127.0.0.1', admin) }
  writeFileSync(config, JSON.stringify({ node, admin: admins, static_resources: { listeners, clusters } }))
  const command = process.env['TEST_ENVOY'] ?? ENVOY
  const child = spawn(command, ['-c', config, '--concurrency', '1', '--disable-hot-restart', '-l', 'off'], {
    stdio: 'ignore',
  })
  t.teardown(() => child.kill('SIGKILL'))
  await until(async () => (await get(admin, '/ready')).startsWith('LIVE'))

  t.equal(await get(listen, '/named'), 'named.test')
  t.equal(await get(listen, '/both'), 'both.test')
  t.equal(await get(listen, '/unnamed'), 'fixed.test')
  t.equal(await get(listen, '/dns'), 'localhost')
  t.equal(await get(listen, '/logical'), 'localhost')
  t.equal(await get(listen, '/eds'), 'first.test')
  put('2', 'second.test')
  await until(async () => (await get(listen, '/eds')) === 'second.test')
})
